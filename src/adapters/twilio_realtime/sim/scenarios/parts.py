"""What is said and done in a call, as parts that can be put one behind the other.

    call = greeting() + question() + answer(4000) + barge_in(after_ms=1500) + goodbye()

A part holds what the caller does, what the model replies, in order, and what the application does
of itself. The words are noises of the right length, since nobody understands them: a voice loud
enough for turn detection, and for the agent bytes that are all different, so that one can tell
which of them were heard.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from attrs import frozen

from twilio_realtime_core.commands import Command, HangUp, SendEvent
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    FunctionCallRequested,
    PlaybackStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CreateResponse

from ..model.replies import FunctionCall, Reply, ReplyItem, Speech, Text
from ..phone.caller import After, At, Cue, Mute, Press, Say, Unmute, WhenHeard, WhenQuiet
from ..phone.caller import HangUp as Leave
from .voices import agent_voice, caller_voice

__all__ = [
    "SILENCE_MS",
    "TURN_DETECTION",
    "Part",
    "Wish",
    "agent_hangs_up",
    "answer",
    "barge_in",
    "barge_in_during_function_call",
    "barge_in_early",
    "barge_in_late",
    "barge_in_on_goodbye",
    "barge_in_twice",
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


_WHEN_QUIET: Final = WhenQuiet(200 * MS, Say(b""))
"""The caller waits for his turn."""

_WHEN_TOLD: Final = (WhenHeard(1700, Say(b"")),)
"""He hears most of what functions have given as well."""


def spoken(ms: int, seed: int = 0) -> Speech:
    words = " ".join(f"word{n}" for n in range(max(1, ms // 250)))
    return Speech(agent_voice(ms, seed), words)


def one_reply(*items: ReplyItem) -> tuple[Reply, ...]:
    return (Reply(items),)


# What the parts are.


def greeting(ms: int = 1200) -> Part:
    """The agent speaks first, since the application has it do so, and is heard to the end."""
    wish = Wish(SessionReady, SendEvent(CreateResponse()))
    return Part((_WHEN_QUIET,), one_reply(spoken(ms, 1)), (wish,))


def question(ms: int = 600, after_ms: int = 300) -> Part:
    """The caller says something."""
    return Part((After(after_ms * MS, Say(caller_voice(ms))),))


def answer(ms: int = 1500, *, heard: bool = True) -> Part:
    """The model replies; with `heard`, the caller waits until it has ended."""
    return Part((_WHEN_QUIET,) if heard else (), one_reply(spoken(ms, 2)))


def barge_in(after_ms: int = 700, ms: int = 400) -> Part:
    """The caller interrupts once he has heard `after_ms` of what is being said, and is answered."""
    return Part((WhenHeard(after_ms, Say(caller_voice(ms))),), one_reply(spoken(900, 3)))


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
        _WHEN_TOLD if heard else (), (*one_reply(spoken(700, 4), call), *one_reply(spoken(1200, 5)))
    )


def function_calls(*, heard: bool = False) -> Part:
    """The model calls two functions at once, and goes on with what both gave."""
    both = (FunctionCall("look_up", '{"order": 42}'), FunctionCall("slow", '{"order": 43}'))
    replies = (*one_reply(spoken(800, 12), *both), *one_reply(spoken(1200, 13)))
    return Part(_WHEN_TOLD if heard else (), replies)


def barge_in_during_function_call() -> Part:
    """The caller speaks while the function is at work."""
    return question() + function_call("slow") + barge_in(after_ms=650)


def several_items() -> Part:
    """The model says three things in one response, one of them written."""
    return Part((), one_reply(spoken(600, 6), Text("unspoken"), spoken(800, 7)))


def monologue(ms: int = 6000) -> Part:
    """The model speaks for long; all of it is there long before it is heard."""
    return Part((WhenHeard(ms // 2, Say(b"")),), one_reply(spoken(ms, 8)))


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
    return question(500) + Part((WhenQuiet(200 * MS, Leave()),), one_reply(spoken(800, 9)))


def barge_in_on_goodbye() -> Part:
    """The application hangs up once the goodbye was heard, but the caller has one more question."""
    wish = Wish(PlaybackStarted, HangUp(after_playback=True))
    taking_leave = Part((), one_reply(spoken(2000, 10)), (wish,))
    return question() + taking_leave + barge_in(after_ms=800)


def transfer() -> Part:
    """The model asks for a transfer, and the application leaves when that was said."""
    call = FunctionCall("transfer", '{"to": "sales"}')
    wish = Wish(FunctionCallRequested, HangUp(after_playback=True))
    return question() + Part((), one_reply(spoken(1000, 11), call), (wish,))


def agent_hangs_up(after_ms: int = 800) -> Part:
    """The application has enough, and says nothing."""
    return Part((), (), (Wish(PlaybackStarted, HangUp(), after_ms * MS),))


def hang_up(at_ms: int = 4000) -> Part:
    """The caller hangs up, whatever is going on then."""
    return Part((At(at_ms * MS, Leave()),))
