"""Frames of silence that pass in one go have the effects that they have one by one."""

from collections.abc import Callable, Hashable
from typing import Any

import pytest
from attrs import define
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime.recordings.recorder import Recorder
from twilio_realtime.sim.batch.random_call import RandomCall
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.caller import (
    FRAME_MS_VALUES,
    AtTime,
    CallerHangsUp,
    CallerMutes,
    CallerPressesKey,
    CallerSays,
    Cue,
    WhenAgentQuiet,
)
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime.sim.reference import CheckedBridge, InvariantBroken
from twilio_realtime.sim.scenarios.parts import TURN_DETECTION
from twilio_realtime.sim.scenarios.voices import agent_voice, caller_voice
from twilio_realtime.sim.world import message_world
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime.sim.world.steps import Step
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Command,
    Peer,
    ReconnectPolicy,
    SendAudio,
    SessionConfig,
)
from twilio_realtime_core.machine.actions import Action, Close, Notify, Send
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, KeyPressed
from twilio_realtime_core.protocols.realtime import AppendAudio

# Random calls.


def observe(seed: int, frame_ms: int, *, skips_silence: bool) -> tuple[object, ...]:
    """All that can be observed of a random call, with each input and output of its bridge."""
    lines: list[str] = []
    call = RandomCall(
        Choices.from_seed(seed),
        make_bridge=lambda config: Recorder(Bridge(config), config, lines.append),
        frame_ms=frame_ms,
    )
    assert isinstance(call.world, MessageWorld)
    call.world.skips_silence = skips_silence
    failure = call.run()
    return (
        failure,
        "".join(lines),
        call.world.now,
        call.world.notifications,
        call.choices.draws,
        call.choices.decisions,
        call.phone.received_counts,
        call.model.received_counts,
        call.notification_counts,
        call.application.command_counts,
        call.plan.applied_counts(),
    )


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), frame_ms=st.sampled_from(FRAME_MS_VALUES))
def test_random_calls_are_the_same(seed: int, frame_ms: int) -> None:
    skipped = observe(seed, frame_ms, skips_silence=True)
    assert skipped == observe(seed, frame_ms, skips_silence=False)


# Calls that are mostly silence.

SESSION = SessionConfig(turn_detection=dict(TURN_DETECTION))
SCRIPT: tuple[Cue, ...] = (
    AtTime(2 * SECOND, CallerSays(caller_voice(700))),
    WhenAgentQuiet(3 * SECOND, CallerPressesKey("5")),
    AtTime(15 * SECOND, CallerMutes()),
    AtTime(16 * SECOND, CallerSays(caller_voice(700))),
    AtTime(25 * SECOND, CallerHangsUp()),
)


@define(eq=False)
class Parties:
    """The three machines of a call, and their world."""

    phone: TwilioPeer
    bridge: CheckedBridge
    model: RealtimePeer
    world: MessageWorld

    def observe(self) -> tuple[object, ...]:
        phone, model, now = self.phone, self.model, self.world.now
        return (
            now,
            self.world.notifications,
            phone.deadline,
            phone.clears,
            phone.recorded_audio(now),
            model.deadline,
            model.sent_errors,
            [(each.to_wire(), bytes(each.audio)) for each in model.conversation],
        )


def make_call(*, skips_silence: bool, bridge: Bridge | None = None, **options: Any) -> Parties:
    config = CallConfig(session=SESSION, url="ws://model/v1/realtime")
    script, phone_options = options.pop("script", SCRIPT), options.pop("phone", {})
    phone = TwilioPeer(url="ws://bridge/media", script=script, **phone_options)
    model = RealtimePeer([Reply((SpokenReply(agent_voice(2000), "so it is"),))])
    checked = CheckedBridge(bridge or Bridge(config), config)
    world = message_call(checked, phone, model, **options)
    world.skips_silence = skips_silence
    return Parties(phone, checked, model, world)


def run_both_ways(until_ns: int, make: Callable[[bool], Parties]) -> None:
    observed: list[object] = []
    for skips_silence in (True, False):
        parties = make(skips_silence)
        parties.world.run(until_ns)
        observed.append(parties.observe())
    assert observed[0] == observed[1]


@settings(max_examples=25)
@given(
    frame_ms=st.sampled_from(FRAME_MS_VALUES),
    jitter_ns=st.sampled_from([0, 2 * MS, 1]),
    latencies_ms=st.tuples(*[st.sampled_from([0, 1, 20, 40, 60, 100, 130])] * 2),
    seed=st.integers(0, 9),
    until_ms=st.integers(0, 30_000),
)
def test_mostly_silent_calls_are_the_same(
    *, frame_ms: int, jitter_ns: int, latencies_ms: tuple[int, int], seed: int, until_ms: int
) -> None:
    phone = {"frame_ms": frame_ms, "jitter_ns": jitter_ns, "seed": seed}
    run_both_ways(
        until_ms * MS,
        lambda skips_silence: make_call(
            skips_silence=skips_silence,
            phone=phone,
            twilio_latency_ns=latencies_ms[0] * MS,
            model_latency_ns=latencies_ms[1] * MS,
        ),
    )


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the steps of worlds from now on, in a list of one number."""
    steps, step = [0], MessageWorld.step

    def count(world: MessageWorld) -> bool:
        steps[0] += 1
        return step(world)

    monkeypatch.setattr(message_world.MessageWorld, "step", count)
    return steps


def test_silence_takes_hardly_any_steps_of_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count_steps(monkeypatch)
    silent = make_call(skips_silence=True, script=())
    silent.world.run(60 * SECOND)
    assert silent.phone.recorded_audio(60 * SECOND)[0].count(0xFF) > 59 * 8000
    assert steps[0] < 400  # most are of the round trips, which are measured each second at first


def test_silence_takes_hardly_any_steps_beside_a_session_that_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = count_steps(monkeypatch)
    reconnect = ReconnectPolicy(rotate_before_ms=59 * 60_000)  # of the hour of a session
    config = CallConfig(session=SESSION, url="ws://model/v1/realtime", reconnect=reconnect)
    silent = make_call(skips_silence=True, script=(), bridge=Bridge(config))
    silent.world.run(90 * SECOND)
    assert steps[0] < 700


def test_a_trace_has_every_frame() -> None:
    traced = make_call(skips_silence=True, script=(), trace_limit=10_000)
    traced.world.run(10 * SECOND)
    texts = [str(step.arguments) for step in traced.world.trace if step.machine == "model"]
    assert sum("input_audio_buffer.append" in each for each in texts) > 450


def test_watched_steps_have_every_frame() -> None:
    watched, seen = make_call(skips_silence=True, script=()), list[Step]()
    watched.world.step_observers.append(seen.append)
    watched.world.run(10 * SECOND)
    assert sum(step.machine == "model" for step in seen) > 450


def test_run_until_sees_every_frame() -> None:
    call = make_call(skips_silence=True, script=())
    call.world.run_until(lambda: call.world.now >= 5 * SECOND, 6 * SECOND)
    assert call.world.now < 5 * SECOND + 25 * MS


# Bridges that do something in the middle of silence.


class EventfulBridge(Bridge):
    """Changes what it returns to one frame; `frames` counts them."""

    change: Callable[[list[Action]], list[Action]]
    frame: int
    frames = 0

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        actions = super().receive_text(peer, text, now)
        self.frames += peer is Peer.TWILIO and text.startswith('{"event":"media"')
        return self.change(actions) if self.frames == self.frame else actions


def make_eventful(
    change: Callable[[list[Action]], list[Action]], frame: int
) -> Callable[[], EventfulBridge]:
    def make() -> EventfulBridge:
        bridge = EventfulBridge(CallConfig(session=SESSION, url="ws://model/v1/realtime"))
        bridge.change, bridge.frame = change, frame
        return bridge

    return make


def notify_key(actions: list[Action]) -> list[Action]:
    return [*actions, Notify(KeyPressed("1"))]


def do_nothing(_: list[Action]) -> list[Action]:
    return []


def send_audio(_: list[Action]) -> list[Action]:
    return [Send(Peer.REALTIME, AppendAudio("AAAA"))]


def hang_up(actions: list[Action]) -> list[Action]:
    return [*actions, Close(Peer.TWILIO, 1000, "")]


@pytest.mark.parametrize("frame", [60, 61, 100, 333])
@pytest.mark.parametrize("change", [notify_key, do_nothing, send_audio, hang_up])
def test_a_bridge_that_does_more_is_found_at_that_frame(
    change: Callable[[list[Action]], list[Action]], frame: int
) -> None:
    make, found = make_eventful(change, frame), list[object]()
    for skips_silence in (True, False):
        call = make_call(skips_silence=skips_silence, script=(), bridge=make())
        with pytest.raises(InvariantBroken) as caught:
            call.world.run(20 * SECOND)
        found.append((caught.value.number, str(caught.value), call.observe()))
    assert found[0] == found[1]


@pytest.mark.parametrize("frame", [60, 61, 100, 333])
@pytest.mark.parametrize("change", [notify_key, do_nothing, send_audio])
def test_an_unchecked_bridge_may_do_more_in_silence(
    change: Callable[[list[Action]], list[Action]], frame: int
) -> None:
    make, observed = make_eventful(change, frame), list[object]()
    for skips_silence in (True, False):
        phone = TwilioPeer(url="ws://bridge/media", script=SCRIPT)
        model = RealtimePeer([Reply((SpokenReply(agent_voice(2000), "so it is"),))])
        world = message_call(make(), phone, model)
        world.skips_silence = skips_silence
        world.run(30 * SECOND)
        heard = [bytes(each.audio) for each in model.conversation]
        observed.append((world.notifications, phone.recorded_audio(world.now), heard))
    assert observed[0] == observed[1]


def test_commands_come_between_frames() -> None:
    def make(skips_silence: bool) -> Parties:  # noqa: FBT001 - as it is called
        call = make_call(skips_silence=skips_silence, script=())
        command: Command = SendAudio(caller_voice(400), commit=False)
        call.world.schedule(5 * SECOND + 7, lambda: call.world.call("bridge", "send", command))
        return call

    run_both_ways(12 * SECOND, make)


# What may be longer than 20 ms.


@pytest.mark.parametrize("frame_ms", FRAME_MS_VALUES)
def test_frames_last_as_long_as_is_said(frame_ms: int) -> None:
    call = make_call(skips_silence=False, phone={"frame_ms": frame_ms}, trace_limit=100_000)
    call.world.run(30 * SECOND)
    frames = [
        str(step.arguments[1])
        for step in call.world.trace
        if step.machine == "bridge" and '"event":"media"' in str(step.arguments)
    ]
    assert abs(len(frames) - 25_000 // frame_ms) <= 10
    assert CallEnded in {type(event) for _, _, event in call.world.notifications}


@pytest.mark.parametrize("frame_ms", [0, 10, 30, 120, -20, 20.5])
def test_frames_of_another_duration_are_refused(frame_ms: int) -> None:
    with pytest.raises(ValueError, match="frame_ms must be one of"):
        TwilioPeer(frame_ms=frame_ms)
    with pytest.raises(ValueError, match="frame_ms must be one of"):
        RandomCall(Choices.from_seed(0), frame_ms=frame_ms)
