"""What the agent says: from the model's events to the line, until it is heard or interrupted."""

from typing import Final

from ..conversation.conversation import Conversation, ItemNotification
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import ResponseInput
from ..machine.outbox import Outbox
from ..machine.units import samples_to_ms
from ..notifications import (
    AgentAudio,
    Interrupted,
    InterruptedItem,
    InterruptionCause,
    ResponseFinished,
    ResponseStarted,
)
from ..protocols.realtime import (
    CancelResponse,
    DeleteItem,
    OutputAudioDeltaEvent,
    OutputAudioDoneEvent,
    OutputItemDoneEvent,
    Response,
)
from ..responses.responses import Responses
from ..turns import interruption
from ..values.playback_position import PartKey, PlaybackPosition
from ..values.usage import Usage
from .clips import ClipPlayer
from .downlink import Downlink
from .framing import FrameAligner
from .playout import PlaybackProgress

__all__ = ["AgentSpeech"]

_SESSION: Final = 1
"""The number of the Realtime session in the keys of parts; a call has one."""


class AgentSpeech:
    """The agent's side of one call. `tells_audio`: its audio is notified as well."""

    def __init__(
        self,
        outbox: Outbox,
        line: Downlink,
        own: ClipPlayer,
        responses: Responses,
        conversation: Conversation,
        *,
        tells_audio: bool,
    ) -> None:
        self._outbox = outbox
        self._downlink = line
        self._clips = own
        self._responses = responses
        self._conversation = conversation
        self._notifies_audio = tells_audio
        self._audio = FrameAligner()

    # From the model.

    def response_created(self, response: Response) -> None:
        """The model has begun a response."""
        known = self._responses.update_from(response)
        if not known.lifecycle.step(ResponseInput.CREATED) or known.is_created:
            self._notify_unexpected("response.created for a response that was created before")
            return
        known.is_created = True
        self._outbox.notify(ResponseStarted(response.id))

    def suppress_on_create(self, response_id: str, *, cancel: bool) -> None:
        """A response that was interrupted before it began: nothing of it is to be heard. One that
        is known to be done is another's: it was there to be interrupted, if it was to be heard."""
        response = self._responses.get_or_create(response_id)
        if response.is_generating and response.lifecycle.step(ResponseInput.INTERRUPT) and cancel:
            response.is_cancelled = True
            self._outbox.send_to_realtime(interruption.cancel_event(response_id))

    def audio_delta(self, event: OutputAudioDeltaEvent, now: int) -> None:
        """More audio of a response. What comes late for an interrupted one is dropped."""
        response = self._responses.get_or_create(event.response_id)
        if not response.lifecycle.step(ResponseInput.AUDIO):
            self._notify_unexpected("response.output_audio.delta after the response was done")
            return
        if not response.is_audible:
            return
        if (event.item_id, event.content_index) in response.done_parts:
            self._notify_unexpected(
                "response.output_audio.delta after output_audio.done of its part"
            )
            return
        chunks = self._audio.add_delta(_part(event), event.delta)
        if chunks is None:
            self._outbox.notify_fault(
                Peer.REALTIME,
                FaultKind.BAD_AUDIO,
                "response.output_audio.delta: delta is no base64, or empty",
            )
            return
        if self._notifies_audio:
            self._outbox.notify(
                AgentAudio(event.response_id, event.item_id, event.content_index, event.delta)
            )
        self._clips.agent_speaks(event.response_id, now)
        for chunk in chunks:
            self._downlink.play(chunk, now)

    def is_in_conversation(self, response_id: str) -> bool:
        """Whether a response belongs to the conversation."""
        return self._responses.get_or_create(response_id).is_in_conversation

    def is_generating(self, response_id: str) -> bool:
        """Whether more may come of a response."""
        return self._responses.get_or_create(response_id).is_generating

    def audio_done(self, event: OutputAudioDoneEvent, now: int) -> None:
        """All audio of a content part has come."""
        part = _part(event)
        self._responses.get_or_create(event.response_id).mark_part_done(
            event.item_id, event.content_index
        )
        self._downlink.flush_part(self._audio.end_part(part), now)
        self._downlink.notify_progress(self._downlink.playout.part_completed(part))

    def item_done(self, event: OutputItemDoneEvent) -> None:
        """An item of a response is done. A message that was not heard at all, since its response
        was interrupted, is deleted; a function call stays, since it needs its output."""
        response, item = self._responses.get_or_create(event.response_id), event.item
        if item.type != "message" or not response.is_in_conversation:
            return
        first = response.mark_item_done(item.id)
        stays = item.id in response.heard_items or self._responses.is_item_deleted(item.id)
        if first and not response.is_audible and not stays:
            self._outbox.send_to_realtime(DeleteItem(item.id))

    def response_done(self, response: Response, now: int) -> bool:
        """Generation has ended. `False` if it had before."""
        if not self._responses.update_from(response).lifecycle.step(ResponseInput.DONE):
            self._notify_unexpected("response.done for a response that was done before")
            return False
        self._downlink.flush_part(self._audio.end_response(response.id), now)
        self._downlink.notify_progress(self._downlink.playout.response_done(response.id))
        self._outbox.notify(
            ResponseFinished(
                response.id,
                response.status,
                response.status_details,
                Usage.from_json(response.usage),
            )
        )
        return True

    def _notify_unexpected(self, what: str) -> None:
        self._outbox.notify_fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)

    # Interruption.

    def mark_item_deleted(self, item_id: str) -> None:
        """The application deletes an item: nothing of it is to be corrected any more."""
        self._responses.mark_item_deleted(item_id)

    def cancelled(self, event: CancelResponse) -> None:
        """The application cancels a response by itself; what has come of it is still played."""
        self._responses.mark_cancelled(event.response_id)

    @property
    def has_stoppable_response(self) -> bool:
        """Whether a response of the conversation is generated that is to be heard."""
        return any(
            each.is_audible and each.is_in_conversation for each in self._responses.generating
        )

    def heard_ms(self, now: int) -> int:
        """How much of what plays now was heard: of a response, or of audio of one's own. If all
        has been played, and only its last marks are missing, that of the last."""
        heard = self._downlink.playout.positions(now)
        if not heard:
            return 0
        plays = (each.part for each in heard if each.estimated_samples < each.sent_samples)
        playing = next(plays, heard[-1].part)
        if playing.is_clip:
            return sum(
                samples_to_ms(each.estimated_samples) for each in heard if each.part == playing
            )
        response = self._responses.get_or_create(playing.response_id)
        mine = [each for each in heard if each.part.response_id == response.id]
        return samples_to_ms(
            response.sent_samples - sum(each.sent_samples - each.estimated_samples for each in mine)
        )

    def interrupt(
        self, cause: InterruptionCause, now: int, *, cancel: bool, server_cancels: bool
    ) -> bool:
        """Stop all that plays or is being generated, and tell the model what was heard. `False` if
        there was nothing of the kind."""
        line = self._downlink
        done = interruption.interrupt(
            line.playout, self._responses, now, cancel=cancel, server_cancels=server_cancels
        )
        if done is None:
            return False
        self._audio.flush()
        if done.clear:
            line.clear()
        for event in done.events:
            self._outbox.send_to_realtime(event)
        line.notify_progress(PlaybackProgress(finished=done.finished))
        line.clips_cut(list(done.own))
        if done.cut or done.stopped_generating:
            updates = [update for each in done.cut for update in self._cut(each)]
            items = tuple(self._heard_item(each) for each in done.cut)
            self._outbox.notify(Interrupted(cause, items))
            for update in updates:
                self._outbox.notify(update)
        return True

    def _cut(self, heard: PlaybackPosition) -> list[ItemNotification]:
        return self._conversation.cut(
            heard.part.item_id,
            heard.part.content_index,
            samples_to_ms(heard.estimated_samples),
            samples_to_ms(heard.sent_samples),
        )

    def _heard_item(self, heard: PlaybackPosition) -> InterruptedItem:
        part = heard.part
        words, rest = self._conversation.split_transcript(part.item_id, part.content_index)
        return InterruptedItem(
            part.response_id,
            part.item_id,
            part.content_index,
            heard_ms=samples_to_ms(heard.estimated_samples),
            sent_ms=samples_to_ms(heard.sent_samples),
            heard=words,
            unheard=rest,
        )


def _part(event: OutputAudioDeltaEvent | OutputAudioDoneEvent) -> PartKey:
    return PartKey(_SESSION, event.response_id, event.item_id, event.content_index)
