"""The page of a call as text: its policy, its size, and that nothing in a call can change it."""

import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shown_calls import ShownCall, interrupted_call, long_call, page_of, view_of
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.show import page as page_module
from twilio_realtime.recordings.show.page import SCRIPTS, render_page

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.S)


class Elements(HTMLParser):
    """The elements of a page, with the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[tuple[str, dict[str, str | None], str]] = []
        self._open: tuple[str, dict[str, str | None]] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._open = (tag, dict(attrs)) if tag in ("script", "style") else None
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"]

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.texts.append((*self._open, data))
            self._open = None


@pytest.fixture(scope="module")
def call() -> ShownCall:
    return interrupted_call()


def test_the_policy_allows_the_scripts_and_the_style_of_the_page_alone(call: ShownCall) -> None:
    page = page_of(call.lines)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    run = [text for tag, given, text in Elements(page).texts if tag == "style" or not given]
    hashes = [f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in run]
    assert len(hashes) == len(SCRIPTS) + 1
    assert set(re.findall(r"'sha256-[^']+'", policy[1])) == set(hashes)


def test_the_page_names_nothing_of_the_network(call: ShownCall) -> None:
    page = DATA.sub("", page_of(call.lines))
    assert re.findall(r"(?:src|href|action)=\"(?!#|data:)[^\"]*\"", page) == []
    assert set(re.findall(r"https?://[\w.]+", page)) <= {"http://www.w3.org"}  # a name, for SVG


def test_both_voices_are_in_the_page_as_they_are_heard(call: ShownCall) -> None:
    view = view_of(call.lines)
    texts = {given.get("id"): text for _, given, text in Elements(page_of(call.lines)).texts}
    for name, track in (("caller", view.caller_track()), ("agent", view.agent_track())):
        kind, _, encoded = (texts[f"{name}-audio"]).partition(",")
        assert kind == "data:audio/basic;base64"
        assert b64decode(encoded) == track


def test_no_audio_is_left_without_it(call: ShownCall) -> None:
    page = page_of(call.lines, with_audio=False)
    assert "base64," not in DATA.sub("", page)
    assert not re.search(r"[A-Za-z0-9+/]{2000,}", DATA.sub("", page))


def test_the_data_has_each_lane(call: ShownCall) -> None:
    found = DATA.search(page_of(call.lines))
    assert found is not None
    data = json.loads(found[1])
    view = view_of(call.lines)
    assert len(data["heard"]) == len(view.playback.heard) == 2
    assert len(data["cut"]) == 1
    assert len(data["turns"]) == 2
    assert data["duration"] == round(view.duration_ns / 1e6, 2)
    assert len(data["callerLevels"]) == -(-len(view.caller_track()) // 160)
    assert {kind for _, kind, _, _ in data["events"]} >= {"clear", "truncate", "interruption"}
    assert [each[0] for each in data["messages"]] == sorted(each[0] for each in data["messages"])


def test_the_queue_drains_between_the_depths_that_are_kept(call: ShownCall) -> None:
    found = DATA.search(page_of(call.lines))
    assert found is not None
    kept = json.loads(found[1])["queued"]
    playback = view_of(call.lines).playback
    last_at = dict(playback.queued)  # of several at one time the last one counts
    for at_ns, samples in list(last_at.items())[::7]:
        at_ms, depth_ms = [each for each in kept if each[0] <= round(at_ns / 1e6, 2)][-1]
        assert abs(max(0, depth_ms - (at_ns / 1e6 - at_ms)) - samples / 8) <= 4


def test_an_hour_without_audio_stays_below_15_mb() -> None:
    """By half a minute of talk without a pause, since the size grows with the length."""
    lines = long_call(2, keep_audio=False).lines
    empty = len(page_of(lines[:2], with_audio=False))
    per_s = (len(page_of(lines, with_audio=False)) - empty) / (view_of(lines).duration_ns / 1e9)
    assert empty + 3600 * per_s < 15_000_000


@settings(max_examples=20)
@given(words=st.text(max_size=60))
def test_no_words_change_the_elements_of_the_page(words: str) -> None:
    expected = Elements(page_of(interrupted_call(keep_audio=False).lines)).tags
    page = page_of_a_call_with(f"<del>{words}</script></p>&amp;<!--")
    page.encode()
    assert [each for each in Elements(page).tags if each not in ("del", "span")] == [
        each for each in expected if each not in ("del", "span")
    ]
    found = DATA.search(page)
    assert found is not None
    assert "<" not in found[1]


def test_a_page_shows_words_that_are_no_unicode() -> None:
    page_of_a_call_with("\ud800").encode()  # the bridge cannot read such a message either


def page_of_a_call_with(words: str) -> str:
    """The page of a call in which the agent has said `words`."""
    lines = [*interrupted_call(keep_audio=False).lines]
    index = next(
        number
        for number, line in enumerate(lines)
        if b"output_audio_transcript.done" in line and b"receive_text" in line
    )
    step = decode_line(lines[index].decode())
    message = json.loads(step["arguments"][1])
    message["transcript"] = words
    step["arguments"][1] = json.dumps(message)
    lines[index] = encode_line(step).encode()
    return page_of(lines)


def test_a_title_is_text(call: ShownCall) -> None:
    page = render_page(view_of(call.lines), [], title="<b>{{data}}</b>", with_audio=False)
    assert "<title>&lt;b&gt;{{data}}&lt;/b&gt;</title>" in page


def test_the_scripts_have_no_longer_module_than_others() -> None:
    assets = Path(page_module.__file__).parent / "assets"
    for name in SCRIPTS:
        assert (assets / name).read_text("utf-8").count("\n") <= 420
