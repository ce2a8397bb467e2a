"""A process that has imported the libraries already, and forks itself for each command of a Snakemake run.

Importing torch and what goes with it takes a core four seconds, longer than many a job of the default study works, and
a study is hundreds of jobs. So the Snakefile starts this process once; `fer` asks it, over a Unix socket, to run its
command line in a fork: the same command, folder, environment, standard files and exit status, with the imports done.
Only libraries are imported ahead, none of our modules: each fork reads those as they are on disk. Where there is no
such process (a command by hand, DVC, a cluster, macOS, whose libraries do not survive a fork), it runs as ever.
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
import warnings
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
    "threadpoolctl",
)
_held: list = []  # the other end of the warm process's standard input, which closes when this process ends


# --- who asks -------------------------------------------------------------------------------------------------------


def ask(arguments: list[str]) -> int | None:
    """Run a command line of `fer` in a fork of the warm process; return its exit status, None if there is none.

    Signals are passed on; one that ends the fork ends this process, too.
    """
    request = {"arguments": arguments, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    message, forwarded = json.dumps(request).encode(), []
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(os.environ[ADDRESS])
        socket.send_fds(connection, [struct.pack("!I", len(message))], STREAMS)
        connection.sendall(message)
    except (KeyError, OSError):
        return None

    def forward(number: int, frame) -> None:
        forwarded.append(number)
        with suppress(OSError):  # it ended meanwhile
            connection.send(bytes([number]))

    for number in FORWARDED:
        if signal.getsignal(number) != signal.SIG_IGN:  # as SIGHUP is under nohup
            signal.signal(number, forward)
    status = b""
    with suppress(OSError):
        status = connection.recv(1)
    if status:
        return status[0]
    if forwarded:
        signal.signal(forwarded[-1], signal.SIG_DFL)
        os.kill(os.getpid(), forwarded[-1])
    print("error: the process of this command was killed; is the machine out of memory?", file=sys.stderr)
    return 128 + signal.SIGKILL


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
        with suppress(Exception):  # of whatever kind: a fork that needs the library meets it again, and says so
            import_module(library)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # forks that end leave nothing to collect
    warnings.filterwarnings("ignore", "This process .* is multi-threaded")  # by NumPy's library, which knows of forks
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if os.fork() == 0:
            try:
                listener.close()
                answer(connection)
            finally:
                os._exit(1)
        connection.close()


def answer(connection: socket.socket) -> None:
    """Become the process of the command that is asked for over `connection`; does not return."""
    status = 1
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()  # the terminal's Ctrl-C reaches who asks, who forwards it
    if not become(connection):
        return
    threading.Thread(target=follow, args=[connection], daemon=True).start()
    try:
        status = run()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            connection.send(bytes([status & 0xFF]))
        os._exit(status & 0xFF)


def become(connection: socket.socket) -> bool:
    """Take over the standard files, arguments, folder, environment and threads of who asks, who may have gone."""
    header, files, _, _ = socket.recv_fds(connection, 4, len(STREAMS))
    if len(header) < 4:
        return False
    size = struct.unpack("!I", header)[0]
    message = connection.recv(size, socket.MSG_WAITALL)
    if len(message) < size:
        return False
    request = json.loads(message)
    for file, standard in zip(files, STREAMS, strict=True):
        os.dup2(file, standard)
        os.close(file)
    sys.argv = request["arguments"]
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    limit_threads()
    return True


def limit_threads() -> None:
    """Hold the libraries to the threads that Snakemake gives the job, which they read when they are imported."""
    from threadpoolctl import threadpool_limits

    if threads := os.environ.get("OMP_NUM_THREADS"):
        threadpool_limits(int(threads))


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
    own, folder = socket.socket(fileno=int(sys.argv[1])), sys.argv[2]
    try:
        serve(own)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
