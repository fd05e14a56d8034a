"""A call of two hours, whose session is replaced twice before it expires."""

import gc
import sys
from base64 import b64decode
from collections.abc import Hashable
from itertools import pairwise
from types import FunctionType, ModuleType
from typing import Any

import msgspec
from attrs import define, field

from numbered_audio import find_frames, numbered_frames
from twilio_realtime.sim.model.realtime_peer import RealtimePeer
from twilio_realtime.sim.model.replies import Reply, SpokenReply
from twilio_realtime.sim.phone.twilio_peer import TwilioPeer
from twilio_realtime.sim.scenarios.voices import agent_voice, caller_voice
from twilio_realtime.sim.world.calls import message_call
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime_core import Action, Bridge, CallConfig, Fault, SessionConfig
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerAudioDropped,
    CallerAudioPadded,
    SessionLost,
    SessionReady,
    SessionRestored,
    SessionRotated,
)

MINUTE = 60 * SECOND
CALL_NS = 120 * MINUTE
ANSWER = agent_voice(3_000)
QUESTION = caller_voice(600)
QUESTIONS = 240
"""One every 30 s."""

ROTATIONS_NS = (58 * MINUTE, 116 * MINUTE)
"""When the next sessions are opened: two minutes before the last one is an hour old. Then the agent
answers a question."""

WINDOW_FRAMES = (1400, 1470, 1470, 1470, 70)
"""The frames with numbers in the two minutes around that: before, between and behind questions."""

KEPT_BYTES = 4_000
"""More than an item may take, with its words and what is known of its response."""


class NotingModel(RealtimePeer):
    """A model that notes the numbers of the caller's frames that it has received."""

    def __init__(self, number: int) -> None:
        super().__init__(
            [Reply((SpokenReply(ANSWER, "We are open from ten to six."),))],
            seed=number,
            transcripts=["When are you open?"] * QUESTIONS,
        )
        self.frames: list[int] = []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        event = msgspec.json.decode(text)
        if event["type"] == "input_audio_buffer.append":
            self.frames += [number for _, number in find_frames(b64decode(event["audio"]))]
        return super().receive_text(peer, text, now)


@define(eq=False)
class LongCall:
    """The call, its models, and what was notified of it, with the times (ns)."""

    phone: TwilioPeer = field(init=False)
    bridge: Bridge = field(init=False)
    world: MessageWorld = field(init=False)
    models: list[NotingModel] = field(init=False, factory=list[NotingModel])
    events: list[tuple[int, object]] = field(init=False, factory=list[tuple[int, object]])
    said_frames: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        session = SessionConfig(transcription={"model": "gpt-transcribe"})
        self.bridge = Bridge(CallConfig(url="ws://model/v1/realtime", session=session))
        self.phone = TwilioPeer(url="ws://bridge/media-stream", frame_ms=100)
        model = self.make_model()
        self.world = message_call(self.bridge, self.phone, model, make_model=self.make_model)
        self.world.notification_listeners.append(self._note)
        for number in range(QUESTIONS):
            at_ns = (30 * number + 28) * SECOND
            if all(abs(at_ns - each) > MINUTE for each in ROTATIONS_NS):
                self.world.schedule(at_ns, self._ask)
        for at_ns in ROTATIONS_NS:
            self.world.schedule(at_ns - MINUTE, self._say_numbers)

    def make_model(self) -> NotingModel:
        self.models.append(NotingModel(len(self.models)))
        return self.models[-1]

    def of(self, *kinds: type) -> list[tuple[int, Any]]:
        return [each for each in self.events if isinstance(each[1], kinds)]

    def _note(self, name: str, event: object) -> None:
        kept = (
            *(CallEnded, CallerAudioDropped, CallerAudioPadded, Fault),
            *(SessionLost, SessionReady, SessionRestored, SessionRotated),
        )
        if name == "bridge" and isinstance(event, kept):
            self.events.append((self.world.now, event))

    def _ask(self) -> None:
        self._say(QUESTION)

    def _say_numbers(self) -> None:
        """Say something in all frames of two minutes, not louder than silence but for the
        questions."""
        for frames in WINDOW_FRAMES:
            if frames is not WINDOW_FRAMES[0]:
                self._ask()
            self._say(numbered_frames(0, self.said_frames, frames))
            self.said_frames += frames

    def _say(self, audio: bytes) -> None:
        self.world.call("phone", "say", audio)


def size_of(root: object) -> int:
    """Return the bytes of an object and of all that it refers to."""
    found, waiting = {id(root)}, [root]
    size = 0
    while waiting:
        each = waiting.pop()
        size += sys.getsizeof(each)
        for other in gc.get_referents(each):
            is_code = isinstance(other, type | ModuleType | FunctionType)
            if not is_code and id(other) not in found:
                found.add(id(other))
                waiting.append(other)
    return size


def test_a_call_of_two_hours_outlives_its_sessions_unnoticed() -> None:
    call = LongCall()
    sizes, items = list[int](), list[int]()
    for minutes in (10, 55, 110):
        call.world.run(minutes * MINUTE)
        sizes.append(size_of(call.bridge))
        items.append(len(call.bridge.items))
    call.world.run(CALL_NS + 10 * SECOND)

    # The sessions are replaced in time, and nothing else is notified that went wrong.
    rotated = [at_ns for at_ns, _ in call.of(SessionRotated)]
    assert len(rotated) == len(ROTATIONS_NS) == len(call.models) - 1
    for at_ns, due_ns in zip(rotated, ROTATIONS_NS, strict=True):
        assert due_ns <= at_ns < due_ns + MINUTE
    assert all(each.lost == () for _, each in call.of(SessionRestored))
    wrong = CallEnded, CallerAudioDropped, CallerAudioPadded, Fault, SessionLost
    assert call.of(*wrong) == []
    assert call.phone.warnings == []
    assert [each.sent_errors for each in call.models] == [[], [], []]

    # The agent: each answer is heard from its beginning to its end, without a pause.
    played = [each.audio for each in call.phone.segments(call.world.now)]
    assert set(played) == {ANSWER}
    assert len(played) == QUESTIONS

    # The caller: the next session gets the frames on from those of the last one.
    count = sum(WINDOW_FRAMES)
    for number, (old, new) in enumerate(pairwise(call.models)):
        window = range(number * count, (number + 1) * count)
        said = [each for each in old.frames if each in window]
        later = [each for each in new.frames if each in window]
        assert said == list(range(window[0], said[-1] + 1))
        assert later == list(range(later[0], window[-1] + 1))
        overlap = said[-1] + 1 - later[0]
        assert 0 <= overlap * 20 * MS <= SECOND

    # The memory grows with the conversation alone.
    for (size, known), (later_size, later_known) in pairwise(zip(sizes, items, strict=True)):
        assert later_known > known
        assert later_size - size < (later_known - known) * KEPT_BYTES
