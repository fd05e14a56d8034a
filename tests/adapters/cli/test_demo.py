"""The demo: as a command in real time, and its parts under virtual time."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import wave
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from rich.console import Console, RenderableType
from twilio_realtime.recordings.call_log import CallLog, as_json

import twilio_realtime.cli.demo
from twilio_realtime.cli.demo_scenario import DemoScenario, full_scenario, short_scenario
from twilio_realtime.recordings.report import (
    TOLERANCE_MS,
    MeasuredInterruption,
    find_problems,
    interruption_table,
    measure_interruptions,
    write_stereo_wav,
)
from twilio_realtime.recordings.timeline import Lanes, Timeline, TimelineEntry
from twilio_realtime.sim.audio import to_linear
from twilio_realtime.sim.model.realtime_peer import Complaint, RealtimePeer
from twilio_realtime.sim.model.replies import Reply, Speech
from twilio_realtime.sim.phone.caller import HangUp, WhenHeard
from twilio_realtime.sim.phone.twilio_peer import StreamWarning, TwilioPeer
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime.sim.world.world import Step
from twilio_realtime_core import Bridge, CallConfig, Peer, SendEvent, SessionConfig
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ms
from twilio_realtime_core.notifications import SessionReady
from twilio_realtime_core.protocols.realtime import CreateResponse

COMMAND = (sys.executable, "-m", "twilio_realtime.cli", "demo")

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


# As a command, over sockets. All the demos run at once, since what they do is wait.


@frozen
class Run:
    """A demo that is under way."""

    process: subprocess.Popen[bytes]
    output: Path

    def finish(self) -> str:
        """What it said; it must have succeeded."""
        assert self.process.wait(60) == 0, self.said("stderr")
        assert self.said("stderr") == ""
        return self.said("stdout")

    def said(self, stream: str) -> str:
        return (self.output / stream).read_text("utf-8")


def start(output: Path, *arguments: str) -> Run:
    output.mkdir()
    with (output / "stdout").open("wb") as out, (output / "stderr").open("wb") as err:
        process = subprocess.Popen(  # noqa: S603
            [*COMMAND, "--output", str(output), *arguments], stdout=out, stderr=err
        )
    return Run(process, output)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Run], None, None]:
    folder = tmp_path_factory.mktemp("demos")
    quick = "--quick", "--json"
    runs = {
        "trio": start(folder / "trio", *quick, "--runtime", "trio"),
        "asyncio": start(folder / "asyncio", *quick, "--runtime", "asyncio", "--seed", "7"),
        "full": start(folder / "full"),
    }
    yield runs
    for run in runs.values():
        run.process.kill()
        run.process.wait()


def quick_demo(demos: dict[str, Run], runtime: str) -> tuple[Path, list[dict[str, Any]]]:
    run = demos[runtime]
    return run.output, [json.loads(line) for line in run.finish().splitlines()]


@each_runtime
def test_the_demo_succeeds_and_tells_two_interruptions(demos: dict[str, Run], runtime: str) -> None:
    _, told = quick_demo(demos, runtime)
    report = told[-1]
    assert report["event"] == "report"
    assert report["wrong"] == []
    assert len(report["interruptions"]) == 2
    for cut in report["interruptions"]:
        assert 0 < cut["heard_ms"] < cut["generated_ms"]
        assert cut["told_ms"] - cut["heard_ms"] == cut["difference_ms"]
        assert abs(cut["difference_ms"]) <= TOLERANCE_MS


@each_runtime
def test_the_figures_are_what_the_log_and_the_phone_say(
    demos: dict[str, Run], runtime: str
) -> None:
    output, told = quick_demo(demos, runtime)
    discarded = iter(each["discarded_ms"] for each in told if "discarded_ms" in each)
    generated, sent, figures = Counter[str](), Counter[str](), list[tuple[object, ...]]()
    for line in (output / "call.jsonl").read_text("utf-8").splitlines():
        step = json.loads(line)
        event: dict[str, Any] = step["arguments"].get("text") or {}
        if event.get("type") == "response.output_audio.delta":
            generated[event["item_id"]] += int(event["delta"].split()[0])
        for message in (each["message"] for each in step["outputs"] if each["type"] == "Send"):
            if message.get("event") == "media" and "item_id" in event:
                sent[event["item_id"]] += int(message["media"]["payload"].split()[0])
            if message.get("type") == "conversation.item.truncate":
                item = message["item_id"]
                heard = round(sent[item] / 8) - next(discarded)
                figures.append((item, generated[item] // 8, heard, message["audio_end_ms"]))
    shown = [
        (cut["item_id"], cut["generated_ms"], pytest.approx(cut["heard_ms"], abs=1), cut["told_ms"])
        for cut in told[-1]["interruptions"]
    ]
    assert figures == shown


@each_runtime
def test_the_call_can_be_heard_and_read(demos: dict[str, Run], runtime: str) -> None:
    output, told = quick_demo(demos, runtime)
    ended = next(each for each in told if each.get("reason") == "caller hung up")
    with wave.open(str(output / "call.wav")) as recording:
        assert recording.getnchannels() == 2
        assert recording.getframerate() == 8000
        assert recording.getnframes() == pytest.approx(8 * ended["at_ms"], abs=8 * 250)
        frames = recording.readframes(recording.getnframes())
    left, right = (set(frames[side::4]) | set(frames[side + 1 :: 4]) for side in (0, 2))
    assert len(left) > 2
    assert len(right) > 2
    steps = [json.loads(line) for line in (output / "call.jsonl").read_text("utf-8").splitlines()]
    assert [step["method"] for step in steps[:2]] == ["start", "opened"]
    assert [step["at_ns"] for step in steps] == sorted(step["at_ns"] for step in steps)
    assert steps[-1]["outputs"][-1]["event"]["type"] == "CallEnded"


@each_runtime
def test_the_call_is_told_in_order(demos: dict[str, Run], runtime: str) -> None:
    _, told = quick_demo(demos, runtime)
    events = [each["event"] for each in told]
    cut = ["caller", "clear", "truncate", "twilio"]
    greeting = ["call", "session", "session", "app", "agent", "agent"]
    answers = ["caller", "agent", *cut, "agent", "key", *cut, "agent", "agent"]
    assert events == [*greeting, *answers, "caller", "call", "report"]


def test_the_whole_demo_takes_a_quarter_of_a_minute_and_says_what_it_made(
    demos: dict[str, Run],
) -> None:
    run = demos["full"]
    lines = run.finish().splitlines()
    (ended,) = (line for line in lines if "has ended: caller hung up" in line)
    assert 14 < float(ended.split()[0]) < 18
    assert lines[-1] == "The call went as it should."
    assert lines[-3].startswith(f"{run.output / 'call.jsonl'}: ")
    assert lines[-2].startswith(f"{run.output / 'call.wav'}: ")
    assert sum("truncate" in line for line in lines) == 2


def test_a_terminal_shows_lanes_and_ctrl_c_ends_it_in_good_order(tmp_path: Path) -> None:
    near, far = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "40"}
    command = [*COMMAND, "--quick", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=far, stderr=far, env=environment) as process:  # noqa: S603
        os.close(far)
        shown = read_until(near, b"\xe2\x96\xb2")  # the sign of a clear
        process.send_signal(signal.SIGINT)
        shown += read_until(near, None)
        assert process.wait(10) == 130
    os.close(near)
    text = shown.decode()
    assert "agent heard" in text
    assert "waiting" in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def read_until(descriptor: int, sign: bytes | None) -> bytes:
    """What a terminal is sent, until `sign` is in it, or until it is closed."""
    shown, until = b"", time.monotonic() + 20
    while sign is None or sign not in shown:
        assert select.select([descriptor], [], [], until - time.monotonic())[0], shown
        try:
            shown += os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
    return shown


@pytest.mark.parametrize("place", ["a file", "a file/and/below"])
def test_where_nothing_can_be_written_no_call_is_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("")
    command = [*COMMAND, "--output", str(tmp_path / place)]
    ran = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, timeout=20
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert "a file" in line


def test_a_call_that_goes_otherwise_fails_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hasty = attrs.evolve(short_scenario(), script=(WhenHeard(0, HangUp()),))
    monkeypatch.setattr(twilio_realtime.cli.demo, "short_scenario", lambda: hasty)
    arguments = ["--quick", "--json", "--output", str(tmp_path)]
    assert twilio_realtime.cli.demo.demo.main(arguments, standalone_mode=False) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["wrong"] == [
        "items cut off by each interruption: [], not [1, 1]",
        "0 keys have arrived, not 1",
    ]


# Its parts, under virtual time.


@frozen
class Simulated:
    """A scenario that was played, and what was noted of it."""

    log: CallLog
    phone: TwilioPeer
    model: RealtimePeer
    world: MessageWorld
    noted: list[Step]

    @property
    def cuts(self) -> list[MeasuredInterruption]:
        return measure_interruptions(self.log.steps, self.phone.clears)

    def complaints(self) -> list[str]:
        return find_problems(self.log.steps, self.cuts, self.phone, self.model, interruptions=2)


def world_of(
    scenario: DemoScenario, bridge: MessageMachine, latency_ns: int = 0
) -> tuple[MessageWorld, TwilioPeer, RealtimePeer]:
    phone = TwilioPeer(url="ws://bridge/media-stream", seed=1, script=scenario.script)
    replies = [Reply((Speech(each.audio, each.transcript),)) for each in scenario.agent_speech]
    model = RealtimePeer(replies, seed=1, pace=scenario.pace)
    world = message_call(bridge, phone, model, to_twilio_ns=latency_ns, to_model_ns=latency_ns)
    return world, phone, model


def make_bridge(scenario: DemoScenario) -> Bridge:
    detection = {"type": "server_vad", "silence_duration_ms": scenario.silence_duration_ms}
    return Bridge(CallConfig(session=SessionConfig(turn_detection=detection)))


def play(world: MessageWorld, until_ns: int = 40 * SECOND) -> None:
    """The call, with the application's part in it."""

    def is_ready() -> bool:
        return any(isinstance(event, SessionReady) for *_, event in world.notifications)

    world.run_until(is_ready, SECOND)
    world.call("bridge", "send", SendEvent(CreateResponse()))
    world.run(until_ns)


def simulate(scenario: DemoScenario, until_ns: int = 40 * SECOND) -> Simulated:
    noted: list[Step] = []
    log = CallLog(make_bridge(scenario), noted.append)
    world, phone, model = world_of(scenario, log)
    play(world, until_ns)
    return Simulated(log, phone, model, world, noted)


@pytest.fixture(scope="module")
def call() -> Simulated:
    return simulate(full_scenario())


def shown(renderable: RenderableType, width: int = 80) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_log_changes_nothing(call: Simulated) -> None:
    world, *_ = world_of(full_scenario(), make_bridge(full_scenario()))
    play(world)
    assert world.notifications == call.world.notifications


def test_a_log_tells_each_step_when_it_is_taken(call: Simulated) -> None:
    assert call.noted == call.log.steps
    assert {step.method for step in call.noted} == {
        *("start", "opened", "receive_text", "pong", "closed", "handle_timeout", "send")
    }


def test_the_times_of_a_log_count_from_the_start() -> None:
    log = CallLog(Bridge(), lambda step: None)
    log.start(7 * SECOND)
    log.handle_timeout(7 * SECOND + 3)
    assert log.began_ns == 7 * SECOND
    assert [step.when for step in log.steps] == [0, 3]


def test_lines_of_a_log_hold_words_and_numbers_but_no_audio(call: Simulated) -> None:
    lines = [as_json(step) for step in call.log.steps]
    long_words = re.compile(r"[A-Za-z0-9+/=]{60,}")
    assert [line for line in lines if long_words.search(line)] == []
    text = "\n".join(lines)
    assert '"payload": "160 bytes of audio"' in text
    assert '"audio": "160 bytes of audio"' in text
    assert '"delta": "2000 bytes of audio"' in text
    assert "Your order left the warehouse yesterday." in text


def test_a_line_of_a_log_names_what_was_told_and_asked() -> None:
    lines: list[str] = []
    log = CallLog(make_bridge(short_scenario()), lambda step: lines.append(as_json(step)))
    world, *_ = world_of(short_scenario(), log)
    play(world, 2 * SECOND)
    (
        start,
        opened,
        *_,
    ) = map(json.loads, lines)
    assert start == {"at_ns": 0, "method": "start", "arguments": {}, "outputs": []}
    assert opened["arguments"] == {"peer": "twilio"}
    commands = [json.loads(line) for line in lines if '"method": "send"' in line]
    create = {"type": "response.create"}
    assert [each["arguments"] for each in commands] == [
        {"command": {"type": "SendEvent", "event": create}}
    ]
    sent = {**create, "event_id": "bridge-request-1"}
    assert commands[0]["outputs"] == [{"type": "Send", "peer": "realtime", "message": sent}]


def test_text_that_is_no_json_stays_text_in_a_line() -> None:
    step = Step(5, "bridge", "receive_text", ("twilio", "no JSON"), ())
    assert json.loads(as_json(step))["arguments"] == {"peer": "twilio", "text": "no JSON"}


def test_audio_is_left_out_of_whatever_holds_it() -> None:
    text = json.dumps({"item": {"content": [{"audio": "//8="}, {"audio": "?"}, {"audio": None}]}})
    line = json.loads(as_json(Step(0, "bridge", "receive_text", ("realtime", text), ())))
    content = line["arguments"]["text"]["item"]["content"]
    assert [each["audio"] for each in content] == ["2 bytes of audio", "no audio", None]


def test_the_scenario_is_as_it_should_be(call: Simulated) -> None:
    assert call.complaints() == []
    first, second = call.cuts
    answer, rest = full_scenario().agent_speech[1:3]
    assert first.generated_ms >= len(answer.audio) // 8  # all of it, with the last token's silence
    assert second.generated_ms < len(rest.audio) // 8
    assert 14 < call.log.steps[-1].when / SECOND < 17


def test_cuts_are_the_truth_to_the_millisecond(call: Simulated) -> None:
    first, second = call.cuts
    greeting = len(full_scenario().agent_speech[0].audio)
    greeting += -greeting % 400  # made in tokens of 50 ms
    heard = [clear.heard for clear in call.phone.clears]
    assert first.heard_ms == first.reported_ms == samples_to_ms(heard[0] - greeting)
    assert second.heard_ms == second.reported_ms == samples_to_ms(heard[1] - heard[0])
    assert [cut.difference_ms for cut in call.cuts] == [0, 0]


def test_a_clear_that_never_arrived_has_cut_nothing(call: Simulated) -> None:
    first, _ = measure_interruptions(call.log.steps, [])
    assert first.heard_ms == first.generated_ms
    assert first.reported_ms == call.cuts[0].reported_ms


@pytest.mark.parametrize(
    ("told_ms", "complaint"),
    [
        (1000 + TOLERANCE_MS, None),
        (1000 - TOLERANCE_MS, None),
        (1000 + TOLERANCE_MS + 1, f"the model was told {TOLERANCE_MS + 1} ms too much of item_1"),
        (1000 - TOLERANCE_MS - 1, f"the model was told {TOLERANCE_MS + 1} ms too little of item_1"),
        (None, "the model was not told how much of item_1 was heard"),
    ],
)
def test_a_cut_is_judged_by_its_difference(
    call: Simulated, told_ms: int | None, complaint: str | None
) -> None:
    cut = MeasuredInterruption(SECOND, "item_1", 5000, 1000, told_ms)
    found = find_problems(call.log.steps, [cut], call.phone, call.model, interruptions=2)
    assert found == ([complaint] if complaint else [])


def test_all_that_is_wrong_is_told() -> None:
    call = simulate(short_scenario(), 2 * SECOND)
    call.phone.warnings.append(StreamWarning(31951, "no such message"))
    call.model.complaints.append(Complaint("response.cancel", None, "there is none", None, None))
    assert call.complaints() == [
        "the call has not ended",
        "items cut off by each interruption: [1], not [1, 1]",
        "0 keys have arrived, not 1",
        "Twilio would log 31951: no such message",
        "the model refused response.cancel: there is none",
    ]


def test_an_end_for_another_reason_is_told() -> None:
    call = simulate(short_scenario(), SECOND)
    call.world.sever(call.world.link("bridge", Peer.REALTIME))
    call.world.run(3 * SECOND)
    assert call.complaints()[0] == "the call has ended because of this: realtime lost 1006"


def test_the_table_has_a_row_for_each_cut() -> None:
    cuts = [
        MeasuredInterruption(8 * SECOND, "item_1", 8050, 1806, 1800),
        MeasuredInterruption(11 * SECOND, "item_2", 400, 7, None),
    ]
    *_, first, second = shown(interruption_table(cuts)).splitlines()
    assert " ".join(first.split()) == "8.00 s item_1 8,050 ms 1,806 ms 1,800 ms -6 ms"
    assert " ".join(second.split()) == "11.00 s item_2 400 ms 7 ms nothing ?"


def test_the_table_fits_on_a_terminal_of_80_columns(call: Simulated) -> None:
    assert "…" not in shown(interruption_table(call.cuts), 80)


def test_a_recording_has_the_caller_left_and_the_agent_right(tmp_path: Path) -> None:
    caller, agent = bytes(range(256)), bytes(reversed(range(256)))
    write_stereo_wav(tmp_path / "call.wav", caller, agent)
    with wave.open(str(tmp_path / "call.wav")) as recording:
        frames = recording.readframes(1000)
    left = b"".join(frames[at : at + 2] for at in range(0, len(frames), 4))
    right = b"".join(frames[at + 2 : at + 4] for at in range(0, len(frames), 4))
    assert (left, right) == (to_linear(caller), to_linear(agent))


# The lanes: 80 cells of 200 ms.


@pytest.fixture(scope="module")
def lanes(call: Simulated) -> Lanes:
    made = Lanes(call.phone, call.log.began_ns, 80, 16.0)
    for step in call.log.steps:
        made.add_step(step)
    return made


def rows(lanes: Lanes, now: int) -> dict[str, str]:
    """What stands in each lane, by its label."""
    lines = shown(lanes.draw(now), 120).splitlines()[1:]
    return {line[:11].strip(): line[12:].rstrip() for line in lines}


def test_lanes_show_who_is_heard_and_what_waits(call: Simulated, lanes: Lanes) -> None:
    now = call.log.steps[-1].when
    cells = rows(lanes, min(now, 16 * SECOND))
    for cut in call.cuts:
        at = cut.at_ns // (200 * MS)
        assert cells["clear"][at] == "▲"
        assert cells["truncate"][at:].startswith(f"▲ {cut.reported_ms:,} ms")
        assert cells["caller"][at + 1] != "·"
        assert cells["agent heard"][at - 2] != "·"
        assert cells["agent heard"][at + 2] == "·"
        assert cells["waiting"][at - 1] in "▃▄▅▆▇█"
        assert cells["waiting"][at + 1] == "·"
    assert cells["caller"].count("5") == 1


def test_lanes_that_are_full_move_on(call: Simulated) -> None:
    made = Lanes(call.phone, call.log.began_ns, 40, 8.0)
    early = [step for step in call.log.steps if step.when <= 8 * SECOND]
    for step in early:
        made.add_step(step)
    before = rows(made, 8 * SECOND)
    for step in call.log.steps[len(early) :]:
        made.add_step(step)
    after = rows(made, 12 * SECOND)
    assert len(after["caller"]) == len(before["caller"]) == 40
    assert after["agent heard"][:20] == before["agent heard"][20:]
    assert before["clear"] == ""
    assert after["clear"].count("▲") == 2


def test_before_the_stream_begins_lanes_are_empty() -> None:
    idle = Lanes(TwilioPeer(url="ws://bridge/media-stream"), SECOND, 40, 8.0)
    assert set(rows(idle, 5 * SECOND).values()) == {""}


# The moments.


def test_moments_are_lines_for_people_and_objects_for_programs() -> None:
    moment = TimelineEntry(1_234_567_890, "key", "5 was pressed", {"digit": "5"})
    assert moment.to_line().plain == "   1.23 s  key       5 was pressed"
    assert json.loads(moment.to_json()) == {
        "event": "key",
        "at_ms": 1234.568,
        "text": "5 was pressed",
        "digit": "5",
    }


def test_what_twilio_would_log_is_a_moment() -> None:
    (moment,) = Timeline({}, []).describe_phone_event(
        SECOND, StreamWarning(31951, "media: no payload")
    )
    assert moment == TimelineEntry(
        SECOND, "fault", "Twilio logs 31951: media: no payload", {"code": 31951}
    )
