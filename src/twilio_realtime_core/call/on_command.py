"""What the application's commands do.

Each command first makes all that can fail, and only then changes anything.
"""

from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

import attrs

from ..audio.dtmf import key_tones
from ..audio.payload import count_samples
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
from ..config.call import check_sendable, pin_event
from ..errors import LocalProtocolError
from ..machine.lifecycles import StreamState
from ..machine.timers import Timer
from ..notifications import EndReason, InterruptionCause
from ..protocols import realtime
from ..protocols.realtime import ClientEvent, CreateItem, CreateResponse, DeleteItem
from ..turns.interruption import recognisable
from ..values.items import ConversationItem, ImagePart, TextPart, to_data
from .state import Parts

__all__ = ["carry_out", "settle"]

_EVENTS: Final = get_args(ClientEvent)

_MAX_AUDIO_SAMPLES: Final = 60 * 8000
"""Audio of one `SendAudio`: a minute, which is longer than a turn; the rest can follow."""


def carry_out(call: Parts, command: Command, now: int) -> None:
    """Do what the application wants. Raises `LocalProtocolError`, before anything has changed, if
    that cannot be done."""
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
            call.interrupt(InterruptionCause.APPLICATION, now, cancel=cancel, server_cancels=False)
        case Mute() | Unmute():
            call.caller.muted = isinstance(command, Mute)
        case Play() | PressKeys():
            _play(call, command, now)
        case HangUp():
            _hang_up(call, command, now)
        case SendEvent(event=event):
            _send_event(call, event)
        case _ if isinstance(command, _EVENTS):
            _send_event(call, command)
        case _:
            raise LocalProtocolError(f"{type(command).__name__} is no command")


def settle(call: Parts, now: int) -> None:
    """Do what waits until all was heard, if it was."""
    silent_at = call.line.playout.silent_at
    if silent_at is not None and silent_at > now and not call.own.holds:
        call.timers.set(Timer.SILENCE, silent_at)
        return
    if not call.requests.busy:
        _go_on_after_silence(call, now)
    if call.end is None:
        call.own.begin_hold(now)


def _go_on_after_silence(call: Parts, now: int) -> None:
    call.interruptions.agent_silent()
    _give_outputs(call, call.once_heard.release())
    if call.once_heard.hangs_up and not call.requests.busy:
        call.end_call(EndReason.HUNG_UP, "all was heard", now)


def _configure(call: Parts, command: Configure, now: int) -> None:
    call.session.check_configurable()
    given = attrs.asdict(command, recurse=False, filter=lambda _, value: value is not None)
    call.config = attrs.evolve(call.config, **given, await_configuration_ns=0)
    call.session.configure(call.config.session)
    if call.stream.state is StreamState.STREAMING:
        call.open_session(now)


# To the model.


def _send_message(call: Parts, command: SendMessage) -> None:
    if not command.content:
        raise LocalProtocolError("the message says nothing: give it text, or a picture")
    item = {
        "type": "message",
        "role": "user",
        "content": [_content(each) for each in command.content],
    }
    _send_item(call, {**command.more, "item": item})
    if command.respond:
        call.ask()


def _content(part: TextPart | ImagePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    detail = {} if part.detail is None else {"detail": part.detail}
    return {"type": "input_image", "image_url": part.image_url, **detail}


def _send_audio(call: Parts, command: SendAudio) -> None:
    samples = len(command.audio)
    if not 0 < samples <= _MAX_AUDIO_SAMPLES:
        raise LocalProtocolError(f"{samples} samples: give 1 to {_MAX_AUDIO_SAMPLES}, a minute")
    call.session.check_room(int(command.commit), samples)
    call.session.send(realtime.AppendAudio(b64encode(command.audio).decode()), samples)
    if command.commit:
        call.session.send(realtime.CommitAudio())


def _send_output(call: Parts, command: SendFunctionOutput) -> None:
    call.functions.check_answer(command.call_id)
    check_sendable(_output_item(command))
    call.session.check_room()
    call.functions.answered(command.call_id)
    if command.once_heard:
        call.once_heard.outputs.append(command)  # `settle` gives it at once if all was heard
    else:
        _give_outputs(call, [command])


def _give_outputs(call: Parts, outputs: Iterable[SendFunctionOutput]) -> None:
    """Send outputs, and have the model go on once it has those of all its calls."""
    responses: list[str] = []
    for each in outputs:
        call.session.send(_output_item(each))
        responses.append(call.functions.given(each.call_id, respond=each.respond))
    call.go_on(*dict.fromkeys(responses))


def _output_item(command: SendFunctionOutput) -> CreateItem:
    item = {"type": "function_call_output", "call_id": command.call_id, "output": command.output}
    return CreateItem(item)


def _answer_approval(call: Parts, command: AnswerApproval) -> None:
    call.mcp.check_approval(command.approval_request_id)
    call.session.check_room()
    reason = {} if command.reason is None else {"reason": command.reason}
    answer = {
        "type": "mcp_approval_response",
        "approval_request_id": command.approval_request_id,
        "approve": command.approve,
        **reason,
    }
    check_sendable(CreateItem(answer))
    item_id, response_id = call.mcp.approved(command.approval_request_id)
    call.session.send(CreateItem({"id": item_id, **answer}))
    if not command.approve:  # else the tool is called first, and that it has finished goes on
        call.functions.wants_response(response_id)
    call.go_on(response_id)


def _reset_history(call: Parts, items: tuple[ConversationItem, ...]) -> None:
    for item in items:
        check_sendable(CreateItem(to_data(item)))
    call.session.check_room(len(call.conversation.edits(items)))
    for edit in call.conversation.reset(items):
        match edit:
            case DeleteItem(item_id=item_id):
                call.speech.forget_item(item_id)
            case CreateItem(item={"type": "function_call_output", "call_id": call_id}):
                if call_id in call.functions.open:
                    call.functions.answered(call_id)
                    call.functions.given(call_id, respond=False)
            case _:
                pass
        call.session.send(edit)


def _send_item(call: Parts, fields: Mapping[str, Any]) -> None:
    event = realtime.client_event({**fields, "type": CreateItem.type})
    call.session.check_room()
    call.session.send(event)


def _send_event(call: Parts, event: ClientEvent) -> None:
    match event:
        case realtime.AppendAudio():
            _send_append(call, event)
        case realtime.UpdateSession():
            call.session.send_update(event)
        case _:
            event = pin_event(event)
            check_sendable(event)
            call.session.check_room()
            _send_checked(call, event)


def _send_append(call: Parts, event: realtime.AppendAudio) -> None:
    samples = count_samples(event.audio)
    if samples is None:
        raise LocalProtocolError("input_audio_buffer.append: audio is no base64, or empty")
    call.session.check_room(0, samples)
    call.session.send(event, samples)


def _send_checked(call: Parts, event: ClientEvent) -> None:
    match event:
        case CreateResponse():
            call.requests.check_room()
            call.send_all(call.requests.ask_for(event))
        case realtime.CancelResponse():
            call.speech.cancelled(event)
            call.session.send(recognisable(event))
        case DeleteItem(item_id=item_id):
            call.speech.forget_item(item_id)
            call.session.send(event)
        case CreateItem(item=item) if item.get("type") == "function_call_output":
            _send_raw_output(call, event, item.get("call_id"))
        case _:
            call.session.send(event)


def _send_raw_output(call: Parts, event: CreateItem, call_id: object) -> None:
    """An output given as an item counts as the answer, where the call is one of this session's;
    the application asks for the response by itself."""
    if not isinstance(call_id, str) or not call.functions.knows(call_id):
        call.session.send(event)
        return
    call.functions.check_answer(call_id)
    call.functions.answered(call_id)
    call.session.send(event)
    call.go_on(call.functions.given(call_id, respond=False))


# To the caller.


def _play(call: Parts, command: Play | PressKeys, now: int) -> None:
    if isinstance(command, Play):
        audio, name, yields = command.audio, command.name, command.yields
    else:
        audio = key_tones(command.keys, command.tone_ms, command.pause_ms)
        name, yields = "keys", False
    call.own.check(len(audio), now)
    if yields:
        call.own.hold(audio, name, now)
    else:
        call.interruptions.agent_speaks(now)
        call.own.play(audio, name, now)


def _hang_up(call: Parts, command: HangUp, now: int) -> None:
    if command.once_heard:  # `settle` ends the call at once if all was heard
        call.once_heard.hangs_up = True
        call.sign_of_life(now)
    else:
        call.end_call(EndReason.HUNG_UP, "", now)
