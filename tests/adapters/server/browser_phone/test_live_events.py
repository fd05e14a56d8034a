"""What the page shows of each notification."""

import json

import pytest

from twilio_realtime.server.browser_phone.live_events import describe_event
from twilio_realtime_core.errors import Fault, FaultKind
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.notifications import (
    AgentTranscript,
    CallerAudioDropped,
    EndReason,
    FunctionCallRequested,
    Interrupted,
    InterruptedItem,
    InterruptionBlocked,
    InterruptionCause,
    ItemDeleted,
    ModelSilent,
    ResponseRefused,
    SessionLost,
    SessionReady,
)
from twilio_realtime_core.values.block_cause import BlockCause

INTERRUPTED = Interrupted(
    InterruptionCause.CALLER, (InterruptedItem("r", "i", 0, 400, 900, "I was", " cut"),)
)


@pytest.mark.parametrize(
    ("event", "name", "fields"),
    [
        (SessionReady({"instructions": "secret"}), "session.ready", {}),
        (
            SessionLost(EndReason.REALTIME_LOST, "detail", 1, 250),
            "session.lost",
            {"cause": "realtime lost", "retry_in_ms": 250},
        ),
        (ModelSilent(5000, ("r",), is_asked_again=True), "model.silent", {"silent_ms": 5000}),
        (
            FunctionCallRequested("c", "look_up", '{"number": "secret"}', "r", "i"),
            "function.requested",
            {"name": "look_up"},
        ),
        (CallerAudioDropped(8000), "caller_audio.dropped", {"ms": 1000}),
        (
            InterruptionBlocked(BlockCause.SHORT_SPEECH),
            "interruption.blocked",
            {"cause": "short speech"},
        ),
        (ResponseRefused("e", "busy", "secret"), "response.refused", {"code": "busy"}),
        (
            Fault(Peer.REALTIME, FaultKind.SERVER_ERROR, "an error"),
            "fault",
            {"peer": "realtime", "kind": "server error", "reason": "an error"},
        ),
    ],
)
def test_an_event_is_shown_without_what_was_said(
    event: object, name: str, fields: dict[str, object]
) -> None:
    described = describe_event(event, with_words=False)
    assert described == (name, fields)
    assert "secret" not in json.dumps(described)


def test_an_interruption_shows_its_words_only_if_asked_for() -> None:
    without = describe_event(INTERRUPTED, with_words=False)
    assert without is not None
    assert without[1]["items"] == [{"item": "i/0", "heard_ms": 400, "sent_ms": 900}]
    with_words = describe_event(INTERRUPTED, with_words=True)
    assert with_words is not None
    assert (
        with_words[1]["items"][0] | {"heard": "I was", "unheard": " cut"}
        == (with_words[1]["items"][0])
    )


def test_a_hostile_text_is_cut() -> None:
    described = describe_event(
        AgentTranscript("r", "i", 0, 10_000_000 * "x", final=True), with_words=True
    )
    assert described is not None
    assert len(described[1]["text"]) < 5_000


def test_what_a_page_does_not_show_is_left_out() -> None:
    assert describe_event(ItemDeleted("i"), with_words=True) is None
    assert describe_event(AgentTranscript("r", "i", 0, "x", final=True), with_words=False) is None
