"""Runs the `twilio-realtime` command as its users do: as a process of its own."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

RUNTIMES = ("trio", "asyncio")
SECRET_VARIABLES = ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_REALTIME_URL")
LINE_TIMEOUT_S = 10
"""How long an expected line may take on a busy machine; as a rule it is there at once."""


class RunningCommand:
    """The command with `arguments`, running. Left with `with`, it is killed if it still runs."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES
        }
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "twilio_realtime.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**inherited, "PYTHONUTF8": "1", **(environment or {})},
        )
        self.lines: list[str] = []
        self.errors = ""
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """The next event of that name, of a command that speaks JSON."""
        while True:
            line = self._queue.get(timeout=LINE_TIMEOUT_S)
            assert line is not None, f"{name} never came: {self.lines} {self.errors}"
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event

    def wait_for_line(self, part: str) -> str:
        """The next line that holds `part`."""
        while True:
            line = self._queue.get(timeout=LINE_TIMEOUT_S)
            assert line is not None, f"{part} never came: {self.lines} {self.errors}"
            if part in line:
                return line

    def events(self) -> list[dict[str, Any]]:
        """All that it has said, once it is over."""
        return [json.loads(line) for line in self.lines]

    def wait(self) -> int:
        """Its exit status."""
        status = self.process.wait(LINE_TIMEOUT_S)
        for reader in self._readers:
            reader.join(LINE_TIMEOUT_S)
        return status

    def send_signal(self, number: int = signal.SIGINT) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.wait()

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            self._queue.put(self.lines[-1])
        self._queue.put(None)

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors = self.process.stderr.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def usage_error(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """The one line that a wrong use is answered with; the exit status is 2."""
    with RunningCommand(*arguments, environment=environment) as command:
        assert command.wait() == 2, (command.lines, command.errors)
    assert command.lines == []
    (line,) = command.errors.splitlines()
    start = "twilio-realtime: "
    assert line.startswith(start)
    return line.removeprefix(start)
