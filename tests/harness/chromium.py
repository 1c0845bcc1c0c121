"""A headless Chromium, driven through its DevTools protocol over a pair of pipes.

Source: Chrome DevTools Protocol (chromedevtools.github.io/devtools-protocol), `--remote-debugging-pipe`
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from eventually import TIMEOUT, eventually
from programs import require_program

PROGRAM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FLAGS: Final = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",  # not possible for root, nor in most containers
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--window-size=1280,2000",
)

# Without its code a key does nothing by itself, such as closing a dialog.
_KEY_CODES: Final = {"Escape": 27, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}

_NAVIGATED: Final = (
    "Inspected target navigated or closed",
    "Execution context was destroyed",
    "Cannot find default execution context",
)

# Chromium reads commands from 3 and writes events to 4, which may be those of the other pipe.
_START: Final = """
import fcntl, os, sys
commands, events = (fcntl.fcntl(int(each), fcntl.F_DUPFD, 10) for each in sys.argv[1:3])
os.dup2(commands, 3)
os.dup2(events, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


def require_chromium() -> str:
    """Return the path of the program; the test is skipped, or fails with IDLC_TEST_EVERYTHING, if there is none."""
    return require_program(PROGRAM or "chromium", "chromium")


class Page:
    """An open page.

    Attributes:
        problems: errors in the console, uncaught exceptions, violations of policies.
        urls: URLs of all requests.
    """

    def __init__(self, browser: _Browser, session: str) -> None:
        self.problems: list[str] = []
        self.urls: list[str] = []
        self._browser = browser
        self._session = session

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression; promises are awaited."""
        parameters = {"expression": script, "awaitPromise": True, "returnByValue": True}
        found = self._browser.call("Runtime.evaluate", parameters, self._session)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Wait until a page is complete and an expression is true there. The page may change meanwhile."""

        def is_true() -> bool:
            try:
                return bool(self.evaluate(f"document.readyState === 'complete' && ({script})"))
            except _NavigatedError:
                return False

        eventually(is_true, script)

    def screenshot(self, path: Path) -> None:
        """Write a picture of the page."""
        found = self._browser.call("Page.captureScreenshot", {"format": "png"}, self._session)
        path.write_bytes(base64.b64decode(found["data"]))

    def press(self, key: str) -> None:
        """Press and release a key: `/`, `ArrowLeft`."""
        event = {"key": key, "windowsVirtualKeyCode": _KEY_CODES.get(key, 0)}
        text = {"text": key} if len(key) == 1 else {}
        self._browser.call("Input.dispatchKeyEvent", {"type": "keyDown", **event, **text}, self._session)
        self._browser.call("Input.dispatchKeyEvent", {"type": "keyUp", **event}, self._session)

    def write(self, text: str) -> None:
        """Insert text where the focus is."""
        self._browser.call("Input.insertText", {"text": text}, self._session)

    def resize(self, width: int, height: int) -> None:
        """Give the page another size, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._browser.call("Emulation.setDeviceMetricsOverride", size, self._session)

    def empty_cache(self) -> None:
        """Forget all files that were loaded before."""
        self._browser.call("Network.clearBrowserCache", {}, self._session)

    def prefer(self, scheme: str) -> None:
        """Let the page believe that the user prefers `light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._browser.call("Emulation.setEmulatedMedia", {"features": features}, self._session)

    def heard(self, method: str, parameters: dict[str, Any]) -> None:
        """Note an event."""
        if method == "Network.requestWillBeSent":
            self.urls.append(parameters["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "assert"):
            self.problems.append(json.dumps(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            self.problems.append(json.dumps(parameters["entry"]))


class _NavigatedError(AssertionError):
    """The page changed to another one during a command."""


class _Browser:
    def __init__(self, commands: int, events: int) -> None:
        self._commands = commands
        self._events = events
        self._answers: dict[int, dict[str, Any]] = {}
        self._pages: dict[str, Page] = {}
        self._changed = threading.Condition()
        self._count = 0
        self._is_closed = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(self, method: str, parameters: dict[str, Any], session: str = "") -> dict[str, Any]:
        """Return the result of a command."""
        with self._changed:
            self._count += 1
            number = self._count
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        left = memoryview(json.dumps(message).encode() + b"\0")
        while left:
            left = left[os.write(self._commands, left) :]
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._answers or self._is_closed, TIMEOUT), method
            assert number in self._answers, f"chromium ended within {method}"
            answer = self._answers.pop(number)
        if "error" in answer and any(each in answer["error"]["message"] for each in _NAVIGATED):
            raise _NavigatedError(method, answer)
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, url: str) -> Page:
        """Open a page, without waiting for it."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", {}, session)
        self.call("Page.navigate", {"url": url}, session)
        return page

    def join(self) -> None:
        """Wait until the browser has closed its end."""
        self._reader.join(TIMEOUT)

    def _read(self) -> None:
        data = b""
        while chunk := os.read(self._events, 1 << 16):
            *messages, data = (data + chunk).split(b"\0")
            for each in messages:
                self._heard(json.loads(each))
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def _heard(self, message: dict[str, Any]) -> None:
        if "id" in message:
            with self._changed:
                self._answers[message["id"]] = message
                self._changed.notify_all()
        elif (page := self._pages.get(message.get("sessionId", ""))) is not None:
            page.heard(message["method"], message["params"])


@contextlib.contextmanager
def opened(url: str, profile: Path) -> Iterator[Page]:
    """A page in a new browser.

    Args:
        profile: an empty folder.
    """
    program = require_chromium()
    their_commands, commands = os.pipe()
    events, their_events = os.pipe()
    command = [sys.executable, "-c", _START, str(their_commands), str(their_events), program, *_FLAGS]
    command += [f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, pass_fds=(their_commands, their_events), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(their_commands)
    os.close(their_events)
    browser = _Browser(commands, events)
    try:
        yield browser.open(url)
    finally:
        with contextlib.suppress(AssertionError, OSError):
            browser.call("Browser.close", {})
        os.close(commands)
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(TIMEOUT)
        browser.join()
        os.close(events)
