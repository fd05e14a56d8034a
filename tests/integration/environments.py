"""Makes the environments that the integration tests need, beside the one that runs this.

    python tests/integration/environments.py

Each is a folder `.venv-NAME`, which is kept until what it holds changes. What cannot be installed
is left out, with a line that says so, and the tests that need it are skipped.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

ENVIRONMENTS: Final = {
    # The servers, with a newer `websockets` than the Agents SDK allows.
    "hosts": (
        "-e .[aiohttp,asgi,trio,uvicorn,websockets]",
        "fastapi",
        "granian",
        "hypercorn",
        "uvloop",
        "websockets>=17",
    ),
}
"""By environment, what is installed in it, in this order."""


def make_environment(name: str, requirements: tuple[str, ...]) -> None:
    """Make an environment, unless it is there, and print what it holds."""
    folder = ROOT / f".venv-{name}"
    done, wanted = folder / ".installed", "\n".join(requirements)
    python = folder / "bin/python"
    if not done.exists() or done.read_text() != wanted:
        run([sys.executable, "-m", "venv", "--clear", str(folder)])
        for requirement in requirements:
            pip = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
            if run([*pip, *requirement.split()]):
                print(f"{name:<10}left out: {requirement} could not be installed")
        done.write_text(wanted)
    print(f"{name:<10}{folder.name}: {', '.join(requirements)}")


def run(command: list[str]) -> int:
    """Run a command in the root of the project; return its exit status."""
    return subprocess.run(
        command, cwd=ROOT, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ).returncode


if __name__ == "__main__":
    for each, needed in ENVIRONMENTS.items():
        make_environment(each, needed)
