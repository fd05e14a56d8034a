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
    caller_hangs_up,
    early_interruption,
    function_call,
    function_calls,
    goodbye,
    greeting,
    interruption,
    interruption_during_function_call,
    interruption_of_goodbye,
    key_presses,
    late_interruption,
    monologue,
    muted_speech,
    question,
    several_items,
    silent_caller,
    single_reply,
    spoken_reply,
    transfer,
    two_interruptions,
)

__all__ = ["SCENARIOS"]

MakeScenario: TypeAlias = Callable[[], ScenarioPart]
"""Makes the scenario of a call."""

_OUT_OF_BAND_RESPONSE: Final = SendEvent(CreateResponse({"conversation": "none", "input": []}))
"""A request for an out-of-band response."""


def _interrupted_by_application() -> ScenarioPart:
    """The application interrupts the agent."""
    command = ScriptedCommand(PlaybackStarted, Interrupt(), 400 * MS)
    return question() + answer(2000) + ScenarioPart((), (), (command,))


def _cancelled_by_application() -> ScenarioPart:
    """The application cancels the response; what has arrived of it is played."""
    cancel = ScriptedCommand(ResponseStarted, SendEvent(CancelResponse()), 700 * MS)
    return (
        question()
        + ScenarioPart((), single_reply(spoken_reply(4000, 2)), (cancel,))
        + question(after_ms=2500)
    )


def _cancel_then_interrupt() -> ScenarioPart:
    """The application cancels the response, and then interrupts what has arrived of it."""
    interrupt = ScriptedCommand(AgentTranscript, Interrupt(), 400 * MS)
    return _cancelled_by_application() + ScenarioPart((), (), (interrupt,))


def _manual_commit() -> ScenarioPart:
    """The application commits the turn before the caller ends it."""
    command = ScriptedCommand(CallerSpeechStarted, SendEvent(CommitAudio()), 300 * MS)
    return ScenarioPart((), (), (command,)) + question(1200) + answer()


def _two_function_calls() -> ScenarioPart:
    """The model calls two functions, and the caller hears the response to their outputs."""
    return question() + function_calls(wait_for_result=True) + goodbye()


def _crossing_requests() -> ScenarioPart:
    """The application requests responses just when turn detection starts one."""
    request = SendEvent(CreateResponse())
    commands = (ScriptedCommand(CallerSpeechStarted, request, ms * MS) for ms in (765, 775, 790))
    return ScenarioPart((), (), tuple(commands)) + question(600) + answer(1500) + goodbye()


def _empty_responses() -> ScenarioPart:
    """The same with empty responses, which end as soon as they start."""
    crossing = _crossing_requests()
    return ScenarioPart(
        crossing.cues[:1] + question().cues,
        (Reply(), Reply(), *answer().replies),
        crossing.commands,
    )


def _early_requests() -> ScenarioPart:
    """The application requests further responses during the answer to the caller, and sends
    messages that one response answers."""
    messages = (SendMessage("hello"), SendMessage("and"))
    commands = (
        *(ScriptedCommand(CallerSpeechStopped, each, 300 * MS) for each in messages),
        ScriptedCommand(CallerSpeechStopped, _OUT_OF_BAND_RESPONSE, 350 * MS),
        ScriptedCommand(CallerSpeechStopped, SendEvent(CreateResponse()), 400 * MS),
    )
    return ScenarioPart((), (), commands) + question(600) + answer(2500) + goodbye()


def _out_of_band_requests() -> ScenarioPart:
    """The application requests an out-of-band response, and one in the conversation meanwhile."""
    commands = (
        ScriptedCommand(SessionReady, _OUT_OF_BAND_RESPONSE),
        ScriptedCommand(SessionReady, SendMessage("hello"), 195 * MS),
        ScriptedCommand(CallerSpeechStopped, _OUT_OF_BAND_RESPONSE, 100 * MS),
    )
    return (
        ScenarioPart((), (Reply((TextReply("aside"),)),), commands)
        + answer(900)
        + question()
        + answer()
    )


SCENARIOS: Final[Mapping[str, MakeScenario]] = MappingProxyType(
    {
        "greeting": lambda: greeting() + goodbye(),
        "question": lambda: question() + answer() + goodbye(),
        "early-interruption": early_interruption,
        "late-interruption": late_interruption,
        "two-interruptions": two_interruptions,
        "interruption-during-function-call": interruption_during_function_call,
        "interruption-of-goodbye": interruption_of_goodbye,
        "application-interrupts": _interrupted_by_application,
        "application-cancels": _cancelled_by_application,
        "cancel-then-interrupt": _cancel_then_interrupt,
        "manual-commit": _manual_commit,
        "function-call": lambda: question() + function_call(wait_for_result=True) + goodbye(),
        "function-calls": _two_function_calls,
        "several-items": lambda: question() + several_items() + interruption(after_ms=900),
        "crossing-requests": _crossing_requests,
        "empty-responses": _empty_responses,
        "early-requests": _early_requests,
        "out-of-band-requests": _out_of_band_requests,
        "silence": lambda: greeting() + silent_caller() + goodbye(),
        "keys": lambda: greeting() + key_presses() + goodbye(),
        "muted": lambda: greeting() + muted_speech() + goodbye(),
        "monologue": lambda: question() + monologue() + caller_hangs_up(),
        "caller-hangs-up": lambda: question() + answer(3000) + caller_hangs_up(1500),
        "transfer": transfer,
        "agent-hangs-up": lambda: greeting() + agent_hangs_up(),
    }
)
"""Whole calls by name, about ten seconds long or less."""
