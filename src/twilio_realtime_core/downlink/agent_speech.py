"""The agent's speech: from the events of the model's responses to the audio on the downlink."""

from typing import Final

from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import ResponseInput
from ..machine.outbox import Outbox
from ..notifications import AgentAudio, ResponseFinished, ResponseStarted
from ..protocols.realtime import (
    DeleteItem,
    Item,
    OutputAudioDeltaEvent,
    OutputAudioDoneEvent,
    Response,
)
from ..responses.cancels import cancel_event
from ..responses.responses import ResponseRecord, Responses
from ..values.playback_position import PartKey
from ..values.usage import Usage
from .clips import ClipPlayer
from .downlink import Downlink
from .framing import FrameAligner

__all__ = ["AgentSpeech"]

_SESSION: Final = 1
"""The number of the Realtime session in the keys of parts; a call has one."""


class AgentSpeech:
    """The speech of the agent in one call. `notifies_audio`: its audio is notified as well."""

    def __init__(
        self,
        outbox: Outbox,
        downlink: Downlink,
        clips: ClipPlayer,
        responses: Responses,
        *,
        notifies_audio: bool,
    ) -> None:
        self._outbox = outbox
        self._downlink = downlink
        self._clips = clips
        self._responses = responses
        self._notifies_audio = notifies_audio
        self._aligner = FrameAligner()

    def response_created(self, record: ResponseRecord, *, is_repeated: bool) -> None:
        """Start a response. `is_repeated`: it was created, or done, before."""
        if not record.lifecycle.step(ResponseInput.CREATED) or is_repeated:
            self._notify_unexpected("response.created for a response that was created before")
            return
        self._outbox.notify(ResponseStarted(record.id))

    def suppress_on_create(self, record: ResponseRecord, *, cancel: bool) -> None:
        """Suppress a response that was interrupted while it was requested: none of it is played.

        One that is done already is not the one that was requested; it could be interrupted itself.
        """
        if record.is_generating and record.lifecycle.step(ResponseInput.INTERRUPT) and cancel:
            record.is_cancelled = True
            self._outbox.send_to_realtime(cancel_event(record.id))

    def audio_delta(self, event: OutputAudioDeltaEvent, now: int) -> None:
        """Play more audio of a response. What is late for an interrupted one is dropped."""
        record = self._responses.get_or_create(event.response_id)
        if not record.lifecycle.step(ResponseInput.AUDIO):
            self._notify_unexpected("response.output_audio.delta after the response was done")
            return
        if not record.is_audible:
            return
        if (event.item_id, event.content_index) in record.done_parts:
            self._notify_unexpected(
                "response.output_audio.delta after output_audio.done of its part"
            )
            return
        chunks = self._aligner.add_delta(_part_key(event), event.delta)
        if chunks is None:
            self._outbox.notify_fault(
                Peer.REALTIME,
                FaultKind.BAD_AUDIO,
                "response.output_audio.delta: delta is not base64, or empty",
            )
            return
        if self._notifies_audio:
            self._outbox.notify(
                AgentAudio(event.response_id, event.item_id, event.content_index, event.delta)
            )
        self._clips.agent_speaks(event.response_id, now)
        for chunk in chunks:
            self._downlink.play(chunk, now)

    def audio_done(self, event: OutputAudioDoneEvent, now: int) -> None:
        """Play the rest of a content part, whose audio is complete."""
        part = _part_key(event)
        record = self._responses.get_or_create(event.response_id)
        record.mark_part_done(event.item_id, event.content_index)
        self._downlink.end_part(part, self._aligner.end_part(part), now)

    def item_done(self, record: ResponseRecord, item: Item) -> None:
        """Delete a message of which nothing was heard, since its response was interrupted. A
        function call stays, since it needs its output."""
        if item.type != "message" or not record.is_in_conversation:
            return
        is_first = record.mark_item_done(item.id)
        stays = item.id in record.heard_items or self._responses.is_item_deleted(item.id)
        if is_first and not record.is_audible and not stays:
            self._outbox.send_to_realtime(DeleteItem(item.id))

    def response_done(self, record: ResponseRecord, response: Response, now: int) -> bool:
        """Finish a response. Returns `False`, and reports it, if it was done before."""
        if not record.lifecycle.step(ResponseInput.DONE):
            self._notify_unexpected("response.done for a response that was done before")
            return False
        self._downlink.end_response(response.id, self._aligner.end_response(response.id), now)
        self._outbox.notify(
            ResponseFinished(
                response.id,
                response.status,
                response.status_details,
                Usage.from_json(response.usage),
            )
        )
        return True

    def drop_rest(self) -> None:
        """Drop what is held for the next delta, since the agent was interrupted."""
        self._aligner.take_rest()

    def _notify_unexpected(self, what: str) -> None:
        self._outbox.notify_fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)


def _part_key(event: OutputAudioDeltaEvent | OutputAudioDoneEvent) -> PartKey:
    return PartKey(_SESSION, event.response_id, event.item_id, event.content_index)
