"""The transcription of the caller's turns: transcripts given by a test, in the server's events."""

from collections import deque
from typing import Any

from twilio_realtime_core.machine.units import MS

from .conversation import StoredItem
from .output_items import DelayOrEvent, PacedEvents, split_tokens
from .server_events import ServerEventWriter

__all__ = ["TurnTranscription"]

_LIVE_MODELS = ("gpt-realtime-whisper", "gpt-live-transcribe")
"""Models that transcribe while the caller still speaks."""

_WORD_NS = 300 * MS
"""Between live deltas while the caller speaks: the pace of speech."""

_DELTA_NS = 30 * MS
"""Between deltas after that."""

_TYPE_PREFIX = "conversation.item.input_audio_transcription"


class TurnTranscription:
    """The transcription of one turn. A `transcript` of `None` is one that fails; with
    `has_logprobs`, events have the probabilities of their tokens.

    `while_speaking` yields its events from the start of speech, `after_commit` those from the
    commit: events to send now, and nanoseconds to wait.
    """

    def __init__(
        self,
        item_id: str,
        model: str,
        transcript: str | None,
        writer: ServerEventWriter,
        *,
        has_logprobs: bool = False,
    ) -> None:
        self._item_id = item_id
        self._model = model
        self._transcript = transcript
        self._writer = writer
        self._has_logprobs = has_logprobs
        self._tokens = deque(split_tokens(transcript or ""))

    def while_speaking(self) -> PacedEvents:
        """Yield all words but the last while the caller speaks, if the model is live."""
        while self._model in _LIVE_MODELS and len(self._tokens) > 1:
            yield _WORD_NS
            yield self._take_delta()

    def after_commit(self, item: StoredItem, delay_ns: int) -> PacedEvents:
        """Yield the rest after the turn was committed as `item`, after `delay_ns` if the model is
        not live."""
        yield _DELTA_NS if self._model in _LIVE_MODELS else delay_ns
        while self._tokens:
            yield self._take_delta()
            yield _DELTA_NS
        if self._transcript is None:
            yield self._make_failure()
            return
        item.set_transcript(self._transcript)
        yield self._writer.make_event(
            f"{_TYPE_PREFIX}.completed",
            item_id=self._item_id,
            content_index=0,
            transcript=self._transcript,
            usage=self._usage(item.audio_ms),
            **self._logprobs(*split_tokens(self._transcript)),
        )

    def _take_delta(self) -> DelayOrEvent:
        token = self._tokens.popleft()
        return self._writer.make_delta(
            f"{_TYPE_PREFIX}.delta",
            token,
            item_id=self._item_id,
            content_index=0,
            **self._logprobs(token),
        )

    def _logprobs(self, *tokens: str) -> dict[str, Any]:
        """Return the field with the probabilities of tokens, if the session asks for it. A longer
        token is less probable."""
        if not self._has_logprobs:
            return {}
        return {
            "logprobs": [
                {"token": each, "bytes": [*each.encode()], "logprob": -len(each) / 8}
                for each in tokens
            ]
        }

    def _make_failure(self) -> DelayOrEvent:
        error = {
            "type": "server_error",
            "code": None,
            "message": f"Input transcription failed for item '{self._item_id}'.",
            "param": None,
        }
        return self._writer.make_event(
            f"{_TYPE_PREFIX}.failed", item_id=self._item_id, content_index=0, error=error
        )

    def _usage(self, audio_ms: int) -> dict[str, Any]:
        """Return the usage as the model is billed: whole seconds of speech, or a token for each 100
        ms."""
        words = len(split_tokens(self._transcript or ""))
        if self._model in (*_LIVE_MODELS, "whisper-1"):
            return {"type": "duration", "seconds": -(-audio_ms // 1000) if words else 0}
        audio_tokens = audio_ms // 100
        return {
            "type": "tokens",
            "total_tokens": audio_tokens + words,
            "input_tokens": audio_tokens,
            "input_token_details": {"text_tokens": 0, "audio_tokens": audio_tokens},
            "output_tokens": words,
        }
