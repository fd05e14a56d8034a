"""Read the texts of Twilio and of the Realtime server, independently of the core's codecs.

The sources are those of `received`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, TypeAlias

from twilio_realtime_core.errors import FaultKind
from twilio_realtime_core.machine.actions import Peer

from .limits import KEYS, MAX_SID_CHARACTERS
from .received import (
    Fields,
    ReceivedAudio,
    ReceivedAudioEnd,
    ReceivedCommit,
    ReceivedError,
    ReceivedIdleTimeout,
    ReceivedInputDelta,
    ReceivedInputFailure,
    ReceivedInputTranscript,
    ReceivedItem,
    ReceivedItemAdded,
    ReceivedItemDeleted,
    ReceivedItemDone,
    ReceivedItemTruncated,
    ReceivedKey,
    ReceivedMark,
    ReceivedMcpCallEnd,
    ReceivedMcpCallStart,
    ReceivedMcpTools,
    ReceivedMcpToolsFailure,
    ReceivedMedia,
    ReceivedMessage,
    ReceivedOfItem,
    ReceivedOther,
    ReceivedOutputItemAdded,
    ReceivedOutputItemDone,
    ReceivedRateLimits,
    ReceivedResponseEnd,
    ReceivedResponseProgress,
    ReceivedResponseStart,
    ReceivedSession,
    ReceivedSpeechStart,
    ReceivedSpeechStop,
    ReceivedStart,
    ReceivedStop,
    ReceivedTextDelta,
    ReceivedTextEnd,
    ReceivedTranscriptDelta,
    ReceivedTranscriptEnd,
    ReceivedWords,
    UnreadableMessage,
)
from .wire import (
    WrongField,
    decode_audio,
    is_list,
    read_number,
    read_object,
    read_text,
    read_whole_number,
    require_object,
    require_text,
    require_whole_number,
)

__all__ = ["read_realtime", "read_twilio"]

_NOT_JSON: Final = (FaultKind.NOT_JSON, FaultKind.BAD_MESSAGE)
_WRONG_FIELD: Final = (FaultKind.BAD_MESSAGE,)
_OTHER: Final = ReceivedOther()


_MAX_DIGITS: Final = 18
"""Digits of a timestamp: more milliseconds than any call lasts."""


def _read_start(message: Fields) -> ReceivedMessage:
    sid, body = require_text(message, "streamSid"), require_object(message, "start")
    if not sid:
        raise WrongField("streamSid")
    sids = (sid, read_text(body, "callSid"), read_text(body, "accountSid"))
    if any(each is not None and len(each) > MAX_SID_CHARACTERS for each in sids):
        raise WrongField("a SID")
    media_format = _read_object(body, "mediaFormat")
    parameters = _read_object(body, "customParameters")
    return ReceivedStart(
        *sids,
        (
            media_format.get("encoding"),
            media_format.get("sampleRate"),
            media_format.get("channels"),
        ),
        {name: value for name, value in parameters.items() if isinstance(value, str)},
        is_list(body.get("tracks")) and "outbound" in body["tracks"],
    )


def _read_object(fields: Fields, name: str) -> Fields:
    return {} if fields.get(name) is None else require_object(fields, name)


def _read_media(message: Fields) -> ReceivedMessage:
    body = require_object(message, "media")
    sid, payload = require_text(message, "streamSid"), require_text(body, "payload")
    is_outbound = body.get("track") in ("outbound", "outbound_track")
    return ReceivedMedia(sid, payload, _read_timestamp(body.get("timestamp")), is_outbound)


def _read_timestamp(value: object) -> int | None:
    """Numbers of Twilio are texts, as in `"timestamp": "155"`."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= _MAX_DIGITS else None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**_MAX_DIGITS:
        return value
    return None


def _read_mark(message: Fields) -> ReceivedMessage:
    name = require_text(require_object(message, "mark"), "name")
    return ReceivedMark(require_text(message, "streamSid"), name)


def _read_dtmf(message: Fields) -> ReceivedMessage:
    digit = require_text(require_object(message, "dtmf"), "digit")
    if len(digit) != 1 or digit not in KEYS:
        raise WrongField("digit")
    return ReceivedKey(require_text(message, "streamSid"), digit)


def _read_stop(message: Fields) -> ReceivedMessage:
    return ReceivedStop(require_text(message, "streamSid"))


_Reader: TypeAlias = Callable[[Fields], ReceivedMessage]

_TWILIO: Final[Mapping[str, _Reader]] = {
    "start": _read_start,
    "media": _read_media,
    "mark": _read_mark,
    "dtmf": _read_dtmf,
    "stop": _read_stop,
}


_FRAME: Final = re.compile(
    r'\{"event":"media",(?:"sequenceNumber":"[0-9]+",)?'
    r'"media":\{"track":"inbound","chunk":"[0-9]+","timestamp":"([0-9]{1,18})",'
    r'"payload":"([^"]*)"\},"streamSid":"(\w+)"\}',
    re.ASCII,
)
"""A frame as Twilio writes it: most messages of a call."""


def read_twilio(text: str) -> ReceivedMessage:
    """Return the message that a text of Twilio is."""
    return _read_frame(text) or _read(Peer.TWILIO, "event", _TWILIO, text)


def _read_frame(text: str) -> ReceivedMedia | None:
    """Return a frame that is written as Twilio does; `None` for any other text."""
    found = _FRAME.fullmatch(text)
    if found is None:
        return None
    timestamp, payload, stream_sid = found.groups()
    if decode_audio(payload) is None:
        return None
    return ReceivedMedia(stream_sid, payload, int(timestamp), is_outbound=False)


def _read(peer: Peer, tag: str, readers: Mapping[str, _Reader], text: str) -> ReceivedMessage:
    message = read_object(text)
    if message is None:
        return UnreadableMessage(peer, _NOT_JSON)
    try:
        return readers.get(require_text(message, tag), _read_other)(message)
    except WrongField:
        return UnreadableMessage(peer, _WRONG_FIELD)


def _read_other(event: Fields) -> ReceivedMessage:
    match event:
        case {"response_id": str(response_id)}:
            return ReceivedResponseProgress(response_id)
        case _:
            return _OTHER


def _read_session(event: Fields) -> ReceivedMessage:
    return ReceivedSession(require_object(event, "session"))


def _read_error(event: Fields) -> ReceivedMessage:
    error = require_object(event, "error")
    message, code, event_id = _read_problem(error)
    return ReceivedError(
        message, code, event_id, read_text(error, "type"), read_text(error, "param")
    )


def _read_problem(error: Fields) -> tuple[str, str | None, str | None]:
    _, code, _, event_id = (read_text(error, n) for n in ("type", "code", "param", "event_id"))
    return require_text({"message": "", **error}, "message"), code, event_id


def _read_speech_start(event: Fields) -> ReceivedMessage:
    return ReceivedSpeechStart(read_text(event, "item_id"), read_number(event, "audio_start_ms"))


def _read_speech_stop(event: Fields) -> ReceivedMessage:
    return ReceivedSpeechStop(read_text(event, "item_id"), read_number(event, "audio_end_ms"))


def _read_commit(event: Fields) -> ReceivedMessage:
    return ReceivedCommit(require_text(event, "item_id"))


def _read_input_delta(event: Fields) -> ReceivedMessage:
    item_id, words = require_text(event, "item_id"), read_text(event, "delta") or ""
    index = read_whole_number(event, "content_index", 0)
    return ReceivedInputDelta(item_id, words, event.get("logprobs"), index)


def _read_input_transcript(event: Fields) -> ReceivedMessage:
    item_id, words = require_text(event, "item_id"), require_text(event, "transcript")
    index = read_whole_number(event, "content_index", 0)
    return ReceivedInputTranscript(item_id, words, event.get("logprobs"), index)


def _read_input_failure(event: Fields) -> ReceivedMessage:
    item_id, error = require_text(event, "item_id"), require_object({"error": {}, **event}, "error")
    return ReceivedInputFailure(item_id, _read_problem(error)[0])


def _read_idle_timeout(event: Fields) -> ReceivedMessage:
    start_ms, end_ms = (read_number(event, f"audio_{which}_ms") for which in ("start", "end"))
    return ReceivedIdleTimeout(read_text(event, "item_id"), start_ms, end_ms)


def _read_rate_limits(event: Fields) -> ReceivedMessage:
    return ReceivedRateLimits(event.get("rate_limits"))


def _read_response_start(event: Fields) -> ReceivedMessage:
    end = _read_response(event)
    return ReceivedResponseStart(
        end.response_id, end.is_out_of_band, end.metadata, end.is_text, end.output
    )


def _read_response(event: Fields) -> ReceivedResponseEnd:
    """A response with a `conversation_id` of null is out of band; without the field it is not."""
    response = require_object(event, "response")
    modalities = response.get("output_modalities")
    return ReceivedResponseEnd(
        read_text(response, "id") or "",
        read_text(response, "conversation_id", "") is None,
        read_text(response, "status"),
        response.get("status_details"),
        response.get("usage"),
        response.get("metadata"),
        tuple(_read_output(response.get("output"))),
        None if modalities is None else modalities == ["text"],
    )


def _read_output(output: object) -> Iterator[ReceivedItem]:
    """The items of a response, without those that cannot be read."""
    for item in output if is_list(output) else []:
        with suppress(WrongField):
            yield _read_item({"item": item})


def _part_of(event: Fields) -> tuple[str, str, int]:
    return (
        require_text(event, "response_id"),
        require_text(event, "item_id"),
        read_whole_number(event, "content_index", 0),
    )


def _read_audio(event: Fields) -> ReceivedMessage:
    return ReceivedAudio(*_part_of(event), require_text(event, "delta"))


def _read_audio_end(event: Fields) -> ReceivedMessage:
    return ReceivedAudioEnd(*_part_of(event))


def _words(kind: type[ReceivedWords], field: str) -> _Reader:
    return lambda event: kind(*_part_of(event), require_text(event, field))


def _read_item(event: Fields) -> ReceivedItem:
    item = require_object(event, "item")
    if type(item.get("approve")) not in (bool, type(None)):
        raise WrongField("approve")
    for name in ("role", "approval_request_id"):
        read_text(item, name)
    if item.get("id") in ("", "root"):  # the front of the conversation, and an id left out
        raise WrongField("id")
    return ReceivedItem(
        require_text(item, "id"),
        require_text(item, "type"),
        read_text(item, "status"),
        read_text(item, "call_id"),
        read_text(item, "name"),
        read_text(item, "arguments"),
        read_text(item, "server_label"),
        {name: value for name, value in item.items() if value is not None},
    )


def _read_item_added(event: Fields) -> ReceivedMessage:
    return ReceivedItemAdded(_read_item(event), read_text(event, "previous_item_id", ""))


def _read_item_done(event: Fields) -> ReceivedMessage:
    return ReceivedItemDone(_read_item(event))


def _read_item_deleted(event: Fields) -> ReceivedMessage:
    return ReceivedItemDeleted(require_text(event, "item_id"))


def _read_output_item_added(event: Fields) -> ReceivedMessage:
    return ReceivedOutputItemAdded(require_text(event, "response_id"), _read_item(event))


def _read_output_item_done(event: Fields) -> ReceivedMessage:
    return ReceivedOutputItemDone(require_text(event, "response_id"), _read_item(event))


def _of_item(kind: type[ReceivedOfItem]) -> _Reader:
    return lambda event: kind(require_text(event, "item_id"))


# Of these it only matters whether they can be read.


def _read_session_created(event: Fields) -> ReceivedMessage:
    require_object(event, "session")
    return _OTHER


def _read_item_retrieved(event: Fields) -> ReceivedMessage:
    _read_item(event)
    return _OTHER


def _read_item_truncated(event: Fields) -> ReceivedMessage:
    item_id = require_text(event, "item_id")
    require_whole_number(event, "content_index")
    require_whole_number(event, "audio_end_ms")
    return ReceivedItemTruncated(item_id)


_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"

_REALTIME: Final[Mapping[str, _Reader]] = {
    "session.created": _read_session_created,
    "session.updated": _read_session,
    "error": _read_error,
    "input_audio_buffer.speech_started": _read_speech_start,
    "input_audio_buffer.speech_stopped": _read_speech_stop,
    "input_audio_buffer.committed": _read_commit,
    f"{_TRANSCRIPTION}.delta": _read_input_delta,
    f"{_TRANSCRIPTION}.completed": _read_input_transcript,
    f"{_TRANSCRIPTION}.failed": _read_input_failure,
    "input_audio_buffer.timeout_triggered": _read_idle_timeout,
    "rate_limits.updated": _read_rate_limits,
    "response.created": _read_response_start,
    "response.done": _read_response,
    "response.output_audio.delta": _read_audio,
    "response.output_audio.done": _read_audio_end,
    "response.output_audio_transcript.delta": _words(ReceivedTranscriptDelta, "delta"),
    "response.output_audio_transcript.done": _words(ReceivedTranscriptEnd, "transcript"),
    "response.output_text.delta": _words(ReceivedTextDelta, "delta"),
    "response.output_text.done": _words(ReceivedTextEnd, "text"),
    "conversation.item.added": _read_item_added,
    "conversation.item.created": _read_item_added,
    "conversation.item.done": _read_item_done,
    "conversation.item.deleted": _read_item_deleted,
    "conversation.item.retrieved": _read_item_retrieved,
    "conversation.item.truncated": _read_item_truncated,
    "response.output_item.added": _read_output_item_added,
    "response.output_item.done": _read_output_item_done,
    "mcp_list_tools.completed": _of_item(ReceivedMcpTools),
    "mcp_list_tools.failed": _of_item(ReceivedMcpToolsFailure),
    "response.mcp_call.in_progress": _of_item(ReceivedMcpCallStart),
    "response.mcp_call.completed": _of_item(ReceivedMcpCallEnd),
    "response.mcp_call.failed": _of_item(ReceivedMcpCallEnd),
}


def read_realtime(text: str) -> ReceivedMessage:
    """Return the event that a text of the Realtime server is."""
    return _read(Peer.REALTIME, "type", _REALTIME, text)
