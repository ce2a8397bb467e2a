"""The page of `fer demo`: whole in one file, and used as a person uses it, in a headless Chromium."""

import os
import re
import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import cv2
import numpy as np
import pytest
from chromium import PROGRAM, Chromium

import fer
from fer.datasets import synthetic
from fer.errors import FerError
from fer.exporting import runtime
from fer.exporting.demo import demo, read_model
from fer.exporting.export import export, find_run
from fer.storage import file_sha256

MODEL = "fer2013-fer_baseline"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    path.write_bytes(export(find_run(MODEL), "fp16").data)
    return path


def fake_runtime(folder: Path) -> Path:
    """Write files by the names of ONNX Runtime Web's: what they hold is looked at by a browser alone."""
    (folder / "dist").mkdir(parents=True)
    (folder / "dist" / runtime.SCRIPT).write_bytes(b"/*!\n * ONNX Runtime Web v9.9.9\n */ '</script>'")
    (folder / "dist" / runtime.WASM).write_bytes(b"\0asm")
    return folder


def test_the_page_is_one_file_that_names_model_accuracy_interval_and_limits(exported, tmp_path):
    words = ["demo", str(exported), "--root", str(tmp_path), "--runtime", str(fake_runtime(tmp_path / "ort"))]
    result = subprocess.run([sys.executable, "-m", "fer", *words], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    page = (tmp_path / "reports" / "demo.html").read_text()  # where the report's page links it
    about = fer.load(exported).about
    assert f"{100 * about.accuracy:.1f} %" in page and f"{about.n:,}" in page
    low, high = about.interval
    assert f"interval {100 * low:.1f} to {100 * high:.1f} %" in page
    assert all(limit.split(";")[0] in page for limit in about.limits)
    assert not re.search(r"""(src|href|action)\s*=\s*["']""", page), "it loads nothing"
    assert "default-src 'none'" in page and "connect-src" not in page
    assert page.count("</script>") == 6, "what is inside cannot end a script"


def test_a_runtime_that_is_not_there_or_is_none_is_one_line_that_says_what_to_do(tmp_path):
    with pytest.raises(FerError, match=r"npm pack onnxruntime-web@"):
        runtime.find_runtime(tmp_path / "nowhere")
    with pytest.raises(FerError, match=r"lacks ort.wasm.bundle.min.mjs and .* of onnxruntime-web"):
        runtime.find_runtime(tmp_path)
    archive = tmp_path / "x.tgz"
    archive.write_bytes(b"no archive")
    with pytest.raises(FerError, match=r"x.tgz is not an archive of onnxruntime-web"):
        runtime.find_runtime(archive)


def test_without_a_network_one_line_says_how_to_make_the_page(exported, tmp_path):
    nowhere = "http://127.0.0.1:9"
    offline = {"HTTPS_PROXY": nowhere, "NO_PROXY": "", "npm_config_registry": nowhere, "XDG_CACHE_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "fer", "demo", str(exported)]
    result = subprocess.run(words, capture_output=True, text=True, env=os.environ | offline)
    assert result.returncode == 2 and not list(tmp_path.iterdir())
    announced, error = result.stderr.strip().splitlines()
    assert announced.startswith("Fetching onnxruntime-web@")
    assert re.fullmatch(
        r"error: ONNX Runtime Web could not be fetched: cdn.jsdelivr.net cannot be reached, "
        r"npm (is not installed|failed \(E\w+\))\. Get it with `npm pack .*` .* with --runtime",
        error,
    )


class Server(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_the_runtime_is_fetched_once_and_only_if_it_is_the_known_one(tmp_path, monkeypatch):
    files = fake_runtime(tmp_path / "ort") / "dist"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(runtime.shutil, "which", lambda name: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Server, directory=files))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"
    try:
        monkeypatch.setattr(runtime, "ADDRESS", address + "moved/")
        with pytest.raises(FerError, match=r"127.0.0.1 answered 404 File not found, npm is not installed\. Get it"):
            runtime.find_runtime()
        monkeypatch.setattr(runtime, "ADDRESS", address)
        with pytest.raises(FerError, match="127.0.0.1 gave other files than expected"):
            runtime.find_runtime()
        known = {name: file_sha256(files / name) for name in runtime.SHA256}
        monkeypatch.setattr(runtime, "SHA256", known)
        first = runtime.find_runtime()
    finally:
        server.shutdown()
        server.server_close()
    assert runtime.find_runtime() == first == {name: (files / name).read_bytes() for name in known}


def test_a_network_that_needs_more_than_a_photograph_gets_no_page(exported, tmp_path):
    model, description = read_model(exported)
    infrared = description.model_copy(update={"modality": "infrared"})
    with pytest.raises(FerError, match="takes infrared images"):
        demo(model, infrared, {}, tmp_path / "demo.html")


@pytest.fixture(scope="module")
def face():
    """A drawn face in a picture, uint8 RGB (480, 640, 3)."""
    scene = synthetic.pose(synthetic.make_identity(0, 0), "happiness", np.random.default_rng(0), 240)
    picture = np.full((480, 640, 3), 120, np.uint8)
    picture[120:360, 200:440] = synthetic.draw_visible(scene)
    return picture


@pytest.fixture(scope="module")
def page(exported, tmp_path_factory):
    output = tmp_path_factory.mktemp("page") / "demo.html"
    model, description = read_model(exported)
    demo(model, description, runtime.find_runtime(), output)
    return output


needs_browser = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium")


@pytest.mark.slow
@needs_browser
def test_a_picture_is_answered_in_the_page_as_in_python_and_nothing_is_asked_for(page, exported, face, tmp_path):
    recognizer = fer.load(exported, threads=1)
    cv2.imwrite(str(tmp_path / "face.png"), face[..., ::-1])
    cv2.imwrite(str(tmp_path / "empty.png"), np.full((300, 400), 90, np.uint8))
    crops = np.random.default_rng(0).integers(0, 256, (2, 48, 48), np.uint8)
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page.as_uri())
        browser.wait("ferDemo.ready || ferDemo.error")
        for crop, expected in zip(crops, recognizer.classify(crops), strict=True):
            found = browser.run(f"ferDemo.classify(new Uint8Array({crop.ravel().tolist()}))")
            np.testing.assert_allclose(found, expected, atol=1e-4)

        browser.choose("#file", tmp_path / "face.png")
        (found,) = browser.wait("ferDemo.frames && ferDemo.faces.map(({eyes, scores}) => ({eyes, scores}))")
        (here,) = recognizer(face)
        eyes = [here.landmarks[36:42].mean(0), here.landmarks[42:48].mean(0)]
        np.testing.assert_allclose(found["eyes"], eyes, atol=8)  # pixels: another detector
        label = browser.run("document.getElementById('label').textContent")
        assert label == recognizer.classes[int(np.argmax(found["scores"]))]
        assert np.abs(np.array(found["scores"]) - here.scores).sum() < 0.6

        browser.choose("#file", tmp_path / "empty.png")
        browser.wait("document.getElementById('status').textContent.includes('Drag the box')")
        before = browser.run("ferDemo.box")
        browser.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: '-'}))")
        browser.wait(f"ferDemo.box[2] < {before[2]} && ferDemo.faces.length === 1")
        assert browser.requests() == []


@pytest.mark.slow
@needs_browser
def test_the_camera_s_face_is_followed_at_any_width(page, face, tmp_path):
    film = tmp_path / "film.mjpeg"
    film.write_bytes(cv2.imencode(".jpg", face[..., ::-1])[1].tobytes() * 2)
    with Chromium(tmp_path / "profile", camera=film) as browser:
        browser.open(page.as_uri())
        browser.wait("ferDemo.ready || ferDemo.error")
        browser.run("document.getElementById('camera').click()")
        browser.wait("ferDemo.frames > 3 && ferDemo.faces.length === 1")
        for width in (1300, 400):
            browser.resize(width)
            assert browser.run("document.documentElement.scrollWidth") <= width
        browser.run("document.getElementById('camera').click()")
        browser.wait("document.getElementById('camera').textContent === 'Use the camera'")
        assert browser.requests() == []
