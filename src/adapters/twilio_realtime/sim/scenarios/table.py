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

from ..model.replies import Reply, TextReply
from .parts import (
    ScenarioPart,
    ScriptedCommand,
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
    single_reply,
    spoken_reply,
    transfer,
)

__all__ = ["SCENARIOS"]

MakeScenario: TypeAlias = Callable[[], ScenarioPart]

_OUT_OF_BAND_RESPONSE: Final = SendEvent(CreateResponse({"conversation": "none", "input": []}))
"""A response outside the conversation."""


def _interrupted_by_application() -> ScenarioPart:
    wish = ScriptedCommand(PlaybackStarted, Interrupt(), 400 * MS)
    return question() + answer(2000) + ScenarioPart((), (), (wish,))


def _cancelled_by_application() -> ScenarioPart:
    """The application cancels the response, and has what there is of it played."""
    cancel = ScriptedCommand(ResponseStarted, SendEvent(CancelResponse()), 700 * MS)
    return (
        question()
        + ScenarioPart((), single_reply(spoken_reply(4000, 2)), (cancel,))
        + question(after_ms=2500)
    )


def _cancel_then_interrupt() -> ScenarioPart:
    """It cancels the response, and then wants none of it heard."""
    interrupt = ScriptedCommand(AgentTranscript, Interrupt(), 400 * MS)
    return _cancelled_by_application() + ScenarioPart((), (), (interrupt,))


def _manual_commit() -> ScenarioPart:
    """The application has the turn end before the caller does, who goes on speaking."""
    wish = ScriptedCommand(CallerSpeechStarted, SendEvent(CommitAudio()), 300 * MS)
    return ScenarioPart((), (), (wish,)) + question(1200) + answer()


def _two_function_calls() -> ScenarioPart:
    return question() + function_calls(heard=True) + goodbye()


def _crossing_requests() -> ScenarioPart:
    """The application asks for responses just when turn detection begins one by itself."""
    ask = SendEvent(CreateResponse())
    wishes = (ScriptedCommand(CallerSpeechStarted, ask, ms * MS) for ms in (765, 775, 790))
    return ScenarioPart((), (), tuple(wishes)) + question(600) + answer(1500) + goodbye()


def _empty_responses() -> ScenarioPart:
    """The same, and the model has nothing to say, so that responses end as soon as they begin."""
    asked = _crossing_requests()
    return ScenarioPart(
        asked.cues[:1] + question().cues, (Reply(), Reply(), *answer().replies), asked.commands
    )


def _early_requests() -> ScenarioPart:
    """The application asks for more while the caller is being answered."""
    wishes = (
        ScriptedCommand(CallerSpeechStopped, _OUT_OF_BAND_RESPONSE, 350 * MS),
        ScriptedCommand(CallerSpeechStopped, SendEvent(CreateResponse()), 400 * MS),
    )
    return ScenarioPart((), (), wishes) + question(600) + answer(2500) + goodbye()


def _out_of_band_requests() -> ScenarioPart:
    """The application asks for something outside the conversation, and within it meanwhile."""
    wishes = (
        ScriptedCommand(SessionReady, _OUT_OF_BAND_RESPONSE),
        ScriptedCommand(SessionReady, SendMessage("hello"), 195 * MS),
        ScriptedCommand(CallerSpeechStopped, _OUT_OF_BAND_RESPONSE, 100 * MS),
    )
    return (
        ScenarioPart((), (Reply((TextReply("aside"),)),), wishes)
        + answer(900)
        + question()
        + answer()
    )


SCENARIOS: Final[Mapping[str, MakeScenario]] = MappingProxyType(
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
        "second-thoughts": _cancel_then_interrupt,
        "committed-by-hand": _manual_commit,
        "function-call": lambda: question() + function_call(heard=True) + goodbye(),
        "function-calls": _two_function_calls,
        "several-items": lambda: question() + several_items() + barge_in(after_ms=900),
        "requests-that-cross": _crossing_requests,
        "nothing-to-say": _empty_responses,
        "requests-too-soon": _early_requests,
        "requests-beside": _out_of_band_requests,
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
