"""The invariants hold for any order of what both peers, the application and the clock do."""

import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Hashable
from pathlib import Path
from random import Random
from typing import Any, Final, Self, TypeAlias

import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from calling import (
    PCMU,
    SESSION,
    Call,
    StepResult,
    audio,
    audio_done,
    connected,
    created,
    delta,
    dtmf,
    item_done,
    mark,
    media,
    response_done,
    server_error,
    speech_started,
    start,
    stop,
)
from queries import query_all
from twilio_realtime.sim.reference import CallMachine
from twilio_realtime_core import (
    Bridge,
    CallConfig,
    Command,
    Configure,
    HangUp,
    Interrupt,
    LocalProtocolError,
    Peer,
    Refusal,
    SendEvent,
)
from twilio_realtime_core.machine.actions import Action
from twilio_realtime_core.machine.units import MS, SECOND, samples_to_ns
from twilio_realtime_core.notifications import CallEnded
from twilio_realtime_core.protocols.realtime import (
    AppendAudio,
    CancelResponse,
    ClearInputAudio,
    ClientEvent,
    CommitAudio,
    CreateItem,
    CreateResponse,
    UpdateSession,
)
from twilio_realtime_core.protocols.twilio import Clear, Mark

Event: TypeAlias = tuple[str, int, int]
"""What happens next, and two numbers that determine how."""

CONFIGS: Final = [
    CallConfig(),
    CallConfig(configure_timeout_ms=1_000),
    CallConfig(raw_messages=frozenset(Peer), session_timeout_ms=3_000),
]
JUNK: Final = [
    "",
    "{",
    "null",
    "[]",
    "{}",
    '{"event":"media"}',
    '{"event":7}',
    '{"event":"stop","streamSid":"MZ9"}',
    '{"event":"mark","streamSid":"MZ1","mark":{"name":"7"}}',
    '{"type":"response.output_audio.delta","response_id":"r0","item_id":"i0","delta":"*"}',
    '{"type":"response.output_audio.delta","response_id":"r0"}',
    '{"type":"response.done","response":{"id":"junk","conversation_id":null}}',
    '{"type":"session.updated","session":[]}',
    '{"type":"conversation.item.truncated","item_id":"i0"}',
    '{"type":"error","error":{"code":"response_cancel_not_active","event_id":"bridge-cancel-r0"}}',
]
EVENTS: Final[list[ClientEvent]] = [
    CreateResponse(),
    CommitAudio("e"),
    ClearInputAudio(),
    CancelResponse(),
    AppendAudio(audio(400, 9)),
    CreateItem({"type": "message", "role": "user", "content": []}),
    UpdateSession({"type": "realtime", "instructions": "x"}),
]
COMMANDS: Final[list[Command]] = [
    Interrupt(),
    Interrupt(cancel=False),
    Configure(model="m"),
    *(SendEvent(event) for event in EVENTS),
]


class Recorder:
    """A bridge, and all its inputs and actions."""

    def __init__(self, bridge: CallMachine) -> None:
        self._bridge = bridge
        self.steps: list[tuple[str, tuple[Any, ...], list[Action] | None]] = []
        """Method, arguments, answer; `None` for misuse."""

    @property
    def deadline(self) -> int | None:
        return self._bridge.deadline

    def start(self, now: int) -> list[Action]:
        return self._do("start", now)

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        return self._do("opened", peer, now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        return self._do("receive_text", peer, text, now)

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        return self._do("pong", peer, payload, now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        return self._do("refused", peer, refusal, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        return self._do("closed", peer, code, reason, now)

    def handle_timeout(self, now: int) -> list[Action]:
        return self._do("handle_timeout", now)

    def send(self, command: Command, now: int) -> list[Action]:
        return self._do("send", command, now)

    def _do(self, method: str, *arguments: Any) -> list[Action]:
        answer: list[Action] | None = None
        try:
            answer = getattr(self._bridge, method)(*arguments)
        finally:
            self.steps.append((method, arguments, answer))
        return answer or []


class RecordedCall(Call):
    recorder: Recorder

    def build(self) -> CallMachine:
        self.recorder = Recorder(Bridge(self.config))
        return self.recorder


@define
class SpokenResponse:
    """A response of the model's server: its items, the last of which is being spoken."""

    id: str
    conversation: str | None
    items: list[str] = field(factory=list[str])
    done: bool = False


class Play:
    """A call with a phone that plays what it receives and a server that speaks. Both do what the
    events say, and sometimes wrong things."""

    def __init__(self, config: CallConfig) -> None:
        self.call = RecordedCall(config)
        self.ended: list[CallEnded] = []
        self._opening = deque[Callable[[], StepResult]](
            [
                lambda: self.call.opened(Peer.TWILIO),
                lambda: self.call.phone(connected()),
                lambda: self.call.phone(start()),
                lambda: self.call.opened(self.call.link),
                lambda: self.call.model(type="session.created", session={}),
                lambda: self.call.model(type="session.updated", session=SESSION),
            ]
        )
        self._sid = "MZ1"
        self._echoes: list[tuple[int, str]] = []
        self._ends_at = 0
        self._pings: list[bytes] = []
        self._responses = [SpokenResponse("r0", "conv")]

    def run(self, opening: int, events: list[Event]) -> None:
        """Open the call up to a step, and let all events happen."""
        for _ in range(opening):
            self.go_on(0, 0)
        for name, a, b in events:
            getattr(self, name)(a, b)

    def end(self) -> None:
        """Hang up, and close both sockets."""
        self._do(self.call.send, HangUp())
        for peer in dict.fromkeys((*Peer, self.call.link)):
            self._do(self.call.closed, peer)

    def _do(self, method: Callable[..., StepResult], *arguments: Any) -> bool:
        """Do what a driver may do now; `False` if it may not."""
        try:
            done = method(*arguments)
        except LocalProtocolError:
            return False
        self._play(done)
        return True

    def _play(self, done: StepResult) -> None:
        now = self.call.now
        self.ended += done.notified(CallEnded)
        self._pings += done.pings
        for samples in done.audio_samples:
            self._ends_at = max(self._ends_at, now) + samples_to_ns(samples)
        for message in done.to_twilio:
            match message:
                case Mark(name=name):
                    self._echoes.append((max(now, self._ends_at), name))
                case Clear():
                    self._ends_at = now
                    self._echoes = [(now, name) for _, name in self._echoes]
                case _:
                    pass

    def _phone(self, message: Any) -> None:
        self._do(self.call.phone, message)

    def _model(self, event: Any) -> None:
        self._do(self.call.model, event)

    # The events.

    def go_on(self, _a: int, _b: int) -> None:
        """The next step of opening the call, if it is possible now."""
        if self._opening and self._do(self._opening[0]):
            self._opening.popleft()

    def next_session(self, a: int, _b: int) -> None:
        """The next session is opened, and configured as a rule."""
        self._do(self.call.opened, self.call.link)
        if a % 4:
            self._model({"type": "session.updated", "session": SESSION})

    def wait(self, a: int, b: int) -> None:
        """Time passes; timers expire, and echoes arrive some time after they are due."""
        until = self.call.now + b * MS
        late = a % 3 * 40 * MS
        while self._echoes and self._echoes[0][0] + late <= until:
            when, name = self._echoes.pop(0)
            self._pass_until(when + late)
            self._phone(mark(name, self._sid))
        self._pass_until(until)

    def _pass_until(self, when: int) -> None:
        self._play(self.call.wait_until(max(self.call.now, when)))

    def caller_audio(self, a: int, b: int) -> None:
        size = 160 if a % 8 else b * 20 + 1
        self._phone(media(audio(size, a), self._sid))

    def respond(self, a: int, _b: int) -> None:
        response = SpokenResponse(f"r{len(self._responses)}", None if a % 5 == 0 else "conv")
        self._responses.append(response)
        self._model(created(response.id, response.conversation))

    def _speaker(self, a: int) -> SpokenResponse:
        speaking = [each for each in self._responses if not each.done]
        among = speaking if speaking and a % 6 else self._responses
        return among[-1 - (a // 6 % 2) % len(among)]

    def say(self, a: int, b: int) -> None:
        response = self._speaker(a)
        if not response.items:
            self.next_item(a, b)
        self._model(
            delta(b % 2700 + 1 if a % 2 else 160 * (b % 16 + 1), response.id, response.items[-1])
        )

    def say_much(self, a: int, b: int) -> None:
        response = self._speaker(a)
        if response.items:
            self._model(delta(b * 1600 + 1, response.id, response.items[-1]))

    def next_item(self, a: int, _b: int) -> None:
        response = self._speaker(a)
        response.items.append(f"{response.id}i{len(response.items)}")

    def end_item(self, a: int, b: int) -> None:
        response = self._speaker(a)
        if response.items:
            self._model(audio_done(response.id, response.items[-1]))
            self._model(
                item_done(response.id, response.items[-1], "message" if b % 4 else "function_call")
            )
            self.next_item(a, b)

    def end_response(self, a: int, b: int) -> None:
        response = self._speaker(a)
        response.done = True
        self._model(
            response_done(response.id, "cancelled" if b % 2 else "completed", response.conversation)
        )

    def caller_speaks(self, _a: int, _b: int) -> None:
        self._model(speech_started())

    def caller_pauses(self, a: int, _b: int) -> None:
        self._model({"type": "input_audio_buffer.speech_stopped"})
        if a % 2:
            self._model({"type": "input_audio_buffer.committed", "item_id": "u"})

    def interrupt(self, a: int, _b: int) -> None:
        self._do(self.call.send, Interrupt(cancel=bool(a % 4)))

    def command(self, a: int, _b: int) -> None:
        self._do(self.call.send, COMMANDS[a % len(COMMANDS)])

    def refuse(self, a: int, b: int) -> None:
        code = "response_cancel_not_active" if b % 2 else None
        self._model(
            server_error("no", f"bridge-cancel-{self._speaker(a).id}" if a % 3 else None, code)
        )

    def update(self, a: int, b: int) -> None:
        """The server sends its session, sometimes with another kind of interruption."""
        detection = {"type": "server_vad", "interrupt_response": bool(b % 2)} if a % 3 else None
        heard = {"format": PCMU, "turn_detection": detection}
        audio_ = {"input": heard, "output": {"format": PCMU}}
        self._model({"type": "session.updated", "session": {"audio": audio_}})

    def echo_anything(self, a: int, b: int) -> None:
        self._phone(mark(str(a % 40), f"MZ{b % 2 + 1}"))

    def pong(self, a: int, b: int) -> None:
        payload = self._pings[-1] if self._pings and a % 4 else b"%d" % b
        self._do(self.call.pong, payload)

    def press(self, a: int, _b: int) -> None:
        self._phone(dtmf("0123456789*#"[a % 12], self._sid))

    def start_again(self, a: int, _b: int) -> None:
        sid = f"MZ{a % 3 + 1}"
        if sid != self._sid:
            self._echoes.clear()
            self._ends_at = self.call.now
        self._sid = sid
        self._phone(start(sid))

    def junk(self, a: int, b: int) -> None:
        text = JUNK[b % len(JUNK)]
        (self._phone if a % 2 else self._model)(text)

    def timer_fires_early(self, _a: int, _b: int) -> None:
        self._do(self.call.timeout)

    def misuse(self, a: int, b: int) -> None:
        bridge, now = self.call.bridge, self.call.now
        misuses: list[Callable[[], object]] = [
            lambda: bridge.start(now),
            lambda: bridge.opened("nobody", now + b * SECOND),
            lambda: bridge.handle_timeout(now - 1),
            lambda: bridge.send(HangUp(), now - 1),
            lambda: bridge.pong(None, b"", now + b * SECOND),
        ]
        self._do(self.call.timeout)  # the bridge has seen `now`
        with pytest.raises(LocalProtocolError):
            misuses[a % len(misuses)]()

    def other_format(self, _a: int, _b: int) -> None:
        self._model({"type": "session.updated", "session": {"audio": {"input": {}}}})

    def hang_up(self, a: int, _b: int) -> None:
        if a % 2:
            self._phone(stop(self._sid))
        else:
            self._do(self.call.send, HangUp())

    def lose(self, a: int, b: int) -> None:
        peer = Peer.TWILIO if a % 2 else self.call.link
        self._do(self.call.closed, peer, (1000, 1005, 1006)[b % 3], "gone")

    def lose_session(self, _a: int, b: int) -> None:
        self.lose(0, b)


WEIGHTS: Final = {
    "go_on": 4,
    "next_session": 3,
    "lose_session": 1,
    "wait": 12,
    "caller_audio": 6,
    "respond": 4,
    "say": 14,
    "say_much": 2,
    "next_item": 2,
    "end_item": 4,
    "end_response": 4,
    "caller_speaks": 5,
    "caller_pauses": 2,
    "interrupt": 4,
    "command": 4,
    "refuse": 2,
    "update": 2,
    "echo_anything": 2,
    "pong": 2,
    "press": 1,
    "start_again": 1,
    "junk": 3,
    "timer_fires_early": 2,
    "misuse": 2,
}
ENDS: Final = ["other_format", "hang_up", "lose"]
KINDS: Final = [name for name, weight in WEIGHTS.items() for _ in range(weight)]

happenings = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 255), st.integers(0, 1000)), max_size=60
)
ends = st.lists(st.tuples(st.sampled_from(ENDS), st.integers(0, 5), st.integers(0, 5)), max_size=3)


def random_events(seed: int, count: int) -> list[Event]:
    random = Random(seed)
    numbers = [(random.randrange(256), random.randrange(1000)) for _ in range(count)]
    return [(random.choice(KINDS), *pair) for pair in numbers]


@settings(max_examples=300)
@given(st.sampled_from(CONFIGS), st.integers(0, 6), happenings, ends, happenings)
def test_no_events_break_an_invariant_and_every_call_ends(
    config: CallConfig, opening: int, events: list[Event], end: list[Event], late: list[Event]
) -> None:
    play = Play(config)
    play.run(6 - opening, [*events, *end, *late[:10]])
    play.end()
    assert len(play.ended) == 1
    steps = len(play.call.recorder.steps)
    play.run(0, late)
    assert not any(answer for _, _, answer in play.call.recorder.steps[steps:])
    assert play.call.bridge.deadline is None


def test_a_turn_before_the_session_is_described_needs_its_response() -> None:
    """The defaults of the server hold until then: it responds to turns, but not while a response is
    active."""
    play = Play(CallConfig())
    play.run(5, [("respond", 1, 0), ("caller_pauses", 1, 0), ("end_response", 0, 0)])
    play.end()
    assert [each.unanswered_requests for each in play.ended] == [1]


@pytest.mark.parametrize("seed", range(12))
def test_no_events_break_an_invariant_in_a_long_call(seed: int) -> None:
    play = Play(CONFIGS[seed % len(CONFIGS)])
    play.run(6, random_events(seed, 400))
    play.end()
    assert len(play.ended) == 1


@settings(max_examples=40)
@given(st.sampled_from(CONFIGS), happenings, ends)
def test_a_recorded_call_replays_with_the_same_actions(
    config: CallConfig, events: list[Event], end: list[Event]
) -> None:
    play = Play(config)
    play.run(6, [*events, *end])
    assert replay(Bridge(config), play.call.recorder) == play.call.recorder.steps


class QueriedBridge(Bridge):
    """A bridge of which everything is queried before and after each step."""

    queries: set[str]

    def query(self, now: int) -> None:
        self.queries = self.queries | query_all(self, now)

    @classmethod
    def of(cls, config: CallConfig) -> Self:
        bridge = cls(config)
        bridge.queries = set()
        return bridge

    def start(self, now: int, unix_ns: int | None = None) -> list[Action]:
        self.query(now)
        actions = super().start(now, unix_ns)
        self.query(now)
        return actions

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        self.query(now)
        return super().opened(peer, now)

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        self.query(now)
        actions = super().receive_text(peer, text, now)
        self.query(now)
        return actions

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        self.query(now)
        return super().pong(peer, payload, now)

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        self.query(now)
        return super().refused(peer, refusal, now)

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        self.query(now)
        return super().closed(peer, code, reason, now)

    def handle_timeout(self, now: int) -> list[Action]:
        self.query(now)
        return super().handle_timeout(now)

    def send(self, command: Command, now: int) -> list[Action]:
        self.query(now)
        actions = super().send(command, now)
        self.query(now)
        return actions


QUERIED: Final = {
    *("Bridge.deadline", "Bridge.has_ended", "Bridge.items", "Bridge.playback_positions"),
    *("Bridge.start_delay_history", "CallState.has_deferred", "Ending.is_complete"),
    *("ClipPlayer.is_hold_playing", "ClipPlayer.check_playable", "Conversation.get"),
    *("Conversation.plan_reset", "Conversation.split_transcript", "Downlink.heard_ms"),
    *("Downlink.is_clip_unfinished", "EffectiveSession.server_responds"),
    *("FunctionCalls.check_answer", "FunctionCalls.is_known", "InterruptionGate.evaluate"),
    *("Mcp.check_approval", "Mcp.is_approval_pending", "PlayQueue.position_at"),
    *("Playout.is_probe_due", "Playout.positions", "Playout.starts_burst"),
    *("RequestQueue.check_capacity", "Requests.has_queued", "Requests.is_answer_owed"),
    *("Requests.is_busy", "ResponseRecord.is_audible", "ResponseRecord.is_output_complete"),
    *("SpeechOrder.is_occupied", "TurnController.is_caller_turn"),
    *("Responses.generating", "Responses.get", "Responses.is_any_stoppable", "Responses.of_item"),
    *("Session.is_configuration_refusal", "StartDelayEstimator.expected_ns"),
    *("Timers.is_set", "TurnController.is_agent_active", "TurnController.is_speaking"),
}
"""Queries of most parts. Those of the bridge have the name of its base class."""


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(CONFIGS), happenings, ends)
def test_queries_change_nothing(config: CallConfig, events: list[Event], end: list[Event]) -> None:
    play = Play(config)
    play.run(6, [*events, *end])
    queried = QueriedBridge.of(config)
    assert replay(queried, play.call.recorder) == play.call.recorder.steps


def test_queries_of_a_long_call_change_nothing() -> None:
    play = Play(CONFIGS[0])
    play.run(6, random_events(1, 200))
    queried = QueriedBridge.of(CONFIGS[0])
    assert replay(queried, play.call.recorder) == play.call.recorder.steps
    names = {name.replace("QueriedBridge.", "Bridge.") for name in queried.queries}
    assert names >= QUERIED


def replay(bridge: CallMachine, recorded: Recorder) -> list[Any]:
    recorder = Recorder(bridge)
    for method, arguments, answer in recorded.steps:
        try:
            getattr(recorder, method)(*arguments)
        except LocalProtocolError:
            assert answer is None
    return recorder.steps


def test_a_call_does_not_depend_on_the_hash_seed() -> None:
    program = "import test_call_properties as here; print(here.long_call())"
    here = Path(__file__).parent
    answers = {
        subprocess.run(  # noqa: S603 - this very Python
            [sys.executable, "-c", program],
            env={
                **os.environ,
                "PYTHONHASHSEED": seed,
                "PYTHONPATH": os.pathsep.join([str(here), str(here.parent / "harness")]),
            },
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    (answer,) = answers
    assert answer.count(b"Interrupted") > 5


def long_call() -> list[Any]:
    play = Play(CONFIGS[0])
    play.run(6, random_events(1, 300))
    return play.call.recorder.steps
