"""The harness of a simulated call: the world of phone, bridge and model, the agent, and the virtual
time that they share."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Final, cast

import anyio
import msgspec
from attrs import define, field

from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime_core.commands import Command
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Action, Peer
from twilio_realtime_core.machine.contract import MessageMachine
from twilio_realtime_core.machine.peer_json import decode_json
from twilio_realtime_core.machine.units import SECOND
from twilio_realtime_core.notifications import CallEnded, CallStarted, Notification

from ..agents.call import Call, CallHandler
from ..agents.call_control import CallControl
from ..agents.incoming_call import IncomingCall
from ..agents.phone_events import PhoneEvent
from ..recordings.bridge_wrapper import BridgeLike
from ..recordings.recorder import Recorder
from ..sim.batch.story import IdNumbers, is_notable, tell_step
from ..sim.impairments.impaired_peer import ImpairedPeer
from ..sim.impairments.plan import ImpairmentPlan
from ..sim.impairments.rules import kind_of
from ..sim.model.realtime_peer import CLIENT, RealtimePeer
from ..sim.model.replies import Reply, ResponseRequest
from ..sim.phone.twilio_peer import SERVER
from ..sim.reference import CheckedBridge
from ..sim.world.calls import later_joiner
from ..sim.world.message_world import MessageWorld
from ..sim.world.steps import Step
from .model import ScriptedModel
from .phone import ItemTrackingPhone

__all__ = ["CallHarness"]

_MAX_SHOWN_STEPS: Final = 15
"""The most steps that a failure shows: the last seconds of a lively call."""


class _AudioDelta(msgspec.Struct):
    """The fields of `response.output_audio.delta` that are used."""

    item_id: str
    delta: bytes


@define
class _Waiter:
    """A task of the test that waits until a condition is true."""

    condition: Callable[[], bool]
    fulfilled: anyio.Event = field(factory=anyio.Event)


_BASE_URL: Final = "https://service"
"""The URL of the service in TwiML."""


@define(eq=False, repr=False)
class CallHarness:
    """The world of a call, and the `TimeSource` of the loop in which test and agent run."""

    model: ScriptedModel
    now: int = field(init=False, default=0)
    """The time (ns), 0 at the start of the test."""
    notifications: list[Notification] = field(init=False, factory=list[Notification])
    """What the bridge has notified."""
    end: CallEnded | None = field(init=False, default=None)
    phone: ItemTrackingPhone = field(init=False)
    has_started: bool = field(init=False, default=False)
    is_done: bool = field(init=False, default=False)
    """Whether the test is over."""
    agent_error: Exception | None = field(init=False, default=None)
    """The exception of the agent."""
    failure: Exception | None = field(init=False, default=None)
    """The exception of the world: a broken invariant, or a deadlock."""
    failed: anyio.Event = field(init=False, factory=anyio.Event)
    started: anyio.Event = field(init=False, factory=anyio.Event)
    agent_done: anyio.Event = field(init=False, factory=anyio.Event)
    control: CallControl = field(
        init=False, factory=lambda: CallControl(base_url=_BASE_URL, asks_after_stream=True)
    )
    """What the agent can have Twilio do: continue the call after its stream."""
    _agent: CallHandler = field(init=False)
    _call: Call | None = field(init=False, default=None)
    _world: MessageWorld = field(init=False, factory=MessageWorld)
    _bridge: BridgeLike = field(init=False)
    _config: CallConfig = field(init=False)
    _incoming: IncomingCall | None = field(init=False, default=None)
    _plan: ImpairmentPlan = field(init=False)
    _impaired_peers: dict[str, ImpairedPeer] = field(init=False, factory=dict[str, ImpairedPeer])
    _steps: deque[Step] = field(init=False, factory=lambda: deque[Step](maxlen=_MAX_SHOWN_STEPS))
    _undelivered: deque[Notification] = field(init=False, factory=deque[Notification])
    _is_delivering: bool = field(init=False, default=False)
    _has_news: bool = field(init=False, default=False)
    """Whether something has happened that tasks may wait for."""
    _alarms: set[int] = field(init=False, factory=set[int])
    _waiters: list[_Waiter] = field(init=False, factory=list[_Waiter])

    # For the test.

    def report(self, event: PhoneEvent) -> None:
        """Notify the agent of what Twilio reports of the call."""
        if self._call is not None:
            self._call.notify(event)

    def start_call(
        self,
        phone: ItemTrackingPhone,
        agent: CallHandler,
        config: CallConfig,
        plan: ImpairmentPlan,
        *,
        seed: int,
        incoming: IncomingCall | None = None,
        record: Callable[[str], object] | None = None,
    ) -> None:
        """Start the call: the caller dials, and `agent` handles the call. `incoming` says who
        calls. `record` receives the lines of the call's recording."""
        self._config, self._incoming = config, incoming
        self.has_started, self.phone, self._agent, self._plan = True, phone, agent, plan
        bridge: BridgeLike = Bridge(config)
        self._bridge = bridge if record is None else Recorder(bridge, config, record)
        seeds = count(seed)

        def make_server() -> RealtimePeer:
            server = self.model.peer = RealtimePeer(
                self._take_reply,
                seed=next(seeds),
                pace=plan.pace,
                # The peer takes the next one at the start of each turn, and nothing else of it.
                transcripts=cast("Sequence[str | None]", self._turn_transcripts()),
                opening_error=plan.opening_error,
                max_duration_ns=plan.max_session_ns,
            )
            return server

        world = self._world
        world.run(self.now)
        world.notification_listeners.append(self._on_notification)
        world.step_observers.append(self._on_step)
        world.add("bridge", CheckedBridge(self._bridge, config))
        world.add("phone", self._impair("phone", phone))
        world.add("model", self._impair("model", make_server()))
        ways = plan.directions
        to_phone = ways["phone to bridge"], ways["bridge to phone"]
        to_model = ways["bridge to model"], ways["model to bridge"]
        world.join(("phone", SERVER), ("bridge", Peer.TWILIO), directions=to_phone)
        link = world.join(
            ("bridge", Peer.REALTIME),
            ("model", CLIENT),
            directions=to_model,
            connect_ns=plan.connect_ns,
        )
        link.is_accepting = not plan.is_connection_refused
        make_later = None if plan.is_connection_refused else make_server
        world.join_later = later_joiner(world, to_model, plan.connect_ns, make_later)

    def schedule_disconnects(self) -> None:
        """Schedule the loss of sockets, relative to the start of the stream; once."""
        cuts, self._plan.cuts = self._plan.cuts, []
        for cut in cuts:
            peer = Peer.TWILIO if cut.peer == "phone" else Peer.REALTIME
            link = self._world.link("bridge", peer)
            self._world.schedule(self.now + cut.at_ns, partial(self._world.sever, link))

    def stop_impairments(self) -> None:
        """Stop all impairments."""
        for impaired in self._impaired_peers.values():
            impaired.stop_impairments()
        for way in self._plan.directions.values():
            way.remove_impairments()

    def perform(self, do: Callable[..., list[Action]], *arguments: object) -> None:
        """Have the caller act: call a method of the phone, without its `now`."""
        if (phone := self._impaired_peers.get("phone")) is None:
            self._call_machine("phone", do.__name__, *arguments)
        else:
            self._call_machine("phone", "relay", phone.perform(do, *arguments, now=self.now))

    @property
    def phone_now(self) -> int:
        """The time of the phone's clock (ns)."""
        phone = self._impaired_peers.get("phone")
        return self.now if phone is None else phone.to_local_ns(self.now)

    async def wait_until(self, condition: Callable[[], bool], within_ns: int, failure: str) -> None:
        """Wait until a condition is true; it is evaluated after each step. Raises `AssertionError`
        with the text `failure` if that takes longer than `within_ns`."""
        if condition():
            return
        waiter = _Waiter(condition)
        self._waiters.append(waiter)
        try:
            with anyio.move_on_after(within_ns / SECOND):
                await waiter.fulfilled.wait()
        finally:
            self._waiters.remove(waiter)
        if not waiter.fulfilled.is_set():
            raise AssertionError(f"{failure} within {within_ns / SECOND:g} s")

    async def run_agent(self) -> None:
        """Run the agent from the start of its call to the end."""
        await self.started.wait()
        if self._call is not None:
            try:
                await self._call.run(self._agent)
            except Exception as error:  # raised by `PhoneCall.wait_for_end`
                self.agent_error = error
        self.agent_done.set()

    @property
    def impairment_counts(self) -> dict[str, int]:
        """How often each impairment of the call has taken effect."""
        return self._plan.applied_counts() if self.has_started else {}

    def failure_note(self) -> str:
        """Return the impairments of the call, if any, and the last steps of the bridge."""
        lines = [f"{name}: {count}" for name, count in self.impairment_counts.items()]
        if lines:
            lines.insert(0, "The impairments of the call, and how often each took effect:")
        ids = IdNumbers()
        story = (line for step in self._steps for line in tell_step(step, ids))
        return "\n".join([*lines, "The last steps of the call:", *story])

    # For the loop.

    def advance(self, until: int | None) -> bool:
        """See `TimeSource.advance`."""
        if not self.has_started or self.is_done or self.failure is not None:
            self.now = self.now if until is None else until
            return until is not None
        if until is not None and until not in self._alarms:
            self._alarms.add(until)
            self._world.schedule(until, lambda: self._fire_alarm(until))
        self._has_news = False
        try:
            while not self._has_news:
                if not self._world.step():
                    raise AssertionError("deadlock: all tasks wait, and nothing is scheduled")
                self.now = self._world.now
                self._deliver_notifications()
                self._wake_waiters()
        except Exception as error:  # raised by the test
            self._fail(error)
        return True

    # Notifications and steps.

    def _fire_alarm(self, when: int) -> None:
        self._alarms.discard(when)
        self._has_news = True

    def _on_notification(self, machine: str, event: object) -> None:
        if machine == "bridge":
            self._undelivered.append(cast(Notification, event))

    def _deliver_notifications(self) -> None:
        """Deliver notifications to the agent. Its reactions may add more, which are delivered
        last."""
        if self._is_delivering:
            return
        self._is_delivering = True
        while self._undelivered:
            event = self._undelivered.popleft()
            self.notifications.append(event)
            self._has_news = True
            match event:
                case CallStarted() if self._call is None:
                    self._call = self._make_call(event)
                    self.started.set()
                case CallEnded():
                    self.end = event
                    self.started.set()
                case _:
                    pass
            if self._call is not None:
                self._call.notify(event)
        self._is_delivering = False

    def _make_call(self, event: CallStarted) -> Call:
        bridge = self._bridge
        return Call(
            event,
            self._send_command,
            lambda: bridge.items,
            lambda: bridge.playback_positions(self.now),
            self._incoming,
            self._config,
            control=self.control,
        )

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if waiter.condition():
                self._has_news = True
                waiter.fulfilled.set()

    def _send_command(self, command: Command) -> None:
        self._call_machine("bridge", "send", command)

    def _call_machine(self, machine: str, method: str, *arguments: object) -> None:
        """Call a method of a machine. Misuse is raised here; other errors fail the test."""
        if self.failure is not None:
            return
        try:
            self._world.call(machine, method, *arguments)
        except LocalProtocolError:
            raise
        except Exception as error:
            self._fail(error)
        self._deliver_notifications()

    def _fail(self, error: Exception) -> None:
        self.failure = error
        self.failed.set()

    def _on_step(self, step: Step) -> None:
        """Pass on the model's audio to the phone, and keep the steps that a failure shows."""
        if step.machine != "bridge":
            return
        if step.method == "receive_text":
            text = str(step.arguments[1])
            if kind_of(text) == "response.output_audio.delta":
                self._add_audio(text)
        if is_notable(step):
            self._steps.append(step)

    def _add_audio(self, text: str) -> None:
        delta = decode_json(text, _AudioDelta)
        if delta is not None:  # an impairment may have changed it
            self.phone.add_generated_audio(delta.item_id, delta.delta)

    # The model.

    def _take_reply(self, request: ResponseRequest) -> Reply:
        reply = self.model.take_reply(request)
        for edit in self._plan.reply_edits:
            reply = edit(request.number, reply)
        return reply

    def _turn_transcripts(self) -> Iterator[str | None]:
        while True:
            words = self.phone.take_turn_words()
            yield None if self._plan.is_transcription_failing else words

    def _impair(self, name: str, machine: MessageMachine) -> MessageMachine:
        """Return a machine with its impairments; itself if it has none."""
        if not self._plan.is_impaired(name):
            return machine
        impaired = self._impaired_peers[name] = ImpairedPeer(self._plan, name, machine)
        return impaired.machine
