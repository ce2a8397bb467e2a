"""A process that has imported the libraries already, and forks itself for each command of a Snakemake run.

Importing torch and what goes with it takes a core four seconds, longer than many a job of the default study works, and
a study is hundreds of jobs. So the Snakefile starts this process once; `fer` asks it, over a Unix socket, to run its
command line in a fork: the same command, folder, environment, standard files and exit status, with the imports done.
Only libraries are imported ahead, none of our modules: each fork reads those as they are on disk. Where there is no
such process (a command by hand, DVC, another machine of a cluster), the command runs as ever.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

ADDRESS = "FER_WARM"  # the environment variable that says where to ask
STREAMS = (0, 1, 2)  # standard input, output and error
FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LIBRARIES = (
    "typer",
    "jinja2",
    "annotated_types",
    "pydantic",
    "yaml",
    "pandas",
    "pyarrow.parquet",
    "cv2",
    "dlib",
    "torch",
    "lightning_fabric",
    "torchvision.models",
    "torchvision.transforms.v2",
    "kornia.augmentation",
    "safetensors.torch",
    "torch.utils.flop_counter",
    "matplotlib.pyplot",
    "captum.attr",
    "scipy.stats",
    "scipy.sparse.csgraph",
    "sklearn.model_selection",
)
_held: list = []  # the other end of the warm process's standard input, which closes when this process ends


# --- who asks -------------------------------------------------------------------------------------------------------


def ask(arguments: list[str]) -> int | None:
    """Run a command line of `fer` in a fork of the warm process; return its exit status, None if there is none."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.environ[ADDRESS])
    except (KeyError, OSError):
        return None
    for number in FORWARDED:
        signal.signal(number, lambda number, frame: connection.send(bytes([number])))
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    message = json.dumps(request).encode()
    socket.send_fds(connection, [struct.pack("!I", len(message))], STREAMS)
    connection.sendall(message)
    status = connection.recv(1)
    if not status:
        print("error: the process of this command was killed; is the machine out of memory?", file=sys.stderr)
        return 128 + signal.SIGKILL
    return status[0]


# --- who answers ----------------------------------------------------------------------------------------------------


def start() -> None:
    """Start the warm process of this one, and let the commands that this one starts find it. It ends with this one."""
    address = Path(tempfile.mkdtemp(prefix="fer-")) / "warm"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(str(address))
        except OSError:  # the path of the temporary folder is longer than a socket's may be
            return address.parent.rmdir()
        listener.listen(128)  # who asks during the imports waits for them
        command = [sys.executable, "-m", "fer.warm", str(listener.fileno()), address.parent]
        own = {"pass_fds": [listener.fileno()], "start_new_session": True}
        _held.append(subprocess.Popen(command, stdin=subprocess.PIPE, **own))
    os.environ[ADDRESS] = str(address)


def serve(listener: socket.socket) -> None:
    """Fork a process for everyone who asks, until standard input ends."""
    for library in LIBRARIES:
        with suppress(ImportError):  # a fork that needs it says so
            import_module(library)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that end leave nothing to collect
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            answer(connection)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Become the process of the command that is asked for over `connection`; does not return."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()  # the terminal's Ctrl-C reaches who asks, who forwards it
        become(connection)
        threading.Thread(target=follow, args=[connection], daemon=True).start()
        status = run()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            connection.send(bytes([status]))
        os._exit(status)


def become(connection: socket.socket) -> None:
    """Take over the standard files, arguments, folder and environment of who asks."""
    header, files, _, _ = socket.recv_fds(connection, 4, len(STREAMS))
    request = json.loads(connection.recv(*struct.unpack("!I", header), socket.MSG_WAITALL))
    for file, standard in zip(files, STREAMS, strict=True):
        os.dup2(file, standard)
        os.close(file)
    sys.argv = request["arguments"]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])


def follow(connection: socket.socket) -> None:
    """Pass on the signals that who asks gets, and die with it."""
    with suppress(OSError):
        while number := connection.recv(1):
            os.kill(os.getpid(), number[0])
    os.kill(os.getpid(), signal.SIGKILL)


def run() -> int:
    """Run the command line in `sys.argv`, end as a process does, and return its exit status."""
    from fer.cli import main

    try:
        main()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return status


if __name__ == "__main__":
    try:
        serve(socket.socket(fileno=int(sys.argv[1])))
    finally:
        shutil.rmtree(sys.argv[2], ignore_errors=True)
