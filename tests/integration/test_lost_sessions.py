"""Calls whose model is killed and started again, with real sockets and three processes."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import monotonic_ns
from typing import Any

import anyio
import pytest
from attrs import define, field, frozen

import numbered_audio
from command_line import RUNTIMES as NAMES
from driving import RUNTIMES, ignore
from free_ports import free_port
from numbered_audio import FRAME_MS, START, numbered_frames
from served_calls import LINK, PATIENCE_S, Phone, ServeProcess, wait_until
from twilio_realtime.sim.phone.twilio_peer import SERVER
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.transport.stack import Stack

CALLS = 20
KILLS = int(os.environ.get("KILLS", "3"))
"""How often the model is killed; `KILLS=100 make test-integration` tries it for longer."""

FRAMES_AHEAD = 6_000
"""Frames that each caller has left to say when a model is killed: two minutes."""

AGENT = """
from attrs import evolve

from twilio_realtime import Call
from twilio_realtime_core import CallConfig, ModelSilencePolicy, ReconnectPolicy
from twilio_realtime_core.commands import SendEvent
from twilio_realtime_core.notifications import PlaybackFinished
from twilio_realtime_core.protocols.realtime import CreateResponse


class Talker:
    def call_config(self, base: CallConfig, decided: CallConfig | None) -> CallConfig:
        patient = ReconnectPolicy(max_attempts=100, timeout_ms=120_000)
        return evolve(
            base, reconnect=patient, on_model_silent=ModelSilencePolicy(hang_up=False)
        )

    async def __call__(self, call: Call) -> None:
        call.send(SendEvent(CreateResponse()))
        async for event in call:
            if isinstance(event, PlaybackFinished):
                call.send(SendEvent(CreateResponse()))


talk = Talker()
"""
"""An agent that says the next sentence as soon as the last one was heard. It waits for a model that
a busy machine takes long to start."""


@define(eq=False)
class ModelProcess:
    """A simulated model in another process, which can be killed and started again. It notes in a
    file which frames of which caller it has received."""

    port: int
    noted: Path
    _process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        command = [sys.executable, numbered_audio.__file__, str(self.port), str(self.noted)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def arrivals(self) -> dict[int, dict[int, int]]:
        """Return for each call its frames in the order in which they arrived first, and when (ns,
        `CLOCK_MONOTONIC`)."""
        calls: dict[int, dict[int, int]] = {number: {} for number in range(CALLS)}
        for call, frame, now in self._notes():
            if call != START:
                calls[call].setdefault(frame, now)
        return calls

    def starts_ns(self) -> list[int]:
        """Return when it has listened each time."""
        return [now for call, _, now in self._notes() if call == START]

    def _notes(self) -> Iterator[list[int]]:
        for line in self.noted.read_text().splitlines():
            yield [int(each) for each in line.split()]


@define(eq=False)
class ServiceLog:
    """What the service has logged so far, in JSON."""

    path: Path
    _counts: Counter[str] = field(init=False, factory=Counter[str])
    _read_bytes: int = field(init=False, default=0)

    def count(self, name: str) -> int:
        """Return how many events of that name it has; each line is read once."""
        with self.path.open("rb") as file:
            file.seek(self._read_bytes)
            for line in file:
                if line.endswith(b"\n"):
                    self._counts[json.loads(line)["event"]] += 1
                    self._read_bytes += len(line)
        return self._counts[name]

    def has_restored(self, count: int) -> bool:
        """Whether so many sessions were restored. No call may have ended."""
        assert self.count("call.ended") == 0
        return self.count("session.restored") >= count


@frozen
class Kill:
    """When a model was killed, and when all calls had another session and heard it (ns,
    `CLOCK_MONOTONIC`)."""

    killed_ns: int
    over_ns: int


@define(eq=False)
class TalkingCall:
    """A call of a phone whose caller never stops to make sounds, in numbered frames."""

    number: int
    phone: Phone
    driver: Any
    stack: Stack
    clock_offset_ns: int = field(init=False, default=0)
    """What the clock of the driver is ahead of `CLOCK_MONOTONIC`."""
    _began_ns: int = field(init=False, default=0)
    _said_frames: int = field(init=False, default=0)

    @classmethod
    def build(cls, number: int, port: int, api: Any) -> "TalkingCall":
        phone = Phone(url=f"ws://127.0.0.1:{port}/media-stream", seed=number)
        stack = Stack(phone, {SERVER: LINK}, os.urandom)
        return cls(number, phone, api.Driver(stack, ignore), stack)

    @property
    def heard_bytes(self) -> int:
        """How much of the agent was heard so far."""
        return self.phone.heard_bytes_at(self.driver.now())

    def speak(self) -> None:
        """Have enough frames left to say."""
        now = self.driver.now()
        self.clock_offset_ns = now - monotonic_ns()
        self._began_ns = self._began_ns or now
        passed = (now - self._began_ns) // (FRAME_MS * MS)
        count = max(0, passed + FRAMES_AHEAD - self._said_frames)
        audio = numbered_frames(self.number, self._said_frames, count)
        self._said_frames += count
        self.driver.perform(self.stack.perform(self.phone.say(audio, now), now))

    def pauses(self) -> list[tuple[int, int]]:
        """Return when the agent was silent between two things that it said."""
        played = self.phone.segments(self.driver.now())
        return [
            (one.end_ns - self.clock_offset_ns, next_.start_ns - self.clock_offset_ns)
            for one, next_ in pairwise(played)
        ]


async def kill_again_and_again(
    model: ModelProcess, log: ServiceLog, calls: list[TalkingCall]
) -> list[Kill]:
    """Kill the model and start it again, each time once all calls have heard the agent."""
    await wait_until(lambda: log.count("session.ready") >= CALLS)
    kills = list[Kill]()
    for number in range(1, KILLS + 1):
        for each in calls:
            each.speak()
        heard = [each.heard_bytes for each in calls]
        await wait_until(partial(_has_heard_more, calls, heard))
        killed_ns = monotonic_ns()
        model.kill()
        model.start()
        await wait_until(partial(log.has_restored, CALLS * number))
        heard = [each.heard_bytes for each in calls]
        await wait_until(partial(_has_heard_more, calls, heard))
        kills.append(Kill(killed_ns, monotonic_ns()))
        assert not any(each.phone.close_codes for each in calls)
    return kills


def _has_heard_more(calls: list[TalkingCall], heard: list[int]) -> bool:
    return all(call.heard_bytes > before for call, before in zip(calls, heard, strict=True))


def agent_gaps_ms(calls: Iterable[TalkingCall], kills: list[Kill]) -> list[int]:
    """Return for each call and kill the longest pause of the agent around it, 0 without one."""
    gaps: list[int] = []
    for pauses in (each.pauses() for each in calls):
        for kill in kills:
            around = [end - start for start, end in pauses if _overlaps(start, end, kill)]
            gaps.append(max(around, default=0) // MS)
    return gaps


def _overlaps(start_ns: int, end_ns: int, kill: Kill) -> bool:
    return start_ns < kill.over_ns and kill.killed_ns < end_ns


def caller_gaps_ms(model: ModelProcess, kills: list[Kill]) -> tuple[list[int], list[int]]:
    """Return for each call and kill how long no model got the caller's audio, and how much of it
    none ever got: what was under way to the one that was killed."""
    delays_ms, lost_ms = list[int](), list[int]()
    for arrivals in model.arrivals().values():
        frames = list(arrivals.items())
        assert [frame for frame, _ in frames] == sorted(arrivals)  # in order, after each kill too
        for kill in kills:
            gaps = [
                (later_ns - ns, frame - before - 1)
                for (before, ns), (frame, later_ns) in pairwise(frames)
                if _overlaps(ns, later_ns, kill)
            ]
            delays_ms.append(max(each for each, _ in gaps) // MS)
            lost_ms.append(sum(each for _, each in gaps) * FRAME_MS)
    return delays_ms, lost_ms


@pytest.mark.parametrize("runtime", NAMES)
def test_calls_outlive_a_model_that_is_killed(runtime: str, tmp_path: Path) -> None:
    (tmp_path / "talker.py").write_text(AGENT)
    log = ServiceLog(tmp_path / "log")
    model = ModelProcess(free_port(), tmp_path / "frames")
    api = RUNTIMES[runtime]
    calls, kills = list[TalkingCall](), list[Kill]()

    async def main() -> None:
        port = free_port()
        options = (
            *("talker:talk", "--log-format", "json", "--runtime", runtime),
            *("--max-calls-per-minute", "10000"),
            *("--realtime-url", f"ws://127.0.0.1:{model.port}/v1/realtime"),
        )
        with log.path.open("wb") as output, anyio.fail_after(PATIENCE_S + 20 * KILLS):
            serve = ServeProcess.start(port, *options, stdout=output, folder=tmp_path)
            try:
                await serve.wait_until_healthy()
                async with anyio.create_task_group() as tasks:
                    calls.extend(TalkingCall.build(each, port, api) for each in range(CALLS))
                    for call in calls:
                        tasks.start_soon(call.driver.run)
                    kills.extend(await kill_again_and_again(model, log, calls))
                    report(runtime, model, calls, kills)
                    tasks.cancel_scope.cancel()
            finally:
                serve.kill()

    model.start()
    try:
        anyio.run(main, backend=runtime)
    finally:
        model.kill()


def report(runtime: str, model: ModelProcess, calls: list[TalkingCall], kills: list[Kill]) -> None:
    """Print the gaps in the audio of both sides, for `pytest -s`."""
    delays_ms, lost_ms = caller_gaps_ms(model, kills)
    outages_ms = [
        (start - each.killed_ns) // MS
        for each, start in zip(kills, model.starts_ns()[1:], strict=True)
    ]
    for what, gaps_ms in (
        ("the model does not listen", outages_ms),
        ("the agent is silent", agent_gaps_ms(calls, kills)),
        ("the caller's audio is delayed", delays_ms),
        ("the caller's audio that no model got", lost_ms),
    ):
        print(f"{runtime}: {what}: median {median(gaps_ms):.0f} ms, worst {max(gaps_ms)} ms")
