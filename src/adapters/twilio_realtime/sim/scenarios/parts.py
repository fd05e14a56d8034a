"""Parts of calls, which can be put one after another.

    call = greeting() + question() + answer(4000) + interruption(after_ms=1500) + goodbye()

A part holds what the caller does, what the model replies, in order, and the commands that the
application gives by itself. Speech is noise of the right length: loud enough for turn detection,
and for the agent made of bytes that all differ, so that a test can tell which of them were heard.
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
    "caller_hangs_up",
    "early_interruption",
    "function_call",
    "function_calls",
    "goodbye",
    "greeting",
    "interruption",
    "interruption_during_function_call",
    "interruption_of_goodbye",
    "key_presses",
    "late_interruption",
    "monologue",
    "muted_speech",
    "question",
    "several_items",
    "silent_caller",
    "single_reply",
    "spoken_reply",
    "transfer",
    "two_interruptions",
]

TURN_SILENCE_MS: Final = 200
"""The silence that ends a turn; simulated callers do not hesitate."""

TURN_DETECTION: Final[Mapping[str, Any]] = MappingProxyType(
    {"type": "server_vad", "silence_duration_ms": TURN_SILENCE_MS}
)
"""The settings of turn detection that the parts are made for."""


@frozen
class ScriptedCommand:
    """A command that the application gives `after_ns` the next notification of the class
    `trigger`."""

    trigger: type[object]
    command: Command
    after_ns: int = 0


@frozen
class ScenarioPart:
    """A part of a call, or a whole call."""

    cues: tuple[Cue, ...] = ()
    replies: tuple[Reply, ...] = ()
    commands: tuple[ScriptedCommand, ...] = ()

    def __add__(self, other: "ScenarioPart") -> "ScenarioPart":
        """Return this part followed by another."""
        return ScenarioPart(
            self.cues + other.cues, self.replies + other.replies, self.commands + other.commands
        )


_AWAIT_SILENCE: Final = WhenAgentQuiet(200 * MS, CallerSays(b""))
"""The caller waits for their turn."""

_HEAR_FUNCTION_RESULT: Final = (WhenAgentHeard(1700, CallerSays(b"")),)
"""The caller hears most of the response to a function's output as well."""


def spoken_reply(duration_ms: int, seed: int = 0) -> SpokenReply:
    """Return a reply of `duration_ms` of speech, with words at an even pace."""
    words = " ".join(f"word{n}" for n in range(max(1, duration_ms // 250)))
    return SpokenReply(agent_voice(duration_ms, seed), words)


def single_reply(*items: ReplyItem) -> tuple[Reply, ...]:
    """Return the replies of a part in which the model responds once."""
    return (Reply(items),)


# The parts.


def greeting(duration_ms: int = 1200) -> ScenarioPart:
    """The application requests a response at first, and the caller hears it to the end."""
    command = ScriptedCommand(SessionReady, SendEvent(CreateResponse()))
    return ScenarioPart((_AWAIT_SILENCE,), single_reply(spoken_reply(duration_ms, 1)), (command,))


def question(duration_ms: int = 600, after_ms: int = 300) -> ScenarioPart:
    """The caller says something."""
    return ScenarioPart((AfterDelay(after_ms * MS, CallerSays(caller_voice(duration_ms))),))


def answer(duration_ms: int = 1500, *, wait_for_end: bool = True) -> ScenarioPart:
    """The model replies; with `wait_for_end`, the caller waits until it has ended."""
    return ScenarioPart(
        (_AWAIT_SILENCE,) if wait_for_end else (), single_reply(spoken_reply(duration_ms, 2))
    )


def interruption(after_ms: int = 700, duration_ms: int = 400) -> ScenarioPart:
    """The caller interrupts once they have heard `after_ms` of the agent, and is answered."""
    return ScenarioPart(
        (WhenAgentHeard(after_ms, CallerSays(caller_voice(duration_ms))),),
        single_reply(spoken_reply(900, 3)),
    )


def early_interruption() -> ScenarioPart:
    """The caller interrupts at the first sound."""
    return question() + answer(2000, wait_for_end=False) + interruption(after_ms=0)


def late_interruption() -> ScenarioPart:
    """The caller interrupts when only a few words are left."""
    return question() + answer(2000, wait_for_end=False) + interruption(after_ms=1700)


def two_interruptions() -> ScenarioPart:
    """The caller interrupts, and then interrupts the answer to that."""
    return (
        question() + answer(2500, wait_for_end=False) + interruption() + interruption(after_ms=300)
    )


def function_call(name: str = "look_up", *, wait_for_result: bool = False) -> ScenarioPart:
    """The model announces a function call, makes it, and responds to its output; with
    `wait_for_result`, the caller listens to that."""
    call = FunctionCallReply(name, '{"order": 42}')
    return ScenarioPart(
        _HEAR_FUNCTION_RESULT if wait_for_result else (),
        (*single_reply(spoken_reply(700, 4), call), *single_reply(spoken_reply(1200, 5))),
    )


def function_calls(*, wait_for_result: bool = False) -> ScenarioPart:
    """The model calls two functions at once, and responds to both outputs."""
    both = (
        FunctionCallReply("look_up", '{"order": 42}'),
        FunctionCallReply("slow", '{"order": 43}'),
    )
    replies = (*single_reply(spoken_reply(800, 12), *both), *single_reply(spoken_reply(1200, 13)))
    return ScenarioPart(_HEAR_FUNCTION_RESULT if wait_for_result else (), replies)


def interruption_during_function_call() -> ScenarioPart:
    """The caller speaks while the function runs."""
    return question() + function_call("slow") + interruption(after_ms=650)


def several_items() -> ScenarioPart:
    """The model sends three items in one response, one of them text."""
    return ScenarioPart(
        (), single_reply(spoken_reply(600, 6), TextReply("unspoken"), spoken_reply(800, 7))
    )


def monologue(duration_ms: int = 6000) -> ScenarioPart:
    """The model speaks for long; all audio has arrived long before it is heard."""
    return ScenarioPart(
        (WhenAgentHeard(duration_ms // 2, CallerSays(b"")),),
        single_reply(spoken_reply(duration_ms, 8)),
    )


def silent_caller(duration_ms: int = 2000) -> ScenarioPart:
    """Nobody says anything."""
    return ScenarioPart((AfterDelay(duration_ms * MS, CallerSays(b"")),))


def key_presses(digits: str = "42#") -> ScenarioPart:
    """The caller presses keys."""
    return ScenarioPart(tuple(AfterDelay(250 * MS, CallerPressesKey(digit)) for digit in digits))


def muted_speech(duration_ms: int = 1000) -> ScenarioPart:
    """The caller mutes the phone, speaks, and unmutes it."""
    speaking = AfterDelay(100 * MS, CallerSays(caller_voice(duration_ms)))
    return ScenarioPart(
        (AfterDelay(100 * MS, CallerMutes()), speaking, AfterDelay(0, CallerUnmutes()))
    )


def goodbye() -> ScenarioPart:
    """Caller and agent say goodbye, and the caller hangs up when they have heard it."""
    return question(500) + ScenarioPart(
        (WhenAgentQuiet(200 * MS, CallerHangsUp()),), single_reply(spoken_reply(800, 9))
    )


def interruption_of_goodbye() -> ScenarioPart:
    """The application hangs up after the agent's goodbye has been heard, but the caller interrupts
    it."""
    command = ScriptedCommand(PlaybackStarted, HangUp(after_playback=True))
    agent_goodbye = ScenarioPart((), single_reply(spoken_reply(2000, 10)), (command,))
    return question() + agent_goodbye + interruption(after_ms=800)


def transfer() -> ScenarioPart:
    """The model requests a transfer, and the application hangs up after its words have been
    heard."""
    call = FunctionCallReply("transfer", '{"to": "sales"}')
    command = ScriptedCommand(FunctionCallRequested, HangUp(after_playback=True))
    return question() + ScenarioPart((), single_reply(spoken_reply(1000, 11), call), (command,))


def agent_hangs_up(after_ms: int = 800) -> ScenarioPart:
    """The application hangs up without a word."""
    return ScenarioPart((), (), (ScriptedCommand(PlaybackStarted, HangUp(), after_ms * MS),))


def caller_hangs_up(at_ms: int = 4000) -> ScenarioPart:
    """The caller hangs up at a time, whatever happens then."""
    return ScenarioPart((AtTime(at_ms * MS, CallerHangsUp()),))
