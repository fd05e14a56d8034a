"""Take the picture of the browser phone, for its page in the documentation.

PYTHONPATH=tests/browser:tests/harness python tests/browser/take_picture.py
"""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from chromium import find_chromium
from phone_service import serving, wait_for_text
from playwright.sync_api import sync_playwright

PICTURE: Final = Path(__file__).parents[2] / "docs/how-to/browser-phone.png"
SAID: Final = ("--say", "agent_greeting", "--say", "agent_answer")


def main() -> None:
    """Call, ask the sample question, interrupt the answer, and take the picture."""
    with (
        TemporaryDirectory() as folder,
        serving(Path(folder), model=SAID) as service,
        sync_playwright() as api,
    ):
        browser = api.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 720})
        service.open(page)
        page.select_option("#voice", "sample")
        page.click("#call")
        wait_for_text(page, "#heard", "2.[0-9] s")
        service.wait_for_events("playback.finished")
        page.click("#say")
        wait_for_text(page, "#heard", "7.[0-9] s")
        page.click("#say")
        wait_for_text(page, "#log", "clear at sample")
        service.wait_for_events("caller_speech.stopped", 2)
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main()
