"""One random call: put together from its choices, made, and judged."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

from attrs import define, field, frozen

from twilio_realtime_core import Bridge
from twilio_realtime_core.commands import Command, HangUp
from twilio_realtime_core.config.call import CallConfig
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.actions import Peer
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import (
    CallEnded,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallStarted,
    FunctionCallRequested,
    Interrupted,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
    SessionReady,
)

from ..impairments.impaired_peer import Troubled
from ..impairments.rules import Meddled
from ..impairments.table import Cut, Trouble, draw_trouble
from ..model.realtime_peer import CLIENT, RealtimePeer
from ..model.replies import Reply, ResponseRequest
from ..phone.twilio_peer import SERVER, TwilioPeer
from ..reference import CallMachine, Checked, InvariantBroken
from ..reference.ground_truth import Truth
from ..scenarios import (
    SCENARIOS,
    Part,
    answer,
    barge_in,
    function_call,
    function_calls,
    goodbye,
    greeting,
    keys,
    monologue,
    muted,
    question,
    several_items,
    silent_caller,
)
from ..world.byte_world import ByteWorld
from ..world.calls import byte_call, message_call
from ..world.message_world import MessageWorld
from ..world.world import NotInTime, SimulationError, Step
from .application import COMMANDS, Application
from .choices import Choices
from .random_config import draw_config, server_responds

__all__ = ["CALM_NS", "ENDING_NS", "HANG_UP_NS", "Failure", "MakeBridge", "RandomCall"]

CALM_NS: Final = 8 * SECOND
"""When all faults have stopped."""

HANG_UP_NS: Final = 9 * SECOND
"""When somebody hangs up, if nobody has before."""

ENDING_NS: Final = 14 * SECOND
"""How long a call may take to end after that: the ten seconds that a bridge gives its sockets
(`CallConfig.closing_timeout_ms`), and what was kept back or stalled."""

_AFTERWARDS_NS: Final = SECOND
"""How long a call that has ended is still looked at."""

_MOST_TURNS: Final = 100
"""More than a caller takes in ten seconds."""

MakeBridge: TypeAlias = Callable[[CallConfig], CallMachine]
"""Makes what is checked; as a rule, a `Bridge`."""


@frozen
class Failure:
    """What went wrong. `invariant`: its number; 13, a call that does not end; -1, an exception.

    `trace`: the last steps before it. `decided`: what chance made of this call, as lines.
    """

    invariant: int
    text: str
    trace: tuple[str, ...] = field(repr=False)
    decided: tuple[str, ...] = field(repr=False)

    def __str__(self) -> str:
        return "\n".join([*self.decided, *self.trace, f"invariant {self.invariant}: {self.text}"])


_PARTS: Final = (
    *((3, make) for make in (question, answer, goodbye, barge_in, function_call)),
    *((1, make) for make in (several_items, monologue, keys, muted, silent_caller, function_calls)),
    (1, lambda: barge_in(after_ms=0)),
    (1, lambda: question() + answer(2500, heard=False) + barge_in(after_ms=300)),
)
"""Parts that a random call is put together from, each with how often."""

_MOST_PARTS: Final = 5
_MOST_COMMANDS: Final = 6
_MOST_AIMED: Final = 3

_AT_FIRST_MS: Final = 200
_AT_ONCE_MS: Final = 150
"""What two commands have to do with each other is decided within a round trip."""

_MOMENTS: Final[dict[type[object], int]] = {
    CallerSpeechStarted: 1000,
    CallerSpeechStopped: 1000,
    ResponseStarted: 600,
    ResponseFinished: 300,
    PlaybackStarted: 1000,
    Interrupted: 300,
    FunctionCallRequested: 400,
    SessionReady: 100,
    CallStarted: 300,
}
"""What the application is told, and how long after it, at most, a command is given that is aimed at
that moment (ms)."""


@define
class _Aim:
    """A command is given `after_ms` the application was told an event of a kind, once it has let
    `pass_by` of them pass."""

    kind: type[object]
    pass_by: int
    after_ms: int


@define(eq=False)
class RandomCall:
    """One call, put together from its choices, at the level of `messages` or of `bytes`.

    `scenario` is the name of one of `SCENARIOS`, in place of a random one. `make_bridge` makes what
    is checked.
    """

    choices: Choices
    _asked: str | None = field(default=None, alias="scenario")
    level: str = "messages"
    _make_bridge: MakeBridge = field(default=Bridge, alias="make_bridge")
    _trace_limit: int = field(default=0, kw_only=True, alias="trace_limit")

    scenario: str = field(init=False)
    trouble: Trouble = field(init=False)
    bridge: Checked = field(init=False)
    phone: Meddled = field(init=False)
    model: Meddled = field(init=False)
    world: MessageWorld | ByteWorld = field(init=False)
    application: Application = field(init=False)
    told: Counter[str] = field(init=False, factory=Counter[str])
    """What the application was told, by name."""
    begun: bool = field(init=False, default=True)
    """Whether it ever came to the bridge."""
    ended: CallEnded | None = field(init=False, default=None)
    ended_ns: int | None = field(init=False, default=None)
    _caller: TwilioPeer = field(init=False)
    _server: RealtimePeer = field(init=False)
    _phone: Troubled = field(init=False)
    _model: Troubled = field(init=False)
    _truth: Truth = field(init=False)
    _aims: list[_Aim] = field(init=False, factory=list[_Aim])

    def __attrs_post_init__(self) -> None:
        part = self._draw_part()
        self.trouble = trouble = draw_trouble(self.choices)
        config = draw_config(self.choices)
        self.bridge = Checked(self._make_bridge(config), config)
        self._truth = Truth(trouble, config)
        start_delay = trouble.start_delay_ns
        self._caller = TwilioPeer(
            url="ws://bridge/media-stream", script=part.cues, start_delay=start_delay
        )
        self._phone = Troubled(trouble, "phone", self._caller)
        self._server = self._make_model(part)
        self._model = Troubled(trouble, "model", self._server)
        self.phone, self.model = self._phone.machine, self._model.machine
        self._join()
        self.application = Application(
            list(part.wishes),
            self._perform,
            self._later,
            responds=not server_responds(config),
            choices=self.choices,
        )
        self.world.listeners.append(self._hear)
        self._schedule()

    def run(self) -> Failure | None:
        """Make the call, to its end and a bit beyond."""
        world = self.world
        try:
            world.run(HANG_UP_NS)
            with suppress(NotInTime):
                world.run_until(lambda: self._is_over, HANG_UP_NS + ENDING_NS)
            if not self._is_over:
                self.bridge.must_have_ended(world.now)
            world.run(world.now + _AFTERWARDS_NS)
        except InvariantBroken as broken:
            return self._failure(broken.number, broken.text, broken.step)
        except SimulationError as error:
            return self._failure(0, str(error).partition("\n")[0])
        except Exception as error:  # whatever it is, it is what the caller wants to know
            return self._failure(-1, f"{type(error).__name__}: {error}")
        wrong = self._truth.judge(self._caller, self._server, world.now)
        return None if wrong is None else self._failure(*wrong)

    def _failure(self, number: int, text: str, *last: Step) -> Failure:
        trace = tuple(map(str, (*self.world.trace, *last)))
        return Failure(number, text, trace, tuple(self.choices.decided))

    # What the call is like.

    def _draw_part(self) -> Part:
        choices = self.choices
        if self._asked is not None:
            self.scenario = self._asked
            return SCENARIOS[self._asked]()
        if choices.happens("a scenario with a name", 50):
            self.scenario = choices.pick("which scenario", tuple(SCENARIOS))
            return SCENARIOS[self.scenario]()
        self.scenario = "random"
        part = greeting() if choices.happens("the agent greets", 50) else Part()
        for _ in range(choices.integer("parts", 0, _MOST_PARTS)):
            part += choices.weighted("part", _PARTS)()
        return part

    def _make_model(self, part: Part) -> RealtimePeer:
        replies = part.replies or (Reply(),)

        def reply_to(request: ResponseRequest) -> Reply:
            reply = replies[min(request.number, len(replies) - 1)]
            for edit in self.trouble.edit_replies:
                reply = edit(request.number, reply)
            return self._truth.say(reply, self.world.now)

        words = None if self.trouble.fails_to_transcribe else "some words"
        return RealtimePeer(
            reply_to,
            pace=self.trouble.pace,
            transcripts=(words,) * _MOST_TURNS,
            answer_after=self.choices.happens("a turn is answered afterwards", 30),
            fault=self.trouble.opening_fault,
            max_duration_ns=self.trouble.session_ns,
        )

    def _join(self) -> None:
        ways = self.trouble.ways
        make = byte_call if self.level == "bytes" else message_call
        self.world = make(
            self.bridge,
            self.phone,
            self.model,
            twilio_ways=(ways["phone to bridge"], ways["bridge to phone"]),
            model_ways=(ways["bridge to model"], ways["model to bridge"]),
            connect_ns=self.trouble.connect_ns,
            trace_limit=self._trace_limit,
            choices=self.choices,
            **({"segment": True} if self.level == "bytes" else {}),
        )
        self.world.link("bridge", Peer.REALTIME).accepts = not self.trouble.refused

    # What happens when.

    def _schedule(self) -> None:
        choices, world = self.choices, self.world
        at_ms = 0
        for _ in range(choices.integer("commands", 0, _MOST_COMMANDS)):
            at_ms = self._draw_time(at_ms)
            world.at(at_ms * MS, self._give_any_command)
        for _ in range(choices.integer("commands at a moment", 0, _MOST_AIMED)):
            self._aims.append(self._draw_aim())
        for cut in self.trouble.cuts:
            world.at(cut.at_ns, partial(self._cut, cut))
        world.at(CALM_NS, self._calm)
        hang_up = choices.pick("who hangs up", (self._caller_hangs_up, self._application_hangs_up))
        world.at(HANG_UP_NS, hang_up)

    def _draw_time(self, before_ms: int) -> int:
        """When a command is given: at any time, or close to the begin or to the one before."""
        choices = self.choices
        if choices.happens("a command close to the one before", 25):
            return before_ms + choices.integer("command later by, ms", 0, _AT_ONCE_MS)
        if choices.happens("a command at first", 5):
            return choices.integer("command at first, ms", 0, _AT_FIRST_MS)
        return choices.integer("command at, ms", 0, CALM_NS // MS)

    def _draw_aim(self) -> _Aim:
        choices = self.choices
        kind = choices.pick("moment", tuple(_MOMENTS))
        return _Aim(
            kind,
            choices.integer("moments before", 0, 2),
            choices.integer("command after, ms", 0, _MOMENTS[kind]),
        )

    def _hear(self, name: str, event: object) -> None:
        self._truth.hear(name, event, self.world.now)
        if name != "bridge":
            return
        self.told[type(event).__name__] += 1
        if isinstance(event, CallEnded):
            self.ended, self.ended_ns = event, self.world.now
        self.application.hear(event)
        for aim in [each for each in self._aims if isinstance(event, each.kind)]:
            if aim.pass_by:
                aim.pass_by -= 1
            else:
                self._aims.remove(aim)
                self._later(aim.after_ms * MS, self._give_any_command)

    def _perform(self, command: Command) -> None:
        self._truth.take(command, self.world.now)
        if self.level == "bytes":
            self.world.call("bridge", "perform", self.bridge.send(command, self.world.now))
        else:
            self.world.call("bridge", "send", command)

    def _later(self, ns: int, job: Callable[[], None]) -> None:
        self.world.at(self.world.now + ns, job)

    def _give_any_command(self) -> None:
        command = self.choices.weighted("command", COMMANDS)(self.application, self.choices)
        self.choices.decided.append(f"at {self.world.now // MS} ms: {command}")
        self.application.give(command)

    def _cut(self, cut: Cut) -> None:
        peer = Peer.TWILIO if cut.leg == "phone" else Peer.REALTIME
        if isinstance(self.world, ByteWorld):
            far = SERVER if cut.leg == "phone" else CLIENT
            self.world.cut(cut.leg, far, cut.after_bytes, reset=cut.reset)
        else:
            self.world.sever(self.world.link("bridge", peer))

    def _calm(self) -> None:
        self._phone.calm()
        self._model.calm()
        for way in self.trouble.ways.values():
            way.smooth()
        for peer in Peer:
            self.world.link("bridge", peer).cuts[:] = None, None

    def _caller_hangs_up(self) -> None:
        if self._caller.over or self.ended is not None:
            return self._application_hangs_up()
        try:
            actions = self._phone.act(self._caller.hang_up, now=self.world.now)
        except LocalProtocolError:  # his call was never answered
            return self._application_hangs_up()
        method = "perform" if self.level == "bytes" else "relay"
        self.world.call("phone", method, actions)
        return None

    def _application_hangs_up(self) -> None:
        refused = self.application.refused["HangUp"]
        self.application.give(HangUp())  # it is refused by a bridge that was not started
        self.begun = self.application.refused["HangUp"] == refused

    @property
    def _is_over(self) -> bool:
        return self.ended is not None or not self.begun
