"""A recording is redacted for sharing as it would have been while it was recorded."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calling import Call, connected, delta, dtmf, media, start
from twilio_realtime.cli.simulate import record_simulated_call
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.recordings.redaction import redact_recording
from twilio_realtime.recordings.redactor import Redactor
from twilio_realtime.recordings.replay import replay
from twilio_realtime.sim.batch.batch import run_call
from twilio_realtime_core import Bridge, CallConfig, Peer, Play, PressKeys, SessionConfig
from twilio_realtime_core.machine.actions import Refusal


class RecordedCall(Call):
    """A call with its recording in `lines`."""

    keeps_audio = False

    def build(self) -> Any:
        self.lines: list[str] = []
        config = self.config or CallConfig()
        redactor = Redactor(self.keeps_audio)
        return Recorder(Bridge(config), config, self.lines.append, redactor)


class AudibleCall(RecordedCall):
    keeps_audio = True


def private_call(kind: type[RecordedCall]) -> RecordedCall:
    """A call with private content, whose session is lost once."""
    instructions = "Call 5551234 if in doubt."
    call = kind(
        CallConfig(
            url="wss://model.example/v1?token=tok-1",
            session=SessionConfig(instructions=instructions),
            raw_messages=frozenset(Peer),
            notify_typed_events=True,
            notify_agent_audio=True,
            waiting_clip=b"\x01" * 160,
        )
    )
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start(customParameters={"from": "+15550001111"}))
    call.opened_and_configured()
    call.phone(dtmf("8"))
    call.phone(media("c2VjcmV0"))
    call.phone("{secret")
    call.model(delta(800, value=77))
    call.send(Play(b"\x05" * 80, "for 15557778888"))
    call.send(PressKeys("123"))
    call.closed(Peer.REALTIME, 1006, "call 5559876")
    call.wait(300)
    call.record(call.bridge.refused(call.link, Refusal(503, 100, None, "call 5559876"), call.now))
    call.wait(2000)
    call.opened_and_configured()
    call.phone(media("c2VjcmV0"))
    return call


def redact(lines: list[str]) -> list[str]:
    return list(redact_recording(lines))


def test_a_recording_with_audio_becomes_the_one_without() -> None:
    kept, removed = private_call(AudibleCall), private_call(RecordedCall)
    assert redact(kept.lines) == removed.lines
    assert "unrecordable" not in removed.lines[-1]
    text = "".join(removed.lines)
    assert [each for each in ("5551", "5559", "+1", "tok-1", "c2Vj") if each in text] == []


@settings(deadline=None, max_examples=5)
@given(st.integers(0, 10**6))
def test_any_random_call_is_redacted_as_when_it_is_recorded(seed: int) -> None:
    def record(*, keep_audio: bool) -> list[str]:
        lines: list[str] = []

        def make_bridge(config: CallConfig) -> Recorder:
            lines.clear()
            return Recorder(Bridge(config), config, lines.append, Redactor(keep_audio))

        run_call(seed, make_bridge=make_bridge)
        return lines

    kept, removed = record(keep_audio=True), record(keep_audio=False)
    assert redact(kept) == removed
    assert redact(removed) == removed


def test_a_redacted_recording_replays_without_a_difference() -> None:
    call = private_call(AudibleCall)
    redacted = redact(call.lines)
    assert replay(redacted).difference is None
    assert not json.loads(redacted[0])["has_audio"]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6))
def test_a_recording_that_is_cut_off_is_redacted_up_to_there(at: int) -> None:
    text = "".join(RECORDING)
    cut = text[: at % len(text)].splitlines(keepends=True)
    if not cut or not cut[0].endswith("\n"):
        with pytest.raises(UsageError, match="line 1 is not a JSON object"):
            redact(cut)
        return
    whole = [line for line in cut if line.endswith("\n")]
    assert redact(cut) == RECORDING[: len(whole)]


RECORDING = record_simulated_call(1, scenario="question")[1].splitlines(keepends=True)


def changed(number: int, **fields: object) -> list[str]:
    line = encode_line({**decode_line(RECORDING[number]), **fields})
    return [*RECORDING[:number], line, *RECORDING[number + 1 :]]


def test_unknown_fields_are_left_out() -> None:
    lines = changed(1, secret="5551234")
    assert redact(lines) == RECORDING
    assert redact(changed(0, secret="5551234")) == RECORDING
    why = [{"decision": "a", "reason": "b", "secret": "5551234"}]
    assert json.loads(redact(changed(1, why=why))[1])["why"] == [{"decision": "a", "reason": "b"}]


UNREDACTABLE: list[tuple[int, dict[str, object]]] = [
    (0, {"config": {"@": "NoSuchClass"}}),
    (0, {"recorded_at": "by +15551234567 <b>"}),
    (1, {"at_ns": "now"}),
    (1, {"at_ns": True}),
    (1, {"method": "dance", "arguments": []}),
    (1, {"arguments": ["one", "two"]}),
    (1, {"actions": [5]}),
    (1, {"actions": [{"@": "NoSuchAction"}]}),
    (1, {"actions": [{"@": "Send", "peer": "5551234", "message": {}}]}),
    (1, {"raised": "call 5551234"}),
    (1, {"why": "5551234"}),
    (2, {"arguments": ["call 5551234"]}),
]


@pytest.mark.parametrize(("number", "fields"), UNREDACTABLE, ids=str)
def test_what_cannot_be_redacted_is_refused(number: int, fields: dict[str, object]) -> None:
    with pytest.raises(UsageError) as refused:
        redact(changed(number, **fields))
    text = str(refused.value)
    assert text.startswith(f"line {number + 1} cannot be redacted")
    assert "555" not in text


def test_misuse_exceptions_and_the_end_of_a_recording_are_kept() -> None:
    header, start, *_ = RECORDING
    step: dict[str, object] = {"at_ns": 5, "method": "handle_timeout", "arguments": []}
    rest: list[dict[str, object]] = [
        {**step, "misuse": True},
        {**step, "raised": "KeyError"},
        {"unrecordable": "TypeError"},
    ]
    lines = [header, start, *(json.dumps(each, separators=(",", ":")) + "\n" for each in rest)]
    assert redact(lines) == lines


@pytest.mark.parametrize("version", [1, 3])
def test_another_version_is_refused(version: int) -> None:
    with pytest.raises(UsageError, match=f"has version {version} of the format"):
        redact(changed(0, version=version))
