"""Calls made of parts, and the speech in them."""

from typing import Any

import pytest

from twilio_realtime.sim.batch.application import RANDOM_COMMANDS, SimApplication
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.vad import VadSettings, VadSpeechStarted, VoiceActivityDetector
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime.sim.scenarios.parts import (
    TURN_DETECTION,
    ScenarioPart,
    answer,
    greeting,
    question,
)
from twilio_realtime.sim.scenarios.table import SCENARIOS
from twilio_realtime.sim.scenarios.voices import agent_voice, caller_voice
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime_core import Bridge, CallConfig, Command, LocalProtocolError, SessionConfig
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallEnded, Interrupted, KeyPressed, PlaybackStarted


def play(part: ScenarioPart, limit_ns: int = 15 * SECOND) -> tuple[MessageWorld, SimApplication]:
    """Make a call on good links, until its end or a limit."""
    session = SessionConfig(turn_detection=dict(TURN_DETECTION))
    bridge = Bridge(CallConfig(url="ws://model/v1/realtime", session=session))
    phone = TwilioPeer(url="ws://bridge/media-stream", script=part.cues)
    world = message_call(bridge, phone, RealtimePeer(part.replies))

    def perform(command: Command) -> None:
        world.call("bridge", "send", command)

    application = SimApplication(
        list(part.commands), perform, lambda ns, job: world.schedule(world.now + ns, job)
    )
    world.notification_listeners.append(
        lambda name, event: application.on_notification(event) if name == "bridge" else None
    )
    world.run(limit_ns)
    return world, application


def notifications_of(world: MessageWorld, kind: type[Any]) -> list[Any]:
    return [event for _, _, event in world.notifications if isinstance(event, kind)]


def test_adding_parts_joins_their_contents() -> None:
    whole = greeting() + question() + answer(800)
    assert len(whole.cues) == 3
    assert len(whole.replies) == 2
    assert len(whole.commands) == 1


def test_turn_detection_detects_the_callers_voice() -> None:
    detector = VoiceActivityDetector(VadSettings())
    levels = bytes(255 for _ in caller_voice(64))
    assert isinstance(detector.process(levels)[0], VadSpeechStarted)
    assert len(caller_voice(64)) == len(agent_voice(64)) == 8 * 64


def test_no_two_frames_of_the_agent_are_alike() -> None:
    voice = agent_voice(1000)
    frames = {voice[at : at + 160] for at in range(0, len(voice), 160)}
    assert len(frames) == 50


@pytest.mark.parametrize(
    ("name", "interruptions"),
    [
        ("greeting", 0),
        ("question", 0),
        ("early-interruption", 1),
        ("late-interruption", 1),
        ("two-interruptions", 2),
        ("several-items", 1),
        ("application-interrupts", 1),
        ("monologue", 0),
    ],
)
def test_a_scenario_has_the_interruptions_of_its_name(name: str, interruptions: int) -> None:
    world, _ = play(SCENARIOS[name]())
    assert len(notifications_of(world, Interrupted)) == interruptions


@pytest.mark.parametrize(
    "name",
    ["greeting", "question", "silence", "keys", "muted", "caller-hangs-up", "agent-hangs-up"],
)
def test_a_scenario_ends_with_a_hang_up(name: str) -> None:
    world, application = play(SCENARIOS[name]())
    assert len(notifications_of(world, CallEnded)) == 1
    assert not application.refused_counts


def test_keys_are_pressed() -> None:
    world, _ = play(SCENARIOS["keys"]())
    assert notifications_of(world, KeyPressed) == [KeyPressed(digit) for digit in "42#"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_caller_hears_audio_in_every_scenario(name: str) -> None:
    world, _ = play(SCENARIOS[name]())
    assert notifications_of(world, PlaybackStarted)


def test_refused_commands_are_counted() -> None:
    application = SimApplication([], _refuse, lambda _, job: None)
    make = RANDOM_COMMANDS[0][1]
    application.send_command(make(application, Choices.from_seed(1)))
    assert application.refused_counts == application.command_counts == {"Interrupt": 1}


def _refuse(command: Command) -> None:
    raise LocalProtocolError(f"no {command}")


def test_every_random_command_can_be_made_at_once() -> None:
    choices = Choices.from_seed(1)
    application = SimApplication([], lambda _: None, lambda _, job: None)
    for _, make in RANDOM_COMMANDS:
        application.send_command(make(application, choices))
    assert application.command_counts.total() == len(RANDOM_COMMANDS)
