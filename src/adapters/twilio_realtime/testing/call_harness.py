"""Where a call of a test takes place: phone, bridge and model in a world of their own, the agent
beside them, and the time that they have in common."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, cast

import anyio
import msgspec
from attrs import define, evolve, field

from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime_core.commands import Command
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Peer, Send, SendPing
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.notifications import CallEnded, CallStarted, Notification
from twilio_realtime_core.protocols.twilio import Mark

from ..agents.call import Call, CallHandler
from ..sim.impairments.impaired_peer import Troubled
from ..sim.impairments.rules import kind_of
from ..sim.impairments.table import Trouble
from ..sim.model.realtime_peer import CLIENT, RealtimePeer
from ..sim.model.replies import Reply, ResponseRequest
from ..sim.phone.twilio_peer import SERVER
from ..sim.reference import Checked
from ..sim.world.message_world import MessageWorld
from ..sim.world.steps import Step
from .handset import Handset
from .model import Model

__all__ = ["Stage"]

_SHOWN: Final = 15
"""Steps that a failure shows: the last seconds of a lively call."""


class _Delta(msgspec.Struct):
    """What matters of `response.output_audio.delta`."""

    item_id: str
    delta: bytes


@define
class _Waiting:
    """Somebody waits until something is so."""

    is_so: Callable[[], bool]
    told: anyio.Event = field(factory=anyio.Event)


@define(eq=False, repr=False)
class Stage:
    """The world of a call; an `Outside` for the loop in which test and agent run."""

    model: Model
    now: int = field(init=False, default=0)
    """The time (ns), 0 when the test begins."""
    notifications: list[Notification] = field(init=False, factory=list[Notification])
    ended: CallEnded | None = field(init=False, default=None)
    phone: Handset = field(init=False)
    begun: bool = field(init=False, default=False)
    done: bool = field(init=False, default=False)
    """The test is over."""
    problem: Exception | None = field(init=False, default=None)
    """What the agent has raised."""
    failure: Exception | None = field(init=False, default=None)
    """What the world has raised: an invariant does not hold, or all is stuck."""
    failed: anyio.Event = field(init=False, factory=anyio.Event)
    started: anyio.Event = field(init=False, factory=anyio.Event)
    agent_done: anyio.Event = field(init=False, factory=anyio.Event)
    _agent: CallHandler = field(init=False)
    _call: Call | None = field(init=False, default=None)
    _world: MessageWorld = field(init=False, factory=MessageWorld)
    _bridge: Bridge = field(init=False)
    _trouble: Trouble = field(init=False)
    _troubled: dict[str, Troubled] = field(init=False, factory=dict[str, Troubled])
    _steps: deque[Step] = field(init=False, factory=lambda: deque[Step](maxlen=_SHOWN))
    _untold: deque[Notification] = field(init=False, factory=deque[Notification])
    _telling: bool = field(init=False, default=False)
    _stirred: bool = field(init=False, default=False)
    """Something has happened that may concern a task."""
    _alarms: set[int] = field(init=False, factory=set[int])
    _waiting: list[_Waiting] = field(init=False, factory=list[_Waiting])

    # For the test.

    def begin(
        self, phone: Handset, agent: CallHandler, config: CallConfig, trouble: Trouble, seed: int
    ) -> None:
        """The caller dials; `agent` is to look after his call."""
        self.begun, self.phone, self._agent, self._trouble = True, phone, agent, trouble
        self._bridge = Bridge(config)
        server = self.model.peer = RealtimePeer(
            self._reply,
            seed=seed,
            pace=trouble.pace,
            # It takes the next of these whenever a turn begins, and never asks how many there are.
            transcripts=cast("Sequence[str | None]", self._turns()),
            fault=trouble.opening_fault,
            max_duration_ns=trouble.session_ns,
        )
        world = self._world
        world.run(self.now)
        world.listeners.append(self._hear)
        world.observers.append(self._observe)
        world.add("bridge", Checked(self._bridge, config))
        world.add("phone", self._trouble_peer("phone", phone))
        world.add("model", self._trouble_peer("model", server))
        ways = trouble.ways
        to_phone = ways["phone to bridge"], ways["bridge to phone"]
        to_model = ways["bridge to model"], ways["model to bridge"]
        world.join(("phone", SERVER), ("bridge", Peer.TWILIO), ways=to_phone)
        link = world.join(
            ("bridge", Peer.REALTIME),
            ("model", CLIENT),
            ways=to_model,
            connect_ns=trouble.connect_ns,
        )
        link.accepts = not trouble.refused

    def schedule_cuts(self) -> None:
        """The stream has begun, and sockets are lost some time after that. Once is enough."""
        cuts, self._trouble.cuts = self._trouble.cuts, []
        for cut in cuts:
            peer = Peer.TWILIO if cut.leg == "phone" else Peer.REALTIME
            link = self._world.link("bridge", peer)
            self._world.at(self.now + cut.at_ns, partial(self._world.sever, link))

    def calm(self) -> None:
        """All faults stop."""
        for troubled in self._troubled.values():
            troubled.calm()
        for way in self._trouble.ways.values():
            way.smooth()

    def act(self, do: Callable[..., list[Action]], *arguments: object) -> None:
        """The caller does something: a method of the phone, without its `now`."""
        if (phone := self._troubled.get("phone")) is None:
            self._carry_out("phone", do.__name__, *arguments)
        else:
            self._carry_out("phone", "relay", phone.act(do, *arguments, now=self.now))

    @property
    def local(self) -> int:
        """What the phone's clock shows (ns)."""
        phone = self._troubled.get("phone")
        return self.now if phone is None else phone.local(self.now)

    async def wait_until(self, is_so: Callable[[], bool], within_ns: int, what: str) -> None:
        """Wait; `AssertionError` if it is not so in that time."""
        if is_so():
            return
        waiting = _Waiting(is_so)
        self._waiting.append(waiting)
        try:
            with anyio.move_on_after(within_ns / 1e9):
                await waiting.told.wait()
        finally:
            self._waiting.remove(waiting)
        if not waiting.told.is_set():
            raise AssertionError(f"{what} in {within_ns / 1e9:g} s")

    async def attend(self) -> None:
        """The agent's part, from the begin of its call to the end."""
        await self.started.wait()
        if self._call is not None:
            try:
                await self._call.run(self._agent)
            except Exception as error:  # the test is told when it asks for the end
                self.problem = error
        self.agent_done.set()

    @property
    def exercised(self) -> dict[str, int]:
        """How often each fault of the call has had its way."""
        return self._trouble.exercised() if self.begun else {}

    def tell(self) -> str:
        """The faults of the call, if any, and the last steps of the bridge that tell something."""
        faults = [f"{name}: {count}" for name, count in self.exercised.items()]
        if faults:
            faults.insert(0, "The faults of the call, and how often each has had its way:")
        return "\n".join([*faults, "The last steps of the call:", *map(str, self._steps)])

    # For the loop.

    def advance(self, until: int | None) -> bool:
        """As of `Outside`."""
        if not self.begun or self.done or self.failure is not None:
            self.now = self.now if until is None else until
            return until is not None
        if until is not None and until not in self._alarms:
            self._alarms.add(until)
            self._world.at(until, lambda: self._ring(until))
        self._stirred = False
        try:
            while not self._stirred:
                if not self._world.step():
                    raise AssertionError("nothing is left to happen, and all wait")
                self.now = self._world.now
                self._tell()
                self._tell_waiting()
        except Exception as error:  # it is told by the test
            self._fail(error)
        return True

    # What the parties are told.

    def _ring(self, when: int) -> None:
        self._alarms.discard(when)
        self._stirred = True

    def _hear(self, machine: str, event: object) -> None:
        if machine == "bridge":
            self._untold.append(cast(Notification, event))

    def _tell(self) -> None:
        """Tell the agent. What it does at once may lead to more, which comes behind the rest."""
        if self._telling:
            return
        self._telling = True
        while self._untold:
            event = self._untold.popleft()
            self.notifications.append(event)
            self._stirred = True
            match event:
                case CallStarted() if self._call is None:
                    self._call = self._make_call(event)
                    self.started.set()
                case CallEnded():
                    self.ended = event
                    self.started.set()
                case _:
                    pass
            if self._call is not None:
                self._call.notify(event)
        self._telling = False

    def _make_call(self, event: CallStarted) -> Call:
        bridge = self._bridge
        return Call(
            event, self._command, lambda: bridge.items, lambda: bridge.playback_positions(self.now)
        )

    def _tell_waiting(self) -> None:
        for waiting in self._waiting:
            if waiting.is_so():
                self._stirred = True
                waiting.told.set()

    def _command(self, command: Command) -> None:
        self._carry_out("bridge", "send", command)

    def _carry_out(self, machine: str, method: str, *arguments: object) -> None:
        """Call a method of a machine. Misuse is for who did it; the rest is for the test."""
        if self.failure is not None:
            return
        try:
            self._world.call(machine, method, *arguments)
        except LocalProtocolError:
            raise
        except Exception as error:
            self._fail(error)
        self._tell()

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.failed.set()

    def _observe(self, step: Step) -> None:
        """Note what the model makes, and what is worth to be shown."""
        if step.machine != "bridge":
            return
        kind = kind_of(str(step.arguments[1])) if step.method == "receive_text" else ""
        if kind == "response.output_audio.delta":
            self._note_audio(str(step.arguments[1]))
        elif step.outputs and kind != "media":
            shown = _without_round_trips(step)
            if shown.outputs:
                self._steps.append(shown)

    def _note_audio(self, text: str) -> None:
        try:
            delta = msgspec.json.decode(text, type=_Delta)
            self.phone.made(delta.item_id, delta.delta)
        except msgspec.MsgspecError:  # a fault has changed it, and it is no audio
            return

    # The model's part.

    def _reply(self, request: ResponseRequest) -> Reply:
        reply = self.model.reply_to(request)
        for edit in self._trouble.edit_replies:
            reply = edit(request.number, reply)
        return reply

    def _turns(self) -> Iterator[str | None]:
        while True:
            words = self.phone.take_turn()
            yield None if self._trouble.fails_to_transcribe else words

    def _trouble_peer(self, name: str, machine: MessageMachine) -> MessageMachine:
        """A peer with what is wrong with it; most often nothing is, and costs nothing."""
        if not self._trouble.touches(name):
            return machine
        troubled = self._troubled[name] = Troubled(self._trouble, name, machine)
        return troubled.machine


def _without_round_trips(step: Step) -> Step:
    """A step without what measures a round trip, every few seconds: a ping, and a mark that probes,
    which comes with it."""
    before = (None, *step.outputs)
    told = tuple(
        output
        for last, output in zip(before, step.outputs, strict=False)
        if not isinstance(output, SendPing)
        and not (isinstance(last, SendPing) and _is_mark(output))
    )
    return evolve(step, outputs=told)


def _is_mark(output: object) -> bool:
    return isinstance(output, Send) and isinstance(output.message, Mark)
