"""`twilio-realtime serve --browser-phone` and `model` in processes of their own, for tests of the
browser phone."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from attrs import define, field
from playwright.sync_api import Page

import twilio_realtime.server.browser_phone as package
from free_ports import free_port
from timeouts import HANG_S

TIMEOUT_MS = 1000 * HANG_S

AGENT = """
from twilio_realtime import Agent

agent = Agent("You help.", greeting="Greet the caller.")
"""


@define(eq=False)
class PhoneService:
    """A service with the browser phone, whose agent is in `agent.py` of its folder."""

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    process: "subprocess.Popen[bytes]" = field(init=False)
    link: str = field(init=False)
    """The link that was printed."""
    pages: list[Page] = field(init=False, factory=list[Page])

    def start(self) -> None:
        """Start it, and wait until it has printed its link."""
        command = [sys.executable, "-m", "twilio_realtime.cli", "serve", "--port", str(self.port)]
        errors = self.folder / "serve.err"
        with (self.folder / "serve.log").open("ab") as log, errors.open("wb") as sink:
            self.process = subprocess.Popen(  # noqa: S603
                [*command, "--browser-phone", "--log-format", "json", *self.options],
                cwd=self.folder,
                stdout=log,
                stderr=sink,
            )
        self.link = self._wait_for(errors, r"http://\S+#[\w-]{32}")

    def stop(self) -> None:
        """End it, if it still runs."""
        self.process.terminate()
        try:
            self.process.wait(HANG_S)
        finally:
            self.process.kill()

    def log_events(self, name: str) -> list[dict[str, Any]]:
        """Return the events of a name in the log."""
        lines = (self.folder / "serve.log").read_text("utf-8").splitlines()
        return [each for each in map(json.loads, lines) if each["event"] == name]

    def wait_for_events(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many events of a name are in the log, and return them."""
        wait_until(lambda: len(self.log_events(name)) >= count)
        return self.log_events(name)

    def open(self, page: Page) -> None:
        """Open the link in a page, and wait until it is connected."""
        self.pages.append(page)
        page.goto(self.link)
        page.wait_for_selector("#server.on", timeout=TIMEOUT_MS)

    def _wait_for(self, file: Path, pattern: str) -> str:
        def find() -> "re.Match[str] | None":
            assert self.process.poll() is None, file.read_text("utf-8")
            return re.search(pattern, file.read_text("utf-8"))

        wait_until(lambda: find() is not None)
        found = find()
        assert found
        return found[0]


@contextmanager
def serving(
    folder: Path, *options: str, agent: str = AGENT, model: tuple[str, ...] = ()
) -> Generator[PhoneService]:
    """Run a model with the options `model`, and the service, whose Realtime server it is."""
    (folder / "agent.py").write_text(agent, "utf-8")
    model_port = free_port()
    command = [sys.executable, "-m", "twilio_realtime.cli", "model", "--port", str(model_port)]
    with (folder / "model.log").open("wb") as log:
        simulated = subprocess.Popen([*command, *model], stdout=log, stderr=log)  # noqa: S603
    url = f"ws://127.0.0.1:{model_port}/v1/realtime"
    service = PhoneService(folder, free_port(), ("--realtime-url", url, *options))
    try:
        service.start()
        yield service
        for page in service.pages:
            if not page.is_closed():
                page.goto("about:blank")  # or it would look for the service that ends
    finally:
        service.stop()
        simulated.kill()
        simulated.wait()


class _Handler(SimpleHTTPRequestHandler):
    """Serves the files of the page, as they are."""

    def __init__(self, *arguments: Any) -> None:
        folder = Path(str(package.__file__)).parent / "page"
        super().__init__(*arguments, directory=str(folder))

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        del format, arguments


@contextmanager
def page_server() -> Generator[int]:
    """Serve the files of the page at a port of their own, without any service."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    give_up_s = time.monotonic() + HANG_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


def wait_for_text(page: Page, selector: str, pattern: str) -> None:
    """Wait until the text of an element matches."""
    wait_until(lambda: re.search(pattern, page.inner_text(selector)) is not None)
