"""A recorded call under another configuration."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calling import (
    SESSION,
    SID,
    Call,
    audio_done,
    created,
    delta,
    media,
    response_done,
    speech_started,
    speech_stopped,
    start,
)
from twilio_realtime.cli.simulate import record_simulated_call
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.config_settings import parse_setting
from twilio_realtime.recordings.encoded_actions import action_name
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.recordings.redactor import Redactor
from twilio_realtime.recordings.what_if import MAX_DIFFERENCES, WhatIf, what_if
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Configure,
    InterruptionPolicy,
    Peer,
    SemanticVad,
    SendEvent,
    SessionConfig,
)
from twilio_realtime_core.protocols.realtime import CreateResponse


class RecordedCall(Call):
    """A call with its recording in `lines`."""

    keeps_audio = False

    def build(self) -> Any:
        self.lines: list[str] = []
        config = self.config or CallConfig()
        redactor = Redactor(keep_audio=self.keeps_audio)
        return Recorder(Bridge(config), config, self.lines.append, redactor)


class AudibleCall(RecordedCall):
    keeps_audio = True


def interrupted(
    speech_ms: int, kind: type[RecordedCall] = RecordedCall, **policy: Any
) -> RecordedCall:
    """The caller speaks for so long, after 200 ms of a response that goes on."""
    call = kind.ready(CallConfig(interruption=InterruptionPolicy(**policy)))
    call.model(created())
    call.model(delta(8000, value=5))
    call.play(200)
    call.model(speech_started())
    call.play(speech_ms)
    call.model(speech_stopped())
    call.play(100)
    return call


def compare(call: RecordedCall, *texts: str) -> WhatIf:
    return what_if(call.lines, [parse_setting(each) for each in texts])


def names(actions: tuple[str, ...]) -> list[str]:
    return [action_name(json.loads(each)) for each in actions]


def test_an_interruption_that_is_confirmed_comes_later() -> None:
    result = compare(interrupted(400), "interruption.after_speech_ms=300")
    assert result.settings == ("interruption.after_speech_ms=300",)
    assert (result.server_interrupts, result.different_steps) == (False, 2)
    first, later = result.differences
    assert (first.at_ns, later.at_ns) == (200_000_000, 500_000_000)
    assert names(first.left_out) == ["Interrupted", "clear", "conversation.item.truncate"] or (
        names(first.left_out) == ["clear", "conversation.item.truncate", "Interrupted"]
    )
    assert first.added == ()
    assert first.recorded_reasons[0] == ("interruption_made", "caller_speaks")
    assert first.other_reasons == (("interruption_postponed", "speech_not_confirmed"),)
    assert (first.is_extra, later.is_extra) == (False, True)
    assert json.loads(later.step_input) == ["handle_timeout"]
    assert names(later.added) == [
        *("clear", "response.cancel", "conversation.item.truncate", "Interrupted")
    ]
    hypothetical = result.hypothetical
    assert hypothetical is not None
    assert (hypothetical.line, hypothetical.at_ns) == (first.line, first.at_ns)


def test_noise_does_not_interrupt_a_bridge_that_waits() -> None:
    result = compare(interrupted(100), "interruption.after_speech_ms=300")
    reasons = [each.other_reasons for each in result.differences]
    assert reasons[-1] == (("interruption_refused", "short_speech"),)
    assert not any(each.is_extra for each in result.differences)


def test_a_bridge_that_waited_could_have_interrupted_at_once() -> None:
    call = interrupted(100, after_speech_ms=300)
    result = compare(call, "interruption.after_speech_ms=0")
    assert result.server_interrupts is True
    assert names(result.differences[0].added)[0] == "clear"
    assert result.hypothetical is not None
    assert "ends its response by itself" in result.hypothetical.cause


def test_what_is_sent_is_hypothetical_without_a_change_of_the_server() -> None:
    call = interrupted(400, after_speech_ms=300)
    result = compare(call, "interruption.after_speech_ms=200")
    first, recorded = result.differences[:2]
    assert (result.server_interrupts, first.is_extra) == (None, True)
    assert names(recorded.left_out)[0] == "clear"
    assert result.hypothetical is not None
    assert result.hypothetical.cause == "the bridge sends clear"


def test_what_follows_an_unknown_answer_is_hypothetical() -> None:
    result = compare(interrupted(600), "interruption.after_speech_ms=300")
    assert result.hypothetical is not None
    at = result.hypothetical.line
    assert [each.is_hypothetical for each in result.differences] == [
        each.line > at for each in result.differences
    ]
    assert [each["hypothetical"] for each in result.to_json()["differences"]] == [
        each.is_hypothetical for each in result.differences
    ]
    assert not result.differences[0].is_hypothetical
    assert result.differences[-1].is_hypothetical


def test_the_same_configuration_changes_nothing() -> None:
    call = interrupted(400)
    result = compare(call, "interruption.allowed=true")
    assert (result.different_steps, result.differences, result.hypothetical) == (0, (), None)
    assert result.steps == len(call.lines) - 1
    assert result.is_cut_off


def test_audio_that_was_kept_makes_no_difference() -> None:
    setting = "interruption.after_speech_ms=300"
    plain, audible = (interrupted(400, kind) for kind in (RecordedCall, AudibleCall))
    assert plain.lines != audible.lines
    a, b = compare(plain, setting), compare(audible, setting)
    assert (a.different_steps, a.hypothetical) == (b.different_steps, b.hypothetical)


@settings(deadline=None, max_examples=3)
@given(st.integers(0, 10**6))
def test_any_random_call_is_the_same_under_its_configuration(seed: int) -> None:
    lines = record_simulated_call(seed)[1].splitlines(keepends=True)
    result = what_if(lines, [])
    assert result.differences == ()
    assert (result.hypothetical, result.differs_from_recording) == (None, None)
    assert result.steps == len(lines) - 1


@settings(deadline=None, max_examples=3)
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_any_random_call_that_is_cut_off_can_be_compared(seed: int, at: int) -> None:
    text = record_simulated_call(seed)[1]
    header = text.index("\n") + 1
    cut = text[: header + at % (len(text) - header)].splitlines(keepends=True)
    changed = [parse_setting("interruption.after_speech_ms=250"), parse_setting("max_call_ms=2000")]
    result = what_if(cut, changed)
    assert result.is_cut_off
    assert result.steps == sum(line.endswith("\n") for line in cut) - 1
    json.dumps(result.to_json())


def test_a_recording_of_two_streams_is_compared() -> None:
    call = RecordedCall.talking(800)
    call.phone(start("MZ2"))
    call.phone(media("////", "MZ2"))
    assert SID != "MZ2"
    assert compare(call, "notify_agent_audio=true").hypothetical is None


def test_a_timer_of_the_other_configuration_ends_the_call() -> None:
    call = interrupted(400)
    call.play(2000)
    for _ in range(MAX_DIFFERENCES + 5):
        call.phone(media("////"))
    result = compare(call, "max_call_ms=1003")
    first = result.differences[0]
    assert (first.is_extra, first.at_ns) == (True, 1_003_000_000)
    assert names(first.added) == ["Close", "Close"]
    assert len(result.differences) == MAX_DIFFERENCES < result.different_steps


def test_notifications_alone_are_not_hypothetical() -> None:
    result = compare(RecordedCall.talking(800), "notify_agent_audio=true")
    assert [names(each.added) for each in result.differences] == [["AgentAudio"]]
    assert result.hypothetical is None


def test_another_session_is_hypothetical_from_its_configuration_on() -> None:
    result = compare(RecordedCall.talking(800), "session.instructions=Be brief.")
    assert result.hypothetical is not None
    assert result.hypothetical.cause == (
        "the bridge sends session.update in place of session.update"
    )


def test_settings_change_what_the_application_configures() -> None:
    call = RecordedCall.streaming(CallConfig(configure_timeout_ms=1000))
    call.send(Configure(SessionConfig(turn_detection=SemanticVad())))
    call.opened(Peer.REALTIME)
    result = compare(call, "session.voice=marin", "max_call_ms=5000")
    (difference,) = result.differences
    assert ("marin" in difference.added[0], "semantic_vad" in difference.added[0]) == (True, True)


def test_the_server_confirms_what_the_other_bridge_sends() -> None:
    call = RecordedCall.connected()
    session = json.loads(json.dumps(SESSION))
    session["audio"]["input"]["turn_detection"] |= {"interrupt_response": True}
    call.model(type="session.updated", session=session)
    call.send(SendEvent(CreateResponse()))
    call.model(created())
    call.model(delta(8000))
    call.model(speech_started())
    call.wait(400)
    call.phone(media("////"))
    result = compare(call, "interruption.after_speech_ms=300")
    assert "response.cancel" in names(result.differences[-1].added)
    call.model(audio_done())
    call.model(response_done())
    assert compare(call, "interruption.after_speech_ms=300").different_steps >= 2


def test_a_version_that_differs_from_the_recording_is_compared_with_itself() -> None:
    lines = interrupted(400).lines
    lines[4] = encode_line({**decode_line(lines[4]), "actions": []})
    result = what_if(lines, [parse_setting("interruption.allowed=true")])
    assert result.differs_from_recording == 5
    assert result.differences == ()


def test_a_recording_ends_at_what_cannot_be_recorded() -> None:
    lines = [*interrupted(400).lines, '{"unrecordable":"TypeError"}\n', "never read"]
    assert what_if(lines, [parse_setting("model=x")]).is_cut_off


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "line 1 is not a JSON object"),
        (['{"format":"twilio-realtime-call","version":1}\n'], "has version 1 of the format"),
        (['{"format":"twilio-realtime-call","version":2}\n'], "line 1 has no configuration"),
        ([*RecordedCall().lines[:1], "[]\n"], "line 2 is not a JSON object"),
        ([*RecordedCall().lines[:1], "{}\n"], "line 2 is not a step of a recording"),
        ([*RecordedCall().lines[:1], RecordedCall.ready().lines[3]], "not the start of a call"),
    ],
)
def test_what_is_not_a_recording_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        what_if(lines, [parse_setting("model=x")])


def test_settings_that_do_not_fit_are_refused() -> None:
    session = SessionConfig(turn_detection=SemanticVad(interrupt_response=True))
    call = RecordedCall.ready(CallConfig(session=session))
    with pytest.raises(UsageError, match="interrupt_response must not be true"):
        compare(call, "interruption.after_speech_ms=300")
