"""What the agent says: from the model's events to the line, until it is heard or interrupted."""

from typing import Final

from ..conversation.conversation import Conversation, ItemNotification
from ..errors import FaultKind
from ..machine.actions import Peer
from ..machine.lifecycles import ResponseInput
from ..machine.outbox import Outbox
from ..machine.units import whole_ms
from ..notifications import (
    AgentAudio,
    HeardItem,
    Interrupted,
    InterruptionCause,
    ResponseFinished,
    ResponseStarted,
)
from ..protocols.realtime import (
    CancelResponse,
    DeleteItem,
    OutputAudioDelta,
    OutputAudioDone,
    OutputItemDone,
    Response,
)
from ..responses.responses import Responses
from ..turns import interruption as bargein
from ..values.playback_position import Heard, Part
from ..values.usage import Usage
from .clips import OwnAudio
from .downlink import Line
from .framing import ModelAudio
from .playout import Progress

__all__ = ["Speech"]

_SESSION: Final = 1
"""The number of the Realtime session in the keys of parts; a call has one."""


class Speech:
    """The agent's side of one call. `tells_audio`: its audio is notified as well."""

    def __init__(
        self,
        outbox: Outbox,
        line: Line,
        own: OwnAudio,
        responses: Responses,
        conversation: Conversation,
        *,
        tells_audio: bool,
    ) -> None:
        self._outbox = outbox
        self._line = line
        self._own = own
        self._responses = responses
        self._conversation = conversation
        self._tells_audio = tells_audio
        self._audio = ModelAudio()

    # From the model.

    def response_created(self, response: Response) -> None:
        """The model has begun a response."""
        known = self._responses.described(response)
        if not known.life.step(ResponseInput.CREATED) or known.created:
            self._misplaced("response.created for a response that was created before")
            return
        known.created = True
        self._outbox.notify(ResponseStarted(response.id))

    def stop_at_birth(self, response_id: str, *, cancel: bool) -> None:
        """A response that was interrupted before it began: nothing of it is to be heard. One that
        is known to be done is another's: it was there to be interrupted, if it was to be heard."""
        response = self._responses.get(response_id)
        if response.generating and response.life.step(ResponseInput.INTERRUPT) and cancel:
            response.cancelled = True
            self._outbox.realtime(bargein.cancel_of(response_id))

    def audio(self, event: OutputAudioDelta, now: int) -> None:
        """More audio of a response. What comes late for an interrupted one is dropped."""
        response = self._responses.get(event.response_id)
        if not response.life.step(ResponseInput.AUDIO):
            self._misplaced("response.output_audio.delta after the response was done")
            return
        if not response.audible:
            return
        if (event.item_id, event.content_index) in response.done_parts:
            self._misplaced("response.output_audio.delta after output_audio.done of its part")
            return
        chunks = self._audio.delta(_part(event), event.delta)
        if chunks is None:
            self._outbox.fault(
                Peer.REALTIME,
                FaultKind.BAD_AUDIO,
                "response.output_audio.delta: delta is no base64, or empty",
            )
            return
        if self._tells_audio:
            self._outbox.notify(
                AgentAudio(event.response_id, event.item_id, event.content_index, event.delta)
            )
        self._own.yield_to(event.response_id, now)
        for chunk in chunks:
            self._line.play(chunk, now)

    def in_conversation(self, response_id: str) -> bool:
        """Whether a response belongs to the conversation."""
        return self._responses.get(response_id).in_conversation

    def generating(self, response_id: str) -> bool:
        """Whether more may come of a response."""
        return self._responses.get(response_id).generating

    def audio_done(self, event: OutputAudioDone, now: int) -> None:
        """All audio of a content part has come."""
        part = _part(event)
        self._responses.get(event.response_id).part_done(event.item_id, event.content_index)
        self._line.play_rest(self._audio.end(part), now)
        self._line.report(self._line.playout.completed(part))

    def item_done(self, event: OutputItemDone) -> None:
        """An item of a response is done. A message that was not heard at all, since its response
        was interrupted, is deleted; a function call stays, since it needs its output."""
        response, item = self._responses.get(event.response_id), event.item
        if item.type != "message" or not response.in_conversation:
            return
        first = response.item_done(item.id)
        stays = item.id in response.heard_items or self._responses.is_gone(item.id)
        if first and not response.audible and not stays:
            self._outbox.realtime(DeleteItem(item.id))

    def response_done(self, response: Response, now: int) -> bool:
        """Generation has ended. `False` if it had before."""
        if not self._responses.described(response).life.step(ResponseInput.DONE):
            self._misplaced("response.done for a response that was done before")
            return False
        self._line.play_rest(self._audio.end_response(response.id), now)
        self._line.report(self._line.playout.response_done(response.id))
        self._outbox.notify(
            ResponseFinished(
                response.id, response.status, response.status_details, Usage.of(response.usage)
            )
        )
        return True

    def _misplaced(self, what: str) -> None:
        self._outbox.fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)

    # Interruption.

    def forget_item(self, item_id: str) -> None:
        """The application deletes an item: nothing of it is to be corrected any more."""
        self._responses.forget_item(item_id)

    def cancelled(self, event: CancelResponse) -> None:
        """The application cancels a response by itself; what has come of it is still played."""
        self._responses.cancelled(event.response_id)

    @property
    def stoppable(self) -> bool:
        """Whether a response of the conversation is generated that is to be heard."""
        return any(each.audible and each.in_conversation for each in self._responses.generating)

    def heard_ms(self, now: int) -> int:
        """How much of what plays now was heard: of a response, or of audio of one's own. If all
        has been played, and only its last marks are missing, that of the last."""
        heard = self._line.playout.heard(now)
        if not heard:
            return 0
        plays = (each.part for each in heard if each.estimated < each.sent)
        playing = next(plays, heard[-1].part)
        if playing.own:
            return sum(whole_ms(each.estimated) for each in heard if each.part == playing)
        response = self._responses.get(playing.response_id)
        mine = [each for each in heard if each.part.response_id == response.id]
        return whole_ms(response.sent - sum(each.sent - each.estimated for each in mine))

    def interrupt(
        self, cause: InterruptionCause, now: int, *, cancel: bool, server_cancels: bool
    ) -> bool:
        """Stop all that plays or is being generated, and tell the model what was heard. `False` if
        there was nothing of the kind."""
        line = self._line
        done = bargein.interrupt(
            line.playout, self._responses, now, cancel=cancel, server_cancels=server_cancels
        )
        if done is None:
            return False
        self._audio.flush()
        if done.clear:
            line.clear()
        for event in done.events:
            self._outbox.realtime(event)
        line.report(Progress(finished=done.finished))
        line.own_ended(list(done.own))
        if done.cut or done.stopped_generating:
            updates = [update for each in done.cut for update in self._cut(each)]
            items = tuple(self._heard_item(each) for each in done.cut)
            self._outbox.notify(Interrupted(cause, items))
            for update in updates:
                self._outbox.notify(update)
        return True

    def _cut(self, heard: Heard) -> list[ItemNotification]:
        return self._conversation.cut(
            heard.part.item_id,
            heard.part.content_index,
            whole_ms(heard.estimated),
            whole_ms(heard.sent),
        )

    def _heard_item(self, heard: Heard) -> HeardItem:
        part = heard.part
        words, rest = self._conversation.split(part.item_id, part.content_index)
        return HeardItem(
            part.response_id,
            part.item_id,
            part.content_index,
            heard_ms=whole_ms(heard.estimated),
            sent_ms=whole_ms(heard.sent),
            heard=words,
            unheard=rest,
        )


def _part(event: OutputAudioDelta | OutputAudioDone) -> Part:
    return Part(_SESSION, event.response_id, event.item_id, event.content_index)
