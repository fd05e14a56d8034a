"""What each command of the application does to the call.

Each command first does all that can fail, and only then changes anything.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

import attrs

from ..audio.dtmf import key_tones
from ..audio.pcmu import count_samples
from ..commands import (
    AnswerApproval,
    Command,
    Configure,
    GoAway,
    HangUp,
    Interrupt,
    Mute,
    NotifyAfterPlayback,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from ..config.audio_format import enforce_event_format
from ..config.fields import as_mapping
from ..conversation.item_json import item_to_json
from ..downlink.after_playback import DeferredOutput
from ..errors import LocalProtocolError
from ..machine.actions import GOING_AWAY
from ..machine.arguments import NULL, TEXT
from ..machine.lifecycles import StreamState
from ..machine.reasons import Reason
from ..notifications import AllHeard, EndReason, InterruptionCause
from ..protocols import realtime
from ..protocols.realtime import (
    ClientEvent,
    CreateItem,
    CreateResponse,
    DeleteItem,
    RawClientEvent,
    check_encodable,
    check_extra_fields,
)
from ..responses.cancels import with_event_id
from ..responses.responses import ResponseRecord
from ..values.identifiers import EVENT_ID, check_invented_names, check_tool_names
from ..values.items import ConversationItem, ImagePart, TextPart
from .state import CallState

__all__ = ["check_command", "hangup_stalled", "on_command", "run_deferred"]

_COMMANDS: Final = get_args(Command)

_EVENT_ID: Final = EVENT_ID | NULL

_MAX_APPEND_SAMPLES: Final = 10 * 8000
"""Audio of one `input_audio_buffer.append` of `SendAudio`: ten seconds, so that a frame of the
caller never waits behind a message of more than 107 kB. The server accepts 15 MiB."""


def check_command(command: object) -> None:
    """Raise `LocalProtocolError` unless a value is a command. The fields of `AppendAudio` are
    checked here, which is created 50 times a second; all others check theirs by themselves."""
    if not isinstance(command, _COMMANDS):
        what = f"{type(command).__name__} is not a command"
        if isinstance(command, type):
            what = f"the class {command.__name__} is not a command: create an instance"
        raise LocalProtocolError(what)
    event = command.event if isinstance(command, SendEvent) else command
    if isinstance(event, realtime.AppendAudio):
        TEXT.check("AppendAudio.audio", event.audio)
        _EVENT_ID.check("AppendAudio.event_id", event.event_id)


def on_command(call: CallState, command: Command, now: int) -> None:
    """Apply one command, which `check_command` has accepted. Raises `LocalProtocolError`, before
    anything has changed, if it cannot be carried out."""
    match command:
        case Configure():
            _configure(call, command, now)
        case SendMessage():
            _send_message(call, command)
        case SendAudio():
            _send_audio(call, command)
        case SendFunctionOutput():
            _send_output(call, command)
        case AnswerApproval():
            _answer_approval(call, command)
        case ResetHistory(items=items):
            _reset_history(call, items)
        case Interrupt(cancel=cancel, response_id=response_id):
            if response_id is None or call.interrupter.is_response_current(response_id, now):
                call.interrupt(
                    InterruptionCause.APPLICATION,
                    now,
                    cancel=cancel,
                    server_interrupts=False,
                    includes_requests=response_id is None,
                )
            else:
                call.outbox.explain(Reason.RESPONSE_OVER)
        case Mute() | Unmute():
            call.caller_audio.is_muted = isinstance(command, Mute)
        case Play() | PressKeys():
            _play(call, command, now)
        case HangUp():
            _hang_up(call, command, now)
        case NotifyAfterPlayback(name=name):  # notified in this step if all was heard
            call.after_playback.notify(name)
        case GoAway():
            codes = {"stream_code": GOING_AWAY, "session_code": GOING_AWAY}
            call.ending.end(EndReason.GOING_AWAY, "", now, **codes)
        case SendEvent(event=event):
            _send_event(call, event)
        case _:
            _send_event(call, command)


def run_deferred(call: CallState, now: int) -> None:
    """Do what is deferred until all was heard, if it was."""
    if call.downlink.is_playing(now) and not call.clips.is_hold_playing:
        _defer(call, Reason.DEFERRED_BY_AUDIO)
        return
    if not _is_more_to_come(call):
        _run_after_playback(call, now)
    else:
        _defer(call, Reason.DEFERRED_BY_SPEECH)
    if not call.ending.has_started:
        call.clips.start_hold_if_silent(now)


def hangup_stalled(call: CallState, now: int) -> None:
    """End a call whose goodbye gives no sign of playing; not while it waits for a caller to end
    their turn."""
    if call.requests.has_queued and call.turns.is_caller_turn:
        call.reset_hangup_watchdog(now)
        return
    call.outbox.explain(Reason.HANG_UP_STALLED)
    reason = call.after_playback.hangup_reason
    call.ending.end(reason, "the stream gave no sign of playing", now)


def _defer(call: CallState, reason: Reason) -> None:
    if call.after_playback.deferred_by is not reason:
        call.after_playback.deferred_by = reason
        call.outbox.explain(reason)


def _is_more_to_come(call: CallState) -> bool:
    """Whether the agent is about to say more: what a lost model owes will not come."""
    return call.is_speech_pending and not call.after_playback.is_model_lost


def _run_after_playback(call: CallState, now: int) -> None:
    call.after_playback.deferred_by = None
    # To a model that is lost none is sent: it would have to be answered before the end.
    outputs = [] if call.after_playback.is_model_lost else call.after_playback.take_outputs()
    if outputs:
        call.outbox.explain(Reason.RUN_AFTER_PLAYBACK)
    _send_outputs(call, outputs)
    call.send_due_requests(now)
    if _is_more_to_come(call):
        return
    for name in call.after_playback.take_notices():
        call.outbox.notify(AllHeard(name))
        call.outbox.explain(Reason.RUN_AFTER_PLAYBACK)
    after = call.after_playback
    if after.is_hangup_pending:
        is_owed = call.is_speech_pending
        why = Reason.HANG_UP_WITHOUT_MODEL if is_owed else Reason.HANG_UP_AFTER_PLAYBACK
        call.outbox.explain(why)
        call.ending.end(after.hangup_reason, after.hangup_detail or "all was heard", now)


def _configure(call: CallState, command: Configure, now: int) -> None:
    call.session.check_configurable()
    given = attrs.asdict(command, recurse=False, filter=lambda _, value: value is not None)
    call.config = attrs.evolve(call.config, **given, configure_timeout_ms=0)
    call.session.configure(call.config.session)
    if call.stream.state is StreamState.STREAMING:
        call.open_session(now)


# To the model.


def _send_message(call: CallState, command: SendMessage) -> None:
    if not any(map(_says_something, command.content)):
        raise LocalProtocolError("SendMessage.content says nothing: give it text, or a picture")
    item = {
        "type": "message",
        "role": "user",
        "content": [_content(each) for each in command.content],
    }
    check_extra_fields("SendMessage", command.extra_fields, ["item"])
    _send_item(call, {**command.extra_fields, "item": item})
    key = call.requests.queue.item_sent()
    if command.respond:
        call.request_response(Reason.REQUESTED_FOR_MESSAGE, key)


def _says_something(part: TextPart | ImagePart) -> bool:
    return bool(part.text if isinstance(part, TextPart) else part.image_url)


def _content(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "input_image", "image_url": part.image_url, **detail}


def _send_audio(call: CallState, command: SendAudio) -> None:
    samples = len(command.audio)
    if not samples:
        raise LocalProtocolError("SendAudio.audio is empty: give it one byte a sample, in µ-law")
    call.session.check_capacity(int(command.commit), samples)
    if command.commit:
        call.session.kept_audio.turn_started()
    for start in range(0, samples, _MAX_APPEND_SAMPLES):
        piece = command.audio[start : start + _MAX_APPEND_SAMPLES]
        call.session.send(realtime.AppendAudio(b64encode(piece).decode()), len(piece))
    if command.commit:
        call.session.send(realtime.CommitAudio())


def _send_output(call: CallState, command: SendFunctionOutput) -> None:
    output = DeferredOutput(
        command.call_id, command.output, command.respond, command.wait_for_others
    )
    call.function_calls.check_answer(command.call_id)
    call.session.check_capacity()
    call.function_calls.mark_answered(command.call_id)
    if command.after_playback:
        call.after_playback.outputs.append(output)  # sent in this step if all was heard
    else:
        _send_outputs(call, [output])


def _send_outputs(call: CallState, outputs: Iterable[DeferredOutput]) -> None:
    """Send outputs, and have the model respond once it has those of all its calls, unless an output
    does not wait for the others."""
    records: dict[ResponseRecord, None] = {}
    for each in outputs:
        call.session.send(_output_item(each))
        call.requests.queue.item_sent(each.call_id)
        record = call.function_calls.mark_output_sent(
            each.call_id, respond=each.respond, waits_for_others=each.wait_for_others
        )
        records[record] = None
    call.request_followup(*records)


def _output_item(output: DeferredOutput) -> CreateItem:
    item = {"type": "function_call_output", "call_id": output.call_id, "output": output.output}
    return CreateItem(item)


def _answer_approval(call: CallState, command: AnswerApproval) -> None:
    call.mcp.check_approval(command.approval_request_id)
    call.session.check_capacity()
    reason = {} if command.reason is None else {"reason": command.reason}
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": command.approval_request_id,
        "approve": command.approve,
        **reason,
    }
    item_id = call.mcp.mark_answered(command.approval_request_id, is_granted=command.approve)
    if call.mcp.is_lost(command.approval_request_id):
        return
    call.session.send(CreateItem({"id": item_id, **answer}))
    call.requests.queue.item_sent(item_id)
    record = call.responses.of_item(command.approval_request_id)
    # A granted call is made first, and the model responds when that has finished.
    is_followup_due = call.config.respond_to_mcp and not command.approve
    if record is not None:
        if is_followup_due:
            record.is_followup_requested = True
            record.sent_outputs.append(item_id)
        call.request_followup(record)
    elif is_followup_due:
        call.request_response(Reason.REQUESTED_FOR_MCP, item_id)


def _reset_history(call: CallState, items: tuple[ConversationItem, ...]) -> None:
    for item in items:
        check_encodable(CreateItem(item_to_json(item)))
    call.session.check_capacity(len(call.conversation.plan_reset(items)))
    for edit in call.conversation.reset(items):
        match edit:
            case DeleteItem(item_id=item_id):
                call.responses.mark_item_deleted(item_id)
            case CreateItem(item={"type": "function_call_output", "call_id": call_id}):
                if call_id in call.function_calls.open_call_ids:
                    call.function_calls.mark_answered(call_id)
                    call.function_calls.mark_output_sent(call_id, respond=False)
            case _:
                pass
        call.session.send(edit)


def _send_item(call: CallState, fields: Mapping[str, Any]) -> None:
    event = realtime.client_event({**fields, "type": CreateItem.type})
    call.session.check_capacity()
    call.session.send(event)


def _send_event(call: CallState, event: ClientEvent) -> None:
    match event:
        case realtime.AppendAudio():
            _send_append(call, event)
        case realtime.UpdateSession():
            call.session.send_update(event)
        case _:
            event = enforce_event_format(event)
            if isinstance(event, RawClientEvent):
                event = realtime.client_event(event.body)
            check_encodable(event)
            _check_names(call, event)
            call.session.check_capacity()
            _send_checked(call, event)


def _check_names(call: CallState, event: ClientEvent) -> None:
    """Refuse ids and names that the application has invented and the server would refuse."""
    given = call.conversation.given_names
    match event:
        case CreateItem(item=item):
            check_invented_names(item, given, "item")
        case CreateResponse(response=response) if response:
            check_tool_names(response, "response")
            match response.get("input"):
                case [*items]:
                    for index, item in enumerate(map(as_mapping, items)):
                        check_invented_names(item, given, f"response.input[{index}]")
                case _:
                    pass
        case _:
            pass


def _send_append(call: CallState, event: realtime.AppendAudio) -> None:
    samples = count_samples(event.audio)
    if samples is None:
        raise LocalProtocolError("input_audio_buffer.append: audio is no base64, or empty")
    check_encodable(event)
    call.session.check_capacity(0, samples)
    call.session.send(event, samples)


def _send_checked(call: CallState, event: ClientEvent) -> None:
    match event:
        case CreateResponse():
            call.requests.queue.add(event)
        case realtime.CancelResponse():
            _send_cancel(call, event)
        case realtime.ClearInputAudio():
            call.session.send(event)
            call.turns.discarded()
        case DeleteItem(item_id=item_id):
            call.responses.mark_item_deleted(item_id)
            call.conversation.deletion_sent(item_id, is_unheard=False, event_id=event.event_id)
            call.session.send(event)
        case CreateItem(item={"type": "function_call_output"} as item):
            _send_output_item(call, event, item.get("call_id"))
        case CreateItem(item=item):
            if item.get("role") == "user":
                call.requests.queue.item_sent(str(item.get("id") or ""))
            call.session.send(event)
        case _:
            call.session.send(event)


def _send_cancel(call: CallState, event: realtime.CancelResponse) -> None:
    """Cancel what can be cancelled, once: the server refuses a cancel of anything else."""
    cancelled = call.responses.find_cancellable(event.response_id)
    is_requested = event.response_id is None and call.requests.mark_cancelled()
    for record in cancelled:
        record.mark_cancelled()
    if cancelled or is_requested:
        call.session.send(with_event_id(event))


def _send_output_item(call: CallState, event: CreateItem, call_id: object) -> None:
    """An output given as an item counts as the answer, where the call is one of this session's;
    the application asks for the response by itself."""
    if not isinstance(call_id, str) or not call.function_calls.is_known(call_id):
        call.session.send(event)
        return
    call.function_calls.check_answer(call_id)
    call.function_calls.mark_answered(call_id)
    call.session.send(event)
    call.request_followup(call.function_calls.mark_output_sent(call_id, respond=False))


# To the caller.


def _play(call: CallState, command: Play | PressKeys, now: int) -> None:
    if isinstance(command, Play):
        if not command.audio:
            raise LocalProtocolError("Play.audio is empty: give it one byte a sample, in µ-law")
        audio, name, is_hold = command.audio, command.name, command.until_agent_speaks
    else:
        audio = key_tones(command.keys, command.tone_ms, command.pause_ms)
        name, is_hold = "keys", False
    call.clips.check_playable(len(audio), now)
    if is_hold:
        call.clips.queue_hold(audio, name, now)
    else:
        call.play_clip(audio, name, now)


def _hang_up(call: CallState, command: HangUp, now: int) -> None:
    if command.after_playback:  # ends the call in this step if all was heard
        call.after_playback.hang_up(EndReason.HUNG_UP, "")
        call.reset_hangup_watchdog(now)
    else:
        call.outbox.explain(Reason.HANG_UP_AT_ONCE)
        call.ending.end(EndReason.HUNG_UP, "", now)
