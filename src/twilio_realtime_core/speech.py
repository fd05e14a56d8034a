"""What the agent says: from the model's audio to media and marks, and back from echoes to what the
caller has heard.
"""

from typing import Final

from . import bargein
from .actions import Peer
from .errors import FaultKind
from .model_audio import Chunk, ModelAudio
from .notifications import (
    HeardItem,
    Interrupted,
    InterruptionCause,
    PlaybackFinished,
    PlaybackStarted,
    ResponseFinished,
    ResponseStarted,
)
from .outbox import Outbox
from .playout import Heard, Part, Playout, Progress
from .realtime import (
    CancelResponse,
    DeleteItem,
    OutputAudioDelta,
    OutputAudioDone,
    OutputItemDone,
    Response,
)
from .responses import Responses
from .states import ResponseInput
from .times import whole_ms
from .twilio import Clear, Mark, Media

__all__ = ["Speech"]

_SESSION: Final = 1
"""The number of the Realtime session in the keys of parts; a call has one."""


class Speech:
    """The agent's side of one call. Audio goes to the stream that `begin` names."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._stream_sid = ""
        self._audio = ModelAudio()
        self._playout = Playout()
        self._responses = Responses()

    def begin(self, stream_sid: str) -> None:
        """A stream has begun: nothing has been played on it."""
        self._stream_sid = stream_sid
        self._playout.restart()

    # From the model.

    def response_created(self, response: Response) -> None:
        """The model has begun a response."""
        if not self._responses.described(response).life.step(ResponseInput.CREATED):
            self._misplaced("response.created for a response that was created before")
            return
        self._outbox.notify(ResponseStarted(response.id))

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
        for chunk in chunks:
            self._play(chunk, now)

    def audio_done(self, event: OutputAudioDone, now: int) -> None:
        """All audio of a content part has come."""
        part = _part(event)
        self._responses.get(event.response_id).part_done(event.item_id, event.content_index)
        self._play_rest(self._audio.end(part), now)
        self._report(self._playout.completed(part))

    def item_done(self, event: OutputItemDone) -> None:
        """An item of a response is done. A message that was not heard at all, since its response
        was interrupted, is deleted; a function call stays, since it needs its output."""
        response, item = self._responses.get(event.response_id), event.item
        if item.type != "message" or not response.in_conversation:
            return
        first = response.item_done(item.id)
        if first and not response.audible and item.id not in response.heard_items:
            self._outbox.realtime(DeleteItem(item.id))

    def response_done(self, response: Response, now: int) -> None:
        """Generation has ended."""
        if not self._responses.described(response).life.step(ResponseInput.DONE):
            self._misplaced("response.done for a response that was done before")
            return
        self._play_rest(self._audio.end_response(response.id), now)
        self._report(self._playout.response_done(response.id))
        self._outbox.notify(
            ResponseFinished(response.id, response.status, response.status_details, response.usage)
        )

    def _misplaced(self, what: str) -> None:
        self._outbox.fault(Peer.REALTIME, FaultKind.UNEXPECTED, what)

    # To Twilio.

    def _play(self, chunk: Chunk, now: int) -> None:
        if not self._playout.room(chunk.samples, now):
            self._outbox.fault(
                Peer.REALTIME,
                FaultKind.OVERFLOW,
                "ten minutes of audio wait to be played, or too many pieces; this is dropped",
            )
            return
        self._outbox.twilio(Media(self._stream_sid, chunk.payload))
        self._report(self._playout.sent(chunk.part, chunk.samples, now))
        if self._playout.checkpoint_due(now):
            self._mark(now)

    def _play_rest(self, chunks: list[Chunk], now: int) -> None:
        for chunk in chunks:
            self._play(chunk, now)
        if self._playout.tail_due():
            self._mark(now)

    def _mark(self, now: int) -> None:
        self._outbox.twilio(Mark(self._stream_sid, self._playout.mark(now)))

    # From Twilio.

    def echo(self, name: str, now: int) -> None:
        """A mark has come back."""
        progress = self._playout.echo(name, now)
        if progress is None:
            self._outbox.fault(
                Peer.TWILIO, FaultKind.UNKNOWN_MARK, "mark: an echo of no mark that is under way"
            )
            return
        self._report(progress)

    def _report(self, progress: Progress) -> None:
        for part in progress.started:
            self._responses.get(part.response_id).item_heard(part.item_id)
            self._outbox.notify(PlaybackStarted(part.response_id, part.item_id, part.content_index))
        for part in progress.finished:
            self._outbox.notify(
                PlaybackFinished(part.response_id, part.item_id, part.content_index)
            )

    def pong(self, payload: bytes, now: int) -> None:
        """A pong has come from Twilio."""
        self._playout.round_trip.pong(payload, now)

    def measure_round_trip(self, payload: bytes, now: int) -> None:
        """A ping with this payload goes out now; a probe mark goes with it, if it would tell."""
        self._playout.round_trip.ping_sent(payload, now)
        if self._playout.probe_due():
            self._mark(now)

    # Interruption.

    def cancelled(self, event: CancelResponse) -> None:
        """The application cancels a response by itself; what has come of it is still played."""
        self._responses.cancelled(event.response_id)

    def interrupt(
        self, cause: InterruptionCause, now: int, *, cancel: bool, server_cancels: bool
    ) -> None:
        """Stop all that plays or is being generated, and tell the model what was heard."""
        done = bargein.interrupt(
            self._playout, self._responses, now, cancel=cancel, server_cancels=server_cancels
        )
        if done is None:
            return
        self._audio.flush()
        if done.clear:
            self._outbox.twilio(Clear(self._stream_sid))
        for event in done.events:
            self._outbox.realtime(event)
        self._report(Progress(finished=done.finished))
        if done.cut or done.stopped_generating:
            self._outbox.notify(Interrupted(cause, tuple(_heard_item(each) for each in done.cut)))


def _part(event: OutputAudioDelta | OutputAudioDone) -> Part:
    return Part(_SESSION, event.response_id, event.item_id, event.content_index)


def _heard_item(heard: Heard) -> HeardItem:
    return HeardItem(
        heard.part.response_id,
        heard.part.item_id,
        heard.part.content_index,
        heard_ms=whole_ms(heard.estimated),
        sent_ms=whole_ms(heard.sent),
    )
