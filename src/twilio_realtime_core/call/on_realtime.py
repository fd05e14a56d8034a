"""What each event of the model's server means for the call."""

from ..errors import Fault, FaultKind, redact
from ..machine.actions import Peer
from ..machine.lifecycles import TurnInput
from ..machine.timers import Timer
from ..notifications import (
    AgentText,
    AgentTranscript,
    CallerSpeechStarted,
    CallerSpeechStopped,
    CallerTranscript,
    CallerTranscriptFailed,
    EndReason,
    InterruptionBlocked,
    InterruptionCause,
    McpCallFinished,
    ResponseRefused,
)
from ..protocols import realtime
from ..protocols.realtime import ServerEvent
from ..responses.requests import PlaybackDecision
from ..turns.interruption import is_late_cancel
from ..values.block_cause import BlockCause
from ..values.usage import Usage
from .state import CallState

__all__ = ["evaluate_interruption", "on_event"]


def on_event(call: CallState, text: str, now: int) -> None:
    """Take in one event."""
    event = realtime.decode(text)
    match event:
        case realtime.OutputAudioDeltaEvent():
            call.session.mark_agent_spoke()
            call.gate.agent_started(now)
            call.speech.audio_delta(event, now)
            call.reset_hangup_watchdog(now)
        case Fault():
            call.outbox.notify(event)
        case realtime.SessionUpdatedEvent():
            _session_updated(call, event, now)
        case realtime.ErrorEvent():
            call.conversation.receive(event)  # it may answer an edit of the history
            _server_error(call, event.error, now)
        case _:
            _apply(call, event, now)
            _forward(call, event)


def _apply(call: CallState, event: ServerEvent, now: int) -> None:
    """Act on an event of the call."""
    match event:
        case realtime.SpeechStartedEvent():
            _speech_started(call, event, now)
        case realtime.SpeechStoppedEvent():
            _speech_stopped(call, event, now)
        case realtime.AudioCommittedEvent():
            _turn_event(call, TurnInput.COMMITTED)
            if call.session.server_responds:
                call.gate.turn_committed(generating=call.requests.is_busy)
        case realtime.ResponseCreatedEvent():
            _response_created(call, event.response, now)
        case realtime.OutputAudioDoneEvent():
            call.speech.audio_done(event, now)
        case realtime.OutputItemDoneEvent():
            _item_done(call, event)
        case realtime.ResponseDoneEvent():
            _response_done(call, event.response, now)
        case _:
            pass


def _forward(call: CallState, event: ServerEvent) -> None:
    """Tell what an event says, and what it adds to the conversation."""
    match event:
        case realtime.OutputTranscriptDeltaEvent(response, item, words, index):
            call.outbox.notify(AgentTranscript(response, item, index, words, final=False))
        case realtime.OutputTranscriptDoneEvent(response, item, words, index):
            call.outbox.notify(AgentTranscript(response, item, index, words, final=True))
        case realtime.OutputTextDeltaEvent(response, item, words, index):
            call.outbox.notify(AgentText(response, item, index, words, final=False))
        case realtime.OutputTextDoneEvent(response, item, words, index):
            call.outbox.notify(AgentText(response, item, index, words, final=True))
        case realtime.InputTranscriptDeltaEvent(item, words):
            call.outbox.notify(CallerTranscript(item, words or "", final=False))
        case realtime.InputTranscriptCompletedEvent(item, words):
            call.outbox.notify(CallerTranscript(item, words, final=True))
        case realtime.InputTranscriptFailedEvent(item, error):
            call.outbox.notify(CallerTranscriptFailed(item, redact(error.message)))
        case _:
            pass
    for notification in call.conversation.receive(event):
        call.outbox.notify(notification)
    if _is_out_of_band(call, event):
        return  # the conversation is not to go on with what a tool has told there
    told = call.mcp.receive(event)
    if told is not None:
        call.outbox.notify(told)
    if isinstance(told, McpCallFinished):  # the model does not go on by itself
        response_id = call.mcp.response_of(told.item_id)
        call.function_calls.mark_followup(response_id)
        call.request_followup(response_id)


def _is_out_of_band(call: CallState, event: ServerEvent) -> bool:
    match event:
        case realtime.OutputItemAddedEvent(response_id) | realtime.OutputItemDoneEvent(response_id):
            return not call.speech.is_in_conversation(response_id)
        case _:
            return False


# The session.


def _session_updated(call: CallState, event: realtime.SessionUpdatedEvent, now: int) -> None:
    wrong = call.session.updated(event.session)
    if wrong is None:
        call.timers.stop(Timer.SESSION)
        call.send_all(call.requests.open())
    else:
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.WRONG_FORMAT, wrong)
        call.end_call(EndReason.SESSION_REFUSED, "not the audio format of a phone", now)


def _server_error(call: CallState, error: realtime.ServerError, now: int) -> None:
    what = redact(error.message)
    code = None if error.code is None else redact(error.code)
    if call.session.is_refusal(error):
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        call.end_call(EndReason.SESSION_REFUSED, what, now)
        return
    if is_late_cancel(error) or call.session.take_refused_update(error):
        return
    refusal = call.requests.refused(error)
    if refusal is None:
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        return
    if refusal.is_final:
        call.outbox.notify(ResponseRefused(refusal.event_id, code, what))
    call.send_all(refusal.events)


# The caller.


def _speech_started(call: CallState, event: realtime.SpeechStartedEvent, now: int) -> None:
    _turn_event(call, TurnInput.SPEECH_STARTED)
    call.caller_audio.speech_started(now)
    if call.caller_audio.deadline is not None:
        call.timers.set(Timer.INACTIVITY, call.caller_audio.deadline)
    call.outbox.notify(CallerSpeechStarted(event.item_id, event.audio_start_ms))
    due = call.gate.speech_started(now)
    if due is None:
        evaluate_interruption(call, now)
    else:
        call.timers.set(Timer.SPEECH_CONFIRMATION, due)


def evaluate_interruption(call: CallState, now: int) -> None:
    """The caller speaks, and has done so for long enough to be judged."""
    call.gate.speech_confirmed()
    if not _agent_speaks(call, now):
        return
    cause = call.gate.evaluate(call.speech.heard_ms(now), now)
    if cause is None:
        call.interrupt(
            InterruptionCause.CALLER,
            now,
            cancel=True,
            server_cancels=call.session.server_interrupts,
        )
    else:
        _block(call, cause)


def _agent_speaks(call: CallState, now: int) -> bool:
    return (
        call.downlink.playout.is_playing(now)
        or call.speech.has_stoppable_response
        or call.requests.is_busy
    )


def _block(call: CallState, cause: BlockCause) -> None:
    call.outbox.notify(InterruptionBlocked(cause))
    instruction = call.gate.take_instruction() if cause is BlockCause.LIMIT else None
    if instruction is not None:
        content = [{"type": "input_text", "text": instruction}]
        item = {"type": "message", "role": "system", "content": content}
        call.session.send(realtime.CreateItem(item))


def _speech_stopped(call: CallState, event: realtime.SpeechStoppedEvent, now: int) -> None:
    _turn_event(call, TurnInput.SPEECH_STOPPED)
    call.caller_audio.speech_stopped()
    call.outbox.notify(CallerSpeechStopped(event.item_id, event.audio_end_ms))
    if call.gate.speech_stopped():
        call.timers.stop(Timer.SPEECH_CONFIRMATION)
        if _agent_speaks(call, now):
            _block(call, BlockCause.SHORT_SPEECH)


def _turn_event(call: CallState, event: TurnInput) -> None:
    if not call.turn.step(event):
        call.outbox.notify_fault(
            Peer.REALTIME,
            FaultKind.UNEXPECTED,
            f"{event.value} while the caller's turn is {call.turn.state.value}",
        )


# The agent.


def _response_created(call: CallState, response: realtime.Response, now: int) -> None:
    if response.conversation_id is not None:
        call.gate.turn_answered()
        call.gate.agent_started(now)
    birth = call.requests.created(response)
    call.speech.response_created(response)
    if birth is not PlaybackDecision.PLAY:
        call.speech.suppress_on_create(response.id, cancel=birth is PlaybackDecision.CANCEL)


def _item_done(call: CallState, event: realtime.OutputItemDoneEvent) -> None:
    requested = call.function_calls.item_done(
        event.response_id,
        event.item,
        in_conversation=call.speech.is_in_conversation(event.response_id),
    )
    if requested is not None:
        call.outbox.notify(requested)
    call.speech.item_done(event)


def _response_done(call: CallState, response: realtime.Response, now: int) -> None:
    if not call.speech.response_done(response, now):
        return
    call.usage += Usage.from_json(response.usage) or Usage()
    if call.gate.take_unanswered_turn():
        call.request_response()
    call.request_followup(response.id)
    call.send_all(call.requests.done(response))
