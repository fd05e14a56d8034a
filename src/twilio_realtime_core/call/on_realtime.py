"""What each event of the Realtime server does to the call.

`on_event` has one arm for each type of event, which names what it does in order.
"""

from collections.abc import Iterable
from typing import Any, Final

from ..conversation.item_json import read_output
from ..conversation.unanswered_edits import refuses_unnamed_deletion
from ..errors import Fault, FaultKind, redact
from ..machine.actions import Peer
from ..machine.reasons import Reason
from ..notifications import (
    AgentText,
    AgentTranscript,
    CallerTranscript,
    CallerTranscriptFailed,
    IdleTimeoutTriggered,
    InterruptionCause,
    McpCallFinished,
    RateLimitsUpdated,
    ResponseRefused,
    TypedRealtimeEvent,
)
from ..protocols import realtime
from ..responses.cancels import is_late_cancel
from ..responses.mcp import McpNotification
from ..responses.refusals import BUSY
from ..responses.request import PlaybackDecision
from ..responses.responses import ResponseRecord
from ..values.log_probability import logprobs_from_json
from ..values.rate_limit import rate_limits_from_json
from ..values.usage import Usage
from . import recovery
from .state import CallState

__all__ = ["evaluate_speech", "expire_turn", "on_event"]

_OF_RESPONSE: Final = (
    realtime.OutputAudioDeltaEvent,
    realtime.OutputAudioDoneEvent,
    realtime.OutputItemAddedEvent,
    realtime.OutputItemDoneEvent,
    realtime.OutputTextDeltaEvent,
    realtime.OutputTextDoneEvent,
    realtime.OutputTranscriptDeltaEvent,
    realtime.OutputTranscriptDoneEvent,
    realtime.UnknownServerEvent,  # parts of items, and arguments of calls
)
"""Events that show that a response is being generated further, if they name one."""


def on_event(call: CallState, text: str, now: int) -> None:  # noqa: C901, PLR0912, PLR0915 - one arm an event
    """Apply one event."""
    conversation, mcp = call.conversation, call.mcp
    call.watch.event_received(now)
    decoded = realtime.decode(text)
    conversation.note_given_names(decoded, text)
    if call.config.notify_typed_events:
        _notify_typed(call, decoded, text)
    if isinstance(decoded, _OF_RESPONSE) and decoded.response_id is not None:
        call.requests.progressed(decoded.response_id, now)
        call.responses.progressed(decoded.response_id, now)
    match decoded:
        # Audio and words of the agent.
        case realtime.OutputAudioDeltaEvent() as event:
            _audio_delta(call, event, now)
        case realtime.OutputTranscriptDeltaEvent(response, item, words, index):
            call.outbox.notify(AgentTranscript(response, item, index, words, final=False))
            conversation.transcript_delta(item, index, words)
        case realtime.OutputAudioDoneEvent(_, item, index) as event:
            conversation.audio_completed(item, index, call.speech.audio_done(event, now))
        case realtime.OutputTranscriptDoneEvent(response, item, words, index):
            call.outbox.notify(AgentTranscript(response, item, index, words, final=True))
            _notify(call, conversation.transcript_done(item, index, words))
        case realtime.OutputTextDeltaEvent(response, item, words, index):
            call.outbox.notify(AgentText(response, item, index, words, final=False))
            conversation.transcript_delta(item, index, words, is_spoken=False)
        case realtime.OutputTextDoneEvent(response, item, words, index):
            call.outbox.notify(AgentText(response, item, index, words, final=True))
            _notify(call, conversation.transcript_done(item, index, words, is_spoken=False))
        # The caller.
        case realtime.SpeechStartedEvent() as event:
            _speech_started(call, event, now)
        case realtime.SpeechStoppedEvent() as event:
            call.turns.speech_stopped(event, now)
        case realtime.AudioCommittedEvent(item_id):
            call.turns.committed(item_id, now)
        case realtime.InputTranscriptDeltaEvent(item, delta, logprobs, index):
            _caller_words(call, item, delta or "", logprobs, index, final=False)
            conversation.transcript_delta(item, index, delta or "")
        case realtime.InputTranscriptCompletedEvent(item, words, logprobs, index):
            _caller_words(call, item, words, logprobs, index, final=True)
            _notify(call, conversation.transcript_done(item, index, words))
        case realtime.InputTranscriptFailedEvent(item, error):
            call.outbox.notify(CallerTranscriptFailed(item, redact(error.message)))
            _notify(call, conversation.transcript_failed(item))
        case realtime.IdleTimeoutEvent(item, start_ms, end_ms):
            call.outbox.notify(IdleTimeoutTriggered(item, start_ms, end_ms))
        # Responses and their items.
        case realtime.ResponseCreatedEvent(response):
            _response_created(call, response, now)
        case realtime.OutputItemAddedEvent(response_id, item):
            _output_item_added(call, response_id, item, now)
        case realtime.OutputItemDoneEvent(response_id, item):
            _output_item_done(call, response_id, item, now)
        case realtime.ResponseDoneEvent(response):
            _response_done(call, response, now)
        case realtime.RateLimitsEvent(limits):
            call.outbox.notify(RateLimitsUpdated(rate_limits_from_json(limits)))
        # The conversation.
        case realtime.ItemAddedEvent(item=item, previous_item_id=previous_item_id):
            _notify(call, conversation.item_added(item, previous_item_id))
            mcp.item_added(item)
            call.requests.queue.item_added(item)
            call.session.item_added(item)
        case realtime.ItemDoneEvent(item=item):
            _notify(call, conversation.item_done(item))
            _notify_mcp(call, mcp.item_done(item))
        case realtime.ItemRetrievedEvent(item=item):
            _notify(call, conversation.item_retrieved(item))
        case realtime.ItemTruncatedEvent(item_id, index, audio_end_ms):
            _notify(call, conversation.item_truncated(item_id, index, audio_end_ms))
        case realtime.ItemDeletedEvent(item_id):
            call.responses.mark_item_deleted(item_id)
            _notify(call, conversation.item_deleted(item_id))
        # Tools of MCP servers.
        case realtime.McpToolsCompletedEvent(item_id):
            _notify_mcp(call, mcp.tools_completed(item_id))
        case realtime.McpToolsFailedEvent(item_id):
            _notify_mcp(call, mcp.tools_failed(item_id))
        case realtime.McpCallInProgressEvent(item_id):
            _notify_mcp(call, mcp.call_in_progress(item_id))
        case realtime.McpCallCompletedEvent(item_id) | realtime.McpCallFailedEvent(item_id):
            _notify_mcp(call, mcp.call_ended(item_id))
        # The session.
        case realtime.SessionUpdatedEvent() as event:
            _session_updated(call, event, now)
        case realtime.ErrorEvent(error):
            conversation.edit_refused(error)
            call.session.event_refused(error)
            call.recovery.error_code = error.code
            _server_error(call, error, now)
        case Fault() as fault:
            call.outbox.notify(fault)
        case _:  # SessionCreatedEvent, UnknownServerEvent
            pass


def _notify_typed(call: CallState, event: realtime.ServerEvent | Fault, text: str) -> None:
    match event:
        case Fault():
            pass
        case realtime.UnknownServerEvent():
            call.outbox.notify(TypedRealtimeEvent(realtime.decode_informational(text)))
        case _:
            call.outbox.notify(TypedRealtimeEvent(event))


def _caller_words(
    call: CallState, item_id: str, words: str, logprobs: Any, index: int, *, final: bool
) -> None:
    tokens = logprobs_from_json(logprobs)
    call.outbox.notify(
        CallerTranscript(item_id, words, final=final, logprobs=tokens, content_index=index)
    )


def _notify(call: CallState, notifications: Iterable[object]) -> None:
    for notification in notifications:
        call.outbox.notify(notification)


def _notify_mcp(call: CallState, notification: McpNotification | None) -> None:
    if notification is None:
        return
    call.outbox.notify(notification)
    # The model does not respond to the outcome by itself.
    if isinstance(notification, McpCallFinished) and call.config.respond_to_mcp:
        record = call.responses.of_item(notification.item_id)
        if record is None:
            call.request_response(Reason.REQUESTED_FOR_MCP)
        else:
            record.is_followup_requested = True
            call.request_followup(record)


# The session.


def _session_updated(call: CallState, event: realtime.SessionUpdatedEvent, now: int) -> None:
    wrong = call.session.updated(event.session)
    if wrong is None:
        recovery.session_ready(call, event.session, now)
    else:
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.WRONG_FORMAT, wrong)
        recovery.session_refused(call, "not the audio format of a phone", now)


def _server_error(call: CallState, error: realtime.ServerError, now: int) -> None:
    what = redact(error.message)
    code = None if error.code is None else redact(error.code)
    if call.session.is_configuration_refusal(error):
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        recovery.session_refused(call, what, now)
        return
    is_of_deletion = refuses_unnamed_deletion(error)  # and so of nothing else that has no id
    if is_late_cancel(error) or (not is_of_deletion and call.session.take_refused_update(error)):
        return
    refused = None if is_of_deletion else call.requests.refused(error)
    if refused is None:
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)
        return
    if refused.is_final:
        call.outbox.notify(ResponseRefused(refused.event_id, code, what))
    elif error.code != BUSY:
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.SERVER_ERROR, what, code)


# The caller.


def _speech_started(call: CallState, event: realtime.SpeechStartedEvent, now: int) -> None:
    interrupts = call.turns.speech_started(event, now)
    call.fill_inactivity(now)
    if interrupts:
        _interrupt(call, now)


def evaluate_speech(call: CallState, now: int) -> None:
    """Interrupt the agent, if the caller has spoken for long enough and may."""
    if call.turns.evaluate_speech(now):
        _interrupt(call, now)


def expire_turn(call: CallState) -> None:
    """End a turn of the caller that the server does not end. One that was committed is answered
    all the same."""
    if call.turns.expire():
        call.request_response(Reason.REQUESTED_FOR_LATE_TURN)


def _interrupt(call: CallState, now: int) -> None:
    call.interrupt(
        InterruptionCause.CALLER,
        now,
        cancel=True,
        server_interrupts=call.session.server_interrupts,
    )


# The agent.


def _audio_delta(call: CallState, event: realtime.OutputAudioDeltaEvent, now: int) -> None:
    call.session.mark_agent_spoke()
    if call.speech.audio_delta(event, now):
        call.turns.agent_spoke(event.response_id, now)
    call.turns.answer_began(call.responses.get(event.response_id))
    call.reset_hangup_watchdog(now)


def _response_created(call: CallState, response: realtime.Response, now: int) -> None:
    record = call.responses.start(response, now)
    is_repeated, record.is_announced = record.is_announced, True
    if record.is_in_conversation and not is_repeated:
        call.turns.answered(record)
    call.request_followup(*(each for each in call.responses.generating if each.is_lost))
    decision = call.requests.created(record, is_repeated=is_repeated, now=now)
    if record.id and not record.is_text:
        call.turns.agent_spoke(record.id, now)
    call.speech.response_created(record, response, is_repeated=is_repeated)
    if decision is not PlaybackDecision.PLAY:
        call.speech.suppress_on_create(record, cancel=decision is PlaybackDecision.CANCEL)


def _output_item_added(call: CallState, response_id: str, item: realtime.Item, now: int) -> None:
    record = call.responses.get_or_create(response_id)
    record.progress_at_ns = now
    record.mark_item_open(item.id)
    if record.is_in_conversation:  # the model does not respond to the outcome of any other
        call.mcp.output_item(record, item)


def _output_item_done(call: CallState, response_id: str, item: realtime.Item, now: int) -> None:
    record = call.responses.get_or_create(response_id)
    record.progress_at_ns = now
    record.mark_item_closed(item.id)
    call.turns.answer_began(record)
    _function_call_done(call, record, item)
    if call.speech.item_done(record, item):
        call.conversation.deletion_sent(item.id, is_unheard=True)
    if record.is_in_conversation:
        call.mcp.output_item(record, item)
        _notify_mcp(call, call.mcp.item_done(item))


def _function_call_done(call: CallState, record: ResponseRecord, item: realtime.Item) -> None:
    requested = call.function_calls.item_done(record, item)
    if requested is not None:
        call.outbox.notify(requested)


def _response_done(call: CallState, response: realtime.Response, now: int) -> None:
    record = call.responses.finish(response)
    if record is None:
        what = "response.done without an id while no response is being generated"
        call.outbox.notify_fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)
        return
    usage = Usage.from_json(response.usage)
    if not call.speech.response_done(record, response, usage, now):
        return
    was_announced, record.is_announced = record.is_announced, True
    if record.is_in_conversation and not was_announced:
        call.turns.answered_without_start(record)
    call.turns.answer_ended(record)
    if usage is not None:
        call.responses.usage += usage
    for item in read_output(response.output):  # of which `response.output_item.done` may be lost
        if response.conversation_id is not None:  # else it may be the end of another response
            _function_call_done(call, record, item)
    call.responses_ended(record)
    call.requests.done(record, was_announced=was_announced, now=now)
    call.watch.response_finished(is_given_up=record.is_given_up)
