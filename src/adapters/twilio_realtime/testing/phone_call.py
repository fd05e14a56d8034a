"""A call that a test makes: what the caller does, what the model says, and what came of it.

pytestmark = pytest.mark.call(agent=agent)

async def test_the_agent_says_goodbye(call: PhoneCall) -> None:
    call.model.replies("Hello, how can I help?", "Goodbye!")
    await call.say("Hello")
    await call.listen()
    await call.say("That was all, thanks")
    await call.ended()
    assert call.heard[-1].words == "Goodbye!"
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, TypeAlias, TypeVar

import anyio
from attrs import Attribute, Factory, define, field, frozen

from twilio_realtime_core import CallConfig
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, Notification

from ..agents.call import CallHandler
from .call_harness import Stage
from .handset import BYTES_A_MS, Handset
from .impairments import NO_FAULTS, Faults
from .model import Answer, Model, Said, spoken_by_caller
from .virtual_time import RUNTIMES, run

__all__ = ["LIMIT_NS", "Line", "PhoneCall", "Story", "Turn"]

LIMIT_NS: Final = 3600 * SECOND
"""How long a test may take, in its own time: as long as a session of the Realtime API lasts."""

_BEGIN_NS: Final = 20 * SECOND
_AFTERWARDS_NS: Final = SECOND
"""How long a call that has ended is still looked at."""
_LATE_NS: Final = 4 * SECOND
"""What a call may take to end on top of the time that its bridge gives the sockets: messages that
faults keep back."""
_KEY_NS: Final = 250 * MS

E = TypeVar("E", bound=Notification)


class Line(NamedTuple):
    """What somebody, the `caller` or the `agent`, has said."""

    who: str
    words: str


@frozen
class Turn:
    """A caller's turn: he presses keys, says something, and listens; he interrupts what is said to
    him after so many ms, if any. `answers` are what the model says meanwhile."""

    says: str = ""
    keys: str = ""
    interrupt_after_ms: int | None = None
    answers: tuple[Answer, ...] = ()


async def _idle(call: object) -> None:
    """An agent that does nothing: what the model says is all there is."""
    del call


def _are_faults(call: object, attribute: "Attribute[Faults]", value: object) -> None:
    del call, attribute
    if not isinstance(value, Faults):
        raise LocalProtocolError(
            "`faults` of a call are a `Faults`, such as "
            f"`Faults.seeded(0, 'marks lost')`, and no {type(value).__name__}"
        )


@define(eq=False, repr=False, kw_only=True)
class PhoneCall:
    """One call. It begins when the caller first does something; what is to be set is set before.

    The same test gives the same call. Whatever the caller does after the end does nothing.
    """

    agent: CallHandler = _idle
    config: CallConfig = field(factory=CallConfig)
    parameters: dict[str, str] = field(factory=dict[str, str])
    """The custom parameters of the TwiML."""
    faults: Faults = field(default=NO_FAULTS, validator=_are_faults)
    seed: int = 0
    """Decides ids, and when exactly each frame is sent; and on trio, if the marker sets it, which
    goes first of tasks that are ready at one instant."""
    runtime: str = "asyncio"
    model: Model = field(init=False, factory=Model)
    """What the model is going to say, and what it was told."""
    _stage: Stage = field(
        init=False, default=Factory(lambda self: Stage(self.model), takes_self=True)
    )
    _interruptions: list[tuple[int, bytes, str]] = field(
        init=False, factory=list[tuple[int, bytes, str]]
    )
    """Those that were arranged before the call began."""

    def __repr__(self) -> str:
        return "<a simulated call>"

    def run(self, story: "Story") -> None:
        """Do `story`, in a loop of `runtime` with a time of its own. Afterwards the caller hangs
        up, unless the call has ended, and it must end in time.

        Raises what the story raises, then what the agent has raised, and `InvariantBroken` as soon
        as the bridge breaks an invariant; `TimeoutError` if it takes more than `LIMIT_NS`; with the
        faults and the last steps of the call as a note.
        """
        if self.runtime not in RUNTIMES:
            raise LocalProtocolError(f"the runtime must be one of {', '.join(RUNTIMES)}")
        run(self.runtime, partial(self._run, story), self._stage, self.seed)

    # What the caller does.

    async def begin(self) -> None:
        """Dial, unless that was done, and wait until the stream has begun."""
        if not self._stage.begun:
            self._dial()
        # Another task may have dialled, and its stream not have begun.
        await self._stage.wait_until(
            lambda: self._phone.streaming, _BEGIN_NS, "no stream has begun"
        )
        self._stage.schedule_cuts()

    async def say(self, what: str | bytes, words: str = "") -> None:
        """Say something, and wait until it is said: words (300 ms each, a noise that turn detection
        takes for speech), or audio, µ-law at 8 kHz, that holds `words`."""
        await self.begin()
        audio, words = _as_speech(what, words)
        self._stage.act(self._phone.speak, audio, words)
        await self._stage.wait_until(
            lambda: not self._phone.speaking or self._over, LIMIT_NS, "the caller has not done"
        )

    def interrupt_after(self, *, ms: int, what: str | bytes = "No, wait", words: str = "") -> None:
        """Have the caller say something once he has heard `ms` more of the agent, to the sample; 0
        is its next sound. If he never hears so much, he does not. `LocalProtocolError`: `ms` is
        negative."""
        if ms < 0:
            raise LocalProtocolError(f"interrupt_after: he cannot have heard {ms} ms")
        interruption = ms, *_as_speech(what, words)
        if self._stage.begun:
            self._stage.act(self._phone.interrupt_after, *interruption)
        else:
            self._interruptions.append(interruption)

    async def press(self, keys: str) -> None:
        """Press keys, four a second. `LocalProtocolError`: no such key."""
        await self.begin()
        for key in keys:
            self._stage.act(self._phone.press, key)
            await anyio.sleep(_KEY_NS / SECOND)

    async def wait(self, *, ms: int) -> None:
        """Let time pass."""
        await self.begin()
        await anyio.sleep(ms / 1000)

    async def listen(self, *, quiet_ms: int = 1500, within_ms: int = 600_000) -> None:
        """Wait until nobody has said anything for `quiet_ms`, or the call has ended. That has to be
        longer than agent and functions make the caller wait. `AssertionError`: it takes longer than
        `within_ms`."""
        await self.begin()
        since = self._stage.now

        def is_quiet() -> bool:
            nonlocal since
            quiet = self._phone.quiet_since(self._stage.local)
            if quiet is None or self._phone.speaking or self._is_responding:
                since = self._stage.now
            return self._over or self._stage.now >= since + quiet_ms * MS

        await self._stage.wait_until(is_quiet, within_ms * MS, "it was not quiet")

    async def told(self, kind: type[E], *, within_ms: int = 60_000) -> E:
        """The next notification of a kind. `AssertionError`: none comes in that time."""
        await self.begin()
        seen = len(self.notifications)

        def found() -> list[E]:
            return [each for each in self.notifications[seen:] if isinstance(each, kind)]

        what = f"the application was told of no {kind.__name__}"
        await self._stage.wait_until(lambda: bool(found()), within_ms * MS, what)
        return found()[0]

    async def hang_up(self) -> None:
        """Put the receiver down."""
        await self.begin()
        self._stage.act(self._phone.hang_up)

    async def ended(self, *, within_ms: int = 60_000) -> CallEnded:
        """Wait until the call has ended, whoever ends it, and its agent with it.

        Raises `AssertionError` if it has not in that time, and what the agent has raised.
        """
        await self.begin()
        stage = self._stage
        await stage.wait_until(lambda: self._over, within_ms * MS, "the call has not ended")
        await stage.agent_done.wait()
        if (problem := stage.problem) is not None:
            stage.problem = None
            raise problem
        assert stage.ended is not None  # noqa: S101 - it is over
        return stage.ended

    async def follow(self, turns: Sequence[Turn]) -> None:
        """Have one turn after the other, and listen to what each leads to."""
        await self.begin()
        for turn in turns:
            self.model.replies(*turn.answers)
            await self.press(turn.keys)
            await self.say(turn.says)
            if turn.interrupt_after_ms is not None:
                self.interrupt_after(ms=turn.interrupt_after_ms)
            await self.listen()

    # What came of it.

    @property
    def heard(self) -> list[Said]:
        """What the caller has heard of each item of the agent, in the order of hearing."""
        if not self._stage.begun:
            return []
        items = self._phone.heard_items(self._stage.local)
        return [self._said(item, size // BYTES_A_MS) for item, (_, size) in items.items()]

    @property
    def heard_ms(self) -> int:
        """How much of the agent the caller has heard, audio of the application's own included."""
        return self._phone.heard_at(self._stage.local) // BYTES_A_MS if self._stage.begun else 0

    @property
    def believed(self) -> list[Said]:
        """What the model thinks was heard of each item, in the order of the conversation."""
        return [
            self._said(item.id, item.believed_ms)
            for item in self.model.conversation
            if item.spoken and item.believed_ms
        ]

    @property
    def transcript(self) -> list[Line]:
        """What was said, as one who listens in would write it down: of the agent, the words heard.
        It is in the order of beginning."""
        if not self._stage.begun:
            return []
        lines = [(began, Line("caller", words)) for began, words in self._phone.lines]
        for item, (began, size) in self._phone.heard_items(self._stage.local).items():
            lines.append((began, Line("agent", self._said(item, size // BYTES_A_MS).words)))
        return [line for _, line in sorted(lines, key=lambda each: each[0])]

    @property
    def notifications(self) -> list[Notification]:
        """What the application was told so far."""
        return self._stage.notifications

    @property
    def exercised(self) -> dict[str, int]:
        """The faults of the call, each with how often it has had its way so far; 1 where that
        cannot be counted, as of a jitter."""
        return self._stage.exercised

    @property
    def now_ms(self) -> float:
        """How long the test has taken, in its own time."""
        return self._stage.now / MS

    def _said(self, item_id: str, ms: int) -> Said:
        return self.model.said(item_id, self._phone.audio_of(item_id), ms)

    @property
    def _phone(self) -> Handset:
        return self._stage.phone

    @property
    def _over(self) -> bool:
        return self._stage.ended is not None

    @property
    def _is_responding(self) -> bool:
        return self.model.peer is not None and self.model.peer.responding

    # The test as a whole.

    def _dial(self) -> None:
        trouble = self.faults.make()
        phone = Handset(
            url="wss://service/media-stream",
            seed=self.seed,
            custom_parameters=self.parameters,
            start_delay=trouble.start_delay_ns,
        )
        for interruption in self._interruptions:
            phone.interrupt_after(*interruption, self._stage.now)
        self._stage.begin(phone, self.agent, self.config, trouble, self.seed)

    async def _run(self, story: "Story") -> None:
        stage = self._stage
        failure: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.attend)
            tasks.start_soon(self._give_up, tasks.cancel_scope)
            try:
                with anyio.move_on_after(LIMIT_NS / SECOND) as limit:
                    await story(self)
                    await self._finish()
                if limit.cancelled_caught:
                    seconds = LIMIT_NS / SECOND
                    failure = TimeoutError(
                        f"the test still waited after {seconds:g} s of its own time"
                    )
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # what is raised here would come in a group
                failure = error
            tasks.cancel_scope.cancel()
        stage.done = True
        if (broken := stage.failure or failure) is not None:
            broken.add_note(stage.tell())
            if stage.problem is None:
                raise broken
            raise broken from stage.problem

    async def _give_up(self, scope: anyio.CancelScope) -> None:
        await self._stage.failed.wait()
        scope.cancel()

    async def _finish(self) -> None:
        if not self._stage.begun:
            return
        self._stage.calm()
        if not self._over:
            await self.hang_up()
        await self.ended(within_ms=self.config.closing_timeout_ms + _LATE_NS // MS)
        await anyio.sleep(_AFTERWARDS_NS / SECOND)


Story: TypeAlias = Callable[[PhoneCall], Awaitable[object]]
"""What happens in a call."""


def _as_speech(what: str | bytes, words: str) -> tuple[bytes, str]:
    return (spoken_by_caller(what), what) if isinstance(what, str) else (what, words)
