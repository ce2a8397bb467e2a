"""Downloads from a real server on loopback that drops, lies, forgets and changes its mind; and by Kaggle's client."""

import hashlib
import io
import random
import resource
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fer2013_sources import write_tar

from fer import params, sources
from fer.datasets import adapter
from fer.errors import FerError
from fer.sources import download as downloading
from fer.sources.download import download
from fer.stages.acquire import acquire


def zipped(seed=0, size=200_000):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("images.bin", random.Random(seed).randbytes(size))
    return data.getvalue()


FILE = zipped()
SHA256 = hashlib.sha256(FILE).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content` as its switches say, and remembers the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = FILE
        self.drops: list[int | None] = []  # bytes after which each answer in turn is dropped; None: it is not
        self.statuses: list[tuple[int, dict]] = []  # what is answered first, one request each
        self.lie = 0  # added to every Content-Length
        self.headers: dict[str, str] = {}
        self.requests: list[dict[str, str]] = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/files/data.zip"

    def handle_error(self, request, client_address):
        pass  # of connections that the client gave up


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append(dict(self.headers))
        if server.statuses:
            status, headers = server.statuses.pop(0)
            return self.answer(status, b"busy", headers)
        self.answer(200, server.content, server.headers)

    def answer(self, status, body, headers):
        self.send_response(status)
        length = len(body) + self.server.lie
        for name, value in ({"Content-Length": str(length)} | headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        drop = self.server.drops.pop(0) if self.server.drops and status in (200, 206) else None
        self.wfile.write(body[:drop])
        self.wfile.flush()
        if drop is not None or self.server.lie:
            self.close_connection = True

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    with Server() as running:
        threading.Thread(target=lambda: running.serve_forever(0.01), daemon=True).start()
        yield running
        running.shutdown()


def whole(path, content=FILE):
    """Assert that the download is there, to the byte, and nothing else but the note of where it is from."""
    assert path.read_bytes() == content
    assert {item.name for item in path.parent.iterdir()} == {path.name, f".{path.name}.url"}


# --- the good server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sha256", [None, SHA256], ids=["hash unknown", "hash known"])
def test_a_file_is_fetched_once(server, tmp_path, sha256):
    whole(download(server.url, tmp_path / "new/folder", sha256))
    whole(download(server.url, tmp_path / "new/folder", sha256))
    assert len(server.requests) == 1


def test_a_file_of_another_hash_is_fetched_anew(server, tmp_path):
    (tmp_path / "data.zip").write_bytes(b"an older version")
    whole(download(server.url, tmp_path, SHA256))


def test_a_file_that_came_from_another_address_is_fetched_anew_but_not_one_that_the_user_put_there(server, tmp_path):
    download(server.url, tmp_path / "a")
    server.content = zipped(1)
    whole(download(server.url.replace("files", "others"), tmp_path / "a"), server.content)
    (tmp_path / "data.zip").write_bytes(b"the user's own")
    assert download(server.url, tmp_path).read_bytes() == b"the user's own"


def test_a_chunked_answer_without_a_length_is_taken(server, tmp_path):
    server.headers = {"Content-Length": None, "Connection": "close"}
    server.lie = 1  # makes the handler close the connection
    whole(download(server.url, tmp_path))


def test_the_name_comes_from_the_address_or_from_what_follows_a_hash(server, tmp_path):
    assert download(server.url + "?download=1", tmp_path).name == "data.zip"
    assert download(f"{server.url[:-8]}uc?id=7#own.zip", tmp_path).name == "own.zip"
    assert download(server.url.replace("data", "my%20data"), tmp_path).name == "my data.zip"
    for bad in ("http://127.0.0.1/", "http://127.0.0.1/a/..", "http://127.0.0.1/#..%2Fx.zip", "http://h/.hidden"):
        with pytest.raises(FerError, match="does not contain the file's name"):
            download(bad, tmp_path)


# --- connections that drop ------------------------------------------------------------------------------------------


def test_a_dropped_connection_or_a_busy_server_is_tried_again_from_the_start(server, tmp_path):
    server.drops, server.statuses = [50_000, 0, 30_000], [(503, {}), (429, {})]
    whole(download(server.url, tmp_path))
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "fault", [{"drops": [100_000] * 20}, {"lie": 1000}, {"statuses": [(503, {})] * 20}], ids=["drops", "length", "busy"]
)
def test_a_server_that_keeps_failing_is_given_up_and_leaves_nothing(server, tmp_path, fault):
    vars(server).update(fault)
    with pytest.raises(FerError, match=r"data\.zip could not be downloaded: 6 attempts failed.*give its path"):
        download(server.url, tmp_path)
    assert len(server.requests) == downloading.RETRIES + 1 and not list(tmp_path.iterdir())


def test_what_a_killed_download_left_is_neither_read_nor_kept(server, tmp_path):
    (tmp_path / ".under-way").mkdir()
    (tmp_path / ".under-way/tmp1").write_bytes(FILE[:1000])
    assert sources.names(tmp_path) == []
    whole(download(server.url, tmp_path))


def test_no_server_at_all_is_an_error_that_says_so(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(FerError, match=r"data\.zip could not be downloaded.*Connection refused"):
        download(server.url, tmp_path)


# --- servers that lie, and files that change ------------------------------------------------------------------------


def test_a_file_of_the_wrong_hash_is_deleted_and_both_hashes_are_told(server, tmp_path):
    server.content = zipped(1)
    with pytest.raises(FerError) as error:
        download(server.url, tmp_path, SHA256)
    assert SHA256 in str(error.value) and hashlib.sha256(server.content).hexdigest() in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_web_page_in_place_of_the_file_is_named_at_once(server, tmp_path):
    server.content = b"\n<!DOCTYPE html><html>Log in</html>"
    with pytest.raises(FerError, match=r"data\.zip is a web page, not the file itself: .*log in"):
        download(server.url, tmp_path)
    assert len(server.requests) == 1 and not list(tmp_path.iterdir())


# --- statuses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_a_refusal_is_an_error_at_once_with_the_address_and_the_status(server, tmp_path, status):
    server.statuses = [(status, {})]
    with pytest.raises(FerError, match=rf"data\.zip cannot be downloaded: the server answered {status} "):
        download(server.url, tmp_path)
    assert len(server.requests) == 1 and not list(tmp_path.iterdir())


def test_redirects_are_followed_but_not_to_files_nor_in_circles(server, tmp_path):
    server.statuses = [(302, {"Location": "/elsewhere/data.zip"})]
    whole(download(server.url, tmp_path / "a"))
    for place in ("file:///etc/passwd", "/files/data.zip"):
        server.statuses = [(302, {"Location": place})] * 40
        with pytest.raises(FerError, match="cannot be downloaded"):
            download(server.url, tmp_path / "b")
    assert not list((tmp_path / "b").iterdir())


# --- interrupts and full disks, in a process of their own -----------------------------------------------------------


def fetching(url, folder, **options):
    code = (
        f"from pathlib import Path; from fer.sources.download import download; download({url!r}, Path({str(folder)!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, **options)


def test_a_full_disk_is_an_error_that_names_the_file(server, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    errors = fetching(server.url, tmp_path, preexec_fn=limit).communicate(timeout=30)[1]
    assert "OSError: [Errno 27] File too large: " in errors and ".under-way/data.zip" in errors.splitlines()[-1]
    whole(download(server.url, tmp_path))


# --- what a source may be -------------------------------------------------------------------------------------------


def parameters(*downloads, name="fer2013"):
    return params.load_dataset(name).model_copy(
        update={"downloads": [params.Download(url=url, sha256=sha256) for url, sha256 in downloads]}
    )


def test_download_fetches_every_file_of_the_parameters_into_one_folder(server, tmp_path, caplog):
    given = parameters((server.url, SHA256), (server.url.replace("data", "more"), None))
    folder = sources.resolve("download", "viri", given, tmp_path)
    assert folder == tmp_path / "viri" and {path.name for path in folder.glob("[!.]*")} == {"data.zip", "more.zip"}
    assert sources.names(folder) == ["data.zip/images.bin", "more.zip/images.bin"]
    assert "unpinned: no sha256 is known of 1 download (more.zip)" in caplog.text
    sources.resolve("download", "viri", given, tmp_path)
    assert len(server.requests) == 2
    (folder / "old.zip").write_bytes(FILE)
    with pytest.raises(FerError, match=r"viri holds old\.zip, which `downloads` does not list"):
        sources.resolve("download", "viri", given, tmp_path)


def test_downloads_that_are_none_or_share_a_name_are_an_error(server, tmp_path):
    with pytest.raises(FerError, match="has no `downloads` in its parameters. How to obtain it: Kaggle"):
        sources.resolve("download", "x", parameters(), tmp_path)
    with pytest.raises(FerError, match=r"are both called data\.zip"):
        sources.resolve("download", "x", parameters((server.url, None), (server.url + "?v=2", None)), tmp_path)


def test_a_url_is_fetched_into_the_dataset_s_folder(server, tmp_path):
    assert sources.resolve(server.url, "jaffe", parameters(), tmp_path) == tmp_path / "jaffe/data.zip"


def test_a_path_is_taken_as_it_is_and_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.zip").write_bytes(FILE)
    assert sources.resolve("~/a.zip", "x", parameters()) == tmp_path / "a.zip"


def test_a_missing_source_says_where_to_ask_and_where_to_put_it():
    with pytest.raises(FerError) as error:
        sources.resolve("sources/none.zip", "x", parameters())
    assert parameters().obtain in str(error.value) and str(Path("sources/none.zip").absolute()) in str(error.value)


@pytest.mark.parametrize("spec", ["", " ", "ftp://host/a.zip", "s3://bucket/a.zip"])
def test_what_is_no_source_is_told_what_may_be_one(spec):
    with pytest.raises(FerError, match=r"is not a valid source; expected synthetic, the path"):
        sources.resolve(spec, "x", parameters())


def test_acquire_reads_what_it_downloaded(server, tmp_path, monkeypatch):
    server.content, reader = write_tar(tmp_path / "fer2013.tar.gz").read_bytes(), adapter("fer2013", parameters())
    monkeypatch.chdir(tmp_path)
    url = server.url.replace("data.zip", "fer2013.tar.gz")
    assert acquire(reader, url, 1, tmp_path / "fer2013.parquet").startswith("42 originals")
    assert (tmp_path / "sources/downloads/fer2013/fer2013.tar.gz").read_bytes() == server.content


# --- Kaggle ---------------------------------------------------------------------------------------------------------

CLIENT = """
import json, os, shutil, sys
from pathlib import Path

class Api:
    def authenticate(self):
        if not os.environ.get("FAKE_TOKEN"):
            print("Authentication required to call the Kaggle API.")
            sys.exit(1)

    def competition_download_files(self, competition, path=None, force=False, quiet=True):
        self.fetch(f"competitions/{competition}", Path(path) / f"{competition}.zip")

    def dataset_download_files(self, dataset, path=None, force=False, quiet=True, unzip=False):
        self.fetch(f"datasets/{dataset}", Path(path) / f"{dataset.partition('/')[2]}.zip")

    def fetch(self, what, target):
        print("Downloading", what)
        if "forbidden" in what:
            raise OSError("403 Client Error: Forbidden")
        shutil.copyfile(os.environ["FAKE_FILE"], target)

api = Api()
"""


@pytest.fixture
def client(tmp_path, monkeypatch):
    """Kaggle's client as fer knows it, giving out FILE."""
    (tmp_path / "kaggle.py").write_text(CLIENT)
    (tmp_path / "given.zip").write_bytes(FILE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("FAKE_FILE", str(tmp_path / "given.zip"))
    monkeypatch.setenv("FAKE_TOKEN", "token")
    monkeypatch.delitem(sys.modules, "kaggle", raising=False)
    yield tmp_path
    sys.modules.pop("kaggle", None)


@pytest.mark.parametrize(
    ("spec", "place"),
    [("kaggle:competitions/faces", "faces.zip"), ("kaggle:datasets/someone/faces", "someone/faces.zip")],
)
def test_kaggle_s_client_fetches_competitions_and_datasets_once(client, monkeypatch, spec, place, capfd):
    path = sources.resolve(spec, "rafdb", parameters(), client / "downloads")
    assert path == client / "downloads/rafdb" / place and path.read_bytes() == FILE
    assert list(path.parent.iterdir()) == [path]
    monkeypatch.setenv("FAKE_FILE", "gone")
    assert sources.resolve(spec, "rafdb", parameters(), client / "downloads") == path
    assert capfd.readouterr().out == ""


def test_kaggle_without_a_token_says_where_to_put_it(client, monkeypatch, capfd):
    monkeypatch.delenv("FAKE_TOKEN")
    with pytest.raises(FerError, match=r"no valid token.*save it as ~/\.kaggle/access_token"):
        sources.resolve("kaggle:competitions/faces", "x", parameters(), client / "downloads")
    assert capfd.readouterr().out == ""


def test_a_client_that_exits_on_import_is_an_error_like_any_other(client, monkeypatch):
    monkeypatch.delenv("FAKE_TOKEN")
    (client / "kaggle.py").write_text(CLIENT + "\napi.authenticate()\n")
    with pytest.raises(FerError, match="no valid token"):
        sources.resolve("kaggle:competitions/faces", "x", parameters(), client / "downloads")


def test_kaggle_s_refusal_points_to_the_rules(client):
    with pytest.raises(FerError, match=r"403 Client Error.*agree to its rules.*kaggle\.com/competitions/forbidden"):
        sources.resolve("kaggle:competitions/forbidden", "x", parameters(), client / "downloads")


def test_without_the_client_its_installation_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "kaggle", None)
    with pytest.raises(FerError, match=r'pip install -e "\.\[kaggle\]"'):
        sources.resolve("kaggle:competitions/faces", "x", parameters(), tmp_path)


@pytest.mark.parametrize("spec", ["kaggle:faces", "kaggle:datasets/faces", "kaggle:competitions/../x", "kaggle:"])
def test_a_kaggle_address_of_another_form_is_an_error(spec, tmp_path):
    with pytest.raises(FerError, match="expected kaggle:competitions/NAME or kaggle:datasets/OWNER/NAME"):
        sources.resolve(spec, "x", parameters(), tmp_path)
