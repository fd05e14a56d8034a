"""Calls written down and run again, with nothing private in what is written."""

import errno
import io
import json
import os
import stat
from base64 import b64encode
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calling import Call, connected, delta, dtmf, media, start
from twilio_realtime_app.recorded_calls import RecordedCalls
from twilio_realtime_app.recorder import CallMachine, Difference, Recorder, replay
from twilio_realtime_app.recording import NOT_JSON, Hider, decode, parse, written
from twilio_realtime_app.service import Service, ServiceConfig
from twilio_realtime_app.usage import UsageError
from twilio_realtime_core import (
    Action,
    Bridge,
    CallConfig,
    Command,
    LocalProtocolError,
    Peer,
    SendEvent,
    SessionConfig,
)
from twilio_realtime_core.commands import Configure, Play, PressKeys, ResetHistory, SendMessage
from twilio_realtime_core.interruption import InterruptionLimit, InterruptionPolicy
from twilio_realtime_core.items import ConversationItem, ImagePart, Message, Role, TextPart
from twilio_realtime_core.opening import Request, Upgrade
from twilio_realtime_core.playout import Heard, Part
from twilio_realtime_core.realtime import CreateItem, CreateResponse
from twilio_realtime_sim.swarm import run_call

AUDIO_DELTA = "response.output_audio.delta"
CONFIG = CallConfig(
    url="wss://name:pass@model.example/v1/realtime?token=tok-1",
    session=SessionConfig(instructions="Call 5551234 if in doubt.", tools=()),
    raw_messages=frozenset(Peer),
)


class RecordedCall(Call):
    """A call whose lines are in `lines`; with `audio`, it is kept."""

    def build(self) -> Any:
        self.lines: list[str] = []
        config = self.config or CallConfig()
        return Recorder(Bridge(config), config, self.lines.append, Hider(self.keeps_audio))

    keeps_audio = False


class AudibleCall(RecordedCall):
    keeps_audio = True


def private_call(kind: type[RecordedCall]) -> RecordedCall:
    """A call in which everything private comes up."""
    call = kind(CONFIG)
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start(accountSid="AC" + "7" * 32, customParameters={"from": "+15550001111"}))
    call.opened_and_configured()
    call.phone(dtmf("8"))
    call.phone(media("c2VjcmV0"))
    call.phone("{secret")
    call.model(delta(800, value=77))
    call.model(
        type="response.output_audio_transcript.delta",
        response_id="r",
        item_id="i",
        content_index=0,
        delta="It is 4929 1234",
    )
    message = "Incorrect API key provided: sk-proj-1234567890."
    error = {"type": "invalid_request_error", "code": "x", "message": message}
    call.model(type="error", error=error)
    call.send(SendEvent(CreateItem({"type": "message", "role": "user", "content": []})))
    return call


@pytest.mark.parametrize("kind", [RecordedCall, AudibleCall])
def test_nothing_private_is_written(kind: type[RecordedCall]) -> None:
    text = "".join(private_call(kind).lines)
    for secret in (
        *("pass", "tok-1", "5551234", "+1555", "7" * 32, "4929", "sk-proj", "{secret"),
        *('"digit":"8"', "8\\"),
    ):
        assert secret not in text, secret
    assert ("c2VjcmV0" in text) is kind.keeps_audio


@pytest.mark.parametrize("kind", [RecordedCall, AudibleCall])
def test_what_is_hidden_runs_as_it_ran(kind: type[RecordedCall]) -> None:
    call = private_call(kind)
    call.closed(Peer.REALTIME, 1001, "call 5559876 with sk-proj-1234567890")
    call.closed(Peer.TWILIO)
    steps, difference = replay(call.lines)
    assert difference is None
    assert steps == len(call.lines) - 1


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_any_call_runs_as_it_ran(seed: int, audio: bool) -> None:  # noqa: FBT001
    lines: list[str] = []

    def make(config: CallConfig) -> Recorder:
        lines.clear()
        return Recorder(Bridge(config), config, lines.append, Hider(audio))

    run_call(seed, make_bridge=make)
    assert replay(lines)[1] is None


def test_a_recorder_changes_nothing() -> None:
    plain, recorded = Call.ready(), RecordedCall.ready()
    for call in (plain, recorded):
        call.model(delta(800))
    assert plain.wait(300) == recorded.wait(300)
    assert plain.bridge.deadline == recorded.bridge.deadline


def test_misuse_is_recorded_and_raised() -> None:
    lines: list[str] = []
    recorder = Recorder(Bridge(), CallConfig(), lines.append)
    with pytest.raises(LocalProtocolError):
        recorder.opened(Peer.TWILIO, 0)
    recorder.start(5)
    with pytest.raises(LocalProtocolError):
        recorder.pong("nobody", b"", 6)
    with pytest.raises(LocalProtocolError):
        recorder.start(7)
    assert [json.loads(line).get("misuse") for line in lines[1:]] == [None, True, True]
    assert replay(lines) == (3, None)


def test_after_the_end_nothing_is_written() -> None:
    call = RecordedCall.ready()
    call.closed(Peer.TWILIO)
    call.closed(Peer.REALTIME)
    written = len(call.lines)
    call.wait(1000)
    call.timeout()
    assert len(call.lines) == written
    assert "CallEnded" in call.lines[-1]


COMMANDS: list[Command] = [
    SendMessage((TextPart("hi"), ImagePart("data:x"))),
    ResetHistory([Message("m", Role.USER, (TextPart("hi"),))]),
    Play(b"\xff" * 8, "chime"),
    PressKeys("*,#"),
    Configure(SessionConfig(instructions="x", tools=({"type": "function", "name": "f"},))),
    SendEvent(CreateResponse({"metadata": {"@": "no class", "list": ["a"]}})),
    CreateResponse(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_commands_come_back_as_they_were(command: Command) -> None:
    hider = Hider()
    written = json.loads(json.dumps(hider.value(command)))
    assert json.loads(json.dumps(hider.value(decode(written)))) == written
    if not isinstance(command, SendMessage):  # the picture is hidden
        assert decode(written) == command


@pytest.mark.parametrize(
    ("data", "hidden"),
    [
        ({"metadata": {"phone": ["5551"], "n": 5}}, {"metadata": {"phone": ["0000"], "n": 5}}),
        ({"headers": ["x"], "authorization": None}, {"headers": [], "authorization": None}),
        ({"payload": "", "audio": "*bad*"}, {"payload": "", "audio": "*"}),
        ({"delta": "4 items", "type": "x"}, {"delta": "0 items", "type": "x"}),
        (
            {"type": "response.output_audio.delta", "delta": 5},
            {"type": "response.output_audio.delta", "delta": 5},
        ),
    ],
)
def test_what_is_hidden_stays_of_its_kind(data: Any, hidden: Any) -> None:
    assert Hider().data(data) == hidden


def test_text_that_is_no_json_is_replaced() -> None:
    assert Hider().text("{") == NOT_JSON
    assert Hider().text("[" * 100_000) == NOT_JSON


# Differences.


class Forgetful(Bridge):
    """It has changed since: it says nothing of keys."""

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        actions = super().receive_text(peer, text, now)
        return [] if '"dtmf"' in text else actions


def test_the_first_difference_is_shown() -> None:
    call = RecordedCall.ready()
    call.phone(dtmf("5"))
    call.phone(dtmf("6"))
    steps, difference = replay(call.lines, Forgetful)
    assert difference is not None
    assert difference.line == steps + 2 == len(call.lines) - 1
    assert "dtmf" in difference.told
    assert "KeyPressed" in difference.first[0]
    assert difference.first[1].startswith("deadline")


def test_fewer_outputs_are_a_difference_too() -> None:
    assert Difference(2, 0, "", ("a", "b"), ("a",)).first == ("b", "nothing")


def test_misuse_where_there_was_none_is_a_difference() -> None:
    call = RecordedCall.ready()
    again = json.loads(call.lines[2])
    lines = [*call.lines, json.dumps({**again, "at": 10**12}) + "\n"]
    _, difference = replay(lines)
    assert difference is not None
    assert difference.now == ("misuse",)


def test_a_last_line_that_is_not_whole_is_left_out() -> None:
    lines = RecordedCall.ready().lines
    assert replay([*lines, '{"at":'])[1] is None


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "line 1 is no JSON object"),
        (["[]\n"], "line 1 is no JSON object"),
        (["{}\n"], "does not say that it is one"),
        (['{"format":"twilio-realtime-call","version":99}\n'], "version 99"),
        (['{"format":"twilio-realtime-call","version":1}\n'], "no configuration"),
        ([..., "{\n"], "line 2 is no JSON"),
        ([..., '{"at":0}\n'], "line 2 is no step"),
        ([..., '{"at":0,"do":"dance","with":[]}\n'], "line 2 is no step"),
        ([..., '{"at":0,"do":"send","with":[{"@":"Nothing"}]}\n'], "line 2 is no step"),
    ],
    ids=str,
)
def test_what_is_no_recorded_call_is_told(lines: list[Any], complaint: str) -> None:
    head = RecordedCall().lines[0]
    with pytest.raises(UsageError, match=complaint):
        replay([head if line is ... else line for line in lines])


def judged_call(predicate: Any) -> RecordedCall:
    """A call whose caller speaks while the agent does."""
    call = RecordedCall(CallConfig(interruption=InterruptionPolicy(predicate=predicate)))
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start())
    call.opened_and_configured()
    call.model(type="response.created", response={"id": "r", "status": "in_progress"})
    call.model(delta(8000))
    call.now += 300_000_000
    speech: dict[str, Any] = {
        "type": "input_audio_buffer.speech_started",
        "item_id": "u",
        "audio_start_ms": 0,
    }
    with suppress(ZeroDivisionError):
        call.model(**speech)
    return call


def answer_no(attempt: object) -> bool:
    del attempt
    return False


def answer_yes(attempt: object) -> bool:
    del attempt
    return True


def fail(attempt: object) -> bool:
    del attempt
    raise ZeroDivisionError


@pytest.mark.parametrize("predicate", [answer_no, answer_yes, fail])
def test_what_a_predicate_answers_is_answered_again(predicate: Any) -> None:
    lines = judged_call(predicate).lines
    assert replay(lines) == (len(lines) - 1, None)


def test_the_input_at_which_a_bridge_fails_is_recorded() -> None:
    lines = judged_call(fail).lines
    assert json.loads(lines[-1])["raised"] == "ZeroDivisionError"


def test_a_bridge_that_fails_now_is_a_difference() -> None:
    class Broken(Bridge):
        def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
            raise KeyError(text)

    _, difference = replay(RecordedCall.ready().lines, Broken)
    assert difference is not None
    assert difference.now == ("raised KeyError",)


def test_a_file_without_its_start_is_told() -> None:
    head, _, *rest = RecordedCall.ready().lines
    with pytest.raises(UsageError, match="line 2 is no start of a call"):
        replay([head, *rest])


@pytest.mark.parametrize(
    "event",
    [
        {"event": "new", "from": "+15550001111"},
        {"type": "new", "caller": {"numbers": ["+15550001111"]}},
        {"type": "x", "logprobs": [{"token": "+15550001111", "bytes": [1]}]},
        {"session": {"audio": {"input": {"transcription": {"prompt": "+15550001111"}}}}},
        {"session": {"tracing": {"group_id": "+15550001111"}}},
    ],
    ids=str,
)
def test_what_is_not_known_loses_its_digits(event: Any) -> None:
    assert "5550001111" not in Hider().text(json.dumps(event))
    assert '"bytes"' not in Hider().text(json.dumps(event))


def test_older_audio_is_audio_too() -> None:
    text = Hider().text('{"type":"response.audio.delta","delta":"c2VjcmV0"}')
    assert json.loads(text)["delta"] == "////////"
    limit = InterruptionLimit(1, 1, "Call 5551")
    assert "5551" not in json.dumps(Hider().value(limit))


@pytest.mark.parametrize(
    "text", ['{"@":"Bridge","n":1}', '{"n":1e400,"m":[-1.50,true,null,"\\u20ac"]}']
)
def test_messages_stay_as_they_stood(text: str) -> None:
    assert Hider().text(text) == text


def test_a_recorder_tells_what_the_bridge_knows() -> None:
    items = (Message("m", Role.USER),)
    heard = (Heard(Part(1, "r", "i", 0), 0, 80, 160, complete=False),)

    class Knowing(Bridge):
        @property
        def ended(self) -> bool:
            return True

        @property
        def items(self) -> tuple[ConversationItem, ...]:
            return items

        def heard(self, now: int) -> tuple[Heard, ...]:
            return heard if now == 7 else ()

    lines: list[str] = []
    recorder = Recorder(Knowing(), CallConfig(), lines.append)
    assert recorder.ended
    assert (recorder.items, recorder.heard(7)) == (items, heard)


def test_a_service_records_its_calls_with_the_configuration_they_have(tmp_path: Path) -> None:
    recorded: list[tuple[Bridge, CallConfig]] = []
    calls = RecordedCalls(tmp_path, recorded.append)  # type: ignore[arg-type]

    def record(bridge: Bridge, config: CallConfig) -> CallMachine:
        recorded.append((bridge, config))
        return calls.record(bridge, config)

    answer = Service(ServiceConfig(), record=record).respond(
        Request("GET", "/media-stream", (("upgrade", "websocket"), ("connection", "Upgrade")))
    )
    assert isinstance(answer, Upgrade)
    assert isinstance(answer.machine, Recorder)
    ((bridge, config),) = recorded
    assert config.line_history == bridge.line_history
    assert len(list(tmp_path.iterdir())) == 1


# Files.


def test_each_call_has_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    errors: list[OSError] = []
    calls = RecordedCalls(tmp_path / "calls", errors.append)
    for _ in range(2):
        machine = calls.record(Bridge(), CallConfig())
        machine.start(7)
    paths = sorted((tmp_path / "calls").iterdir())
    assert len(paths) == 2
    assert errors == []
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert replay(path.read_text("utf-8").splitlines(keepends=True)) == (1, None)


def test_a_call_goes_on_though_it_cannot_be_recorded(tmp_path: Path) -> None:
    errors: list[OSError] = []
    calls = RecordedCalls(tmp_path / "calls", errors.append)
    (tmp_path / "calls").rmdir()
    bridge = Bridge()
    assert calls.record(bridge, CallConfig()) is bridge
    assert len(errors) == 1


class FullDisk(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "full")

    def close(self) -> None:
        super().close()
        raise OSError(errno.ENOSPC, "full")


def test_a_full_disk_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[OSError] = []

    def open_full(number: int, *_: object, **__: object) -> io.StringIO:
        os.close(number)
        return FullDisk()

    monkeypatch.setattr(os, "fdopen", open_full)
    machine = RecordedCalls(tmp_path, errors.append).record(Bridge(), CallConfig())
    machine.start(0)
    machine.opened(Peer.TWILIO, 0)
    machine.closed(Peer.TWILIO, 1000, "", 0)
    assert machine.ended
    assert len(errors) == 1


@given(st.text("/µ1", max_size=80), st.integers(0, 400))
def test_silence_is_written_short_and_read_in_full(text: str, samples: int) -> None:
    line = {"text": text, "payload": b64encode(b"\xff" * samples).decode()}
    short = written(line)
    assert parse(short) == line
    assert len(short) < 500
