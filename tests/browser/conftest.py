"""A headless Chromium for the tests in a browser."""

from collections.abc import Iterator

import pytest
from chromium import find_chromium
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

# The microphone is Chromium's test tone, allowed without a question. As root, a sandbox of its own
# is not to be had.
ARGUMENTS = [
    "--no-sandbox",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser. Each test opens a context of its own in it."""
    path = find_chromium()
    if path is None:
        pytest.skip("Chromium is not installed")
    with sync_playwright() as api:
        chromium = api.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def problems() -> list[str]:
    """What went wrong in the page: errors of scripts, and what the browser refused, as by its
    Content-Security-Policy. A test that provokes them clears the list."""
    return []


@pytest.fixture
def page(browser: Browser, problems: list[str]) -> Iterator[Page]:
    """An empty page in a context of its own. The test fails if there are `problems` at its end."""
    context = browser.new_context()
    opened = context.new_page()
    opened.on("pageerror", lambda error: problems.append(str(error)))

    def on_console(message: ConsoleMessage) -> None:
        if message.type == "error":
            problems.append(message.text)

    opened.on("console", on_console)
    yield opened
    context.close()
    assert problems == []
