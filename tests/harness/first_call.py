"""The way of a new user: from an empty folder to an answered call. It needs a package index.

python tests/harness/first_call.py    # prints how long each step takes
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from command_line import SECRET_VARIABLES

__all__ = ["FirstCall", "InstallError"]

ROOT = Path(__file__).parents[2]

AGENT = '''\
from twilio_realtime import Agent

agent = Agent(
    instructions="You answer for a pizza shop. Be brief.",
    voice="marin",
    greeting="Greet the caller.",
)


@agent.function
async def opening_hours(day: str) -> str:
    """When the shop is open on a day of the week."""
    return "closed" if day == "Sunday" else "9 to 5"
'''


class InstallError(Exception):
    """The package, or what it needs, could not be installed."""


class FirstCall:
    """The steps, in `folder`, which is empty."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in (*SECRET_VARIABLES, "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PORT")
        }

    def build(self) -> None:
        """Build the wheel, which a user downloads."""
        build = ("-m", "build", "--wheel", "--no-isolation", "--outdir", str(self.folder / "dist"))
        subprocess.run([sys.executable, *build], cwd=ROOT, check=True, capture_output=True)  # noqa: S603

    def install(self) -> None:
        """Make an environment, and install the wheel with the command line."""
        venv = self.folder / ".venv"
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)  # noqa: S603
        (wheel,) = (self.folder / "dist").iterdir()
        install = [str(venv / "bin/python"), "-m", "pip", "install", "-q", f"{wheel}[server]"]
        done = subprocess.run(  # noqa: S603
            install, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise InstallError(done.stderr)

    def write_agent(self) -> None:
        """Write the agent of the tutorial."""
        (self.folder / "agent.py").write_text(AGENT)

    def call(self) -> str:
        """Run model, service and phone; return what the phone prints."""
        model, model_url = self._start("model", "--port", "0", "--say", "caller_interruption")
        serve, url = self._start("serve", "--port", "0", "--realtime-url", model_url)
        try:
            phone = subprocess.run(  # noqa: S603
                self._command("phone", f"{url}/incoming-call", "--wait"),
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            for process in (serve, model):
                process.terminate()
                process.communicate()
        assert phone.returncode == 0, phone.stdout + phone.stderr
        return phone.stdout

    def _command(self, *arguments: str) -> list[str]:
        return [str(self.folder / ".venv/bin/twilio-realtime"), *arguments]

    def _start(self, *arguments: str) -> "tuple[subprocess.Popen[str], str]":
        """Start a server; return it, and its URL."""
        process = subprocess.Popen(  # noqa: S603
            self._command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        for line in process.stdout:
            _, found, url = line.partition("listening on ")
            if found:
                return process, url.split(": ")[0].strip()
        raise AssertionError(f"{arguments} ended before it listened")


def main() -> None:
    """Take each step, and print how long it takes."""
    with tempfile.TemporaryDirectory() as folder:
        first = FirstCall(Path(folder))
        first.build()
        total = 0.0
        steps: tuple[Callable[[], object], ...] = (first.install, first.write_agent, first.call)
        for step in steps:
            start = time.monotonic()
            step()
            seconds = time.monotonic() - start
            total += seconds
            sys.stdout.write(f"{step.__name__:12} {seconds:6.1f} s\n")
        sys.stdout.write(f"{'in all':12} {total:6.1f} s\n")


if __name__ == "__main__":
    main()
