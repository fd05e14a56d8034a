"""The WebSocket of a page that shows calls in progress."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.server.browser_phone.live_calls import LiveCalls
from twilio_realtime.server.browser_phone.live_feed import LiveFeed
from twilio_realtime_core.machine.actions import Action, Close, Refusal, Send
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallerSpeechStarted, CallStarted

PAGE = "page"
SPOKE = CallerSpeechStarted("i", 0.0)


class Page:
    """A page and its feed, at a time of the test's choice."""

    def __init__(self) -> None:
        self.calls = LiveCalls(with_words=False, is_of_page=lambda call_sid: False)
        self.stopped: list[str] = []
        self.feed = LiveFeed(self.calls, lambda each: each == "session", self.stopped.append)
        self.now = 0
        self.feed.start(0)
        self.feed.opened(PAGE, 0)
        self.observer = self.calls.observe_call()

    def say(self, **message: Any) -> list[Action]:
        return self.feed.receive_text(PAGE, json.dumps(message), self.now)

    def wait(self, ms: int) -> list[Action]:
        """Let time pass; return what the feed does at its deadlines."""
        end, actions = self.now + ms * MS, list[Action]()
        while self.feed.deadline is not None and self.feed.deadline <= end:
            self.now = max(self.now, self.feed.deadline)
            actions += self.feed.handle_timeout(self.now)
            assert self.feed.deadline is None or self.feed.deadline > self.now
        self.now = end
        return actions

    def notify(self, event: object) -> None:
        self.observer.on_notification(event, self.now)


def bodies(actions: list[Action]) -> list[dict[str, Any]]:
    return [json.loads(each.message.encode()) for each in actions if isinstance(each, Send)]


def closes(actions: list[Action]) -> list[Close]:
    return [each for each in actions if isinstance(each, Close)]


def greeted() -> Page:
    """A page whose feed is open, with a call."""
    page = Page()
    page.say(session="session")
    page.say(ack=1)
    page.notify(CallStarted("MZ", "CA1", None, {}))
    return page


def test_a_page_that_names_its_session_gets_a_snapshot_first() -> None:
    page = Page()
    (body,) = bodies(page.say(session="session"))
    assert body == {"batch": 1, "now_ms": 0.0, "calls": [], "events": [], "dropped": 0}


@pytest.mark.parametrize(
    "text",
    [
        '{"session": "other"}',
        "{}",
        "[]",
        "no JSON",
        '{"session": 7}',
        '{"ack": "x"}',
        '{"a":' * 10_000,
    ],
)
def test_another_session_or_message_is_refused(text: str) -> None:
    page = Page()
    page.notify(CallStarted("MZ", "CA1", None, {}))
    actions = page.feed.receive_text(PAGE, text, 0)
    assert [each.code for each in closes(actions)] == [1008]
    assert bodies(actions) == []
    assert page.feed.deadline is None
    assert page.say(session="session") == []


def test_a_page_that_names_no_session_is_closed() -> None:
    page = Page()
    assert page.wait(9_999) == []
    assert [each.code for each in closes(page.wait(1))] == [1008]


def test_events_come_in_batches_once_the_last_was_acknowledged() -> None:
    page = greeted()
    (first,) = bodies(page.wait(100))
    assert [name for _, _, name, _ in first["events"]] == ["call.started"]
    page.notify(SPOKE)
    assert page.wait(5_000) == []
    page.notify(SPOKE)
    page.say(ack=first["batch"])
    (second,) = bodies(page.wait(0))
    assert len(second["events"]) == 2
    assert second["now_ms"] == 5_100.0


def test_batches_are_a_tenth_of_a_second_apart() -> None:
    page = greeted()
    sent: list[dict[str, Any]] = []
    for _ in range(100):
        page.notify(SPOKE)
        for body in bodies(page.wait(10)):
            sent.append(body)
            page.say(ack=body["batch"])
    assert 9 <= len(sent) <= 11


def test_nothing_is_sent_while_nothing_happens() -> None:
    page = greeted()
    page.say(ack=bodies(page.wait(100))[0]["batch"])
    assert page.wait(3_600_000) == []


def test_a_page_that_never_acknowledges_is_given_up() -> None:
    page = greeted()
    assert len(bodies(page.wait(100))) == 1
    for _ in range(5_000):
        page.notify(SPOKE)
    actions = page.wait(11 * 60_000)
    assert [each.code for each in closes(actions)] == [1008]
    assert bodies(actions) == []
    assert page.calls.pages == 0


def test_a_page_that_is_gone_has_no_queue() -> None:
    page = greeted()
    assert page.calls.pages == 1
    assert page.feed.closed(PAGE, 1001, "", page.now) == []
    assert page.calls.pages == 0
    assert page.feed.deadline is None
    assert page.feed.closed(PAGE, 1001, "", page.now) == []
    assert page.feed.refused(PAGE, Refusal(500, None, None, "x"), page.now) == []
    assert page.feed.pong(PAGE, b"", page.now) == []


def test_the_page_stops_the_model_of_a_call() -> None:
    page = greeted()
    page.say(stop_model="CA1")
    assert page.stopped == ["CA1"]


@given(st.lists(st.text(max_size=30) | st.sampled_from(['{"ack":1}', '{"ack":99}']), max_size=20))
def test_no_message_of_a_page_raises(texts: list[str]) -> None:
    page = greeted()
    for text in texts:
        page.feed.receive_text(PAGE, text, page.now)
        page.wait(50)
    assert page.now == len(texts) * 50 * MS < SECOND * 10
