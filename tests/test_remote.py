"""Artifacts in a remote storage: what one person pushed, another pulls, and both engines have nothing to do."""

import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import requests

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def s3(tmp_path):
    """The address of an S3 server with a bucket called faces, which keeps objects in memory."""
    if missing := [name for name in ("dvc_s3", "boto3", "moto", "flask_cors") if not find_spec(name)]:
        pytest.skip(f"pip install -e '.[s3]' 'moto[server]' (without {', '.join(missing)})")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with open(tmp_path / "moto.log", "w") as log:
        program = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(program, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                assert requests.put(f"{address}/faces", timeout=60).ok
                break
            except requests.ConnectionError:
                assert server.poll() is None, (tmp_path / "moto.log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        server.kill()
        server.wait()


def files(clone, *rooms):
    found = [path for room in rooms for path in (clone.folder / room).rglob("*") if path.is_file()]
    return {path.relative_to(clone.folder): path.read_bytes() for path in found}


@pytest.mark.slow
def test_what_was_pushed_to_s3_is_pulled_in_parts_or_whole_and_both_engines_are_idle(s3, make_clone, tmp_path):
    author = make_clone()
    author.environment |= KEYS
    author.run("snakemake --cores 2 all")
    author.run("dvc remote add --default storage s3://faces/fer")
    author.run(f"dvc remote modify storage endpointurl {s3}")
    author.commit("a study, and where its artifacts are")
    author.run("dvc push")

    colleague = author.copy(tmp_path / "colleague")
    colleague.environment |= KEYS
    colleague.run("make -o .venv/installed pull WHAT=report")
    pages = [Path("reports", name) for name in ("index.html", "results.csv", "results.md")]
    assert [files(colleague, "reports")[page] for page in pages] == [files(author, "reports")[page] for page in pages]
    assert not files(colleague, "data", "runs")

    said = colleague.run("make -o .venv/installed pull").stdout
    assert "snakemake: nothing to do\ndvc:       nothing to do\n" in said
    assert files(colleague, "data", "runs") == files(author, "data", "runs")
    colleague.run("snakemake --cores 2 all")
    assert (
        "snakemake: nothing to do\ndvc:       nothing to do\n" in colleague.run("make -o .venv/installed check").stdout
    )
