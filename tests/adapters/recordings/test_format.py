"""The format of recordings: its header, its optional fields, and how versions are told apart."""

import json
import platform
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from importlib.metadata import version
from typing import Any

import pytest

from calling import SESSION, Call, connected, start
from twilio_realtime.errors import UsageError
from twilio_realtime.recordings.config_settings import parse_setting
from twilio_realtime.recordings.format import check_reasons, decode_line, encode_line
from twilio_realtime.recordings.recorder import RecordedStep, Recorder
from twilio_realtime.recordings.redaction import redact_recording
from twilio_realtime.recordings.redactor import Redactor
from twilio_realtime.recordings.replay import ReplayResult, replay
from twilio_realtime.recordings.what_if import what_if
from twilio_realtime.sim.reference import CallMachine
from twilio_realtime_core import Bridge, CallConfig, LocalProtocolError, Peer
from twilio_realtime_core.commands import HangUp
from twilio_realtime_core.machine.actions import Open
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.machine.units import SECOND

REASON = {"decision": "interrupt", "reason": "too_short"}


def record(recorded_at: datetime | None = None) -> list[dict[str, Any]]:
    """The lines of a short call."""
    lines: list[str] = []
    recorder = Recorder(Bridge(), CallConfig(), lines.append, recorded_at=recorded_at)
    recorder.start(5)
    recorder.opened(Peer.TWILIO, 7)
    recorder.send(HangUp(), 9)
    return [json.loads(line) for line in lines]


def replay_lines(lines: list[dict[str, Any]]) -> ReplayResult:
    return replay(f"{json.dumps(line)}\n" for line in lines)


def test_a_step_has_the_reasons_of_the_bridge() -> None:
    _, start, _, send = record()
    assert send["why"] == [{"decision": "hang_up_made", "reason": "at_once"}]
    check_reasons(send)
    assert "why" not in start


def test_the_header_names_format_versions_audio_and_configuration() -> None:
    header, *_ = record()
    assert header.pop("config")["@"] == "CallConfig"
    assert header == {
        "format": "twilio-realtime-call",
        "version": 2,
        "package_version": version("twilio-realtime-core"),
        "python_version": platform.python_version(),
        "has_audio": False,
    }


def test_a_step_has_its_time_method_arguments_and_actions() -> None:
    _, _, opened, send = record()
    assert (opened["at_ns"], opened["method"], opened["arguments"]) == (2, "opened", ["twilio"])
    assert opened["deadline_ns"] > opened["at_ns"]
    assert send["arguments"] == [{"@": "HangUp", "after_playback": False}]
    assert send["actions"][-1]["@"] in ("Close", "Notify")
    assert not {"misuse", "raised"} & send.keys()


@pytest.mark.parametrize(
    ("recorded_at", "text"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, 678_900, UTC), "2026-01-02T03:04:05.678Z"),
        (
            datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-02T01:04:00.000Z",
        ),
    ],
)
def test_the_header_has_the_time_of_day_in_utc(recorded_at: datetime, text: str) -> None:
    assert record(recorded_at)[0]["recorded_at"] == text


def test_a_time_of_day_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Recorder(Bridge(), CallConfig(), print, recorded_at=datetime(2026, 1, 2))


def test_unknown_fields_of_header_and_steps_are_ignored() -> None:
    lines = [{**line, "new": {"any": ["thing"]}} for line in record()]
    assert replay_lines(lines) == ReplayResult(3, is_cut_off=True)


def test_reasons_of_decisions_are_ignored_on_replay() -> None:
    header, *steps = record()
    lines = [header, *({**step, "why": [REASON, {**REASON, "ms": 40}]} for step in steps)]
    assert replay_lines(lines).difference is None


@pytest.mark.parametrize(
    "why",
    [
        None,
        "interrupt",
        {},
        ["interrupt"],
        [{"decision": "interrupt"}],
        [{**REASON, "reason": ""}],
        [{**REASON, "reason": "Too short"}],
        [{**REASON, "decision": 7}],
        [REASON, {**REASON, "reason": "x" * 65}],
    ],
    ids=str,
)
def test_reasons_of_another_form_are_refused(why: object) -> None:
    header, start, *rest = record()
    with pytest.raises(UsageError, match=r"line 2 is not a step of a recording: .*`why`"):
        replay_lines([header, {**start, "why": why}, *rest])
    with pytest.raises(ValueError, match="not a list of reasons"):
        check_reasons({"why": why})


OUTCOMES: list[tuple[dict[str, Any], str]] = [
    ({"actions": 1.5}, "`actions` is not a list of objects"),
    ({"actions": 2**70}, "`actions` is not a list of objects"),
    ({"actions": "x"}, "`actions` is not a list of objects"),
    ({"actions": None}, "`actions` is not a list of objects"),
    ({"actions": {}}, "`actions` is not a list of objects"),
    ({"actions": [[]]}, "`actions` is not a list of objects"),
    ({"deadline_ns": "soon"}, "`deadline_ns` is not a whole number"),
    ({"deadline_ns": True}, "`deadline_ns` is not a whole number"),
    ({"misuse": 0}, "`misuse` is not true"),
    ({"raised": 7}, "`raised` is not the name of an exception"),
]


@pytest.mark.parametrize(("outcome", "complaint"), OUTCOMES, ids=str)
def test_outcomes_of_another_form_are_refused(outcome: dict[str, Any], complaint: str) -> None:
    header, start, *rest = record()
    lines = [header, {**start, **outcome}, *rest]
    with pytest.raises(UsageError, match=f"line 2 is not a step of a recording: .*{complaint}"):
        replay_lines(lines)
    with pytest.raises(UsageError, match=f"line 2 is not a step of a recording: .*{complaint}"):
        what_if(map(encode_line, lines), [parse_setting("start_timeout_ms=5000")])
    with pytest.raises(UsageError, match="line 2 cannot be redacted"):
        list(redact_recording(map(encode_line, lines)))


def test_a_step_that_the_recorder_would_write_otherwise_is_a_difference() -> None:
    header, start, *rest = record()
    late = replay_lines([header, {**start, "at_ns": 5}, *rest]).difference
    assert late is not None
    assert late.first_mismatch == ("at_ns 5", "at_ns 0")
    del start["actions"]
    short = replay_lines([header, start, *rest]).difference
    assert short is not None
    assert short.first_mismatch == ("no actions", "actions []")


@pytest.mark.parametrize("depth", [100, 500, 800, 950, 100_000])
def test_a_step_that_is_nested_deeply_is_a_difference_or_refused(depth: int) -> None:
    header, start, *rest = map(encode_line, record())
    deep = f'"actions":[{{"x":{depth * "["}{depth * "]"}}}]'
    with suppress(UsageError):
        assert replay([header, start.replace('"actions":[]', deep), *rest]).difference


@pytest.mark.parametrize("found", [1, 3, 99, "2", None])
def test_another_version_is_refused_with_both_versions_named(found: object) -> None:
    header, *steps = record()
    with pytest.raises(UsageError) as refused:
        replay_lines([{**header, "version": found}, *steps])
    text = str(refused.value)
    assert f"has version {json.dumps(found)} of the format" in text
    assert "reads version 2" in text
    assert "\n" not in text


def without_fields(line: dict[str, Any]) -> dict[str, Any]:
    """A line as written before fields with defaults were added to its classes."""
    added = {"HangUp": ("after_playback",), "CallConfig": ("raw_messages",)}

    def hook(data: dict[str, Any]) -> dict[str, Any]:
        names = added.get(data.get("@", ""), ())
        return {name: value for name, value in data.items() if name not in names}

    stripped: dict[str, Any] = json.loads(json.dumps(line), object_hook=hook)
    return stripped


def test_fields_added_to_classes_since_have_their_defaults() -> None:
    lines = record()
    older = [without_fields(line) for line in lines]
    assert older != lines
    assert replay_lines(older) == ReplayResult(3, is_cut_off=True)


def test_defaults_are_added_to_values_and_not_to_messages() -> None:
    add_defaults = Redactor().add_defaults
    assert add_defaults({"@": "HangUp"}) == {"@": "HangUp", "after_playback": False}
    assert add_defaults([{"x": {"@": "Mute"}}, 5]) == [{"x": {"@": "Mute"}}, 5]
    message = {"@": "Send", "peer": "realtime", "message": {"@": "HangUp"}}
    assert add_defaults(message) == message
    config = Redactor().encode(CallConfig())
    assert add_defaults({"@": "CallConfig"}) == config


def test_steps_are_passed_on_as_they_happened() -> None:
    steps: list[RecordedStep] = []
    lines: list[str] = []
    recorder = Recorder(Bridge(), CallConfig(), lines.append, on_step=steps.append)
    assert recorder.started_ns is None
    recorder.start(5)
    with pytest.raises(LocalProtocolError):
        recorder.pong("nobody", b"", 6)
    actions = recorder.send(HangUp(), 9)
    assert recorder.started_ns == 5
    assert steps == [
        RecordedStep(0, "start", (), ()),
        RecordedStep(4, "send", (HangUp(),), tuple(actions), (Reason.HANG_UP_AT_ONCE,)),
    ]
    assert len(lines) == 4


def test_the_wall_clock_is_recorded_and_replayed() -> None:
    """A session that expires by the wall clock is replaced at the same time in the replay."""
    recorded_at = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
    lines = list[str]()

    class RecordedCall(Call):
        def build(self) -> CallMachine:
            return Recorder(Bridge(), CallConfig(), lines.append, recorded_at=recorded_at)

    call = RecordedCall()
    call.opened(Peer.TWILIO)
    call.phone(connected())
    call.phone(start())
    call.opened(Peer.REALTIME)
    expires_at = int(recorded_at.timestamp()) + 125  # two minutes before, another one is opened
    call.model(type="session.created", session={**SESSION, "expires_at": expires_at})
    call.model(type="session.updated", session={**SESSION, "expires_at": expires_at})
    opened = [each for each in call.wait(6000).actions if isinstance(each, Open)]
    assert len(opened) == 1
    assert json.loads(lines[1])["arguments"] == [int(recorded_at.timestamp()) * SECOND]
    assert replay(lines).difference is None


def test_more_silence_than_a_call_can_have_is_refused() -> None:
    with pytest.raises(ValueError, match="more silence"):
        decode_line('{"a": "' + "µ99999999µ" * 9 + '"}')
