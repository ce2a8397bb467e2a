"""A headless Chromium, spoken to by its DevTools protocol over two pipes, as a user would use it by hand."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
import time
from pathlib import Path

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Chromium:
    """One page in a browser of its own, with a camera that plays a file (Motion JPEG or Y4M) if one is given."""

    def __init__(self, profile: Path, width: int = 1300, height: int = 900, camera: Path | None = None):
        self.number, self.events, self.buffer = 0, [], b""
        words = [PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"]
        words += [f"--user-data-dir={profile}", f"--window-size={width},{height}", "--hide-scrollbars"]
        words += ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        words += [f"--use-file-for-fake-video-capture={camera}"] if camera else []
        # Chromium reads commands from descriptor 3 and writes answers to 4: the shell puts its own pipes there
        program = ["bash", "-c", 'exec 3<&0 4>&1 </dev/null >/dev/null 2>&1 "$@"', "chromium", *words, "about:blank"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(program, **pipes, bufsize=0)
        self.send, self.receive = self.process.stdin, io.BufferedReader(self.process.stdout, 1 << 20)
        pages = self.browser("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        self.session = self.browser("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.call(f"{domain}.enable")

    def browser(self, method: str, **parameters):
        return self._ask({"method": method, "params": parameters})

    def call(self, method: str, **parameters):
        return self._ask({"method": method, "params": parameters, "sessionId": self.session})

    def _ask(self, message: dict):
        self.number += 1
        self.send.write(json.dumps(message | {"id": self.number}).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _read(self) -> bytes:
        while b"\0" not in self.buffer:
            data = self.receive.read1(1 << 20)
            assert data, "Chromium ended"
            self.buffer += data
        message, _, self.buffer = self.buffer.partition(b"\0")
        return message

    def run(self, expression: str):
        """Return the value of an expression in the page, awaited where it is a promise."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str, seconds: int = 120):
        """Return the value of an expression once it is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(condition)):
            assert time.monotonic() < end, f"never true: {condition}"
            time.sleep(0.1)
        return found

    def open(self, address: str) -> None:
        self.call("Page.navigate", url=address)
        self.wait("document.readyState === 'complete'")

    def choose(self, selector: str, file: Path) -> None:
        """Choose a file, as by the dialogue of an input."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])

    def resize(self, width: int, height: int = 900) -> None:
        sides = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **sides)

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a picture."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def requests(self) -> list[str]:
        """Return the addresses that the page has asked for, but for its own."""
        sent = [each["params"] for each in self.events if each["method"] == "Network.requestWillBeSent"]
        addresses = [each["request"]["url"] for each in sent]
        return [address for address in addresses if not address.startswith(("file:", "blob:", "data:", "about:"))]

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *error) -> None:
        self.process.kill()
        self.process.wait()
        self.send.close()
        self.receive.close()
