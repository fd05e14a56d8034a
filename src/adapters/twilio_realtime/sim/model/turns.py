"""The caller's turns in a simulated session: where they start and stop, and what follows."""

from collections.abc import Sequence

from twilio_realtime_core.machine.units import MS

from .client_requests import decode_audio
from .connection import RealtimeConnection
from .conversation import StoredItem
from .input_audio_buffer import InputAudioBuffer
from .output_items import PacedEvents
from .responses import SimResponses
from .schema import ErrorBody
from .transcription import TurnTranscription
from .vad import FRAME_MS, VadSpeechStarted, VadSpeechStopped

__all__ = ["CallerTurns"]

_MIN_COMMIT_MS = 100
"""A commit of less audio is refused (API reference, `input_audio_buffer.commit`)."""


class CallerTurns:
    """Detects turns in the input audio, commits them, and has them transcribed and answered.

    `transcripts` are those of the turns in order; further turns have empty ones.
    """

    def __init__(
        self,
        connection: RealtimeConnection,
        responses: SimResponses,
        transcripts: Sequence[str | None],
    ) -> None:
        self._connection = connection
        self._responses = responses
        self._transcripts = iter(transcripts)
        session = connection.session
        self._buffer = InputAudioBuffer(session.input_format, session.turn_detection)
        self._idle_timeout_ms = session.idle_timeout_ms
        self._item_id: str | None = None
        self._start_ms = 0
        self._transcription: TurnTranscription | None = None
        self._live_events: PacedEvents | None = None
        self._idle_from_ms: int | None = None

    def configure(self) -> None:
        """Apply the settings of an updated session."""
        session = self._connection.session
        self._buffer.configure(session.input_format, session.turn_detection)
        self._idle_timeout_ms = session.idle_timeout_ms
        if session.turn_detection is None:
            self._drop_turn()

    def append(self, encoded: str) -> ErrorBody | None:
        """Add audio of the caller; return why it is refused, if it is."""
        audio = decode_audio(encoded)
        if isinstance(audio, ErrorBody):
            return audio
        for event in self._buffer.append(audio):
            match event:
                case VadSpeechStarted(audio_start_ms):
                    self._start_turn(audio_start_ms)
                case VadSpeechStopped(audio_end_ms):
                    self._end_turn(audio_end_ms)
        self._handle_idle_timeout()
        return None

    @property
    def ignores_silence(self) -> bool:
        """Whether silence in µ-law has no effect but to be counted."""
        return self._idle_timeout_ms is None and self._buffer.ignores_silence

    def append_silence(self, samples: int) -> None:
        """Add silence of the caller, which is ignored."""
        self._buffer.append_silence(samples)

    def commit(self) -> ErrorBody | None:
        """Handle a commit of the client; return why it is refused, if it is."""
        buffered_ms = self._buffer.buffered_ms
        if buffered_ms < _MIN_COMMIT_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_MIN_COMMIT_MS}ms of audio, but buffer only has {buffered_ms:.2f}ms of audio."
            )
            return ErrorBody("input_audio_buffer_commit_empty", message)
        self._commit_item(self._buffer.take_all())
        return None

    def clear(self) -> None:
        """Drop what the client has appended since the last commit."""
        self._buffer.take_all()
        self._drop_turn()
        self._connection.send_new("input_audio_buffer.cleared")

    def _start_turn(self, audio_start_ms: int) -> None:
        self._start_ms = audio_start_ms
        self._responses.playback_end_ns = None
        self._item_id = item_id = self._connection.writer.new_id("item")
        self._connection.send_new(
            "input_audio_buffer.speech_started", audio_start_ms=audio_start_ms, item_id=item_id
        )
        if self._connection.session.is_interrupting_responses:
            self._responses.schedule_interruption()
        self._begin_transcription(item_id, next(self._transcripts, ""))
        if self._transcription is not None:
            self._live_events = self._transcription.while_speaking()
            self._connection.send_paced(self._live_events)

    def _end_turn(self, audio_end_ms: int) -> None:
        session = self._connection.session
        self._connection.send_new(
            "input_audio_buffer.speech_stopped", audio_end_ms=audio_end_ms, item_id=self._item_id
        )
        self._responses.interrupt()
        self._commit_item(self._buffer.take_turn(self._start_ms, audio_end_ms))
        if session.is_creating_responses:
            self._responses.answer_turn()

    def _commit_item(self, audio: bytes) -> None:
        """Turn the committed audio into an item: that of the turn under way, or a new one."""
        connection = self._connection
        item_id = self._item_id or connection.writer.new_id("item")
        if self._item_id is None:
            self._begin_transcription(item_id, next(self._transcripts, ""))
        item = StoredItem(
            {"id": item_id, "type": "message", "status": "completed", "role": "user"},
            content=[{"type": "input_audio", "transcript": None}],
            audio=bytearray(audio),
            audio_bytes_per_ms=self._buffer.format.bytes_per_ms,
        )
        connection.conversation.append(item)
        connection.send_new(
            "input_audio_buffer.committed",
            previous_item_id=item.previous_item_id,
            item_id=item_id,
        )
        connection.send_item_added(item)
        self._finish_transcription(item)
        self._item_id = None

    def _begin_transcription(self, item_id: str, transcript: str | None) -> None:
        model, writer = self._connection.session.transcription_model, self._connection.writer
        if model is not None:
            self._transcription = TurnTranscription(
                item_id,
                model,
                transcript,
                writer,
                has_logprobs=self._connection.session.is_including_logprobs,
            )

    def _finish_transcription(self, item: StoredItem) -> None:
        if self._live_events is not None:
            self._live_events.close()
            self._live_events = None
        if self._transcription is not None:
            pace = self._connection.pace
            self._connection.send_paced(
                self._transcription.after_commit(item, pace.transcription_ns)
            )
            self._transcription = None

    def _drop_turn(self) -> None:
        self._item_id = None
        self._transcription = None
        if self._live_events is not None:
            self._live_events.close()
            self._live_events = None

    def _handle_idle_timeout(self) -> None:
        """Commit the silence if the caller has been silent for too long since they heard the last
        response. The server checks this when audio arrives, and uses the time line of the audio."""
        timeout_ms = self._idle_timeout_ms
        quiet_from, now = self._responses.playback_end_ns, self._connection.event_queue.now
        if timeout_ms is None or self._item_id or quiet_from is None or now < quiet_from:
            self._idle_from_ms = None
        elif self._idle_from_ms is None:
            self._idle_from_ms = _whole_frames_ms(self._buffer.position_ms)
        elif now >= quiet_from + timeout_ms * MS:
            self._commit_silence(self._idle_from_ms, _whole_frames_ms(self._buffer.position_ms))
            self._idle_from_ms = None

    def _commit_silence(self, start_ms: int, end_ms: int) -> None:
        """Commit the silence as a turn, and let the model follow up."""
        connection = self._connection
        item_id = connection.writer.new_id("item")
        connection.send_new(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=start_ms,
            audio_end_ms=end_ms,
            item_id=item_id,
        )
        text = "The caller has said nothing for a while. Look at what was recorded, or follow up."
        note = StoredItem(
            {
                "id": connection.writer.new_id("item"),
                "type": "message",
                "status": "completed",
                "role": "system",
            },
            content=[{"type": "input_text", "text": text}],
        )
        connection.conversation.append(note)
        connection.send_item_added(note)
        self._item_id = item_id
        self._begin_transcription(item_id, "")
        self._commit_item(self._buffer.take_turn(start_ms, end_ms))
        self._responses.answer_turn()


def _whole_frames_ms(position_ms: int) -> int:
    return position_ms // FRAME_MS * FRAME_MS
