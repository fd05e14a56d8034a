"""The files of the page and their headers."""

import re

import pytest

from twilio_realtime.server.browser_phone.page_files import load_page_files, page_response
from twilio_realtime_core.transport.http import HttpResponse

FILES = load_page_files()


def text_of(name: str) -> str:
    return FILES[name].body.decode()


def test_every_file_that_another_names_is_there() -> None:
    scripts = [name for name in FILES if name.endswith(".js")]
    named = set(re.findall(r'(?:src|href)="([^"]+)"', text_of("")))
    named |= {each for name in scripts for each in re.findall(r'from "\./([^"]+)"', text_of(name))}
    named |= {
        each
        for name in scripts
        for each in re.findall(r'(?:addModule|fetch)\("([^"]+)"\)', text_of(name))
    }
    assert {"phone.js", "worklet.js", "style.css", "caller_question.ulaw"} <= named
    assert named <= FILES.keys()
    assert FILES.keys() - named == {""}


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_server(name: str) -> None:
    if name.endswith(".ulaw"):
        return
    # The name of SVG's language is no address that is requested, and comments name sources.
    urls = re.findall(r"https?://[^\s\"')]+", text_of(name))
    assert [
        url
        for url in urls
        if not url.startswith(("https://www.twilio.com/docs/", "http://www.w3.org/2000/svg"))
    ] == []


def test_the_page_has_no_inline_script_or_style() -> None:
    page = text_of("")
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert "<style" not in page
    assert re.findall(r"\s(?:style|on\w+)=", page) == []


def test_the_headers_keep_the_page_to_itself() -> None:
    headers = dict(page_response(FILES[""], "http", "127.0.0.1:5050").headers)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self' ws://127.0.0.1:5050;" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"


def test_a_response_keeps_its_status_body_and_type() -> None:
    response = page_response(HttpResponse(403, b"no\n", content_type="text/x"), "https", "[::1]:1")
    assert (response.status, response.body, response.content_type) == (403, b"no\n", "text/x")
    assert "wss://[::1]:1" in dict(response.headers)["Content-Security-Policy"]
