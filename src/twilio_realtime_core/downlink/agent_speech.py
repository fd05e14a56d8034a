"""The agent's speech: from the events of the model's responses to the audio on the downlink."""

from typing import Final

from ..audio.pcmu import count_samples
from ..config.fields import as_mapping
from ..conversation.item_json import items_from_response
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import ResponseInput
from ..machine.outbox import Outbox
from ..machine.reasons import Reason
from ..machine.units import samples_to_ms
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
from ..values.usage import Usage
from .clips import ClipPlayer
from .downlink import QUEUE_FULL, Downlink
from .framing import AudioChunk, FrameAligner, part_key
from .speech_order import HeldClip

__all__ = ["SESSION_LOST", "AgentSpeech"]

SESSION_LOST: Final = "session_lost"
"""The reason in the details of a response that is incomplete since its session was lost. The server
has no such reason."""


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

    def response_created(
        self, record: ResponseRecord, response: Response, *, is_repeated: bool
    ) -> None:
        """Start a response. `is_repeated`: it was created, or done, before."""
        if not record.lifecycle.step(ResponseInput.CREATED) or is_repeated:
            self._notify_unexpected("response.created for a response that was created before")
            return
        self._outbox.notify(ResponseStarted(record.id, as_mapping(response.metadata) or None))

    def suppress_on_create(self, record: ResponseRecord, *, cancel: bool) -> None:
        """Suppress a response that was interrupted while it was requested: none of it is played.

        One that is done already is not the one that was requested; it could be interrupted itself.
        """
        if not record.is_generating or not record.lifecycle.step(ResponseInput.INTERRUPT):
            return
        self._outbox.explain(Reason.CANCELLED_ON_CREATE if cancel else Reason.SUPPRESSED_ON_CREATE)
        if cancel:
            self._cancel(record)

    def audio_delta(self, event: OutputAudioDeltaEvent, now: int) -> bool:
        """Play more audio of a response, in its turn. What is late for an interrupted one is
        dropped. Returns whether it is played."""
        record = self._responses.get_or_create(event.response_id)
        record.progress_at_ns = now
        if not record.lifecycle.step(ResponseInput.AUDIO):
            self._notify_unexpected("response.output_audio.delta after the response was done")
            return False
        if not record.is_audible:
            return False
        part = event.item_id, event.content_index
        if part in record.done_parts:
            self._notify_unexpected(
                "response.output_audio.delta after output_audio.done of its part"
            )
            return False
        samples = count_samples(event.delta)
        if samples is None:
            self._outbox.notify_fault(
                Peer.REALTIME,
                FaultKind.BAD_AUDIO,
                "response.output_audio.delta: delta is not base64, or empty",
            )
            return False
        has_turn = self._downlink.order.claim(record, now)
        record.last_part, record.is_lost = part, False
        if self._notifies_audio:
            self._outbox.notify(
                AgentAudio(event.response_id, event.item_id, event.content_index, event.delta)
            )
        self._clips.agent_speaks(event.response_id, now)
        if has_turn:
            self._play(event, samples, now)
            return True
        if not self._downlink.order.is_held(record):
            self._outbox.explain(Reason.HELD_BEHIND_SPEECH)
        if not self._downlink.order.hold_speech(record, event):
            self._outbox.notify_fault(Peer.REALTIME, FaultKind.OVERFLOW, QUEUE_FULL)
        return True

    def _play(self, event: OutputAudioDeltaEvent, samples: int, now: int) -> None:
        for chunk in self._aligner.add_delta(part_key(event), event.delta, samples):
            self._downlink.play(chunk, now)

    def audio_done(self, event: OutputAudioDoneEvent, now: int) -> int:
        """Play the rest of a content part, whose audio is complete. Returns how long it is, in ms,
        as far as it was played; 0: it is held, or was interrupted."""
        record = self._responses.get_or_create(event.response_id)
        record.progress_at_ns = now
        record.mark_part_done(event.item_id, event.content_index)
        order = self._downlink.order
        if order.is_held(record) and order.hold_speech(record, event):
            return 0
        return self._end_part(event, now)

    def _end_part(self, event: OutputAudioDoneEvent, now: int) -> int:
        part = part_key(event)
        rest = self._aligner.end_part(part)
        self._stop_hold_before(rest, event.response_id, now)
        return samples_to_ms(self._downlink.end_part(part, rest, now))

    def _stop_hold_before(self, rest: list[AudioChunk], response_id: str, now: int) -> None:
        """Stop hold audio that has started since the delta of which this is the rest."""
        if rest:
            self._clips.agent_speaks(response_id, now)

    def play_held(self, now: int) -> None:
        """Play what was held behind the response that was being spoken, if that has ended: whole
        responses and clips in the order of their first audio."""
        why = (
            Reason.RELEASED_AT_STALL
            if self._downlink.order.is_speaker_unfinished
            else Reason.RELEASED_AT_END
        )
        while (held := self._downlink.order.take_next(now)) is not None:
            self._outbox.explain(why)
            if isinstance(held, HeldClip):
                self._clips.play_held(held.clip, held.audio, now)
                continue
            for event in held.events:
                if isinstance(event, OutputAudioDoneEvent):
                    self._end_part(event, now)
                else:
                    self._play(event, count_samples(event.delta) or 0, now)
            if not held.record.is_generating:
                self._end_response(held.record.id, now)

    def item_done(self, record: ResponseRecord, item: Item) -> bool:
        """Delete a message of which nothing was heard, since its response was interrupted; return
        whether it is deleted. A function call stays, since it needs its output."""
        if item.type != "message" or not record.is_in_conversation:
            return False
        is_first = record.mark_item_done(item.id)
        stays = item.id in record.heard_items or self._responses.is_item_deleted(item.id)
        if not is_first or record.is_audible:
            return False
        if stays:
            is_heard = item.id in record.heard_items
            self._outbox.explain(Reason.KEPT_AS_TRUNCATED if is_heard else Reason.KEPT_AS_DELETED)
            return False
        self._outbox.explain(Reason.DELETED_ONCE_DONE)
        self._outbox.send_to_realtime(DeleteItem(item.id))
        return True

    def response_done(
        self, record: ResponseRecord, response: Response, usage: Usage | None, now: int
    ) -> bool:
        """Finish a response. Returns `False`, and reports it, if it was done before."""
        if not record.lifecycle.step(ResponseInput.DONE):
            self._notify_unexpected("response.done for a response that was done before")
            return False
        if not self._downlink.order.is_held(record):
            self._end_response(record.id, now)
        self._outbox.notify(
            ResponseFinished(
                record.id,
                response.status,
                response.status_details,
                usage,
                as_mapping(response.metadata) or None,
                items_from_response(response.output),
            )
        )
        return True

    def _end_response(self, response_id: str, now: int) -> None:
        rest = self._aligner.end_response(response_id)
        self._stop_hold_before(rest, response_id, now)
        self._downlink.end_response(response_id, rest, now)

    def give_up(self, record: ResponseRecord, now: int) -> None:
        """Cancel a response that is generated no further, and was not cancelled; what was received
        of it is played."""
        self._outbox.explain(Reason.GIVEN_UP_IN_SILENCE)
        record.lifecycle.step(ResponseInput.INTERRUPT)
        self._cancel(record)
        record.is_given_up = record.is_lost = True
        if not self._downlink.order.is_held(record):
            self._end_response(record.id, now)

    def abandon(self, record: ResponseRecord, now: int) -> None:
        """End a response of which no more will be received, since its session is lost: what was
        received of it is played."""
        record.lifecycle.step(ResponseInput.DONE)
        if not self._downlink.order.is_held(record):
            self._end_response(record.id, now)
        status, details = "incomplete", {"type": "incomplete", "reason": SESSION_LOST}
        self._outbox.notify(ResponseFinished(record.id, status, details, None, None, ()))

    def _cancel(self, record: ResponseRecord) -> None:
        if record.is_nameable:
            record.is_cancelled = True
            self._outbox.send_to_realtime(cancel_event(record.id))

    def drop_rest(self) -> None:
        """Drop what is held for the next delta or behind another response, since the agent was
        interrupted."""
        self._aligner.take_rest()
        if self._downlink.order.has_held:
            self._outbox.explain(Reason.DROPPED_HELD_SPEECH)
        self._downlink.drop_held()

    def _notify_unexpected(self, what: str) -> None:
        self._outbox.notify_fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)
