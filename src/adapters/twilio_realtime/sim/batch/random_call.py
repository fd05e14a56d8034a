"""One random call: drawn from its choices, run, and checked."""

from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.commands import Command, HangUp, Interrupt
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded

from ..choices import Choices
from ..impairments.impaired_peer import ImpairedPeer
from ..impairments.impairer import Impairer
from ..impairments.plan import ImpairmentPlan, LinkCut
from ..impairments.table import draw_impairments
from ..line_profile import LineProfile
from ..model.realtime_peer import CLIENT, RealtimePeer
from ..model.replies import Reply, ResponseRequest
from ..phone.caller import check_frame_ms
from ..phone.twilio_peer import SERVER, TwilioPeer
from ..reference import CallMachine, CheckedBridge, InvariantBroken
from ..reference.ground_truth import GroundTruth
from ..scenarios.parts import ScenarioPart
from ..scenarios.voices import caller_voice
from ..world.byte_world import ByteWorld
from ..world.calls import byte_call, message_call
from ..world.message_world import MessageWorld
from ..world.world import SimLink, SimulationError, Step, TimeLimitError
from .application import SimApplication
from .random_commands import RandomCommands
from .random_config import draw_config, is_server_responding
from .random_scenario import draw_scenario
from .session_losses import SessionLosses
from .story import IdNumbers, NarratedBridge, tell_step

__all__ = [
    "HANG_UP_NS",
    "IMPAIRMENTS_END_NS",
    "MAX_ENDING_NS",
    "Failure",
    "MakeBridge",
    "RandomCall",
]

IMPAIRMENTS_END_NS: Final = 8 * SECOND
"""When all impairments have stopped, unless one of them lasts longer."""

HANG_UP_NS: Final = 9 * SECOND
"""When one side hangs up, if the call has not ended before; so much later as impairments last
longer."""

MAX_ENDING_NS: Final = 14 * SECOND
"""How long a call may take to end after that: the ten seconds that a bridge gives its sockets
(`CallConfig.closing_timeout_ms`), and what was held back or stalled."""

_AFTER_END_NS: Final = SECOND
"""How long the simulation continues after the end of the call."""

_INTERRUPTION_MS: Final = 600
"""How long a caller speaks who interrupts what Twilio holds of a lost session."""

_LATE_EVENTS: Final = (
    '{"type": "input_audio_buffer.speech_started", "audio_start_ms": 0, "item_id": "item_late"}',
    '{"type": "response.output_audio.delta", "response_id": "a", "item_id": "b", "delta": "/w=="}',
    '{"type": "response.created", "response": {"id": "resp_late", "status": "in_progress"}}',
    '{"type": "error", "error": {"type": "server_error", "message": "late"}}',
)
"""Events of a session that was replaced."""

_MAX_CORRECTION_MS: Final = 150
"""The longest time from an interruption to the loss of the session that is to be corrected."""

_MAX_TURNS: Final = 100
"""More turns than a caller takes in ten seconds."""

MakeBridge: TypeAlias = Callable[[CallConfig], CallMachine]
"""Makes the machine to check: usually a `Bridge`."""


@frozen
class Failure:
    """What went wrong in a call. `invariant`: its number; 0, a simulation error; 13, a call that
    does not end; -1, an exception. `name` is that of the invariant, empty if no judge found it.

    `trace` holds the last steps before it, `decisions` what was drawn for this call, and `story`
    the steps of the bridge that matter, as text.
    """

    invariant: int
    text: str
    trace: tuple[str, ...] = field(repr=False)
    decisions: tuple[str, ...] = field(repr=False)
    name: str = ""
    story: tuple[str, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        return "\n".join([*self.decisions, *self.trace, f"invariant {self.invariant}: {self.text}"])


@define(eq=False)
class RandomCall:
    """One call, drawn from its choices, at the level of `messages` or of `bytes`.

    `scenario` is the name of one of `SCENARIOS`, in place of a random one. `make_bridge` makes the
    machine to check. `frame_ms` is how long the frames of the caller last: one of
    `FRAME_MS_VALUES`. (`ValueError`: it is not.) `line` says what its line is like.
    """

    choices: Choices
    _requested_scenario: str | None = field(default=None, alias="scenario")
    level: str = "messages"
    _make_bridge: MakeBridge = field(default=Bridge, alias="make_bridge")
    frame_ms: int = field(default=20, kw_only=True)
    line: LineProfile | None = field(default=None, kw_only=True)
    _trace_limit: int = field(default=0, kw_only=True, alias="trace_limit")

    scenario: str = field(init=False)
    plan: ImpairmentPlan = field(init=False)
    bridge: CheckedBridge = field(init=False)
    phone: Impairer = field(init=False)
    model: Impairer = field(init=False)
    world: MessageWorld | ByteWorld = field(init=False)
    application: SimApplication = field(init=False)
    _commands: RandomCommands = field(init=False)
    notification_counts: Counter[str] = field(init=False, factory=Counter[str])
    """How often the application received each notification, by name."""
    _narrated: NarratedBridge | None = field(init=False, default=None)
    is_begun: bool = field(init=False, default=True)
    """Whether the call ever reached the bridge."""
    call_ended: CallEnded | None = field(init=False, default=None)
    call_ended_ns: int | None = field(init=False, default=None)
    _twilio_peer: TwilioPeer = field(init=False)
    _realtime_peer: RealtimePeer = field(init=False)
    _impaired_phone: ImpairedPeer = field(init=False)
    _impaired_model: ImpairedPeer = field(init=False)
    _truth: GroundTruth = field(init=False)
    _part: ScenarioPart = field(init=False)
    bridge_config: CallConfig = field(init=False)
    _models: list[RealtimePeer] = field(init=False, factory=list[RealtimePeer])
    """The model of each connection that was accepted."""
    _join_later: Any = field(init=False)
    _model_link: SimLink[Any] = field(init=False)
    """The last connection to a model that was opened."""
    _links: list[Hashable] = field(init=False, factory=lambda: [Peer.REALTIME])
    """The keys of all connections to a model."""
    _losses: SessionLosses | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        check_frame_ms(self.frame_ms)
        self.scenario, part = draw_scenario(self.choices, self._requested_scenario)
        self.plan = plan = draw_impairments(self.choices, frame_ms=self.frame_ms, line=self.line)
        config = draw_config(self.choices, self.frame_ms)
        bridge = self._make_bridge(config)
        if self._trace_limit:
            bridge = self._narrated = NarratedBridge(bridge)
        self.bridge = CheckedBridge(bridge, config)
        self._truth = GroundTruth(plan, config)
        self._twilio_peer = TwilioPeer(
            url="ws://bridge/media-stream",
            script=part.cues,
            start_delay_ns=plan.draw_start_delay_ns or plan.start_delay_ns,
            frame_ms=self.frame_ms,
        )
        self._impaired_phone = ImpairedPeer(plan, "phone", self._twilio_peer)
        self._part, self.bridge_config = part, config
        self._realtime_peer = self._make_model(part, config.model)
        self._models.append(self._realtime_peer)
        self._impaired_model = ImpairedPeer(plan, "model", self._realtime_peer)
        self.phone, self.model = self._impaired_phone.machine, self._impaired_model.machine
        self._join()
        self.application = SimApplication(
            list(part.commands),
            self._perform,
            self._schedule_after,
            is_requesting_responses=not is_server_responding(config),
            has_speech_beside=plan.has_speech_beside,
            choices=self.choices,
        )
        self._commands = RandomCommands(self.choices, self.application, self.world)
        self.world.notification_listeners.append(self._on_notification)
        self._schedule_events()

    def run(self) -> Failure | None:
        """Make the call, to its end and a little further; return what went wrong, if anything
        did."""
        world = self.world
        try:
            hang_up_ns = self._hang_up_ns
            world.run(hang_up_ns)
            with suppress(TimeLimitError):
                world.run_until(lambda: self._is_over, hang_up_ns + MAX_ENDING_NS)
            if not self._is_over:
                self.bridge.check_ended(world.now)
            world.run(world.now + _AFTER_END_NS)
        except InvariantBroken as broken:
            return self._make_failure(broken.number, broken.text, broken.step, name=broken.name)
        except SimulationError as error:
            return self._make_failure(0, str(error).partition("\n")[0])
        except Exception as error:  # any exception is a finding
            return self._make_failure(-1, f"{type(error).__name__}: {error}")
        failure = self._truth.judge(self._twilio_peer, self._models, world.now)
        return None if failure is None else self._make_failure(*failure)

    def _make_failure(self, number: int, text: str, *last_steps: Step, name: str = "") -> Failure:
        trace = tuple(map(str, (*self.world.trace, *last_steps)))
        ids = IdNumbers()
        steps = self._narrated.steps if self._narrated is not None else []
        steps += [each for each in last_steps if each not in steps[-1:]]
        story = tuple("\n".join(tell_step(step, ids)) for step in steps)
        return Failure(number, text, trace, tuple(self.choices.decisions), name, story)

    # What the call consists of.

    def _make_model(self, part: ScenarioPart, model: str, number: int = 0) -> RealtimePeer:
        replies = part.replies or (Reply(),)

        def reply_to(request: ResponseRequest) -> Reply:
            reply = replies[min(request.number, len(replies) - 1)]
            for edit in self.plan.reply_edits:
                reply = edit(request.number, reply)
            return self._truth.assign_voices(reply, self.world.now)

        transcript = None if self.plan.is_transcription_failing else "some words"
        return RealtimePeer(
            reply_to,
            pace=self.plan.pace,
            model=model,
            transcripts=(transcript,) * _MAX_TURNS,
            answer_turn_after_response=self.choices.draw_bool("a turn is answered afterwards", 30),
            seed=number,
            opening_error=None if number else self.plan.opening_error,
            max_duration_ns=self.plan.max_session_ns,
            id_suffix=self.plan.id_suffix,
        )

    def _make_later_model(self) -> RealtimePeer:
        peer = self._make_model(self._part, self.bridge_config.model, len(self._models))
        self._models.append(peer)
        return peer

    def _join_later_model(self, name: str, peer: Hashable) -> SimLink[Any]:
        """Join a later connection to the model, which may be refused, and may be lost again."""
        link: SimLink[Any] = self._join_later(name, peer)
        self._model_link = link
        self._links.append(peer)
        if self.choices.draw_bool("a later session is refused", 20):
            link.is_accepting = False
        elif self.choices.draw_bool("a later session is lost", 25):
            after_ms = self.choices.draw_integer("a later session is lost after, ms", 0, 4000)
            self._schedule_after(after_ms * MS, partial(self.world.sever, link))
        return link

    def _join(self) -> None:
        directions = self.plan.directions
        is_bytes = self.level == "bytes"
        make = partial(byte_call, is_segmented=True) if is_bytes else message_call
        self.world = make(
            self.bridge,
            self.phone,
            self.model,
            twilio_directions=(directions["phone to bridge"], directions["bridge to phone"]),
            model_directions=(directions["bridge to model"], directions["model to bridge"]),
            connect_ns=self.plan.connect_ns,
            trace_limit=self._trace_limit,
            choices=self.choices,
            make_model=self._make_later_model,
        )
        self._model_link = self.world.link("bridge", Peer.REALTIME)
        self._model_link.is_accepting = not self.plan.is_connection_refused
        self._join_later, self.world.join_later = self.world.join_later, self._join_later_model

    # When events happen.

    def _schedule_events(self) -> None:
        choices, world = self.choices, self.world
        self._commands.draw(until_ns=IMPAIRMENTS_END_NS)
        for cut in self.plan.cuts:
            world.schedule(cut.at_ns, partial(self._cut_link, cut))
        if self.bridge_config.reconnect is not None:
            acts = (
                self._interrupt_by_voice,
                self._interrupt,
                self._interrupt_and_lose,
                self._send_random_command,
                self._hear_old_session,
            )
            self._losses = SessionLosses(choices, self._lose_session, acts, self._schedule_after)
            self._losses.draw()
        world.schedule(self.plan.duration_ns, self._stop_impairments)
        hang_up = choices.draw_option(
            "who hangs up", (self._hang_up_phone, self._hang_up_application)
        )
        world.schedule(self._hang_up_ns, hang_up)

    @property
    def _hang_up_ns(self) -> int:
        """When one side hangs up."""
        return self.plan.duration_ns + HANG_UP_NS - IMPAIRMENTS_END_NS

    def _on_notification(self, name: str, event: object) -> None:
        self._truth.on_notification(name, event, self.world.now)
        if name != "bridge":
            return
        self.notification_counts[type(event).__name__] += 1
        if isinstance(event, CallEnded):
            self.call_ended, self.call_ended_ns = event, self.world.now
        self.application.on_notification(event)
        if self._losses is not None:
            self._losses.on_notification(event)
        self._commands.on_notification(event)

    def _perform(self, command: Command) -> None:
        self._truth.on_command(command, self.world.now)
        if self.level == "bytes":
            self.world.call("bridge", "perform", self.bridge.send(command, self.world.now))
        else:
            self.world.call("bridge", "send", command)

    def _schedule_after(self, delay_ns: int, job: Callable[[], None]) -> None:
        self.world.schedule(self.world.now + delay_ns, job)

    def _cut_link(self, cut: LinkCut) -> None:
        peer = Peer.TWILIO if cut.peer == "phone" else Peer.REALTIME
        if isinstance(self.world, ByteWorld):
            far_peer = SERVER if cut.peer == "phone" else CLIENT
            self.world.cut(cut.peer, far_peer, cut.after_bytes, reset=cut.is_reset)
        else:
            self.world.sever(self.world.link("bridge", peer))

    def _lose_session(self) -> None:
        self._truth.on_session_lost(self.world.now)
        self.world.sever(self._model_link)

    def _hear_old_session(self) -> None:
        """Report an event of a session that was replaced, which was on its way. (In a world of
        bytes nothing is reported of a link that is shut down.)"""
        opened = len(self._links)
        if self.level == "messages" and opened > 1 and self.call_ended is None:
            peer = self._links[self.choices.draw_integer("the old session", 0, opened - 2)]
            text = self.choices.draw_option("an old session says", _LATE_EVENTS)
            self.world.call("bridge", "receive_text", peer, text)

    def _send_random_command(self) -> None:
        self._commands.send()

    def _interrupt(self) -> None:
        self.application.send_command(Interrupt())

    def _interrupt_and_lose(self) -> None:
        """Interrupt, and lose the session before or after it has the correction."""
        self._interrupt()
        after_ms = self.choices.draw_integer(
            "lost after an interruption, ms", 0, _MAX_CORRECTION_MS
        )
        self._schedule_after(after_ms * MS, self._lose_session)

    def _interrupt_by_voice(self) -> None:
        """Have the caller speak."""
        if not self._twilio_peer.is_over and self.call_ended is None:
            audio = caller_voice(_INTERRUPTION_MS)
            self._act_on_phone(self._twilio_peer.say, audio)

    def _act_on_phone(self, act: Callable[..., Any], *arguments: object) -> None:
        """Have the caller do something. Raises `LocalProtocolError` before the stream starts."""
        actions = self._impaired_phone.perform(act, *arguments, now=self.world.now)
        self.world.call("phone", "perform" if self.level == "bytes" else "relay", actions)

    def _stop_impairments(self) -> None:
        self._impaired_phone.stop_impairments()
        self._impaired_model.stop_impairments()
        for direction in self.plan.directions.values():
            direction.remove_impairments()
        for peer in Peer:
            self.world.link("bridge", peer).cuts[:] = None, None

    def _hang_up_phone(self) -> None:
        if self._twilio_peer.is_over or self.call_ended is not None:
            self._hang_up_application()
            return
        try:
            self._act_on_phone(self._twilio_peer.hang_up)
        except LocalProtocolError:  # the call was never answered
            self._hang_up_application()

    def _hang_up_application(self) -> None:
        refused_count = self.application.refused_counts["HangUp"]
        self.application.send_command(HangUp())  # refused by a bridge that was not started
        self.is_begun = self.application.refused_counts["HangUp"] == refused_count

    @property
    def _is_over(self) -> bool:
        return self.call_ended is not None or not self.is_begun
