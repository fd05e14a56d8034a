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

from ..model.replies import FunctionCallReply, Reply, ReplyItem, SpokenReply, TextReply
from ..phone.caller import (
    AfterDelay,
    AtTime,
    CallerHangsUp,
    CallerMutes,
    CallerPressesKey,
    CallerSays,
    CallerUnmutes,
    Cue,
    WhenAgentHeard,
    WhenAgentQuiet,
)
from .voices import agent_voice, caller_voice

__all__ = [
    "TURN_DETECTION",
    "TURN_SILENCE_MS",
    "ScenarioPart",
    "ScriptedCommand",
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

TURN_SILENCE_MS: Final = 200
"""How long the caller is silent when his turn is over; nobody has to hesitate here."""

TURN_DETECTION: Final[Mapping[str, Any]] = MappingProxyType(
    {"type": "server_vad", "silence_duration_ms": TURN_SILENCE_MS}
)


@frozen
class ScriptedCommand:
    """What the application does `after_ns` it has been told the next event of some kind."""

    trigger: type[object]
    command: Command
    after_ns: int = 0


@frozen
class ScenarioPart:
    """A part of a call. A call is a part as well."""

    cues: tuple[Cue, ...] = ()
    replies: tuple[Reply, ...] = ()
    commands: tuple[ScriptedCommand, ...] = ()

    def __add__(self, other: "ScenarioPart") -> "ScenarioPart":
        """One part, and then the other."""
        return ScenarioPart(
            self.cues + other.cues, self.replies + other.replies, self.commands + other.commands
        )


_AWAIT_SILENCE: Final = WhenAgentQuiet(200 * MS, CallerSays(b""))
"""The caller waits for his turn."""

_HEAR_FUNCTION_RESULT: Final = (WhenAgentHeard(1700, CallerSays(b"")),)
"""He hears most of what functions have given as well."""


def spoken_reply(ms: int, seed: int = 0) -> SpokenReply:
    words = " ".join(f"word{n}" for n in range(max(1, ms // 250)))
    return SpokenReply(agent_voice(ms, seed), words)


def single_reply(*items: ReplyItem) -> tuple[Reply, ...]:
    return (Reply(items),)


# What the parts are.


def greeting(ms: int = 1200) -> ScenarioPart:
    """The agent speaks first, since the application has it do so, and is heard to the end."""
    wish = ScriptedCommand(SessionReady, SendEvent(CreateResponse()))
    return ScenarioPart((_AWAIT_SILENCE,), single_reply(spoken_reply(ms, 1)), (wish,))


def question(ms: int = 600, after_ms: int = 300) -> ScenarioPart:
    """The caller says something."""
    return ScenarioPart((AfterDelay(after_ms * MS, CallerSays(caller_voice(ms))),))


def answer(ms: int = 1500, *, heard: bool = True) -> ScenarioPart:
    """The model replies; with `heard`, the caller waits until it has ended."""
    return ScenarioPart((_AWAIT_SILENCE,) if heard else (), single_reply(spoken_reply(ms, 2)))


def barge_in(after_ms: int = 700, ms: int = 400) -> ScenarioPart:
    """The caller interrupts once he has heard `after_ms` of what is being said, and is answered."""
    return ScenarioPart(
        (WhenAgentHeard(after_ms, CallerSays(caller_voice(ms))),),
        single_reply(spoken_reply(900, 3)),
    )


def barge_in_early() -> ScenarioPart:
    """He interrupts at the first sound."""
    return question() + answer(2000, heard=False) + barge_in(after_ms=0)


def barge_in_late() -> ScenarioPart:
    """He interrupts with only a few words left to hear."""
    return question() + answer(2000, heard=False) + barge_in(after_ms=1700)


def barge_in_twice() -> ScenarioPart:
    """He interrupts, and then interrupts the answer to that."""
    return question() + answer(2500, heard=False) + barge_in() + barge_in(after_ms=300)


def function_call(name: str = "look_up", *, heard: bool = False) -> ScenarioPart:
    """The model says that it will look, calls a function, and goes on with what it gave; with
    `heard`, the caller listens."""
    call = FunctionCallReply(name, '{"order": 42}')
    return ScenarioPart(
        _HEAR_FUNCTION_RESULT if heard else (),
        (*single_reply(spoken_reply(700, 4), call), *single_reply(spoken_reply(1200, 5))),
    )


def function_calls(*, heard: bool = False) -> ScenarioPart:
    """The model calls two functions at once, and goes on with what both gave."""
    both = (
        FunctionCallReply("look_up", '{"order": 42}'),
        FunctionCallReply("slow", '{"order": 43}'),
    )
    replies = (*single_reply(spoken_reply(800, 12), *both), *single_reply(spoken_reply(1200, 13)))
    return ScenarioPart(_HEAR_FUNCTION_RESULT if heard else (), replies)


def barge_in_during_function_call() -> ScenarioPart:
    """The caller speaks while the function is at work."""
    return question() + function_call("slow") + barge_in(after_ms=650)


def several_items() -> ScenarioPart:
    """The model says three things in one response, one of them written."""
    return ScenarioPart(
        (), single_reply(spoken_reply(600, 6), TextReply("unspoken"), spoken_reply(800, 7))
    )


def monologue(ms: int = 6000) -> ScenarioPart:
    """The model speaks for long; all of it is there long before it is heard."""
    return ScenarioPart(
        (WhenAgentHeard(ms // 2, CallerSays(b"")),), single_reply(spoken_reply(ms, 8))
    )


def silent_caller(ms: int = 2000) -> ScenarioPart:
    """Nobody says anything."""
    return ScenarioPart((AfterDelay(ms * MS, CallerSays(b"")),))


def keys(digits: str = "42#") -> ScenarioPart:
    """The caller presses keys."""
    return ScenarioPart(tuple(AfterDelay(250 * MS, CallerPressesKey(digit)) for digit in digits))


def muted(ms: int = 1000) -> ScenarioPart:
    """The caller mutes his phone for a while, and speaks."""
    speaking = AfterDelay(100 * MS, CallerSays(caller_voice(ms)))
    return ScenarioPart(
        (AfterDelay(100 * MS, CallerMutes()), speaking, AfterDelay(0, CallerUnmutes()))
    )


def goodbye() -> ScenarioPart:
    """The caller takes leave, the agent too, and the caller hangs up when he has heard it."""
    return question(500) + ScenarioPart(
        (WhenAgentQuiet(200 * MS, CallerHangsUp()),), single_reply(spoken_reply(800, 9))
    )


def barge_in_on_goodbye() -> ScenarioPart:
    """The application hangs up once the goodbye was heard, but the caller has one more question."""
    wish = ScriptedCommand(PlaybackStarted, HangUp(after_playback=True))
    taking_leave = ScenarioPart((), single_reply(spoken_reply(2000, 10)), (wish,))
    return question() + taking_leave + barge_in(after_ms=800)


def transfer() -> ScenarioPart:
    """The model asks for a transfer, and the application leaves when that was said."""
    call = FunctionCallReply("transfer", '{"to": "sales"}')
    wish = ScriptedCommand(FunctionCallRequested, HangUp(after_playback=True))
    return question() + ScenarioPart((), single_reply(spoken_reply(1000, 11), call), (wish,))


def agent_hangs_up(after_ms: int = 800) -> ScenarioPart:
    """The application has enough, and says nothing."""
    return ScenarioPart((), (), (ScriptedCommand(PlaybackStarted, HangUp(), after_ms * MS),))


def hang_up(at_ms: int = 4000) -> ScenarioPart:
    """The caller hangs up, whatever is going on then."""
    return ScenarioPart((AtTime(at_ms * MS, CallerHangsUp()),))
