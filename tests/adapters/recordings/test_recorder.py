"""Recordings: what is written and redacted, and replay."""

import errno
import json
import re
import stat
import sys
import threading
import tracemalloc
from base64 import b64encode
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from calling import Call, connected, delta, dtmf, media, start
from shown_calls import resumed_call
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings import line_writer
from twilio_realtime.recordings.bridge_wrapper import BridgeLike
from twilio_realtime.recordings.folder import RecordingFolder
from twilio_realtime.recordings.format import decode_line, encode_line
from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.recordings.redactor import NOT_JSON, Redactor, decode_value
from twilio_realtime.recordings.replay import Difference, ReplayResult, replay
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.sim.batch.batch import run_call
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
from twilio_realtime_core.commands import (
    Configure,
    Mute,
    Play,
    PressKeys,
    ResetHistory,
    SendMessage,
)
from twilio_realtime_core.config.fields import UNSET
from twilio_realtime_core.config.interruption_policy import InterruptionLimit, InterruptionPolicy
from twilio_realtime_core.machine.actions import Notify
from twilio_realtime_core.notifications import RealtimeEvent
from twilio_realtime_core.protocols.realtime import CreateItem, CreateResponse, UpdateSession
from twilio_realtime_core.transport.http import HttpRequest, Upgrade
from twilio_realtime_core.values.items import ConversationItem, ImagePart, Message, Role, TextPart
from twilio_realtime_core.values.playback_position import PartKey, PlaybackPosition

AUDIO_DELTA = "response.output_audio.delta"
CONFIG = CallConfig(
    url="wss://model.example/v1/realtime?token=tok-1",
    session=SessionConfig(instructions="Call 5551234 if in doubt.", tools=()),
    raw_messages=frozenset(Peer),
)


class RecordedCall(Call):
    """A call with its recording in `lines`."""

    def build(self) -> Any:
        self.lines: list[str] = []
        config = self.config or CallConfig()
        redactor = Redactor(self.keeps_audio)
        self.inner = Recorder(Bridge(config), config, self.lines.append, redactor)
        return self.inner

    keeps_audio = False


class AudibleCall(RecordedCall):
    keeps_audio = True


def private_call(kind: type[RecordedCall]) -> RecordedCall:
    """A call with private content of every kind."""
    call = kind(CONFIG)
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(
        start(
            accountSid="AC" + "7" * 32,
            customParameters={"from": "+15550001111", "+15557778888": 15557779999},
        )
    )
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
    error = {"type": "invalid_request_error", "message": message}
    error |= {"code": "call +15557778888", "param": "sk-proj-1234567890"}
    call.model(type="error", error=error)
    call.send(SendEvent(CreateItem({"type": "message", "role": "user", "content": []})))
    call.send(SendEvent(CreateResponse({"metadata": {"+15557778888": "+15557779999"}})))
    call.send(Play(b"\xff" * 8, "for 15557778888"))
    return call


@pytest.mark.parametrize("kind", [RecordedCall, AudibleCall])
def test_a_recording_has_no_private_content(kind: type[RecordedCall]) -> None:
    text = "".join(private_call(kind).lines)
    for secret in (
        *("tok-1", "5551234", "+1555", "1555777", "7" * 32, "4929", "sk-proj", "{secret"),
        *('"digit":"8"', "8\\"),
    ):
        assert secret not in text, secret
    assert ("c2VjcmV0" in text) is kind.keeps_audio


@pytest.mark.parametrize("kind", [RecordedCall, AudibleCall])
def test_a_redacted_call_replays_without_a_difference(kind: type[RecordedCall]) -> None:
    call = private_call(kind)
    call.closed(Peer.REALTIME, 1001, "call 5559876 with sk-proj-1234567890")
    call.closed(Peer.TWILIO)
    assert replay(call.lines) == ReplayResult(len(call.lines) - 1)


PRIVATE = st.sampled_from(
    ["+15551234567", "sk-proj-1234567890", "call 555-123-4567", "5551234", "Bearer tok-1", "ACME"]
)
WORDS = PRIVATE | st.text(max_size=80) | st.builds("{} {}".format, PRIVATE, st.text(max_size=9))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS
)
DATA = st.recursive(
    SCALARS,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(WORDS | st.just("@"), each),
    max_leaves=8,
)
FIELDS = st.dictionaries(WORDS | st.sampled_from(["@", "name", "code", "metadata"]), DATA)


@settings(max_examples=60)
@given(FIELDS, st.lists(WORDS, min_size=4, max_size=4), st.booleans())
def test_any_redacted_call_replays_without_a_difference(
    data: dict[str, Any],
    words: list[str],
    raw: bool,  # noqa: FBT001
) -> None:
    call = RecordedCall(CallConfig(raw_messages=frozenset(Peer) if raw else frozenset()))
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start(customParameters=data))
    call.opened_and_configured()
    inner, now = call.inner, call.now
    name, code, param, message = words
    error = {"type": "x", "code": code, "param": param, "message": message, "metadata": data}
    item = {"id": "f", "type": "function_call", "call_id": "c", "name": name, "arguments": "{}"}
    response = {"id": "r", "status": "completed", "metadata": data, "output": [item]}
    commands: list[Command] = [
        SendMessage((TextPart(message),), extra_fields={"metadata": data, "new": data}),
        SendEvent(
            CreateResponse({"metadata": data, "tools": [data], "prompt": {"variables": data}})
        ),
        SendEvent(UpdateSession({"type": "realtime", "tracing": {"metadata": data}})),
        Play(b"\xff" * 8, name),
    ]
    for event in (
        {"type": "error", "event_id": "e", "error": error},
        {"type": "response.created", "response": {"id": "r", "status": "in_progress"}},
        {"type": "response.output_item.done", "response_id": "r", "output_index": 0, "item": item},
        {"type": "response.done", "response": response},
        {"type": message, **data},
    ):
        inner.receive_text(Peer.REALTIME, json.dumps(event), now)
    for command in commands:
        with suppress(LocalProtocolError):
            inner.send(command, now)
    inner.closed(Peer.REALTIME, 1001, message, now)
    assert replay(call.lines).difference is None


@settings(max_examples=40)
@given(FIELDS)
def test_secrets_and_application_data_keep_no_number_and_no_name(data: dict[str, Any]) -> None:
    fields = {"metadata": data, "customParameters": data, "variables": [data]}
    for redacted in (
        Redactor().encode_data(fields),
        json.loads(Redactor().redact_message(json.dumps(fields))),
    ):
        assert Redactor().encode_data(redacted) == redacted
        for name, value in leaves(list(redacted.values())):
            assert not name.strip("k0123456789"), name
            assert not re.search(r"[1-9]", str(value)), value
        assert all(
            value in (None, True, False, 0, "[hidden]")
            for _, value in leaves(redacted["customParameters"])
        )


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The scalars of data, with the names of the fields that hold them."""
    match value:
        case dict():
            for key, each in cast("dict[str, Any]", value).items():
                yield from leaves(each, key)
        case list():
            for each in cast("list[object]", value):
                yield from leaves(each, name)
        case _:
            yield name, value


@given(WORDS)
def test_redacting_codes_and_names_twice_changes_nothing_more(words: str) -> None:
    redacted = Redactor().encode_data({"code": words, "param": words, "name": words})
    assert Redactor().encode_data(redacted) == redacted
    assert not re.search(r"[1-9]\d{6}|sk-proj-1", json.dumps([redacted["code"], redacted["param"]]))
    assert not re.search(r"[1-9]\d{6}", redacted["name"])


def test_scrubbed_field_names_do_not_depend_on_their_order() -> None:
    one = {f"name {number}": str(number) * number for number in range(12)}
    other = dict(reversed(one.items()))
    redactor = Redactor()
    assert redactor.encode_data({"metadata": one}) == redactor.encode_data({"metadata": other})
    assert redactor.encode_data(redactor.encode_data({"metadata": one})) == redactor.encode_data(
        {"metadata": one}
    )


def test_names_of_functions_and_tools_are_kept() -> None:
    call = private_call(RecordedCall)
    item = {"type": "function_call", "call_id": "c-5551234", "name": "book_table_2"}
    assert json.loads(Redactor().redact_message(json.dumps(item))) == item
    mcp = {"type": "mcp_call", "server_label": "hotel5551234", "name": "rooms_2026"}
    assert json.loads(Redactor().redact_message(json.dumps(mcp))) == mcp
    assert replay(call.lines).difference is None


def test_replay_reads_a_recording_line_by_line() -> None:
    call = RecordedCall.ready()
    for _ in range(60):
        call.phone({"event": "new", "words": "word" * 5000})
    size = sum(map(len, call.lines))
    tracemalloc.start()
    assert replay(call.lines).steps == len(call.lines) - 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 10**6
    assert peak < size / 2


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.booleans())
def test_any_random_call_replays_without_a_difference(seed: int, audio: bool) -> None:  # noqa: FBT001
    lines: list[str] = []

    def make(config: CallConfig) -> Recorder:
        lines.clear()
        return Recorder(Bridge(config), config, lines.append, Redactor(audio))

    run_call(seed, make_bridge=make)
    assert replay(lines).difference is None


def test_a_recorder_changes_nothing_in_a_call() -> None:
    plain, recorded = Call.ready(), RecordedCall.ready()
    for call in (plain, recorded):
        call.model(delta(800))
    assert plain.wait(300) == recorded.wait(300)
    assert plain.bridge.deadline == recorded.bridge.deadline


class Colour(Enum):
    RED = "red 5551234"


ODD: list[Any] = [
    object(),
    {1, 2},
    frozenset({7}),
    b"c2VjcmV0",
    {1: "one", 2.5: "some"},
    {True: "yes"},
    {("a",): "b"},
    MappingProxyType({"a": 1}),
    float("nan"),
    Colour.RED,
    [[object()], ("5551234",)],
    Fraction(1, 2),
    datetime(2026, 1, 1, tzinfo=UTC),
    TextPart("5551234"),
    UNSET,
    print,
]


@pytest.mark.parametrize("field", ["metadata", "headers", "new"])
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_commands_that_are_not_json_act_as_without_a_recorder(field: str, odd: object) -> None:
    commands: list[Command] = [
        SendEvent(UpdateSession({"type": "realtime", field: {"a": odd, "b": [odd]}})),
        SendMessage((TextPart("hi"),), extra_fields={field: odd}),
        CreateItem({"type": "message", "role": "user", "content": [], field: odd}),
    ]
    plain, recorded = PlainCall.ready(), RecordedCall.ready()
    for command in commands:
        outcomes = [outcome(call, command) for call in (plain, recorded)]
        assert outcomes[0] == outcomes[1]
    text = "".join(recorded.lines)
    assert len(recorded.lines) == len(RecordedCall.ready().lines) + len(commands)
    assert "5551234" not in text
    assert replay(recorded.lines) == ReplayResult(len(recorded.lines) - 1, is_cut_off=True)


class PlainCall(Call):
    """A call without a recorder."""

    def build(self) -> Any:
        self.inner = Bridge(self.config)
        return self.inner


def outcome(call: PlainCall | RecordedCall, command: Command) -> object:
    """The result of a command, without the checks of `Call.send`."""
    try:
        return call.inner.send(command, call.now)
    except LocalProtocolError as error:
        return str(error)


def test_an_object_that_is_no_command_is_misuse_in_replay() -> None:
    call = RecordedCall.ready()
    several: list[Any] = [Colour.RED, object(), Mute, RecordingFolder]
    for no_command in several:
        assert "is not a command" in str(outcome(call, no_command))
    assert replay(call.lines).difference is None


def test_a_step_that_cannot_be_encoded_ends_the_recording() -> None:
    deep: Any = "hi"
    # Since Python 3.12 comprehensions have no frame of their own, which counts for the limit.
    for _ in range(600 if sys.version_info < (3, 12) else 1200):
        deep = [deep]
    plain, recorded = PlainCall.ready(), RecordedCall.ready()
    steps = len(recorded.lines) - 1
    command = SendMessage((TextPart("hi"),), extra_fields={"deep": deep})
    assert outcome(recorded, command) == outcome(plain, command)
    assert plain.inner.deadline == recorded.inner.deadline
    assert plain.inner.handle_timeout(10**12) == recorded.inner.handle_timeout(10**12)
    assert json.loads(recorded.lines[-1]) == {"unrecordable": "RecursionError"}
    assert len(recorded.lines) == steps + 2
    assert replay(recorded.lines) == ReplayResult(steps, is_cut_off=True)


def test_a_replayed_step_that_cannot_be_encoded_is_a_difference() -> None:
    class Deep(Bridge):
        def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
            text = "[" * 600 + "]" * 600  # which `json` can read
            return [Notify(RealtimeEvent(text))]

    difference = replay(RecordedCall.ready().lines, Deep).difference
    assert difference is not None
    assert "RecursionError" in difference.replayed[0]


@pytest.mark.parametrize("step", range(4))
def test_a_call_continues_when_writing_fails(step: int) -> None:
    lines: list[str] = []
    ends: list[int] = []

    def write(line: str) -> None:
        lines.append(line)
        if len(lines) == step + 1:
            raise ZeroDivisionError

    def on_close() -> None:
        ends.append(len(lines))
        raise ZeroDivisionError

    bridge, config = Bridge(), CallConfig()
    recorder = Recorder(Bridge(), config, write, on_close=on_close)
    assert recorder.start(0) == bridge.start(0)
    assert recorder.opened(Peer.TWILIO, 0) == bridge.opened(Peer.TWILIO, 0)
    with pytest.raises(LocalProtocolError):
        recorder.start(0)
    assert recorder.closed(Peer.TWILIO, 1000, "", 0) == bridge.closed(Peer.TWILIO, 1000, "", 0)
    assert recorder.has_ended
    assert ends == [len(lines)] == [step + 1]


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
    assert replay(lines) == ReplayResult(3, is_cut_off=True)


def test_nothing_is_written_after_the_call_has_ended() -> None:
    call = RecordedCall.ready()
    call.closed(Peer.TWILIO)
    call.closed(Peer.REALTIME)
    count = len(call.lines)
    call.wait(1000)
    call.timeout()
    assert len(call.lines) == count
    assert "CallEnded" in call.lines[-1]


COMMANDS: list[Command] = [
    SendMessage((TextPart("hi"), ImagePart("data:x"))),
    ResetHistory([Message("m", Role.USER, (TextPart("hi"),))]),
    Play(b"\xff" * 8, "chime"),
    PressKeys("*,#"),
    Configure(SessionConfig(instructions="x", tools=({"type": "function", "name": "f"},))),
    SendEvent(CreateResponse({"new": {"@": "no class", "list": ["a"]}})),
    CreateResponse(),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_encoded_commands_are_decoded_to_equal_commands(command: Command) -> None:
    redactor = Redactor()
    encoded = json.loads(json.dumps(redactor.encode(command)))
    assert json.loads(json.dumps(redactor.encode(decode_value(encoded)))) == encoded
    if not isinstance(command, SendMessage):  # the picture is redacted
        assert decode_value(encoded) == command


@pytest.mark.parametrize(
    ("data", "redacted"),
    [
        ({"metadata": {"phone": ["5551"], "n": 5}}, {"metadata": {"k2": ["0000"], "k1": 0}}),
        ({"variables": {"yes": True, "x": 1.5}}, {"variables": {"k2": True, "k1": 0.0}}),
        (
            {"headers": ["x"], "authorization": None},
            {"headers": ["[hidden]"], "authorization": None},
        ),
        (
            {"custom_parameters": {"a": 5551234, "b": {}}},
            {"custom_parameters": {"k1": 0, "k2": {}}},
        ),
        ({"name": "call_5551234_at_7"}, {"name": "call_0000000_at_7"}),
        (
            {"code": "rate_limit_429", "param": "a.b[0]"},
            {"code": "rate_limit_429", "param": "a.b[0]"},
        ),
        ({"code": "in 5 s", "param": "f5551234"}, {"code": "in 0 s", "param": "f0000000"}),
        (
            {"code": "call +15551234567", "param": "sk-proj-1"},
            {"code": "call [hidden]", "param": "[hidden]"},
        ),
        (
            {"code": "x" * 64 + "5", "param": "AC" + "7" * 32},
            {"code": "x" * 64 + "0", "param": "[hidden]"},
        ),
        ({"payload": "", "audio": "*bad*"}, {"payload": "", "audio": "*"}),
        ({"delta": "4 items", "type": "x"}, {"delta": "0 items", "type": "x"}),
        (
            {"type": "response.output_audio.delta", "delta": 5},
            {"type": "response.output_audio.delta", "delta": 5},
        ),
    ],
)
def test_redacted_data_keeps_its_type(data: Any, redacted: Any) -> None:
    assert Redactor().encode_data(data) == redacted


def test_text_that_is_not_json_is_replaced() -> None:
    assert Redactor().redact_message("{") == NOT_JSON
    assert Redactor().redact_message('{"n":NaN}') == NOT_JSON
    assert Redactor().redact_message("[" * 100_000) == NOT_JSON


# Differences.


class Forgetful(Bridge):
    """It does not notify keys."""

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        actions = super().receive_text(peer, text, now)
        return [] if '"dtmf"' in text else actions


def test_replay_returns_the_first_difference() -> None:
    call = RecordedCall.ready()
    call.phone(dtmf("5"))
    call.phone(dtmf("6"))
    replayed = replay(call.lines, Forgetful)
    difference = replayed.difference
    assert difference is not None
    assert difference.line == replayed.steps + 2 == len(call.lines) - 1
    assert "dtmf" in difference.step_input
    assert "KeyPressed" in difference.first_mismatch[0]
    assert difference.first_mismatch[1].startswith("deadline")


def test_a_missing_action_is_shown_as_nothing() -> None:
    assert Difference(2, 0, "", ("a", "b"), ("a",)).first_mismatch == ("b", "nothing")


def test_misuse_that_was_not_recorded_is_a_difference() -> None:
    call = RecordedCall.ready()
    again = json.loads(call.lines[2])
    lines = [*call.lines, json.dumps({**again, "at_ns": 10**12}) + "\n"]
    difference = replay(lines).difference
    assert difference is not None
    assert difference.replayed == ("misuse",)


def test_a_last_line_without_its_end_is_ignored() -> None:
    lines = RecordedCall.ready().lines
    assert replay([*lines, '{"at_ns":']) == ReplayResult(len(lines) - 1, is_cut_off=True)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([], "line 1 is not a JSON object"),
        (["[]\n"], "line 1 is not a JSON object"),
        (["{}\n"], "does not name the format"),
        (['{"format":"twilio-realtime-call","version":2}\n'], "no configuration"),
        ([..., "{\n"], "line 2 is not a JSON object"),
        ([..., '{"at_ns":0}\n'], "line 2 is not a step"),
        ([..., '{"at_ns":"0","method":"start","arguments":[]}\n'], "line 2 is not a step"),
        ([..., '{"at_ns":0,"method":"dance","arguments":[]}\n'], "line 2 is not a step"),
        (
            [..., '{"at_ns":0,"method":"send","arguments":[{"@":"Nothing"}]}\n'],
            "line 2 is not a step",
        ),
    ],
    ids=str,
)
def test_a_file_that_is_not_a_recording_is_refused(lines: list[Any], complaint: str) -> None:
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
def test_replay_repeats_the_answers_of_a_predicate(predicate: Any) -> None:
    lines = judged_call(predicate).lines
    assert replay(lines).steps == len(lines) - 1


def test_the_step_at_which_a_bridge_fails_is_recorded() -> None:
    lines = judged_call(fail).lines
    assert json.loads(lines[-1])["raised"] == "ZeroDivisionError"


def test_a_bridge_that_fails_in_replay_is_a_difference() -> None:
    class Broken(Bridge):
        def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
            raise KeyError(text)

    difference = replay(RecordedCall.ready().lines, Broken).difference
    assert difference is not None
    assert difference.replayed == ("raised KeyError",)


def test_a_recording_without_its_start_is_refused() -> None:
    head, _, *rest = RecordedCall.ready().lines
    with pytest.raises(UsageError, match="line 2 is not the start of a call"):
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
def test_unknown_fields_lose_their_digits(event: Any) -> None:
    assert "5550001111" not in Redactor().redact_message(json.dumps(event))
    assert '"bytes"' not in Redactor().redact_message(json.dumps(event))


def test_audio_of_the_beta_event_is_redacted() -> None:
    text = Redactor().redact_message('{"type":"response.audio.delta","delta":"c2VjcmV0"}')
    assert json.loads(text)["delta"] == "////////"
    limit = InterruptionLimit(1, 1, "Call 5551")
    assert "5551" not in json.dumps(Redactor().encode(limit))


@pytest.mark.parametrize(
    "text", ['{"@":"Bridge","n":1}', '{"n":1e400,"m":[-1.50,true,null,"\\u20ac"]}']
)
def test_numbers_and_escapes_of_messages_are_kept(text: str) -> None:
    assert Redactor().redact_message(text) == text


def test_a_recorder_has_the_properties_of_its_bridge() -> None:
    items = (Message("m", Role.USER),)
    positions = (PlaybackPosition(PartKey(1, "r", "i", 0), 0, 80, 160, is_complete=False),)

    class Knowing(Bridge):
        @property
        def has_ended(self) -> bool:
            return True

        @property
        def items(self) -> tuple[ConversationItem, ...]:
            return items

        def playback_positions(self, now: int) -> tuple[PlaybackPosition, ...]:
            return positions if now == 7 else ()

    lines: list[str] = []
    recorder = Recorder(Knowing(), CallConfig(), lines.append)
    assert recorder.has_ended
    assert (recorder.items, recorder.playback_positions(7)) == (items, positions)


def test_a_service_records_each_call_with_its_configuration(tmp_path: Path) -> None:
    recorded: list[tuple[Bridge, CallConfig]] = []
    calls = RecordingFolder(tmp_path, recorded.append)  # type: ignore[arg-type]

    def record(bridge: Bridge, config: CallConfig) -> BridgeLike:
        recorded.append((bridge, config))
        return calls.record(bridge, config)

    answer = Service(ServiceConfig(), record=record).respond(
        HttpRequest("GET", "/media-stream", (("upgrade", "websocket"), ("connection", "Upgrade")))
    )
    assert isinstance(answer, Upgrade)
    assert isinstance(answer.machine, Recorder)
    ((bridge, config),) = recorded
    assert config.start_delay_history == bridge.start_delay_history


# Files.


def test_only_the_owner_can_read_the_file_of_a_call(tmp_path: Path) -> None:
    errors: list[OSError] = []
    calls = RecordingFolder(tmp_path / "calls", errors.append)
    for _ in range(2):
        machine = calls.record(Bridge(), CallConfig())
        machine.start(7)
    calls.close()
    paths = sorted((tmp_path / "calls").iterdir())
    assert len(paths) == 2
    assert errors == []
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert replay(path.read_text("utf-8").splitlines(keepends=True)) == ReplayResult(
            1, is_cut_off=True
        )


def test_a_call_continues_when_its_file_cannot_be_created(tmp_path: Path) -> None:
    errors: list[OSError] = []
    calls = RecordingFolder(tmp_path / "calls", errors.append)
    (tmp_path / "calls").rmdir()
    record_a_call(calls)
    calls.close()
    assert [type(each) for each in errors] == [FileNotFoundError]


@define(eq=False)
class Disk:
    """Files of which `write` writes; they are closed by force if there is an error."""

    write: Callable[[bytes], int]
    written: bytearray = field(init=False, factory=bytearray)
    closed: int = field(init=False, default=0)

    def create_file(self, path: Path) -> Any:
        return self

    def close(self) -> None:
        self.closed += 1
        raise OSError(errno.EIO, "lost")


def record_a_call(calls: RecordingFolder) -> BridgeLike:
    machine = calls.record(Bridge(), CallConfig())
    machine.start(0)
    machine.opened(Peer.TWILIO, 0)
    machine.closed(Peer.TWILIO, 1000, "", 0)
    assert machine.has_ended
    return machine


@pytest.mark.parametrize("fails", [False, True])
def test_a_full_disk_is_reported_once(tmp_path: Path, fails: bool) -> None:  # noqa: FBT001
    errors: list[OSError] = []

    def on_error(error: OSError) -> None:
        errors.append(error)
        if fails:
            raise error

    def write(data: bytes) -> int:
        raise OSError(errno.ENOSPC, "full")

    disk = Disk(write)
    calls = RecordingFolder(tmp_path, on_error, create_file=disk.create_file)
    record_a_call(calls)
    calls.close()
    assert len(errors) == 1
    assert disk.closed == 1


def test_a_line_may_be_written_in_parts(tmp_path: Path) -> None:
    def write(data: bytes) -> int:
        disk.written += data[:7]
        return min(len(data), 7)

    disk = Disk(write)
    errors: list[OSError] = []
    calls = RecordingFolder(tmp_path, errors.append, create_file=disk.create_file)
    record_a_call(calls)
    calls.close()
    assert replay(disk.written.decode().splitlines(keepends=True)) == ReplayResult(3)
    assert errors == []


def test_no_call_waits_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_writer, "MAX_QUEUED_BYTES", 100_000)
    may_write, errors = threading.Event(), list[OSError]()

    def write(data: bytes) -> int:
        assert may_write.wait(60)
        disk.written += data
        return len(data)

    disk = Disk(write)
    calls = RecordingFolder(tmp_path, errors.append, create_file=disk.create_file)
    machines = [record_a_call(calls) for _ in range(100)]
    assert all(each.has_ended for each in machines)
    assert {str(each) for each in errors} == {"the disk is too slow"}
    assert 0 < len(errors) < 100  # those that fitted in the queue are not lost
    may_write.set()
    calls.close()
    lines = disk.written.decode().splitlines(keepends=True)
    assert sum("CallEnded" in line for line in lines) == 100 - len(errors)


@given(st.text("/µ1", max_size=80), st.integers(0, 400))
def test_silence_is_packed_in_a_line(text: str, samples: int) -> None:
    line = {"text": text, "payload": b64encode(b"\xff" * samples).decode()}
    short = encode_line(line)
    assert decode_line(short) == line
    assert len(short) < 500


def test_a_call_with_a_second_session_is_recorded_to_its_end() -> None:
    lines = [line.decode() for line in resumed_call().lines]
    assert not any("unrecordable" in line for line in lines)
    result = replay(lines)
    assert result.difference is None, result.difference
    assert not result.is_cut_off
