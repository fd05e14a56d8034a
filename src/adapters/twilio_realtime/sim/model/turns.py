"""The caller's turns in a simulated session: where they start and stop, and what follows."""

from collections.abc import Sequence

from twilio_realtime_core.machine.units import MS

from .client_requests import decode_audio
from .connection import RealtimeConnection
from .conversation import ConversationItem
from .input_audio_buffer import InputAudio
from .output_items import Steps
from .responses import Responses
from .schema import Refusal
from .transcription import Transcription
from .vad import FRAME_MS, SpeechStarted, SpeechStopped

__all__ = ["Turns"]

_LEAST_MS = 100
"""A commit of less audio is refused (API reference, `input_audio_buffer.commit`)."""


class Turns:
    """Hears the input audio, commits turns, has them transcribed and answered.

    `transcripts` are those of the turns, one after another; when they run out, turns hold no words.
    """

    def __init__(
        self,
        connection: RealtimeConnection,
        responses: Responses,
        transcripts: Sequence[str | None],
    ) -> None:
        self._connection = connection
        self._responses = responses
        self._transcripts = iter(transcripts)
        session = connection.session
        self._audio = InputAudio(session.input_format, session.turn_detection)
        self._idle_timeout_ms = session.idle_timeout_ms
        self._item_id: str | None = None
        self._start_ms = 0
        self._transcription: Transcription | None = None
        self._live: Steps | None = None
        self._idle_from_ms: int | None = None

    def configure(self) -> None:
        """The session was updated."""
        session = self._connection.session
        self._audio.configure(session.input_format, session.turn_detection)
        self._idle_timeout_ms = session.idle_timeout_ms
        if session.turn_detection is None:
            self._drop_turn()

    def append(self, encoded: str) -> Refusal | None:
        """Take in audio of the caller; nothing answers it unless it is no base64."""
        audio = decode_audio(encoded)
        if isinstance(audio, Refusal):
            return audio
        for event in self._audio.append(audio):
            match event:
                case SpeechStarted(audio_start_ms):
                    self._start(audio_start_ms)
                case SpeechStopped(audio_end_ms):
                    self._stop(audio_end_ms)
        self._watch_idleness()
        return None

    def commit(self) -> Refusal | None:
        """The client says that the turn is over."""
        if self._audio.waiting_ms < _LEAST_MS:
            message = (
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_LEAST_MS}ms of audio, but buffer only has {self._audio.waiting_ms:.2f}ms "
                "of audio."
            )
            return Refusal("input_audio_buffer_commit_empty", message)
        self._commit(self._audio.commit())
        return None

    def clear(self) -> None:
        """The client takes back what it has appended since the last commit."""
        self._audio.commit()
        self._drop_turn()
        self._connection.tell("input_audio_buffer.cleared")

    def _start(self, audio_start_ms: int) -> None:
        self._start_ms = audio_start_ms
        self._responses.quiet_from = None
        self._item_id = item_id = self._connection.writer.id("item")
        self._connection.tell(
            "input_audio_buffer.speech_started", audio_start_ms=audio_start_ms, item_id=item_id
        )
        if self._connection.session.interrupts_responses:
            self._responses.interrupt()
        self._listen(item_id, next(self._transcripts, ""))
        if self._transcription is not None:
            self._live = self._transcription.live()
            self._connection.follow(self._live)

    def _stop(self, audio_end_ms: int) -> None:
        session = self._connection.session
        self._connection.tell(
            "input_audio_buffer.speech_stopped", audio_end_ms=audio_end_ms, item_id=self._item_id
        )
        self._responses.interrupt_now()
        self._commit(self._audio.commit_turn(self._start_ms, audio_end_ms))
        if session.creates_responses:
            self._responses.answer_turn()

    def _commit(self, audio: bytes) -> None:
        """The buffer becomes an item: that of the turn under way, or a new one."""
        connection = self._connection
        item_id = self._item_id or connection.writer.id("item")
        if self._item_id is None:
            self._listen(item_id, next(self._transcripts, ""))
        item = ConversationItem(
            {"id": item_id, "type": "message", "status": "completed", "role": "user"},
            content=[{"type": "input_audio", "transcript": None}],
            audio=bytearray(audio),
            audio_bytes_per_ms=self._audio.format.bytes_per_ms,
        )
        connection.memory.append(item)
        connection.tell(
            "input_audio_buffer.committed",
            previous_item_id=item.previous_item_id,
            item_id=item_id,
        )
        connection.tell_of(item)
        self._finish_transcription(item)
        self._item_id = None

    def _listen(self, item_id: str, transcript: str | None) -> None:
        model, writer = self._connection.session.transcriber, self._connection.writer
        if model is not None:
            self._transcription = Transcription(item_id, model, transcript, writer)

    def _finish_transcription(self, item: ConversationItem) -> None:
        if self._live is not None:
            self._live.close()
            self._live = None
        if self._transcription is not None:
            pace = self._connection.pace
            self._connection.follow(self._transcription.finish(item, pace.transcription_ns))
            self._transcription = None

    def _drop_turn(self) -> None:
        self._item_id = None
        self._transcription = None
        if self._live is not None:
            self._live.close()
            self._live = None

    def _watch_idleness(self) -> None:
        """Whether the caller has been silent for too long since he heard the last response. The
        server looks when audio arrives, and gives times on its own line of audio."""
        timeout_ms = self._idle_timeout_ms
        quiet_from, now = self._responses.quiet_from, self._connection.agenda.now
        if timeout_ms is None or self._item_id or quiet_from is None or now < quiet_from:
            self._idle_from_ms = None
        elif self._idle_from_ms is None:
            self._idle_from_ms = _whole_frames(self._audio.position_ms)
        elif now >= quiet_from + timeout_ms * MS:
            self._nudge(self._idle_from_ms, _whole_frames(self._audio.position_ms))
            self._idle_from_ms = None

    def _nudge(self, start_ms: int, end_ms: int) -> None:
        """The silence itself becomes a turn, and the model is told to go on."""
        connection = self._connection
        item_id = connection.writer.id("item")
        connection.tell(
            "input_audio_buffer.timeout_triggered",
            audio_start_ms=start_ms,
            audio_end_ms=end_ms,
            item_id=item_id,
        )
        text = "The caller has said nothing for a while. Look at what was recorded, or follow up."
        note = ConversationItem(
            {
                "id": connection.writer.id("item"),
                "type": "message",
                "status": "completed",
                "role": "system",
            },
            content=[{"type": "input_text", "text": text}],
        )
        connection.memory.append(note)
        connection.tell_of(note)
        self._item_id = item_id
        self._listen(item_id, "")
        self._commit(self._audio.commit_turn(start_ms, end_ms))
        self._responses.answer_turn()


def _whole_frames(position_ms: int) -> int:
    return position_ms // FRAME_MS * FRAME_MS
