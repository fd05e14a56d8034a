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
    HangUp,
    Interrupt,
    Mute,
    Play,
    PressKeys,
    ResetHistory,
    SendAudio,
    SendEvent,
    SendFunctionOutput,
    SendMessage,
    Unmute,
)
from ..config.audio_format import check_encodable, enforce_event_format
from ..conversation.item_json import item_to_json
from ..downlink.after_playback import DeferredOutput
from ..errors import LocalProtocolError
from ..machine.lifecycles import StreamState
from ..machine.timers import Timer
from ..notifications import EndReason, InterruptionCause
from ..protocols import realtime
from ..protocols.realtime import ClientEvent, CreateItem, CreateResponse, DeleteItem
from ..responses.cancels import with_event_id
from ..responses.responses import ResponseRecord
from ..values.items import ConversationItem, ImagePart, TextPart
from .state import CallState

__all__ = ["on_command", "run_deferred"]

_EVENTS: Final = get_args(ClientEvent)

_MAX_AUDIO_SAMPLES: Final = 60 * 8000
"""Audio of one `SendAudio`: a minute, which is longer than a turn; more can follow."""


def on_command(call: CallState, command: Command, now: int) -> None:
    """Apply one command. Raises `LocalProtocolError`, before anything has changed, if it cannot be
    carried out."""
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
        case Interrupt(cancel=cancel):
            call.interrupt(
                InterruptionCause.APPLICATION, now, cancel=cancel, server_interrupts=False
            )
        case Mute() | Unmute():
            call.caller_audio.is_muted = isinstance(command, Mute)
        case Play() | PressKeys():
            _play(call, command, now)
        case HangUp():
            _hang_up(call, command, now)
        case SendEvent(event=event):
            _send_event(call, event)
        case _ if isinstance(command, _EVENTS):
            _send_event(call, command)
        case _:
            raise LocalProtocolError(f"{type(command).__name__} is not a command")


def run_deferred(call: CallState, now: int) -> None:
    """Do what is deferred until all was heard, if it was."""
    silent_at_ns = call.downlink.silent_at_ns
    if silent_at_ns is not None and silent_at_ns > now and not call.clips.is_hold_playing:
        call.timers.set(Timer.PLAYBACK_END, silent_at_ns)
        return
    if not call.requests.is_busy:
        _run_after_playback(call, now)
    if not call.ending.has_started:
        call.clips.start_hold_if_silent(now)


def _run_after_playback(call: CallState, now: int) -> None:
    call.turns.gate.agent_finished()
    _send_outputs(call, call.after_playback.take_outputs())
    if call.after_playback.is_hangup_pending and not call.requests.is_busy:
        call.ending.end(EndReason.HUNG_UP, "all was heard", now)


def _configure(call: CallState, command: Configure, now: int) -> None:
    call.session.check_configurable()
    given = attrs.asdict(command, recurse=False, filter=lambda _, value: value is not None)
    call.config = attrs.evolve(call.config, **given, configure_timeout_ms=0)
    call.session.configure(call.config.session)
    if call.stream.state is StreamState.STREAMING:
        call.open_session(now)


# To the model.


def _send_message(call: CallState, command: SendMessage) -> None:
    if not command.content:
        raise LocalProtocolError("the message says nothing: give it text, or a picture")
    item = {
        "type": "message",
        "role": "user",
        "content": [_content(each) for each in command.content],
    }
    _send_item(call, {**command.extra_fields, "item": item})
    if command.respond:
        call.request_response()


def _content(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "input_image", "image_url": part.image_url, **detail}


def _send_audio(call: CallState, command: SendAudio) -> None:
    samples = len(command.audio)
    if not 0 < samples <= _MAX_AUDIO_SAMPLES:
        raise LocalProtocolError(f"{samples} samples: give 1 to {_MAX_AUDIO_SAMPLES}, a minute")
    call.session.check_capacity(int(command.commit), samples)
    call.session.send(realtime.AppendAudio(b64encode(command.audio).decode()), samples)
    if command.commit:
        call.session.send(realtime.CommitAudio())


def _send_output(call: CallState, command: SendFunctionOutput) -> None:
    output = DeferredOutput(command.call_id, command.output, command.respond)
    call.function_calls.check_answer(command.call_id)
    check_encodable(_output_item(output))
    call.session.check_capacity()
    call.function_calls.mark_answered(command.call_id)
    if command.after_playback:
        call.after_playback.outputs.append(output)  # sent in this step if all was heard
    else:
        _send_outputs(call, [output])


def _send_outputs(call: CallState, outputs: Iterable[DeferredOutput]) -> None:
    """Send outputs, and have the model respond once it has those of all its calls."""
    records: dict[ResponseRecord, None] = {}
    for each in outputs:
        call.session.send(_output_item(each))
        records[call.function_calls.mark_output_sent(each.call_id, respond=each.respond)] = None
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
    check_encodable(CreateItem(answer))
    item_id = call.mcp.mark_answered(command.approval_request_id)
    call.session.send(CreateItem({"id": item_id, **answer}))
    record = call.responses.of_item(command.approval_request_id)
    # A granted call is made first, and the model responds when that has finished.
    if record is not None:
        record.is_followup_requested |= not command.approve
        call.request_followup(record)
    elif not command.approve:
        call.request_response()


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
            check_encodable(event)
            call.session.check_capacity()
            _send_checked(call, event)


def _send_append(call: CallState, event: realtime.AppendAudio) -> None:
    samples = count_samples(event.audio)
    if samples is None:
        raise LocalProtocolError("input_audio_buffer.append: audio is no base64, or empty")
    call.session.check_capacity(0, samples)
    call.session.send(event, samples)


def _send_checked(call: CallState, event: ClientEvent) -> None:
    match event:
        case CreateResponse():
            call.requests.check_capacity()
            call.send_all(call.requests.enqueue(event))
        case realtime.CancelResponse():
            call.responses.mark_cancelled(event.response_id)
            call.session.send(with_event_id(event))
        case DeleteItem(item_id=item_id):
            call.responses.mark_item_deleted(item_id)
            call.session.send(event)
        case CreateItem(item=item) if item.get("type") == "function_call_output":
            _send_raw_output(call, event, item.get("call_id"))
        case _:
            call.session.send(event)


def _send_raw_output(call: CallState, event: CreateItem, call_id: object) -> None:
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
        audio, name, is_hold = command.audio, command.name, command.until_agent_speaks
    else:
        audio = key_tones(command.keys, command.tone_ms, command.pause_ms)
        name, is_hold = "keys", False
    call.clips.check_playable(len(audio), now)
    if is_hold:
        call.clips.queue_hold(audio, name, now)
    else:
        call.turns.gate.agent_started(now)
        call.clips.play(audio, name, now)


def _hang_up(call: CallState, command: HangUp, now: int) -> None:
    if command.after_playback:  # ends the call in this step if all was heard
        call.after_playback.is_hangup_pending = True
        call.reset_hangup_watchdog(now)
    else:
        call.ending.end(EndReason.HUNG_UP, "", now)
