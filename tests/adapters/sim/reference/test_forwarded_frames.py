"""Frames that are only forwarded are judged by themselves, with the verdicts of all judges."""

from collections.abc import Callable, Hashable
from functools import partial
from unittest import mock

import pytest
from attrs import define
from hypothesis import example, given, settings
from hypothesis import strategies as st

from calling import OTHER_SID, SID, Call, media, speech_started
from faulty_call import FaultyCall, breaks
from twilio_realtime.sim.batch import random_call
from twilio_realtime.sim.batch.random_call import Failure, RandomCall
from twilio_realtime.sim.choices import Choices
from twilio_realtime.sim.reference import CheckedBridge
from twilio_realtime.sim.reference.expected.call import ExpectedCall
from twilio_realtime.sim.reference.forwarded_frames import ForwardedFrames
from twilio_realtime.sim.reference.invariants import INVARIANTS
from twilio_realtime.sim.reference.reading import read_twilio
from twilio_realtime.sim.reference.received import ReceivedMedia, UnreadableMessage
from twilio_realtime_core import Bridge, CallConfig, Command, Mute, Peer
from twilio_realtime_core.machine.actions import Action, Notify, Refusal, Send
from twilio_realtime_core.notifications import KeyPressed
from twilio_realtime_core.protocols.realtime import AppendAudio, ClearInputAudio
from twilio_realtime_core.protocols.twilio import Clear

Spoil = Callable[[list[Action]], list[Action]]


def _append_other_audio(actions: list[Action]) -> list[Action]:
    return [
        Send(each.peer, AppendAudio("AAAA"))
        if isinstance(each, Send) and isinstance(each.message, AppendAudio)
        else each
        for each in actions
    ]


SPOILS: dict[str, Spoil] = {
    "nothing is sent": lambda _: [],
    "all is sent twice": lambda actions: actions * 2,
    "other audio is appended": _append_other_audio,
    "a key is notified": lambda actions: [*actions, Notify(KeyPressed("1"))],
    "the buffer is cleared": lambda actions: [*actions, Send(Peer.REALTIME, ClearInputAudio())],
    "the audio is cleared": lambda actions: [*actions, Send(Peer.TWILIO, Clear(SID))],
    "the order is reversed": lambda actions: actions[::-1],
}


@define(eq=False)
class SpoiledBridge:
    """A bridge whose outputs are spoiled in one step, and whose deadline from there on may be
    another."""

    bridge: Bridge
    spoiled_step: int
    spoil: Spoil
    has_no_deadline: bool
    steps: int = 0

    @property
    def deadline(self) -> int | None:
        is_lost = self.has_no_deadline and self.steps >= self.spoiled_step
        return None if is_lost else self.bridge.deadline

    def start(self, now: int) -> list[Action]:
        return self._spoil(self.bridge.start(now))

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return self._spoil(self.bridge.opened(peer, now))

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return self._spoil(self.bridge.receive_text(peer, text, now))

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return self._spoil(self.bridge.pong(peer, payload, now))

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self._spoil(self.bridge.refused(peer, refusal, now))

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return self._spoil(self.bridge.closed(peer, code, reason, now))

    def handle_timeout(self, now: int) -> list[Action]:
        return self._spoil(self.bridge.handle_timeout(now))

    def send(self, command: Command, now: int) -> list[Action]:
        return self._spoil(self.bridge.send(command, now))

    def _spoil(self, actions: list[Action]) -> list[Action]:
        self.steps += 1
        return self.spoil(actions) if self.steps == self.spoiled_step else actions


def verdict(
    seed: int, make_bridge: Callable[[CallConfig], SpoiledBridge | Bridge], *, judges_all: bool
) -> tuple[Failure | None, int]:
    """What is wrong with a call, and when that was noticed."""
    judge = partial(CheckedBridge, judges_all=judges_all)
    with mock.patch.object(random_call, "CheckedBridge", judge):
        call = RandomCall(Choices.from_seed(seed), make_bridge=make_bridge)
        return call.run(), call.world.now


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
@example(seed=4)
def test_a_correct_bridge_passes_all_judges(seed: int) -> None:
    assert verdict(seed, Bridge, judges_all=True)[0] is None


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32),
    spoiled_step=st.integers(1, 500),
    spoil=st.sampled_from(sorted(SPOILS)),
    has_no_deadline=st.booleans(),
)
@example(seed=388, spoiled_step=434, spoil="all is sent twice", has_no_deadline=True)
def test_verdicts_are_those_of_all_judges(
    *, seed: int, spoiled_step: int, spoil: str, has_no_deadline: bool
) -> None:
    def make(config: CallConfig) -> SpoiledBridge:
        return SpoiledBridge(Bridge(config), spoiled_step, SPOILS[spoil], has_no_deadline)

    assert verdict(seed, make, judges_all=False) == verdict(seed, make, judges_all=True)


def test_no_judge_has_to_see_every_frame() -> None:
    # One that does makes each simulated call a quarter slower.
    call = ExpectedCall(CallConfig())
    judges, states = [each(call) for each in INVARIANTS], (call.links, *call.dependent_parts)
    assert ForwardedFrames(call, judges, states).is_possible


# Single frames.


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [Send(Peer.REALTIME, AppendAudio("AAAA"))],
        [Send(Peer.TWILIO, AppendAudio("/w=="))],
    ],
)
def test_a_frame_that_is_not_forwarded_is_found(actions: list[Action]) -> None:
    call = FaultyCall.ready()
    call.change(lambda _: actions)
    with pytest.raises(AssertionError, match="invariant"):
        call.phone(media("/w=="))


def test_a_frame_of_a_muted_caller_is_judged_in_full() -> None:
    call = FaultyCall.ready()
    call.send(Mute())
    call.change(lambda _: [Send(Peer.REALTIME, AppendAudio("AAAA"))])  # as it was received
    with breaks(2):
        call.phone(media("AAAA"))


def test_a_frame_ends_the_wait_for_silence() -> None:
    call = FaultyCall.ready()
    call.model(speech_started())
    call.phone(media("AAAA", timestamp_ms=155))
    call.faulty_bridge.is_never_due = True
    with breaks(2):
        call.phone(media("AAAA", timestamp_ms=175))


def test_a_frame_of_another_stream_is_not_forwarded() -> None:
    assert Call.ready().phone(media("AAAA", OTHER_SID)).to_model == []


# Reading.

FRAME = (
    '{"event":"media","sequenceNumber":"3","media":{"track":"inbound","chunk":"1",'
    '"timestamp":"5","payload":"%s"},"streamSid":"MZ1"}'
)


@pytest.mark.parametrize("payload", ["/w==", "AAAA", ""])
def test_a_frame_is_read(payload: str) -> None:
    frame = read_twilio(FRAME % payload)
    assert isinstance(frame, ReceivedMedia)
    assert (frame.stream_sid, frame.payload, frame.timestamp_ms) == ("MZ1", payload, 5)


def test_a_frame_with_an_escape_is_read_as_json() -> None:
    frame = read_twilio(FRAME % r"\u0041AAA")
    assert isinstance(frame, ReceivedMedia)
    assert frame.payload == "AAAA"


@pytest.mark.parametrize("payload", ["\n", '"', "\\"])
def test_a_frame_that_is_no_json_is_unreadable(payload: str) -> None:
    assert isinstance(read_twilio(FRAME % payload), UnreadableMessage)
