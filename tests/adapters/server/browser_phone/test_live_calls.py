"""The calls in progress, and the queues of the pages that show them."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.server.browser_phone.live_calls import (
    MAX_KEPT_EVENTS,
    MAX_QUEUED_EVENTS,
    MAX_SHOWN_CALLS,
    LiveCalls,
    LiveQueue,
)
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentTranscript,
    CallEnded,
    CallerSpeechStarted,
    CallerTranscript,
    CallStarted,
    EndReason,
    KeyPressed,
)

PAGE_CALL = "CA" + 32 * "1"
OTHER_CALL = "CA" + 32 * "2"
SPOKE = CallerSpeechStarted("i", 0.0)
ENDED = CallEnded(EndReason.CALLER_HUNG_UP)


def make_calls(*, with_words: bool = False) -> LiveCalls:
    return LiveCalls(with_words, lambda call_sid: call_sid == PAGE_CALL)


def started(call_sid: str | None = OTHER_CALL) -> CallStarted:
    return CallStarted("MZ", call_sid, "AC", {"secret": "x"})


def agent_says(text: str, *, final: bool) -> AgentTranscript:
    return AgentTranscript("r", "j", 0, text, final)


def observe(calls: LiveCalls, *events: object, at_ms: int = 5) -> Any:
    observer = calls.observe_call()
    for event in events:
        observer.on_notification(event, at_ms * MS)
    return observer


def opened(calls: LiveCalls) -> LiveQueue:
    """A queue whose snapshot was taken."""
    queue = calls.open_queue()
    queue.take()
    return queue


def names(queue: LiveQueue) -> list[str]:
    return [name for _, _, name, _ in queue.take().events]


def test_a_page_gets_the_events_of_calls_with_their_times() -> None:
    calls = make_calls()
    queue = opened(calls)
    observe(calls, started(), SPOKE)
    assert queue.take().events == [
        (1, 5.0, "call.started", {"call_sid": OTHER_CALL}),
        (1, 5.0, "caller_speech.started", {"item": "i"}),
    ]
    assert queue.is_empty


def test_a_connection_that_is_no_call_is_not_shown() -> None:
    calls = make_calls()
    queue = opened(calls)
    observe(calls, SPOKE, ENDED)
    assert queue.is_empty


def test_a_new_page_gets_what_came_before_in_a_snapshot() -> None:
    calls = make_calls()
    observe(calls, started(), SPOKE)
    batch = calls.open_queue().take()
    assert batch.events == []
    assert batch.calls == [
        {
            "number": 1,
            "call_sid": OTHER_CALL,
            "started_ms": 5.0,
            "events": [
                (5.0, "call.started", {"call_sid": OTHER_CALL}),
                (5.0, "caller_speech.started", {"item": "i"}),
            ],
        }
    ]


def test_a_call_that_has_ended_is_in_no_snapshot() -> None:
    calls = make_calls()
    observe(calls, started(), ENDED)
    assert calls.open_queue().take().calls == []


def say_words(calls: LiveCalls, call_sid: str) -> list[str]:
    """Say something in a call; return the names of the events that a page gets."""
    queue = opened(calls)
    words = (CallerTranscript("i", "hello", final=True), agent_says("hi", final=True))
    observe(calls, started(call_sid), *words)
    batch = queue.take()
    is_shown = "hello" in repr(batch)
    assert is_shown == ("hi" in repr(batch))
    found = [name for _, _, name, _ in batch.events]
    assert is_shown == ("caller.words" in found)
    return found


def test_words_of_others_are_left_out_unless_asked_for() -> None:
    assert say_words(make_calls(), OTHER_CALL) == ["call.started"]
    shown = ["call.started", "caller.words", "agent.words"]
    assert say_words(make_calls(with_words=True), OTHER_CALL) == shown


def test_words_of_calls_of_the_page_are_shown() -> None:
    assert "agent.words" in say_words(make_calls(), PAGE_CALL)


def test_no_audio_key_or_parameter_is_shown() -> None:
    calls = make_calls(with_words=True)
    queue = opened(calls)
    observe(calls, started(), AgentAudio("r", "i", 0, "AAAA"), KeyPressed("7"))
    shown = repr(queue.take().events)
    assert "key.pressed" in shown
    assert not [secret for secret in ("AAAA", "'7'", "secret") if secret in shown]


def test_snapshots_keep_whole_texts_and_the_last_events() -> None:
    calls = make_calls(with_words=True)
    pieces = [agent_says("piece", final=False) for _ in range(MAX_KEPT_EVENTS)]
    observe(calls, started(), *pieces, agent_says("all of it", final=True))
    batch = calls.open_queue().take()
    assert batch.calls is not None
    assert [name for _, name, _ in batch.calls[0]["events"]] == ["call.started", "agent.words"]
    observe(calls, started(), *[SPOKE] * 1000)
    batch = calls.open_queue().take()
    assert batch.calls is not None
    assert len(batch.calls[1]["events"]) == MAX_KEPT_EVENTS


def test_a_slow_page_misses_events_that_are_counted_and_gets_a_snapshot() -> None:
    calls = make_calls()
    slow, fast = opened(calls), opened(calls)
    observer = observe(calls, started())
    for _ in range(10 * MAX_QUEUED_EVENTS):
        observer.on_notification(SPOKE, 6 * MS)
        assert slow.queued <= MAX_QUEUED_EVENTS
        assert fast.take().dropped == 0
    batch = slow.take()
    assert batch.dropped > MAX_QUEUED_EVENTS
    assert batch.calls is not None
    assert batch.events == []
    observer.on_notification(ENDED, 7 * MS)
    assert names(slow) == ["call.ended"]


def test_calls_beyond_the_limit_are_left_out() -> None:
    calls = make_calls()
    queue = opened(calls)
    observers = [observe(calls, started()) for _ in range(MAX_SHOWN_CALLS + 3)]
    assert names(queue) == ["call.started"] * MAX_SHOWN_CALLS
    for observer in observers:
        observer.on_notification(ENDED, 6 * MS)
    assert names(queue) == ["call.ended"] * MAX_SHOWN_CALLS
    observe(calls, started())
    assert names(queue) == ["call.started"]


def test_a_page_that_is_gone_gets_nothing() -> None:
    calls = make_calls()
    queue = opened(calls)
    calls.close_queue(queue)
    observe(calls, started())
    assert queue.is_empty
    assert calls.pages == 0


@given(st.lists(st.sampled_from(["start", "speak", "end", "take"]), max_size=60))
def test_a_page_knows_the_calls_in_progress_whenever_it_reads(acts: list[str]) -> None:
    calls = make_calls()
    queue = calls.open_queue()
    known: set[int] = set()
    running: list[Any] = []

    def read() -> None:
        batch = queue.take()
        if batch.calls is not None:
            known.clear()
            known.update(call["number"] for call in batch.calls)
        for number, _, name, _ in batch.events:
            if name == "call.started":
                known.add(number)
            elif name == "call.ended":
                known.remove(number)

    for act in acts:
        if act == "start":
            running.append(observe(calls, started()))
        elif act == "speak" and running:
            for _ in range(MAX_QUEUED_EVENTS // 2):
                running[-1].on_notification(SPOKE, 6 * MS)
        elif act == "end" and running:
            running.pop(0).on_notification(ENDED, 6 * MS)
        elif act == "take":
            read()
            assert len(known) == len(running)
    read()
    assert len(known) == len(running)
