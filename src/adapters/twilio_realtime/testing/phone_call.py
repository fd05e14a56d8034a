"""A simulated call as a test makes it: the caller's actions, the model's responses, the results.

pytestmark = pytest.mark.call(agent=agent)

async def test_the_agent_says_goodbye(call: PhoneCall) -> None:
call.model.respond_with("Hello, how can I help?", "Goodbye!")
await call.say("Hello")
await call.listen()
await call.say("That was all, thanks")
await call.wait_for_end()
assert call.heard_speech[-1].words == "Goodbye!"
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias, TypeVar

import anyio
from attrs import Attribute, Factory, define, field, frozen

from twilio_realtime_core import CallConfig
from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.units import MS, SECOND
from twilio_realtime_core.notifications import CallEnded, Notification

from ..agents.agent import resolve_call_config
from ..agents.call import CallHandler
from ..agents.incoming_call import IncomingCall
from ..agents.phone_events import AnsweredBy, PhoneCallAnswered
from ..agents.required_runtime import check_runtime
from .call_harness import CallHarness
from .failure_note import recording_note
from .impairments import NO_IMPAIRMENTS, Impairments
from .model import HeardSpeech, ScriptedModel, ScriptedResponse, caller_speech
from .phone import BYTES_PER_MS, ItemTrackingPhone
from .virtual_time import RUNTIMES, run

__all__ = ["TEST_TIMEOUT_NS", "CallScript", "CallerTurn", "PhoneCall", "TranscriptLine"]

TEST_TIMEOUT_NS: Final = 3600 * SECOND
"""How long a test may take in virtual time: as long as a session of the Realtime API lasts."""

_STREAM_START_TIMEOUT_NS: Final = 20 * SECOND
_OBSERVE_AFTER_END_NS: Final = SECOND
"""How long a call is observed after its end."""
_DELAYED_MESSAGES_MS: Final = 4000
"""How much longer than the bridge's own timeout a call may take to end, since impairments delay
messages."""
_KEY_INTERVAL_NS: Final = 250 * MS

E = TypeVar("E", bound=Notification)


class TranscriptLine(NamedTuple):
    """What a speaker, the `caller` or the `agent`, has said."""

    speaker: str
    words: str


@frozen
class CallerTurn:
    """A turn of the caller: they press keys, say something, and listen. With `interrupt_after_ms`
    they interrupt the answer after so much of it. `responses` are those of the model meanwhile."""

    says: str = ""
    keys: str = ""
    interrupt_after_ms: int | None = None
    responses: tuple[ScriptedResponse, ...] = ()


async def _do_nothing(call: object) -> None:
    """The default agent: the call consists of the model's responses."""
    del call


def _check_impairments(call: object, attribute: "Attribute[Impairments]", value: object) -> None:
    del call, attribute
    if not isinstance(value, Impairments):
        raise LocalProtocolError(
            "the impairments of a call are an `Impairments`, such as "
            f"`Impairments.seeded(0, 'marks lost')`, not a {type(value).__name__}"
        )


@define(eq=False, repr=False, kw_only=True)
class PhoneCall:
    """A simulated call. It starts when the caller first acts; attributes are to be set before.

    The same test gives the same call. After the end, the caller's actions do nothing.
    """

    agent: CallHandler = _do_nothing
    config: CallConfig = field(factory=CallConfig)
    """The configuration of the call; an `Agent` adds its own to it."""
    custom_parameters: dict[str, str] = field(factory=dict[str, str])
    """The custom parameters of the TwiML."""
    incoming: IncomingCall | None = None
    """Who calls, as the agent reads it in `Call.incoming`."""
    machine_detection: bool = False
    """Whether the agent has placed the call, and Twilio finds out who answers: see `answer`."""
    impairments: Impairments = field(default=NO_IMPAIRMENTS, validator=_check_impairments)
    seed: int = 0
    """The seed of ids and of the times of frames; and on trio, if the marker sets it, of the order
    of tasks that are ready at one instant."""
    runtime: str = "asyncio"
    record_to: Path | None = None
    """The file that the recording of the call is written to. The page of a call that fails is
    written beside it."""
    model: ScriptedModel = field(init=False, factory=ScriptedModel)
    """The model's responses, and what the model received."""
    _harness: CallHarness = field(
        init=False, default=Factory(lambda self: CallHarness(self.model), takes_self=True)
    )
    _interruptions: list[tuple[int, bytes, str]] = field(
        init=False, factory=list[tuple[int, bytes, str]]
    )
    """Interruptions planned before the call has started."""
    _recording: list[str] = field(init=False, factory=list[str])

    def __repr__(self) -> str:
        return "<a simulated call>"

    def run(self, script: "CallScript") -> None:
        """Run `script` in a loop of `runtime` with virtual time. Then the caller hangs up, unless
        the call has ended, and the call must end in time.

        Raises what the script raises, else what the agent has raised; `InvariantBroken` as soon as
        the bridge breaks an invariant; `TimeoutError` if the test takes more than
        `TEST_TIMEOUT_NS`. A note on the exception has the impairments and the last steps of the
        call.
        """
        if self.runtime not in RUNTIMES:
            raise LocalProtocolError(f"the runtime must be one of {', '.join(RUNTIMES)}")
        check_runtime(self.agent, self.runtime)
        try:
            run(self.runtime, partial(self._run, script), self._harness, self.seed)
        finally:
            if self.record_to is not None:
                self.record_to.write_text("".join(self._recording), encoding="utf-8")

    # What the caller does.

    async def dial(self) -> None:
        """Dial, unless that was done, and wait until the stream has started."""
        if not self._harness.has_started:
            self._start_call()
        # Another task may have dialled, and its stream not have started.
        await self._harness.wait_until(
            lambda: self._phone.has_stream_started,
            _STREAM_START_TIMEOUT_NS,
            "no stream started",
        )
        self._harness.schedule_disconnects()

    async def say(self, speech: str | bytes, words: str = "") -> None:
        """Say something, and wait until it is said. `speech` is words, which are spoken as a noise
        of 300 ms each that turn detection takes for speech; or audio, µ-law at 8 kHz, of `words`.
        """
        await self.dial()
        audio, words = _to_speech(speech, words)
        self._harness.perform(self._phone.speak, audio, words)
        await self._harness.wait_until(
            lambda: not self._phone.is_speaking or self._has_ended,
            TEST_TIMEOUT_NS,
            "the caller did not finish",
        )

    def interrupt_after(
        self, *, ms: int, speech: str | bytes = "No, wait", words: str = ""
    ) -> None:
        """Have the caller say something once they have heard `ms` more of the agent, to the sample;
        0 is its next sound. If they never hear so much, they say nothing. Raises
        `LocalProtocolError` if `ms` is negative."""
        if ms < 0:
            raise LocalProtocolError(f"interrupt_after: {ms} ms cannot have been heard")
        interruption = ms, *_to_speech(speech, words)
        if self._harness.has_started:
            self._harness.perform(self._phone.interrupt_after, *interruption)
        else:
            self._interruptions.append(interruption)

    async def press_keys(self, keys: str) -> None:
        """Press keys, four each second. Raises `LocalProtocolError` if there is no such key."""
        await self.dial()
        for key in keys:
            self._harness.perform(self._phone.press_key, key)
            await anyio.sleep(_KEY_INTERVAL_NS / SECOND)

    async def answer(self, answered_by: AnsweredBy) -> None:
        """Have Twilio report who has answered, which a call with `machine_detection` waits for."""
        await self.dial()
        await self._harness.started.wait()
        self._harness.report(PhoneCallAnswered(self._phone.call_sid, answered_by))

    async def wait(self, *, ms: int) -> None:
        """Wait for `ms` of virtual time."""
        await self.dial()
        await anyio.sleep(ms / 1000)

    async def listen(self, *, quiet_ms: int = 1500, within_ms: int = 600_000) -> None:
        """Wait until nobody has spoken for `quiet_ms`, or the call has ended. `quiet_ms` has to be
        longer than the pauses that agent and functions make. Raises `AssertionError` if it takes
        longer than `within_ms`."""
        await self.dial()
        quiet_since_ns = self._harness.now

        def measure_silence() -> bool:
            nonlocal quiet_since_ns
            agent_silent_since_ns = self._phone.silent_since_ns(self._harness.phone_now)
            if agent_silent_since_ns is None or self._phone.is_speaking or self._is_responding:
                quiet_since_ns = self._harness.now
            return self._has_ended or self._harness.now >= quiet_since_ns + quiet_ms * MS

        await self._harness.wait_until(measure_silence, within_ms * MS, "there was no silence")

    async def wait_for(self, kind: type[E], *, within_ms: int = 60_000) -> E:
        """Wait for the next notification of a kind, and return it. Raises `AssertionError` if there
        is none in that time."""
        await self.dial()
        seen = len(self.notifications)

        def new() -> list[E]:
            return [each for each in self.notifications[seen:] if isinstance(each, kind)]

        failure = f"no {kind.__name__} was notified"
        await self._harness.wait_until(lambda: bool(new()), within_ms * MS, failure)
        return new()[0]

    async def hang_up(self) -> None:
        """End the call from the caller's side."""
        await self.dial()
        self._harness.perform(self._phone.hang_up)

    async def wait_for_end(self, *, within_ms: int = 60_000) -> CallEnded:
        """Wait until the call has ended, from either side, and its agent has returned.

        Raises `AssertionError` if it does not end in that time, and once what the agent has raised.
        """
        await self.dial()
        harness = self._harness
        await harness.wait_until(lambda: self._has_ended, within_ms * MS, "the call has not ended")
        await harness.agent_done.wait()
        if (error := harness.agent_error) is not None:
            harness.agent_error = None
            raise error
        assert harness.end is not None  # noqa: S101 - the call has ended
        return harness.end

    async def take_turns(self, turns: Sequence[CallerTurn]) -> None:
        """Take one turn after the other, and listen to the answer to each."""
        await self.dial()
        for turn in turns:
            self.model.respond_with(*turn.responses)
            await self.press_keys(turn.keys)
            await self.say(turn.says)
            if turn.interrupt_after_ms is not None:
                self.interrupt_after(ms=turn.interrupt_after_ms)
            await self.listen()

    # Results.

    @property
    def heard_speech(self) -> list[HeardSpeech]:
        """What the caller has heard of each item of the agent, in the order of hearing."""
        if not self._harness.has_started:
            return []
        items = self._phone.heard_items(self._harness.phone_now)
        return [self._heard_speech(item, size // BYTES_PER_MS) for item, (_, size) in items.items()]

    @property
    def heard_ms(self) -> int:
        """How much audio of the agent the caller has heard, clips of the application included."""
        if not self._harness.has_started:
            return 0
        return self._phone.heard_bytes_at(self._harness.phone_now) // BYTES_PER_MS

    @property
    def speech_in_conversation(self) -> list[HeardSpeech]:
        """What the model takes to be heard of each item, in the order of its conversation."""
        return [
            self._heard_speech(item.id, item.assumed_heard_ms)
            for item in self.model.conversation
            if item.is_spoken and item.assumed_heard_ms
        ]

    @property
    def transcript(self) -> list[TranscriptLine]:
        """What was said, in the order of starting; of the agent, the words that were heard."""
        if not self._harness.has_started:
            return []
        lines = [
            (start_ns, TranscriptLine("caller", words))
            for start_ns, words in self._phone.utterances
        ]
        for item, (start_ns, size) in self._phone.heard_items(self._harness.phone_now).items():
            words = self._heard_speech(item, size // BYTES_PER_MS).words
            lines.append((start_ns, TranscriptLine("agent", words)))
        return [line for _, line in sorted(lines, key=lambda each: each[0])]

    @property
    def next_twiml(self) -> str | None:
        """What the agent has Twilio do after its stream, such as the transfer of `Call.transfer`:
        TwiML, or `None` if the call ends with the stream."""
        decided = self._harness.control.after_stream.get(self._phone.call_sid)
        return decided if isinstance(decided, str) else None

    @property
    def notifications(self) -> list[Notification]:
        """The notifications of the bridge so far."""
        return self._harness.notifications

    @property
    def impairment_counts(self) -> dict[str, int]:
        """How often each impairment of the call has taken effect so far; 1 for those that cannot be
        counted, such as jitter."""
        return self._harness.impairment_counts

    @property
    def now_ms(self) -> float:
        """The virtual time since the start of the test."""
        return self._harness.now / MS

    def _heard_speech(self, item_id: str, heard_ms: int) -> HeardSpeech:
        return self.model.heard_speech(item_id, self._phone.generated_audio(item_id), heard_ms)

    @property
    def _phone(self) -> ItemTrackingPhone:
        return self._harness.phone

    @property
    def _has_ended(self) -> bool:
        return self._harness.end is not None

    @property
    def _is_responding(self) -> bool:
        return self.model.peer is not None and self.model.peer.is_responding

    # The test as a whole.

    def _start_call(self) -> None:
        plan = self.impairments.make_plan()
        phone = ItemTrackingPhone(
            url="wss://service/media-stream",
            seed=self.seed,
            custom_parameters=self.custom_parameters,
            start_delay_ns=plan.draw_start_delay_ns or plan.start_delay_ns,
        )
        for interruption in self._interruptions:
            phone.interrupt_after(*interruption, self._harness.now)
        self._harness.control.detects_machines = self.machine_detection
        record = None if self.record_to is None else self._recording.append
        config = resolve_call_config(self.agent, self.config)
        self._harness.start_call(
            phone,
            self.agent,
            config,
            plan,
            seed=self.seed,
            incoming=self.incoming,
            record=record,
        )

    async def _run(self, script: "CallScript") -> None:
        harness = self._harness
        failure: BaseException | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(harness.run_agent)
            tasks.start_soon(self._cancel_on_failure, tasks.cancel_scope)
            try:
                with anyio.move_on_after(TEST_TIMEOUT_NS / SECOND) as limit:
                    await script(self)
                    await self._finish()
                if limit.cancelled_caught:
                    seconds = TEST_TIMEOUT_NS / SECOND
                    failure = TimeoutError(
                        f"the test had not finished after {seconds:g} s of virtual time"
                    )
            except anyio.get_cancelled_exc_class():
                raise
            except BaseException as error:  # the task group would wrap it in a group
                failure = error
            tasks.cancel_scope.cancel()
        harness.is_done = True
        cause = harness.failure or failure
        if cause is not None:
            note = recording_note(self.record_to, self._recording)
            cause.add_note(f"{harness.failure_note()}\n{note}")
            if harness.agent_error is None:
                raise cause
            raise cause from harness.agent_error

    async def _cancel_on_failure(self, scope: anyio.CancelScope) -> None:
        await self._harness.failed.wait()
        scope.cancel()

    async def _finish(self) -> None:
        if not self._harness.has_started:
            return
        self._harness.stop_impairments()
        if not self._has_ended:
            await self.hang_up()
        within_ms = (
            resolve_call_config(self.agent, self.config).closing_timeout_ms + _DELAYED_MESSAGES_MS
        )
        await self.wait_for_end(within_ms=within_ms)
        await anyio.sleep(_OBSERVE_AFTER_END_NS / SECOND)


CallScript: TypeAlias = Callable[[PhoneCall], Awaitable[object]]
"""What happens in a call: an async function of the call."""


def _to_speech(speech: str | bytes, words: str) -> tuple[bytes, str]:
    return (caller_speech(speech), speech) if isinstance(speech, str) else (speech, words)
