"""A real headless Chromium for the tests, spoken to by the DevTools protocol over a pipe: no driver, no package.

    with Browser() as browser:
        page = browser.open(Path("report.html").as_uri())
        page.run("document.title"); page.press("Tab"); page.said      # what the console and the policies said

`CHROMIUM` is None where there is none: tests are then left out, loudly.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
MISSING = "no Chromium: the page is not tested in a browser. Run `apt-get install chromium`, or set CHROMIUM to one"
PATIENCE = 20.0
"""Seconds that anything may take."""
KEYS = {
    "Tab": (9, None),
    "Enter": (13, "\r"),
    " ": (32, " "),
    "ArrowLeft": (37, None),
    "ArrowRight": (39, None),
    "ArrowDown": (40, None),
    ",": (188, ","),
    ".": (190, "."),
}
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-component-update"),
    *(
        "--disable-sync",
        "--metrics-recording-only",
        "--remote-debugging-pipe",
        "--autoplay-policy=user-gesture-required",
    ),
)


class Browser:
    """One Chromium with a profile of its own."""

    def __enter__(self) -> Browser:
        assert CHROMIUM, MISSING
        self._home = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        (reads, self._out), (self._in, writes) = os.pipe(), os.pipe()
        # The pipe is file descriptors 3 and 4 of the browser, whatever they are here.
        shell = f'exec "$@" 3<&{reads} 4>&{writes}'
        flags = [*_FLAGS, f"--user-data-dir={self._home.name}", "about:blank"]
        environment = os.environ | {"HOME": self._home.name, "XDG_CONFIG_HOME": self._home.name}
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", CHROMIUM, *flags],
            pass_fds=(reads, writes),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        os.close(reads)
        os.close(writes)
        self._number, self._rest, self.events = 0, b"", []
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, AssertionError):
            self.call("Browser.close")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._home.cleanup()

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its answer; events that come meanwhile are kept."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters} | ({"sessionId": session} if session else {})
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + PATIENCE
        while (found := self._next(end, method)).get("id") != number:
            self.events.append(found)
        assert "error" not in found, f"{method}: {found['error']}"
        return found["result"]

    def _next(self, end: float, waited_for: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"Chromium did not answer {waited_for} within {PATIENCE:.0f} s"
            data = os.read(self._in, 1 << 20)
            assert data, f"Chromium ended before it answered {waited_for}"
            self._rest += data
        first, _, self._rest = self._rest.partition(b"\0")
        return json.loads(first)

    def open(self, url: str, width: int = 1100, height: int = 900, dark: bool = False, script: bool = True) -> Page:
        """A page of its own, loaded."""
        target = self.call("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, target, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        page.media(dark=dark)
        page.call("Emulation.setScriptExecutionDisabled", value=not script)
        page.call("Page.bringToFront")
        page.call("Page.navigate", url=url)
        page.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return page


class Page:
    """A page of the browser."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self.browser, self.target, self.session = browser, target, session

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command to this page."""
        return self.browser.call(method, self.session, **parameters)

    def run(self, script: str) -> Any:
        """The value of an expression, a promise's once it is kept; an exception there is one here."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + PATIENCE
        while not (found := self.run(script)):
            assert time.monotonic() < end, f"never: {script}; {self.said}"
            time.sleep(0.02)
        return found

    @property
    def said(self) -> list[str]:
        """What the console, the log (violated policies too), exceptions and dialogues said."""
        found = []
        for method, event in self._events():
            if method == "Runtime.exceptionThrown":
                found.append(event["exceptionDetails"].get("exception", {}).get("description", "exception"))
            elif method == "Runtime.consoleAPICalled":
                found.append(f"{event['type']}: {[each.get('value') for each in event['args']]}")
            elif method == "Log.entryAdded":
                found.append(event["entry"]["text"])
            elif method == "Page.javascriptDialogOpening":
                found.append(f"dialogue: {event['message']}")
        return found

    @property
    def requests(self) -> list[str]:
        """Addresses that were asked for, the page's own first."""
        return [e["request"]["url"] for method, e in self._events() if method == "Network.requestWillBeSent"]

    def _events(self) -> list[tuple[str, dict[str, Any]]]:
        self.call("Runtime.evaluate", expression="0")  # whatever was on its way is here by now
        mine = [event for event in self.browser.events if event.get("sessionId") == self.session]
        return [(event["method"], event["params"]) for event in mine]

    def resize(self, width: int, height: int) -> None:
        """Another size of the window, in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def media(self, dark: bool = False, kind: str = "") -> None:
        """In the dark, or as printed."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=kind, features=[scheme])

    def press(self, key: str, shift: bool = False) -> None:
        """A key, down and up."""
        code, text = KEYS.get(key, (ord(key.upper()[0]), key))
        how = {"key": key, "windowsVirtualKeyCode": code, "modifiers": 8 * shift}
        self.call("Input.dispatchKeyEvent", type="keyDown", **how, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **how)

    def shot(self, path: Path, whole: bool = False) -> Path:
        """A picture of what is seen, or of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
        return path

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def downloads(self, folder: Path) -> None:
        """Where files go that the page gives."""
        where = str(folder)
        self.browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=where)

    def close(self) -> None:
        """No more of it."""
        self.browser.call("Target.closeTarget", targetId=self.target)
