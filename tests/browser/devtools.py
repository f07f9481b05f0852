"""Drive headless Chromium through its DevTools pipe: the standard library is enough.

Chromium started with ``--remote-debugging-pipe`` reads commands from file descriptor 3 and
writes answers and events to 4, each a JSON text ended by a zero byte. There is no port, no
driver and no websocket, so test workers cannot meet, and a closed pipe ends the browser.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows, which has no pipes at chosen descriptors either
    fcntl = None  # type: ignore[assignment]

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # as root in a container there is none; the pages are our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
PATIENCE = 120.0
"""Seconds to wait for an answer: a shared machine may be slow, and none is ever expected."""


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome that can be driven from here, or None."""
    if fcntl is None or not hasattr(os, "posix_spawn"):
        return None
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class BrowserError(RuntimeError):
    """Chromium refused a command, ended, or did not answer."""


class Browser:
    """One headless Chromium with a profile of its own; a context manager."""

    def __init__(self, executable: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="isonomy-browser-"))
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # out of the way of 3 and 4, which they become in the child
        spare = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in (theirs_in, theirs_out)]
        os.close(theirs_in)
        os.close(theirs_out)
        log = os.open(self._folder / "log", os.O_WRONLY | os.O_CREAT, 0o600)
        self._pid = os.posix_spawn(
            executable,
            [executable, *FLAGS, f"--user-data-dir={self._folder / 'profile'}", "about:blank"],
            {**os.environ, "HOME": str(self._folder)},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
                (os.POSIX_SPAWN_DUP2, spare[0], 3),
                (os.POSIX_SPAWN_DUP2, spare[1], 4),
            ],
            setpgroup=0,
        )
        for fd in (*spare, log):
            os.close(fd)
        self._in, self._out = ours_in, ours_out
        self._buffer = b""
        self._last = 0
        self.pages: dict[str, Page] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def new_page(self, width: int = 1280, height: int = 900) -> Page:
        """Return an empty page of a size in CSS pixels."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        answer = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self, answer["sessionId"], target)
        self.pages[answer["sessionId"]] = page
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        return page

    def call(
        self, method: str, parameters: dict[str, Any] | None = None, session: str | None = None
    ) -> dict[str, Any]:
        """Send a command and return its answer; events on the way go to their page."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        self._send(json.dumps(message).encode() + b"\0")
        number, until = self._last, time.monotonic() + PATIENCE
        while True:
            found = self.read(until)
            if found.get("id") == number:
                if "error" in found:
                    raise BrowserError(f"{method}: {found['error'].get('message')}")
                result: dict[str, Any] = found["result"]
                return result

    def read(self, until: float) -> dict[str, Any]:
        """Return the next message; an event is also noted by its page."""
        while b"\0" not in self._buffer:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                raise BrowserError(f"no answer within {PATIENCE:.0f} s: {self._tail()}")
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise BrowserError(f"Chromium ended: {self._tail()}")
            self._buffer += piece
        text, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(text)
        page = self.pages.get(message.get("sessionId", ""))
        if page is not None and "method" in message:
            page.note(message["method"], message.get("params", {}))
        return message

    def _send(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._out, data) :]
        except BrokenPipeError:
            raise BrowserError(f"Chromium ended: {self._tail()}") from None

    def _tail(self) -> str:
        return (self._folder / "log").read_text(errors="replace")[-2000:]

    def close(self) -> None:
        """End the browser and everything that it started; remove its profile."""
        os.close(self._out)
        os.close(self._in)
        until = time.monotonic() + 5
        while not self._has_ended() and time.monotonic() < until:
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        if not self._has_ended():
            os.waitpid(self._pid, 0)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _has_ended(self) -> bool:
        try:
            return os.waitpid(self._pid, os.WNOHANG)[0] != 0
        except ChildProcessError:
            return True


class Page:
    """One tab, with everything that it asked for, said or tried."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.requests: list[str] = []
        self.console: list[str] = []
        self.dialogs: list[str] = []
        self.loaded = False

    def call(self, method: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a command to this tab."""
        return self._browser.call(method, parameters, self._session)

    def note(self, method: str, found: dict[str, Any]) -> None:
        """Keep what an event tells."""
        if method == "Network.requestWillBeSent":
            self.requests.append(found["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            words = (str(a.get("value", a.get("description"))) for a in found["args"])
            self.console.append(f"{found['type']}: {' '.join(words)}")
        elif method == "Runtime.exceptionThrown":
            self.console.append(f"exception: {found['exceptionDetails'].get('text')}")
        elif method == "Log.entryAdded":
            self.console.append(f"{found['entry']['level']}: {found['entry']['text']}")
        elif method == "Page.javascriptDialogOpening":
            self.dialogs.append(found["message"])
        elif method == "Page.loadEventFired":
            self.loaded = True

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window a size in CSS pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", size)

    def open(self, path: Path) -> Page:
        """Load a file, wait until it and two frames are there."""
        self.loaded = False
        self.call("Page.navigate", {"url": path.as_uri()})
        until = time.monotonic() + PATIENCE
        while not self.loaded:
            self._browser.read(until)
            if self.dialogs:  # one that stays open would hold up the load
                self.call("Page.handleJavaScriptDialog", {"accept": True})
                break
        return self

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression (promises are awaited)."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", asked)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def press(self, key: str, *, shift: bool = False) -> None:
        """Press and release a key, as a person would."""
        codes = {"Tab": 9, "Enter": 13, " ": 32, "ArrowRight": 39, "ArrowDown": 40}
        event = {
            "key": key,
            "code": "Space" if key == " " else key,
            "windowsVirtualKeyCode": codes[key],
            "modifiers": 8 if shift else 0,
        }
        text = {"Enter": "\r", " ": " "}.get(key)
        down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
        self.call("Input.dispatchKeyEvent", event | down)
        self.call("Input.dispatchKeyEvent", event | {"type": "keyUp"})

    def media(self, *, medium: str = "", **features: str) -> None:
        """Pretend a medium ("print") or features (``prefers_color_scheme="dark"``)."""
        listed = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
        self.call("Emulation.setEmulatedMedia", {"media": medium, "features": listed})

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        asked = {"format": "png", "captureBeyondViewport": True}
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", asked)["data"]))

    def close(self) -> None:
        """Close the tab."""
        self._browser.call("Target.closeTarget", {"targetId": self._target})
        self._browser.pages.pop(self._session, None)
