"""Run the `twilio-realtime` command as its users do: in another process."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from timeouts import HANG_S
from twilio_realtime.sim import sample_speech
from twilio_realtime.sim.audio import encode_wav

RUNTIMES = ("trio", "asyncio")
SECRET_VARIABLES = ("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "OPENAI_REALTIME_URL")


class RunningCommand:
    """The running command with `arguments`, in `folder`; a context manager that kills it at the
    end."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        inherited = {
            name: value for name, value in os.environ.items() if name not in SECRET_VARIABLES
        }
        self.process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "twilio_realtime.cli", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            cwd=folder,
            text=True,
            encoding="utf-8",
            env={**inherited, "PYTHONUTF8": "1", **(environment or {})},
            start_new_session=True,  # so that what it has started can be killed with it
        )
        self.lines: list[str] = []
        self.errors = ""
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._error_queue: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read_lines, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """Return the next event of that name from a command with --json."""
        while True:
            line = self._queue.get(timeout=HANG_S)
            assert line is not None, f"no event {name}: {self.lines} {self.errors}"
            event: dict[str, Any] = json.loads(line)
            if event["event"] == name:
                return event

    def wait_for_line(self, part: str) -> str:
        """Return the next line that contains `part`."""
        while True:
            line = self._queue.get(timeout=HANG_S)
            assert line is not None, f"no line with {part}: {self.lines} {self.errors}"
            if part in line:
                return line

    def wait_for_error(self, part: str) -> str:
        """Return the next line on stderr that contains `part`."""
        while True:
            line = self._error_queue.get(timeout=HANG_S)
            assert line is not None, f"no line with {part} on stderr: {self.errors}"
            if part in line:
                return line

    def events(self) -> list[dict[str, Any]]:
        """Return all events of a command with --json that has ended."""
        return [json.loads(line) for line in self.lines]

    def wait(self) -> int:
        """Wait for the end; return the exit status."""
        status = self.process.wait(HANG_S)
        for reader in self._readers:
            reader.join(HANG_S)
        return status

    def send_signal(self, number: int = signal.SIGINT) -> int:
        """Send a signal and wait for the end; return the exit status."""
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
        for line in self.process.stderr:
            self.errors += line
            self._error_queue.put(line.rstrip("\n"))
        self._error_queue.put(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


def write_question(folder: Path) -> str:
    """Write a short question of the caller to a file, for `phone --wav`; return its path."""
    path = folder / "question.wav"
    path.write_bytes(encode_wav(sample_speech.load("caller_question").audio[:2400]))
    return str(path)


def usage_error(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the line that a usage error prints, without the name of the command."""
    with RunningCommand(*arguments, environment=environment) as command:
        assert command.wait() == 2, (command.lines, command.errors)
    assert command.lines == []
    (line,) = command.errors.splitlines()
    start = "twilio-realtime: "
    assert line.startswith(start)
    return line.removeprefix(start)
