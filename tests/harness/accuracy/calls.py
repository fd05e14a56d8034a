"""A call of a world, under virtual time: the real bridge, a phone that knows what it has played,
and a model that says what was drawn. The log of it holds all that an observer at the bridge's place
would see, and the truth."""

import json
import re
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator
from random import Random
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from twilio_realtime.sim.model.realtime_peer import CLIENT
from twilio_realtime.sim.phone.twilio_peer import SERVER, QueueCleared, TwilioPeer
from twilio_realtime.sim.world.message_world import MessageWorld
from twilio_realtime.sim.world.world import LinkDirection, Step
from twilio_realtime_core import Bridge, CallConfig, Peer, Send, SessionConfig
from twilio_realtime_core.config.start_delay_history import StartDelayHistory
from twilio_realtime_core.machine.actions import Action, Refusal
from twilio_realtime_core.machine.units import MS, SAMPLE_NS, SECOND, samples_to_ns
from twilio_realtime_core.protocols.realtime import DeleteItem, TruncateItem
from twilio_realtime_core.protocols.twilio import Mark

from .worlds import Drawn, Turn, World, draw

__all__ = [
    "AudioDone",
    "BargeIn",
    "Created",
    "Delta",
    "Echo",
    "Entry",
    "Log",
    "Marked",
    "PacerEcho",
    "Probed",
    "ResponseDone",
    "call",
]

TO_MODEL_NS: Final = 25 * MS
PACER_MS: Final = 160
VAD: Final = {"type": "server_vad"}
MARK: Final = '{"event":"mark"'
NEVER: Final = 1 << 62
NO_FRAMES_NS: Final = 10_000 * SECOND
"""The phone's first frame comes after the end of the call: caller audio changes nothing here."""


# The log. `at` is in ns, by the clock of the bridge.


@frozen
class Created:
    """A response begins."""

    at: int


@frozen
class Delta:
    """Audio of an item has come from the model, and has been sent on."""

    at: int
    item: int
    ms: int


@frozen
class AudioDone:
    """All audio of an item has come."""

    at: int
    item: int


@frozen
class ResponseDone:
    """The response was made to its end."""

    at: int


@frozen
class Echo:
    """The echo of a mark behind the first `ms` of an item, sent with that delta; `tail`: sent when
    all audio of the item had come. `cleared`: a clear has set it free, nobody has heard so far."""

    at: int
    item: int
    ms: int
    tail: bool
    cleared: bool


@frozen
class PacerEcho:
    """The echo of a mark behind the first `ms` of an item, of one who cuts items in 160 ms each."""

    at: int
    item: int
    ms: int


@frozen
class Probed:
    """A mark sent at the stream's begin, when nothing was queued, came back after `ns`."""

    at: int
    ns: int


@frozen
class Marked:
    """The bridge has sent a mark."""

    at: int


@frozen
class BargeIn:
    """The caller interrupts. For each item of the reply, in ms: how much had been `made`, and how
    much was `heard` when the phone processed the clear; `told` is what the bridge said about it,
    and `cut` whether the clear cut anything."""

    at: int
    made: dict[int, float]
    heard: dict[int, float]
    told: dict[int, int]
    cut: bool


Entry: TypeAlias = (
    Created | Delta | AudioDone | ResponseDone | Echo | PacerEcho | Probed | Marked | BargeIn
)
Log: TypeAlias = list[Entry]


def call(world: World, seed: int, history: StartDelayHistory) -> tuple[Log, StartDelayHistory]:
    """One call of a world, in a process that has seen `history`: what happened in it, in order, and
    what it adds to the history."""
    drawn = draw(world, Random(f"{world.name} {seed}"))
    one = _Call(world, drawn, seed, history)
    return one.log(), one.bridge.start_delay_history


# The call.


@frozen
class _Text:
    text: str

    def encode(self) -> str:
        return self.text


@define(eq=False)
class _Trip(LinkDirection):
    """One direction of a line with jitter."""

    jitter: Callable[[], int] = field(kw_only=True)

    def propagation_ns(self, now: int) -> int:
        return self.latency_ns + self.jitter()


@define(eq=False)
class _Model:
    """Says what was drawn, once the session is configured."""

    script: list[tuple[int, str]]
    ready_at: int | None = None
    _said: int = 0

    @property
    def deadline(self) -> int | None:
        if self.ready_at is None or self._said == len(self.script):
            return None
        return self.ready_at + self.script[self._said][0]

    def start(self, now: int) -> list[Action]:
        del now
        return []

    def opened(self, peer: Hashable, now: int) -> list[Action]:
        del peer, now
        return []

    def receive_text(self, peer: Hashable, text: str, now: int) -> list[Action]:
        if json.loads(text)["type"] != "session.update":
            return []
        self.ready_at = now
        pcmu = {"type": "audio/pcmu"}
        audio = {"input": {"format": pcmu, "turn_detection": VAD}, "output": {"format": pcmu}}
        return [Send(peer, _event("session.updated", session={"audio": audio}))]

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        del peer, payload, now
        return []

    def refused(self, peer: Hashable, refusal: Refusal, now: int) -> list[Action]:
        del peer, refusal, now
        return []

    def closed(self, peer: Hashable, code: int, reason: str, now: int) -> list[Action]:
        del peer, code, reason, now
        return []

    def handle_timeout(self, now: int) -> list[Action]:
        actions: list[Action] = []
        while (due := self.deadline) is not None and due <= now:
            actions.append(Send(CLIENT, _Text(self.script[self._said][1])))
            self._said += 1
        return actions


class _WithoutPongs(Bridge):
    """A bridge whose pings nobody answers."""

    def pong(self, peer: Hashable, payload: bytes, now: int) -> list[Action]:
        del peer, payload
        return self.handle_timeout(now)


class _Call:
    def __init__(self, world: World, drawn: Drawn, seed: int, history: StartDelayHistory) -> None:
        self._world, self._drawn = world, drawn
        random = Random(f"{world.name} {seed} line")
        self._random = random
        self._probe_at = 0
        self._probed: list[Probed] = []
        self._marked: list[Marked] = []
        self._told: list[tuple[int, int, int]] = []
        self._model = _Model(list(_script(drawn.turns)))
        config = CallConfig(session=SessionConfig(turn_detection=VAD), start_delay_history=history)
        self.bridge = Bridge(config) if world.pings else _WithoutPongs(config)
        self._phone = TwilioPeer(
            seed=seed,
            start_delay_ns=lambda: drawn.start + world.start_varies(random),
            first_frame_ns=NO_FRAMES_NS,
        )

    def log(self) -> Log:
        """Run the call, and put together what happened."""
        jitter = lambda: self._world.jitter(self._random)  # noqa: E731
        ways = _Trip(self._drawn.back, jitter=jitter), _Trip(self._drawn.there, jitter=jitter)
        machines = MessageWorld()
        machines.add("phone", self._phone)
        machines.add("bridge", self.bridge)
        machines.add("model", self._model)
        machines.join(("phone", SERVER), ("bridge", Peer.TWILIO), directions=ways)
        machines.join(("bridge", Peer.REALTIME), ("model", CLIENT), latency_ns=TO_MODEL_NS)
        machines.step_observers.append(self._observe)
        last = self._drawn.turns[-1].interrupted + 2 * SECOND
        machines.run_until(lambda: self._model.ready_at is not None, 10 * SECOND)
        base = (self._model.ready_at or 0) + TO_MODEL_NS
        machines.run(base + last)
        log: Log = [*self._probed, *self._marked, *self._model_entries(base)]
        log += self._echoes(base)
        log += self._barge_ins(base)
        return sorted(log, key=lambda entry: (entry.at, isinstance(entry, BargeIn)))

    def _observe(self, step: Step) -> None:
        if step.machine != "bridge":
            return
        when = step.at_ns
        match step.method, step.arguments:
            case "receive_text", (Peer.TWILIO, str(text)) if (
                text.startswith(MARK) and not self._probed
            ):
                self._probed.append(Probed(when, when - self._probe_at))
            case _:
                pass
        for action in step.outputs:
            match action:
                case Send(_, Mark() as mark):
                    self._marked.append(Marked(when))
                    self._probe_at = when if mark.name == "0" else self._probe_at
                case Send(_, TruncateItem() as truncate):
                    item = int(truncate.item_id.removeprefix("item_"))
                    self._told.append((when, item, truncate.audio_end_ms))
                case Send(_, DeleteItem() as delete):
                    self._told.append((when, int(delete.item_id.removeprefix("item_")), 0))
                case _:
                    pass

    def _model_entries(self, base: int) -> Iterator[Entry]:
        for turn in self._drawn.turns:
            yield Created(base + turn.begins)
            for made in turn.made:
                yield Delta(base + made.at, made.item, made.ms)
            for item, at in turn.ends.items():
                yield AudioDone(base + at, item)
            if turn.done:
                yield ResponseDone(base + max(turn.ends.values()))

    # The truth.

    def _echoes(self, base: int) -> list[Echo | PacerEcho]:
        """What marks would tell an observer that sends them."""
        played = _Played(self._phone)
        jitter = Random(f"{self._random.random()}")
        echoes: list[Echo | PacerEcho] = []
        for number, turn in enumerate(self._drawn.turns):
            clear = self._clear(base, number)
            cleared_at = NEVER if clear is None else clear.at_ns
            due: list[tuple[int, Callable[[int], Echo | PacerEcho]]] = []
            total: dict[int, int] = {}
            for made in turn.made:
                ms = total[made.item] = total.get(made.item, 0) + made.ms
                due.append(_echo(played, cleared_at, made.item, ms, base + made.at, tail=False))
            for item, at in turn.ends.items():
                due.append(_echo(played, cleared_at, item, total[item], base + at, tail=True))
            for item, ms in total.items():
                for position in range(PACER_MS, ms + 1, PACER_MS):
                    heard_at = played.when(item, position)
                    if heard_at is not None:
                        due.append((heard_at, _pacer_echo(item, position)))
            arrived = 0
            for when, make in sorted(due, key=lambda each: each[0]):
                back = self._drawn.back + self._world.jitter(jitter)
                arrived = max(arrived, when + back)
                echoes.append(make(arrived))
        return echoes

    def _barge_ins(self, base: int) -> Iterator[BargeIn]:
        played = _Played(self._phone)
        for number, turn in enumerate(self._drawn.turns):
            at = base + turn.interrupted
            made = dict.fromkeys(turn.items, 0.0)
            for each in turn.made:
                made[each.item] += each.ms
            until, clear = self._until(base, number), self._clear(base, number)
            told = {item: ms for when, item, ms in self._told if at <= when < until}
            made = {item: ms for item, ms in made.items() if ms}
            heard = {item: played.total(item) / 8 for item in made}
            yield BargeIn(at, made, heard, told, clear is not None and clear.discarded_bytes > 0)

    def _until(self, base: int, number: int) -> int:
        turns = self._drawn.turns
        return base + turns[number + 1].begins if number + 1 < len(turns) else NEVER

    def _clear(self, base: int, number: int) -> QueueCleared | None:
        """What the interruption of a turn cleared, if it did."""
        at = base + self._drawn.turns[number].interrupted
        until = self._until(base, number)
        return next((each for each in self._phone.clears if at <= each.at_ns < until), None)


class _Played:
    """What the phone has played of each item, and when. The bytes say which item they are of."""

    def __init__(self, phone: TwilioPeer) -> None:
        self._stretches: dict[int, list[tuple[int, int, int]]] = {}
        for segment in phone.segments(NEVER):
            for found in re.finditer(rb"(.)\1*", segment.audio, re.S):
                item = found[1][0]
                stretches = self._stretches.setdefault(item, [])
                first = sum(stretches[-1][::2]) if stretches else 0
                start = segment.start_ns + samples_to_ns(found.start())
                stretches.append((first, start, found.end() - found.start()))

    def total(self, item: int) -> int:
        """Bytes of an item played."""
        stretches = self._stretches.get(item)
        return sum(stretches[-1][::2]) if stretches else 0

    def when(self, item: int, ms: int) -> int | None:
        """When the first `ms` of an item had been played."""
        count = 8 * ms
        if count > self.total(item):
            return None
        stretches = self._stretches[item]
        first, start, _ = stretches[
            bisect_right(stretches, count - 1, key=lambda each: each[0]) - 1
        ]
        return start + SAMPLE_NS * (count - first)


def _echo(
    played: _Played, cleared_at: int, item: int, ms: int, sent_at: int, *, tail: bool
) -> tuple[int, Callable[[int], Echo | PacerEcho]]:
    heard_at = played.when(item, ms)
    cleared = heard_at is None
    due = cleared_at if heard_at is None else max(heard_at, sent_at)
    return due, lambda at: Echo(at, item, ms, tail=tail, cleared=cleared)


def _pacer_echo(item: int, ms: int) -> Callable[[int], Echo | PacerEcho]:
    return lambda at: PacerEcho(at, item, ms)


# What the model's server says.


def _event(type_: str, **fields: object) -> _Text:
    return _Text(json.dumps({"type": type_, **fields}, separators=(",", ":")))


def _script(turns: tuple[Turn, ...]) -> Iterator[tuple[int, str]]:
    events: list[tuple[int, _Text]] = []
    for number, turn in enumerate(turns):
        events += _turn_events(f"resp_{number}", turn)
    for at, event in sorted(events, key=lambda each: each[0]):
        yield at, event.text


def _turn_events(response: str, turn: Turn) -> Iterator[tuple[int, _Text]]:
    body = {"id": response, "status": "in_progress", "conversation_id": "conv"}
    yield turn.begins, _event("response.created", response=body)
    for made in turn.made:
        where = _where(response, made.item)
        delta = b64encode(bytes([made.item]) * (8 * made.ms)).decode()
        yield made.at, _event("response.output_audio.delta", **where, delta=delta)
    begun = {made.item for made in turn.made}
    for item in turn.items:
        at = turn.ends.get(item)
        if at is not None:
            yield from _item_end(response, item, at, "completed")
    if turn.done:
        yield (
            max(turn.ends.values()),
            _event("response.done", response=body | {"status": "completed"}),
        )
    speech = {"item_id": f"caller_{response}"}
    at = turn.interrupted
    yield at, _event("input_audio_buffer.speech_started", **speech, audio_start_ms=0)
    if not turn.done:
        for item in sorted(begun - set(turn.ends)):
            yield from _item_end(response, item, at + 2 * MS, "incomplete")
        yield at + 2 * MS, _event("response.done", response=body | {"status": "cancelled"})
    yield at + SECOND, _event("input_audio_buffer.speech_stopped", **speech, audio_end_ms=1)
    yield at + SECOND, _event("input_audio_buffer.committed", **speech)


def _item_end(response: str, item: int, at: int, status: str) -> Iterator[tuple[int, _Text]]:
    where = _where(response, item)
    yield at, _event("response.output_audio.done", **where)
    body = {"id": where["item_id"], "type": "message", "role": "assistant", "status": status}
    yield at, _event("response.output_item.done", response_id=response, item=body)


def _where(response: str, item: int) -> dict[str, Any]:
    return {"response_id": response, "item_id": f"item_{item}", "content_index": 0}
