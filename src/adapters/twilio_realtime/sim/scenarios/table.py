"""Whole calls by name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from twilio_realtime_core.commands import Interrupt, SendEvent, SendMessage
from twilio_realtime_core.machine.units import MS
from twilio_realtime_core.notifications import (
    AgentTranscript,
    CallerSpeechStarted,
    CallerSpeechStopped,
    PlaybackStarted,
    ResponseStarted,
    SessionReady,
)
from twilio_realtime_core.protocols.realtime import CancelResponse, CommitAudio, CreateResponse

from ..model.replies import Reply, Text
from .parts import (
    Part,
    Wish,
    one_reply,
    spoken,
    agent_hangs_up,
    answer,
    barge_in,
    barge_in_during_function_call,
    barge_in_early,
    barge_in_late,
    barge_in_on_goodbye,
    barge_in_twice,
    function_call,
    function_calls,
    goodbye,
    greeting,
    hang_up,
    keys,
    monologue,
    muted,
    question,
    several_items,
    silent_caller,
    transfer,
)

__all__ = ["SCENARIOS"]

Maker: TypeAlias = Callable[[], Part]

_ASIDE: Final = SendEvent(CreateResponse({"conversation": "none", "input": []}))
"""A response outside the conversation."""


def _interrupted_by_application() -> Part:
    wish = Wish(PlaybackStarted, Interrupt(), 400 * MS)
    return question() + answer(2000) + Part((), (), (wish,))


def _cancelled_by_application() -> Part:
    """The application cancels the response, and has what there is of it played."""
    cancel = Wish(ResponseStarted, SendEvent(CancelResponse()), 700 * MS)
    return question() + Part((), one_reply(spoken(4000, 2)), (cancel,)) + question(after_ms=2500)


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
