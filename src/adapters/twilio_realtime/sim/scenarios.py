"""What is said and done in a call, as parts that can be put one behind the other.

    call = greeting() + question() + answer(4000) + barge_in(after_ms=1500) + goodbye()

A part holds what the caller does, what the model replies, in order, and what the application does
of itself. The words are noises of the right length, since nobody understands them: a voice loud
enough for turn detection, and for the agent bytes that are all different, so that one can tell
which of them were heard.
"""

from collections.abc import Callable, Mapping
from functools import cache
from random import Random
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from attrs import frozen

from twilio_realtime_core.commands import Command, HangUp, Interrupt, SendEvent, SendMessage
from twilio_realtime_core.machine.units import MS, SAMPLE_NS
from twilio_realtime_core.notifications import (
    AgentTranscript,
    CallerSpeechStarted,
    CallerSpeechStopped,
    FunctionCallRequested,
    PlaybackStarted,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CancelResponse, CommitAudio, CreateResponse

from .model.replies import FunctionCall, Reply, ReplyItem, Speech, Text
from .phone.caller import After, At, Cue, Mute, Press, Say, Unmute, WhenHeard, WhenQuiet
from .phone.caller import HangUp as Leave

__all__ = [
    "SCENARIOS",
    "SILENCE_MS",
    "TURN_DETECTION",
    "Part",
    "Wish",
    "agent_hangs_up",
    "agent_voice",
    "answer",
    "barge_in",
    "barge_in_during_function_call",
    "barge_in_early",
    "barge_in_late",
    "barge_in_on_goodbye",
    "barge_in_twice",
    "caller_voice",
    "function_call",
    "function_calls",
    "goodbye",
    "greeting",
    "hang_up",
    "keys",
    "monologue",
    "muted",
    "question",
    "several_items",
    "silent_caller",
    "transfer",
]

SILENCE_MS: Final = 200
"""How long the caller is silent when his turn is over; nobody has to hesitate here."""

TURN_DETECTION: Final[Mapping[str, Any]] = MappingProxyType(
    {"type": "server_vad", "silence_duration_ms": SILENCE_MS}
)

_BYTES_A_MS: Final = MS // SAMPLE_NS
_LOUD: Final = bytes((0x10, 0x90))
"""Two samples of one loud wave."""


@cache
def caller_voice(ms: int) -> bytes:
    """`ms` of a caller that turn detection takes for speech."""
    return _LOUD * (ms * _BYTES_A_MS // len(_LOUD))


@cache
def agent_voice(ms: int, seed: int = 0) -> bytes:
    """`ms` of an agent, no two stretches alike."""
    return Random(f"{seed} {ms}").randbytes(ms * _BYTES_A_MS)  # noqa: S311 - it must repeat itself


@frozen
class Wish:
    """What the application does `after_ns` it has been told the next event of some kind."""

    on: type[object]
    command: Command
    after_ns: int = 0


@frozen
class Part:
    """A part of a call. A call is a part as well."""

    cues: tuple[Cue, ...] = ()
    replies: tuple[Reply, ...] = ()
    wishes: tuple[Wish, ...] = ()

    def __add__(self, other: "Part") -> "Part":
        """One part, and then the other."""
        return Part(
            self.cues + other.cues, self.replies + other.replies, self.wishes + other.wishes
        )


Maker: TypeAlias = Callable[[], Part]

_WHEN_QUIET: Final = WhenQuiet(200 * MS, Say(b""))
"""The caller waits for his turn."""

_WHEN_TOLD: Final = (WhenHeard(1700, Say(b"")),)
"""He hears most of what functions have given as well."""


def _says(ms: int, seed: int = 0) -> Speech:
    words = " ".join(f"word{n}" for n in range(max(1, ms // 250)))
    return Speech(agent_voice(ms, seed), words)


def _reply(*items: ReplyItem) -> tuple[Reply, ...]:
    return (Reply(items),)


# What the parts are.


def greeting(ms: int = 1200) -> Part:
    """The agent speaks first, since the application has it do so, and is heard to the end."""
    wish = Wish(SessionReady, SendEvent(CreateResponse()))
    return Part((_WHEN_QUIET,), _reply(_says(ms, 1)), (wish,))


def question(ms: int = 600, after_ms: int = 300) -> Part:
    """The caller says something."""
    return Part((After(after_ms * MS, Say(caller_voice(ms))),))


def answer(ms: int = 1500, *, heard: bool = True) -> Part:
    """The model replies; with `heard`, the caller waits until it has ended."""
    return Part((_WHEN_QUIET,) if heard else (), _reply(_says(ms, 2)))


def barge_in(after_ms: int = 700, ms: int = 400) -> Part:
    """The caller interrupts once he has heard `after_ms` of what is being said, and is answered."""
    return Part((WhenHeard(after_ms, Say(caller_voice(ms))),), _reply(_says(900, 3)))


def barge_in_early() -> Part:
    """He interrupts at the first sound."""
    return question() + answer(2000, heard=False) + barge_in(after_ms=0)


def barge_in_late() -> Part:
    """He interrupts with only a few words left to hear."""
    return question() + answer(2000, heard=False) + barge_in(after_ms=1700)


def barge_in_twice() -> Part:
    """He interrupts, and then interrupts the answer to that."""
    return question() + answer(2500, heard=False) + barge_in() + barge_in(after_ms=300)


def function_call(name: str = "look_up", *, heard: bool = False) -> Part:
    """The model says that it will look, calls a function, and goes on with what it gave; with
    `heard`, the caller listens."""
    call = FunctionCall(name, '{"order": 42}')
    return Part(
        _WHEN_TOLD if heard else (), (*_reply(_says(700, 4), call), *_reply(_says(1200, 5)))
    )


def function_calls(*, heard: bool = False) -> Part:
    """The model calls two functions at once, and goes on with what both gave."""
    both = (FunctionCall("look_up", '{"order": 42}'), FunctionCall("slow", '{"order": 43}'))
    replies = (*_reply(_says(800, 12), *both), *_reply(_says(1200, 13)))
    return Part(_WHEN_TOLD if heard else (), replies)


def barge_in_during_function_call() -> Part:
    """The caller speaks while the function is at work."""
    return question() + function_call("slow") + barge_in(after_ms=650)


def several_items() -> Part:
    """The model says three things in one response, one of them written."""
    return Part((), _reply(_says(600, 6), Text("unspoken"), _says(800, 7)))


def monologue(ms: int = 6000) -> Part:
    """The model speaks for long; all of it is there long before it is heard."""
    return Part((WhenHeard(ms // 2, Say(b"")),), _reply(_says(ms, 8)))


def silent_caller(ms: int = 2000) -> Part:
    """Nobody says anything."""
    return Part((After(ms * MS, Say(b"")),))


def keys(digits: str = "42#") -> Part:
    """The caller presses keys."""
    return Part(tuple(After(250 * MS, Press(digit)) for digit in digits))


def muted(ms: int = 1000) -> Part:
    """The caller mutes his phone for a while, and speaks."""
    speaking = After(100 * MS, Say(caller_voice(ms)))
    return Part((After(100 * MS, Mute()), speaking, After(0, Unmute())))


def goodbye() -> Part:
    """The caller takes leave, the agent too, and the caller hangs up when he has heard it."""
    return question(500) + Part((WhenQuiet(200 * MS, Leave()),), _reply(_says(800, 9)))


def barge_in_on_goodbye() -> Part:
    """The application hangs up once the goodbye was heard, but the caller has one more question."""
    wish = Wish(PlaybackStarted, HangUp(after_playback=True))
    taking_leave = Part((), _reply(_says(2000, 10)), (wish,))
    return question() + taking_leave + barge_in(after_ms=800)


def transfer() -> Part:
    """The model asks for a transfer, and the application leaves when that was said."""
    call = FunctionCall("transfer", '{"to": "sales"}')
    wish = Wish(FunctionCallRequested, HangUp(after_playback=True))
    return question() + Part((), _reply(_says(1000, 11), call), (wish,))


def agent_hangs_up(after_ms: int = 800) -> Part:
    """The application has enough, and says nothing."""
    return Part((), (), (Wish(PlaybackStarted, HangUp(), after_ms * MS),))


def hang_up(at_ms: int = 4000) -> Part:
    """The caller hangs up, whatever is going on then."""
    return Part((At(at_ms * MS, Leave()),))


_ASIDE: Final = SendEvent(CreateResponse({"conversation": "none", "input": []}))
"""A response outside the conversation."""


def _interrupted_by_application() -> Part:
    wish = Wish(PlaybackStarted, Interrupt(), 400 * MS)
    return question() + answer(2000) + Part((), (), (wish,))


def _cancelled_by_application() -> Part:
    """The application cancels the response, and has what there is of it played."""
    cancel = Wish(ResponseStarted, SendEvent(CancelResponse()), 700 * MS)
    return question() + Part((), _reply(_says(4000, 2)), (cancel,)) + question(after_ms=2500)


def _second_thoughts() -> Part:
    """It cancels the response, and then wants none of it heard."""
    interrupt = Wish(AgentTranscript, Interrupt(), 400 * MS)
    return _cancelled_by_application() + Part((), (), (interrupt,))


def _committed_by_hand() -> Part:
    """The application has the turn end before the caller does, who goes on speaking."""
    wish = Wish(CallerSpeechStarted, SendEvent(CommitAudio()), 300 * MS)
    return Part((), (), (wish,)) + question(1200) + answer()


def _two_calls() -> Part:
    return question() + function_calls(heard=True) + goodbye()


def _requests_that_cross() -> Part:
    """The application asks for responses just when turn detection begins one by itself."""
    ask = SendEvent(CreateResponse())
    wishes = (Wish(CallerSpeechStarted, ask, ms * MS) for ms in (765, 775, 790))
    return Part((), (), tuple(wishes)) + question(600) + answer(1500) + goodbye()


def _nothing_to_say() -> Part:
    """The same, and the model has nothing to say, so that responses end as soon as they begin."""
    asked = _requests_that_cross()
    return Part(
        asked.cues[:1] + question().cues, (Reply(), Reply(), *answer().replies), asked.wishes
    )


def _requests_too_soon() -> Part:
    """The application asks for more while the caller is being answered."""
    wishes = (
        Wish(CallerSpeechStopped, _ASIDE, 350 * MS),
        Wish(CallerSpeechStopped, SendEvent(CreateResponse()), 400 * MS),
    )
    return Part((), (), wishes) + question(600) + answer(2500) + goodbye()


def _requests_beside() -> Part:
    """The application asks for something outside the conversation, and within it meanwhile."""
    wishes = (
        Wish(SessionReady, _ASIDE),
        Wish(SessionReady, SendMessage("hello"), 195 * MS),
        Wish(CallerSpeechStopped, _ASIDE, 100 * MS),
    )
    return Part((), (Reply((Text("aside"),)),), wishes) + answer(900) + question() + answer()


SCENARIOS: Final[Mapping[str, Maker]] = MappingProxyType(
    {
        "greeting": lambda: greeting() + goodbye(),
        "question": lambda: question() + answer() + goodbye(),
        "barge-in-early": barge_in_early,
        "barge-in-late": barge_in_late,
        "barge-in-twice": barge_in_twice,
        "barge-in-during-function-call": barge_in_during_function_call,
        "barge-in-on-goodbye": barge_in_on_goodbye,
        "application-interrupts": _interrupted_by_application,
        "application-cancels": _cancelled_by_application,
        "second-thoughts": _second_thoughts,
        "committed-by-hand": _committed_by_hand,
        "function-call": lambda: question() + function_call(heard=True) + goodbye(),
        "function-calls": _two_calls,
        "several-items": lambda: question() + several_items() + barge_in(after_ms=900),
        "requests-that-cross": _requests_that_cross,
        "nothing-to-say": _nothing_to_say,
        "requests-too-soon": _requests_too_soon,
        "requests-beside": _requests_beside,
        "silence": lambda: greeting() + silent_caller() + goodbye(),
        "keys": lambda: greeting() + keys() + goodbye(),
        "muted": lambda: greeting() + muted() + goodbye(),
        "monologue": lambda: question() + monologue() + hang_up(),
        "hang-up": lambda: question() + answer(3000) + hang_up(1500),
        "transfer": transfer,
        "agent-hangs-up": lambda: greeting() + agent_hangs_up(),
    }
)
"""Whole calls by name, about ten seconds or less."""
