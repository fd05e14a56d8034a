"""Installs Debian's Chromium, for the tests in a browser, where it is missing and can be installed.

    python tests/browser/chromium.py

Where it cannot, the tests in a browser are skipped, and this prints why.
"""

import os
import shutil
import subprocess
from typing import Final

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
"""Programs that Playwright can drive, by preference."""


def find_chromium() -> str | None:
    """Return the path of the browser, or None."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install_chromium() -> str:
    """Install Debian's package unless there is a browser; return a line that says what there is."""
    path = find_chromium()
    if path is not None:
        return path
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return "missing: install Debian's package chromium, or Google Chrome"
    for command in (["update"], ["install", "--yes", "--no-install-recommends", NAMES[0]]):
        done = subprocess.run(["apt-get", *command], check=False, capture_output=True)
        if done.returncode != 0:
            return f"missing: apt-get {command[0]} failed with exit status {done.returncode}"
    return find_chromium() or "missing: the package holds no program of a known name"


if __name__ == "__main__":
    print(f"chromium  {install_chromium()}")
