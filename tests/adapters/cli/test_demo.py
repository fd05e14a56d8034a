"""The demo: as a command in real time, and its parts under virtual time."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import wave
from base64 import b64decode
from collections import Counter
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from rich.console import Console, RenderableType

import twilio_realtime.cli.demo
from timeouts import HANG_S
from twilio_realtime.cli.demo_scenario import DemoScenario, full_scenario, short_scenario
from twilio_realtime.recordings.format import decode_line
from twilio_realtime.recordings.recorder import RecordedStep, Recorder
from twilio_realtime.recordings.replay import ReplayResult, replay
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
from twilio_realtime.sim.model.realtime_peer import RealtimePeer, SentError
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import CallerHangsUp, WhenAgentHeard
from twilio_realtime.sim.phone.twilio_peer import StreamWarning, TwilioPeer
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime_core import Bridge, CallConfig, Peer, SendEvent, SessionConfig
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ms
from twilio_realtime_core.notifications import SessionReady
from twilio_realtime_core.protocols.realtime import CreateResponse

COMMAND = (sys.executable, "-m", "twilio_realtime.cli", "demo")

each_runtime = pytest.mark.parametrize("runtime", ["trio", "asyncio"])


# As a command, over sockets. All demos run at once, since they mostly wait.


@frozen
class Run:
    """A demo that is running."""

    process: subprocess.Popen[bytes]
    output: Path

    def finish(self) -> str:
        """Its output; it must have succeeded."""
        assert self.process.wait(HANG_S) == 0, self.read("stderr")
        assert self.read("stderr") == ""
        return self.read("stdout")

    def read(self, stream: str) -> str:
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
    }
    yield runs
    for run in runs.values():
        run.process.kill()
        run.process.wait()


def quick_demo(demos: dict[str, Run], runtime: str) -> tuple[Path, list[dict[str, Any]]]:
    run = demos[runtime]
    return run.output, [json.loads(line) for line in run.finish().splitlines()]


@each_runtime
def test_the_demo_succeeds_and_reports_two_interruptions(
    demos: dict[str, Run], runtime: str
) -> None:
    *_, report = quick_demo(demos, runtime)[1]
    assert report["event"] == "report"
    assert report["problems"] == []
    assert len(report["interruptions"]) == 2
    for each in report["interruptions"]:
        assert 0 < each["heard_ms"] < each["generated_ms"]
        assert each["reported_ms"] - each["heard_ms"] == each["difference_ms"]
        assert abs(each["difference_ms"]) <= TOLERANCE_MS


@each_runtime
def test_the_figures_agree_with_the_recording_and_the_phone(
    demos: dict[str, Run], runtime: str
) -> None:
    output, events = quick_demo(demos, runtime)
    discarded_ms = iter(each["discarded_ms"] for each in events if "discarded_ms" in each)
    generated, sent, figures = Counter[str](), Counter[str](), list[tuple[object, ...]]()
    for step in recorded_steps(output):
        event: dict[str, Any] = {}
        if step["method"] == "receive_text" and step["arguments"][0] == "realtime":
            event = json.loads(step["arguments"][1])
        if event.get("type") == "response.output_audio.delta":
            generated[event["item_id"]] += len(b64decode(event["delta"]))
        for message in (each["message"] for each in step["actions"] if each["@"] == "Send"):
            if message.get("event") == "media" and "item_id" in event:
                sent[event["item_id"]] += len(b64decode(message["media"]["payload"]))
            if message.get("type") == "conversation.item.truncate":
                item = message["item_id"]
                heard_ms = round(sent[item] / 8) - next(discarded_ms)
                figures.append((item, generated[item] // 8, heard_ms, message["audio_end_ms"]))
    reported = [
        (
            each["item_id"],
            each["generated_ms"],
            pytest.approx(each["heard_ms"], abs=1),
            each["reported_ms"],
        )
        for each in events[-1]["interruptions"]
    ]
    assert figures == reported


def recorded_steps(folder: Path) -> list[dict[str, Any]]:
    _, *lines = (folder / "call.jsonl").read_text("utf-8").splitlines()
    return [decode_line(line) for line in lines]


@each_runtime
def test_the_audio_file_has_both_sides_of_the_call(demos: dict[str, Run], runtime: str) -> None:
    output, events = quick_demo(demos, runtime)
    ended = next(each for each in events if each.get("reason") == "caller hung up")
    with wave.open(str(output / "call.wav")) as recording:
        assert recording.getnchannels() == 2
        assert recording.getframerate() == 8000
        assert recording.getnframes() == pytest.approx(8 * ended["at_ms"], abs=8 * 250)
        frames = recording.readframes(recording.getnframes())
    left, right = (set(frames[side::4]) | set(frames[side + 1 :: 4]) for side in (0, 2))
    assert len(left) > 2
    assert len(right) > 2


@each_runtime
def test_the_page_is_written_beside_the_recording_and_named(
    demos: dict[str, Run], runtime: str
) -> None:
    output, events = quick_demo(demos, runtime)
    assert str(output / "call.html") in events[-1]["files"]
    page = (output / "call.html").read_text("utf-8")
    assert "<title>The demo call</title>" in page
    assert 'id="agent-audio"' in page


@each_runtime
def test_the_recording_replays_and_has_its_time_of_day(demos: dict[str, Run], runtime: str) -> None:
    output, _ = quick_demo(demos, runtime)
    with (output / "call.jsonl").open(encoding="utf-8") as file:
        header = json.loads(file.readline())
        file.seek(0)
        result = replay(file)
    age = datetime.now(UTC) - datetime.fromisoformat(header["recorded_at"])
    assert timedelta() < age < timedelta(minutes=10)
    steps = recorded_steps(output)
    assert result == ReplayResult(len(steps))
    assert [step["method"] for step in steps[:2]] == ["start", "opened"]
    assert [step["at_ns"] for step in steps] == sorted(step["at_ns"] for step in steps)
    assert steps[-1]["actions"][-1]["event"]["@"] == "CallEnded"


@each_runtime
def test_the_entries_are_printed_in_order(demos: dict[str, Run], runtime: str) -> None:
    _, events = quick_demo(demos, runtime)
    names = [each["event"] for each in events]
    interruption = ["caller", "clear", "truncate", "twilio"]
    greeting = ["call", "session", "session", "app", "agent", "agent"]
    answers = ["caller", "agent", *interruption, "agent", "key", *interruption, "agent", "agent"]
    assert names == [*greeting, *answers, "caller", "call", "report"]


def test_a_terminal_shows_lanes_and_ctrl_c_ends_the_demo(tmp_path: Path) -> None:
    near, far = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "90", "LINES": "40"}
    command = [*COMMAND, "--quick", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=far, stderr=far, env=environment) as process:  # noqa: S603
        os.close(far)
        shown = read_until(near, b"\xe2\x96\xb2")  # the symbol of a clear
        process.send_signal(signal.SIGINT)
        shown += read_until(near, None)
        assert process.wait(HANG_S) == 130
    os.close(near)
    text = shown.decode()
    assert "agent heard" in text
    assert "queued" in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []


def read_until(descriptor: int, expected: bytes | None) -> bytes:
    """The output to a terminal until `expected` is in it, or until it is closed."""
    shown, until = b"", time.monotonic() + HANG_S
    while expected is None or expected not in shown:
        assert select.select([descriptor], [], [], until - time.monotonic())[0], shown
        try:
            shown += os.read(descriptor, 65536)
        except OSError:  # the other end is closed
            break
    return shown


@pytest.mark.parametrize("place", ["a file", "a file/and/below"])
def test_no_call_is_made_if_the_folder_is_not_writable(tmp_path: Path, place: str) -> None:
    (tmp_path / "a file").write_text("")
    command = [*COMMAND, "--output", str(tmp_path / place)]
    ran = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    assert "a file" in line


def test_an_unexpected_course_of_the_call_fails_with_its_reasons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    early = attrs.evolve(short_scenario(), script=(WhenAgentHeard(0, CallerHangsUp()),))
    monkeypatch.setattr(twilio_realtime.cli.demo, "short_scenario", lambda: early)
    arguments = ["--quick", "--json", "--output", str(tmp_path)]
    assert twilio_realtime.cli.demo.demo.main(arguments, standalone_mode=False) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["problems"] == [
        "items of each interruption: [], expected [1, 1]",
        "keys received: 0, expected 1",
    ]


# Its parts, under virtual time.


@frozen
class SimulatedCall:
    """A scenario in virtual time, and what was recorded of it."""

    recorder: Recorder
    steps: list[RecordedStep]
    phone: TwilioPeer
    model: RealtimePeer
    world: MessageWorld

    @property
    def started_ns(self) -> int:
        assert self.recorder.started_ns is not None
        return self.recorder.started_ns

    @property
    def interruptions(self) -> list[MeasuredInterruption]:
        return measure_interruptions(self.steps, self.phone.clears)

    def problems(self) -> list[str]:
        return find_problems(self.steps, self.interruptions, self.phone, self.model, 2)


def world_of(
    scenario: DemoScenario, bridge: MessageMachine, latency_ns: int = 0
) -> tuple[MessageWorld, TwilioPeer, RealtimePeer]:
    phone = TwilioPeer(url="ws://bridge/media-stream", seed=1, script=scenario.script)
    replies = [Reply((SpokenReply(each.audio, each.transcript),)) for each in scenario.agent_speech]
    model = RealtimePeer(replies, seed=1, pace=scenario.pace)
    world = message_call(
        bridge, phone, model, twilio_latency_ns=latency_ns, model_latency_ns=latency_ns
    )
    return world, phone, model


def config_of(scenario: DemoScenario) -> CallConfig:
    detection = {"type": "server_vad", "silence_duration_ms": scenario.silence_duration_ms}
    return CallConfig(session=SessionConfig(turn_detection=detection), reconnect=None)


def play(world: MessageWorld, until_ns: int = 40 * SECOND) -> None:
    """The call, with the application's part in it."""

    def is_ready() -> bool:
        return any(isinstance(event, SessionReady) for *_, event in world.notifications)

    world.run_until(is_ready, SECOND)
    world.call("bridge", "send", SendEvent(CreateResponse()))
    world.run(until_ns)


def simulate(scenario: DemoScenario, until_ns: int = 40 * SECOND) -> SimulatedCall:
    steps: list[RecordedStep] = []
    config = config_of(scenario)
    recorder = Recorder(Bridge(config), config, lambda _: None, on_step=steps.append)
    world, phone, model = world_of(scenario, recorder)
    play(world, until_ns)
    return SimulatedCall(recorder, steps, phone, model, world)


@pytest.fixture(scope="module")
def call() -> SimulatedCall:
    return simulate(full_scenario())


def shown(renderable: RenderableType, width: int = 80) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def test_a_recorder_changes_nothing_in_a_whole_call(call: SimulatedCall) -> None:
    world, *_ = world_of(full_scenario(), Bridge(config_of(full_scenario())))
    play(world)
    assert world.notifications == call.world.notifications


def test_each_step_of_a_call_is_passed_on(call: SimulatedCall) -> None:
    assert {step.method for step in call.steps} == {
        *("start", "opened", "receive_text", "pong", "closed", "handle_timeout", "send")
    }
    times_ns = [step.at_ns for step in call.steps]
    assert times_ns == sorted(times_ns)


def test_the_full_scenario_takes_its_expected_course(call: SimulatedCall) -> None:
    assert call.problems() == []
    first, second = call.interruptions
    answer, rest = full_scenario().agent_speech[1:3]
    assert first.generated_ms >= len(answer.audio) // 8  # all of it, with the last token's silence
    assert second.generated_ms < len(rest.audio) // 8
    assert 14 < call.steps[-1].at_ns / SECOND < 17


def test_measured_interruptions_are_exact_to_the_millisecond(call: SimulatedCall) -> None:
    first, second = call.interruptions
    greeting = len(full_scenario().agent_speech[0].audio)
    greeting += -greeting % 400  # made in tokens of 50 ms
    heard = [clear.heard_bytes for clear in call.phone.clears]
    assert first.heard_ms == first.reported_ms == samples_to_ms(heard[0] - greeting)
    assert second.heard_ms == second.reported_ms == samples_to_ms(heard[1] - heard[0])
    assert [each.difference_ms for each in call.interruptions] == [0, 0]


def test_a_clear_that_never_arrived_stops_no_audio(call: SimulatedCall) -> None:
    first, _ = measure_interruptions(call.steps, [])
    assert first.heard_ms == first.generated_ms
    assert first.reported_ms == call.interruptions[0].reported_ms


@pytest.mark.parametrize(
    ("reported_ms", "problem"),
    [
        (1000 + TOLERANCE_MS, None),
        (1000 - TOLERANCE_MS, None),
        (
            1000 + TOLERANCE_MS + 1,
            f"the reported position of item_1 is {TOLERANCE_MS + 1} ms too high",
        ),
        (
            1000 - TOLERANCE_MS - 1,
            f"the reported position of item_1 is {TOLERANCE_MS + 1} ms too low",
        ),
        (None, "no position of item_1 was reported to the model"),
    ],
)
def test_an_inaccurate_interruption_is_a_problem(
    call: SimulatedCall, reported_ms: int | None, problem: str | None
) -> None:
    interruption = MeasuredInterruption(SECOND, "item_1", 5000, 1000, reported_ms)
    found = find_problems(call.steps, [interruption], call.phone, call.model, 2)
    assert found == ([problem] if problem else [])


def test_each_problem_of_a_call_is_reported() -> None:
    call = simulate(short_scenario(), 2 * SECOND)
    call.phone.warnings.append(StreamWarning(31951, "no such message"))
    call.model.sent_errors.append(SentError("response.cancel", None, "there is none", None, None))
    assert call.problems() == [
        "the call has not ended",
        "items of each interruption: [1], expected [1, 1]",
        "keys received: 0, expected 1",
        "Twilio would log 31951: no such message",
        "the model refused response.cancel: there is none",
    ]


def test_an_end_for_another_reason_is_reported() -> None:
    call = simulate(short_scenario(), SECOND)
    call.world.sever(call.world.link("bridge", Peer.REALTIME))
    call.world.run(40 * SECOND)  # it is not connected again
    assert call.problems()[0] == "the call ended for another reason: realtime lost 1006"


def test_the_table_has_a_row_for_each_interruption() -> None:
    interruptions = [
        MeasuredInterruption(8 * SECOND, "item_1", 8050, 1806, 1800),
        MeasuredInterruption(11 * SECOND, "item_2", 400, 7, None),
    ]
    *_, first, second = shown(interruption_table(interruptions)).splitlines()
    assert " ".join(first.split()) == "8.00 s item_1 8,050 ms 1,806 ms 1,800 ms -6 ms"
    assert " ".join(second.split()) == "11.00 s item_2 400 ms 7 ms nothing ?"


def test_the_table_fits_on_a_terminal_of_80_columns(call: SimulatedCall) -> None:
    assert "…" not in shown(interruption_table(call.interruptions), 80)


def test_the_audio_file_has_the_caller_left_and_agent_right(tmp_path: Path) -> None:
    caller, agent = bytes(range(256)), bytes(reversed(range(256)))
    write_stereo_wav(tmp_path / "call.wav", caller, agent)
    with wave.open(str(tmp_path / "call.wav")) as recording:
        frames = recording.readframes(1000)
    left = b"".join(frames[at : at + 2] for at in range(0, len(frames), 4))
    right = b"".join(frames[at + 2 : at + 4] for at in range(0, len(frames), 4))
    assert (left, right) == (to_linear(caller), to_linear(agent))


# The lanes: 80 cells of 200 ms.


@pytest.fixture(scope="module")
def lanes(call: SimulatedCall) -> Lanes:
    made = Lanes(call.phone, call.started_ns, 80, 16.0)
    for step in call.steps:
        made.add_step(step)
    return made


def rows(lanes: Lanes, now: int) -> dict[str, str]:
    """The text of each lane, by its label."""
    lines = shown(lanes.draw(now), 120).splitlines()[1:]
    return {line[:11].strip(): line[12:].rstrip() for line in lines}


def test_lanes_show_who_is_audible_and_what_is_queued(call: SimulatedCall, lanes: Lanes) -> None:
    now = call.steps[-1].at_ns
    cells = rows(lanes, min(now, 16 * SECOND))
    for each in call.interruptions:
        at = each.at_ns // (200 * MS)
        assert cells["clear"][at] == "▲"
        assert cells["truncate"][at:].startswith(f"▲ {each.reported_ms:,} ms")
        assert cells["caller"][at + 1] != "·"
        assert cells["agent heard"][at - 2] != "·"
        assert cells["agent heard"][at + 2] == "·"
        assert cells["queued"][at - 1] in "▃▄▅▆▇█"
        assert cells["queued"][at + 1] == "·"
    assert cells["caller"].count("5") == 1


def test_full_lanes_scroll(call: SimulatedCall) -> None:
    made = Lanes(call.phone, call.started_ns, 40, 8.0)
    early = [step for step in call.steps if step.at_ns <= 8 * SECOND]
    for step in early:
        made.add_step(step)
    before = rows(made, 8 * SECOND)
    for step in call.steps[len(early) :]:
        made.add_step(step)
    after = rows(made, 12 * SECOND)
    assert len(after["caller"]) == len(before["caller"]) == 40
    assert after["agent heard"][:20] == before["agent heard"][20:]
    assert before["clear"] == ""
    assert after["clear"].count("▲") == 2


def test_lanes_are_empty_before_the_stream_starts() -> None:
    idle = Lanes(TwilioPeer(url="ws://bridge/media-stream"), SECOND, 40, 8.0)
    assert set(rows(idle, 5 * SECOND).values()) == {""}


# The entries.


def test_entries_are_lines_for_people_and_objects_for_programs() -> None:
    entry = TimelineEntry(1_234_567_890, "key", "5 pressed", {"digit": "5"})
    assert entry.to_line().plain == "   1.23 s  key       5 pressed"
    assert json.loads(entry.to_json()) == {
        "event": "key",
        "at_ms": 1234.568,
        "text": "5 pressed",
        "digit": "5",
    }


def test_a_warning_of_twilio_has_an_entry() -> None:
    (entry,) = Timeline({}, []).describe_phone_event(
        SECOND, StreamWarning(31951, "media: no payload")
    )
    assert entry == TimelineEntry(
        SECOND, "fault", "Twilio logs 31951: media: no payload", {"code": 31951}
    )
