"""Makes the pictures of the how-to page "See a call": run this script, which needs Chromium.

The demo is made over sockets, and takes a quarter of a minute; the other calls are simulated.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Literal

from attrs import frozen

sys.path.insert(0, str(Path(__file__).parents[2] / "tests/browser"))
sys.path.insert(0, str(Path(__file__).parents[2] / "tests/harness"))

from chromium import find_chromium
from playwright.sync_api import Browser, sync_playwright

from shown_calls import failed_call, interrupted_call, resumed_call
from twilio_realtime.recordings.show.page import render_recording

ROOT: Final = Path(__file__).parents[2]
PICTURES: Final = ROOT / "docs/how-to"
MAX_BYTES: Final = 150_000


@frozen
class Picture:
    """A picture of a page: its file, the page, the moment that is chosen as a kind of event and
    how often it has happened before, and how the page is seen."""

    name: str
    page: str
    event: str
    before: int = 0
    width: int = 1280
    height: int = 760
    scheme: Literal["light", "dark"] = "light"


def main() -> int:
    """Write the pictures; return the exit status."""
    path = find_chromium()
    if path is None:
        print("Chromium is not installed")
        return 1
    demo = demo_page()
    interrupted, failed, resumed = (
        render_recording(call.lines, title=f"A call that was {what}")
        for call, what in (
            (interrupted_call(), "interrupted"),
            (failed_call(), "lost"),
            (resumed_call(), "resumed"),
        )
    )
    pictures = [
        Picture("demo-call", demo, "clear"),
        Picture("demo-call-phone", demo, "clear", width=390, height=780, scheme="dark"),
        Picture("interrupted-call", interrupted, "clear", height=860),
        Picture("failed-call", failed, "fault", 1),
        Picture("resumed-call", resumed, "session", 2),
    ]
    with sync_playwright() as api, TemporaryDirectory() as folder:
        browser = api.chromium.launch(executable_path=path, args=["--no-sandbox"])
        sizes = [take(browser, picture, Path(folder)) for picture in pictures]
        browser.close()
    return 0 if all(size < MAX_BYTES for size in sizes) else 1


def demo_page() -> str:
    """The page that the demo writes."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "twilio_realtime.cli", "demo", "--output", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return (Path(folder) / "call.html").read_text("utf-8")


def take(browser: Browser, picture: Picture, folder: Path) -> int:
    """Take a picture, and write it; return its size."""
    file = folder / f"{picture.name}.html"
    file.write_text(picture.page, "utf-8")
    viewport = {"width": picture.width, "height": picture.height}
    context = browser.new_context(viewport=viewport, color_scheme=picture.scheme)  # type: ignore[arg-type] # a TypedDict
    page = context.new_page()
    page.goto(file.as_uri())
    page.wait_for_selector("#lanes [data-lane=Session]", state="attached")
    page.evaluate(
        """([kind, before]) => {
          const times = call.events.filter((each) => each[1] === kind).map(([at]) => at);
          seek(times[Math.min(before, times.length - 1)]);
        }""",
        [picture.event, picture.before],
    )
    target = PICTURES / f"{picture.name}.png"
    page.screenshot(path=target)
    context.close()
    size = target.stat().st_size
    print(f"wrote {target.relative_to(ROOT)}, {size:,} bytes")
    return size


if __name__ == "__main__":
    sys.exit(main())
