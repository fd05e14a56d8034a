"""What each event of the model's server means for the call."""

from ..errors import Fault, FaultKind, plain
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
from ..responses.requests import Birth
from ..turns.interruption import is_late_cancel
from ..values.block_cause import BlockCause
from ..values.usage import Usage
from .state import Parts

__all__ = ["judge_interruption", "receive"]


def receive(call: Parts, text: str, now: int) -> None:
    """Take in one event."""
    event = realtime.decode(text)
    match event:
        case realtime.OutputAudioDelta():
            call.session.agent_spoke()
            call.interruptions.agent_speaks(now)
            call.speech.audio(event, now)
            call.sign_of_life(now)
        case Fault():
            call.outbox.notify(event)
        case realtime.SessionUpdated():
            _session_updated(call, event, now)
        case realtime.ErrorEvent():
            call.conversation.receive(event)  # it may answer an edit of the history
            _server_error(call, event.error, now)
        case _:
            _happened(call, event, now)
            _follow(call, event)


def _happened(call: Parts, event: ServerEvent, now: int) -> None:
    """Act on an event of the call."""
    match event:
        case realtime.SpeechStarted():
            _speech_started(call, event, now)
        case realtime.SpeechStopped():
            _speech_stopped(call, event, now)
        case realtime.SpeechCommitted():
            _turn_event(call, TurnInput.COMMITTED)
            if call.session.server_responds:
                call.interruptions.committed(generating=call.requests.busy)
        case realtime.ResponseCreated():
            _response_created(call, event.response, now)
        case realtime.OutputAudioDone():
            call.speech.audio_done(event, now)
        case realtime.OutputItemDone():
            _item_done(call, event)
        case realtime.ResponseDone():
            _response_done(call, event.response, now)
        case _:
            pass


def _follow(call: Parts, event: ServerEvent) -> None:
    """Tell what an event says, and what it adds to the conversation."""
    match event:
        case realtime.OutputTranscriptDelta(response, item, words, index):
            call.outbox.notify(AgentTranscript(response, item, index, words, final=False))
        case realtime.OutputTranscriptDone(response, item, words, index):
            call.outbox.notify(AgentTranscript(response, item, index, words, final=True))
        case realtime.OutputTextDelta(response, item, words, index):
            call.outbox.notify(AgentText(response, item, index, words, final=False))
        case realtime.OutputTextDone(response, item, words, index):
            call.outbox.notify(AgentText(response, item, index, words, final=True))
        case realtime.InputTranscriptDelta(item, words):
            call.outbox.notify(CallerTranscript(item, words or "", final=False))
        case realtime.InputTranscriptCompleted(item, words):
            call.outbox.notify(CallerTranscript(item, words, final=True))
        case realtime.InputTranscriptFailed(item, error):
            call.outbox.notify(CallerTranscriptFailed(item, plain(error.message)))
        case _:
            pass
    for notification in call.conversation.receive(event):
        call.outbox.notify(notification)
    if _is_outside(call, event):
        return  # the conversation is not to go on with what a tool has told there
    told = call.mcp.receive(event)
    if told is not None:
        call.outbox.notify(told)
    if isinstance(told, McpCallFinished):  # the model does not go on by itself
        response_id = call.mcp.response_of(told.item_id)
        call.functions.wants_response(response_id)
        call.go_on(response_id)


def _is_outside(call: Parts, event: ServerEvent) -> bool:
    match event:
        case realtime.OutputItemAdded(response_id) | realtime.OutputItemDone(response_id):
            return not call.speech.in_conversation(response_id)
        case _:
            return False


# The session.


def _session_updated(call: Parts, event: realtime.SessionUpdated, now: int) -> None:
    wrong = call.session.updated(event.session)
    if wrong is None:
        call.timers.stop(Timer.SESSION)
        call.send_all(call.requests.open())
    else:
        call.outbox.fault(Peer.REALTIME, FaultKind.WRONG_FORMAT, wrong)
        call.end_call(EndReason.SESSION_REFUSED, "not the audio format of a phone", now)


def _server_error(call: Parts, error: realtime.ServerError, now: int) -> None:
    what = plain(error.message)
    code = None if error.code is None else plain(error.code)
    if call.session.is_refusal(error):
        call.outbox.fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        call.end_call(EndReason.SESSION_REFUSED, what, now)
        return
    if is_late_cancel(error) or call.session.update_refused(error):
        return
    refusal = call.requests.refused(error)
    if refusal is None:
        call.outbox.fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        return
    if refusal.final:
        call.outbox.notify(ResponseRefused(refusal.event_id, code, what))
    call.send_all(refusal.events)


# The caller.


def _speech_started(call: Parts, event: realtime.SpeechStarted, now: int) -> None:
    _turn_event(call, TurnInput.SPEECH_STARTED)
    call.caller.speech_started(now)
    if call.caller.deadline is not None:
        call.timers.set(Timer.INACTIVITY, call.caller.deadline)
    call.outbox.notify(CallerSpeechStarted(event.item_id, event.audio_start_ms))
    due = call.interruptions.speech_started(now)
    if due is None:
        judge_interruption(call, now)
    else:
        call.timers.set(Timer.BARGE_IN, due)


def judge_interruption(call: Parts, now: int) -> None:
    """The caller speaks, and has done so for long enough to be judged."""
    call.interruptions.ripen()
    if not _agent_speaks(call, now):
        return
    cause = call.interruptions.judge(call.speech.heard_ms(now), now)
    if cause is None:
        call.interrupt(
            InterruptionCause.CALLER, now, cancel=True, server_cancels=call.session.server_cancels
        )
    else:
        _block(call, cause)


def _agent_speaks(call: Parts, now: int) -> bool:
    return call.line.playout.playing(now) or call.speech.stoppable or call.requests.busy


def _block(call: Parts, cause: BlockCause) -> None:
    call.outbox.notify(InterruptionBlocked(cause))
    instruction = call.interruptions.instruction_due() if cause is BlockCause.LIMIT else None
    if instruction is not None:
        content = [{"type": "input_text", "text": instruction}]
        item = {"type": "message", "role": "system", "content": content}
        call.session.send(realtime.CreateItem(item))


def _speech_stopped(call: Parts, event: realtime.SpeechStopped, now: int) -> None:
    _turn_event(call, TurnInput.SPEECH_STOPPED)
    call.caller.speech_stopped()
    call.outbox.notify(CallerSpeechStopped(event.item_id, event.audio_end_ms))
    if call.interruptions.speech_stopped():
        call.timers.stop(Timer.BARGE_IN)
        if _agent_speaks(call, now):
            _block(call, BlockCause.SHORT_SPEECH)


def _turn_event(call: Parts, event: TurnInput) -> None:
    if not call.turn.step(event):
        call.outbox.fault(
            Peer.REALTIME,
            FaultKind.UNEXPECTED,
            f"{event.value} while the caller's turn is {call.turn.state.value}",
        )


# The agent.


def _response_created(call: Parts, response: realtime.Response, now: int) -> None:
    if response.conversation_id is not None:
        call.interruptions.answered()
        call.interruptions.agent_speaks(now)
    birth = call.requests.created(response)
    call.speech.response_created(response)
    if birth is not Birth.HEARD:
        call.speech.stop_at_birth(response.id, cancel=birth is Birth.CANCELLED)


def _item_done(call: Parts, event: realtime.OutputItemDone) -> None:
    requested = call.functions.done(
        event.response_id,
        event.item,
        in_conversation=call.speech.in_conversation(event.response_id),
    )
    if requested is not None:
        call.outbox.notify(requested)
    call.speech.item_done(event)


def _response_done(call: Parts, response: realtime.Response, now: int) -> None:
    if not call.speech.response_done(response, now):
        return
    call.usage += Usage.of(response.usage) or Usage()
    if call.interruptions.take_owed():
        call.ask()
    call.go_on(response.id)
    call.send_all(call.requests.done(response))
