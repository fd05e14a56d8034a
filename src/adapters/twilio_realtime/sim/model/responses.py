"""The responses of a simulated session: at most one in the conversation, and any number out of
band."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from twilio_realtime_core.machine.units import MS

from .audio_formats import format_from_wire
from .connection import RealtimeConnection
from .conversation import StoredItem
from .generation import ResponseGeneration, ResponseSettings
from .output_items import PacedEvents
from .replies import Reply, ResponseRequest
from .schema import ErrorBody

__all__ = ["ReplySource", "SimResponses"]

ReplySource: TypeAlias = Sequence[Reply] | Callable[[ResponseRequest], Reply]
"""What the model says: a list, whose last reply is repeated when it runs out, or a function."""

_TOKENS_PER_MINUTE = 40_000
"""The limit in `rate_limits.updated`."""

_CHARACTERS_PER_TOKEN = 4
"""An approximation for English text."""


class SimResponses:
    """Creates responses, runs them, and cancels them."""

    def __init__(
        self,
        connection: RealtimeConnection,
        replies: ReplySource,
        *,
        answer_turn_after_response: bool,
    ) -> None:
        if not callable(replies) and not replies:
            raise ValueError("replies must hold at least one reply")
        self._connection = connection
        self._replies = replies
        self._answer_turn_after_response = answer_turn_after_response
        self._count = 0
        self._running: dict[str, tuple[ResponseGeneration, PacedEvents]] = {}
        self._is_turn_unanswered = False
        self._interrupted_id: str | None = None
        self.active: ResponseGeneration | None = None
        """The active response of the default conversation."""
        self.playback_end_ns: int | None = None
        """The earliest time at which the caller has heard the last response (ns)."""

    def create(self, params: dict[str, Any]) -> ErrorBody | None:
        """Handle `response.create`; return why it is refused, if it is."""
        out_of_band = params.get("conversation") == "none"
        if self.active is not None and not out_of_band:
            message = (
                f"Conversation already has an active response in progress: {self.active.id}. "
                "Wait until the response is finished before creating a new one."
            )
            return ErrorBody("conversation_already_has_active_response", message)
        for item in params.get("input", ()):
            if item["type"] == "item_reference" and not self._connection.conversation.find(
                item["id"]
            ):
                message = f"Item with item_id not found: {item['id']}"
                return ErrorBody("invalid_value", message, "response.input")
        self._start(params, out_of_band=out_of_band)
        return None

    def answer_turn(self) -> None:
        """Respond to the caller's turn. During an active response the turn starts none; it may be
        answered afterwards (API reference, `turn_detection.interrupt_response`)."""
        if self.active is None:
            self._start({}, out_of_band=False)
        else:
            self._is_turn_unanswered = self._answer_turn_after_response

    def cancel(self, response_id: str | None) -> ErrorBody | None:
        """Handle `response.cancel`; return why it is refused, if it is."""
        if response_id is None and self.active is not None:
            response_id = self.active.id
        if response_id is None or not self._end_early(response_id, "client_cancelled"):
            message = "Cancellation failed: no active response found"
            return ErrorBody("response_cancel_not_active", message)
        return None

    def schedule_interruption(self) -> None:
        """End the response in the conversation after the pace's `interruption_ns`, since the caller
        has started to speak."""
        if self.active is not None:
            self._interrupted_id = self.active.id
            self._connection.event_queue.schedule_after(
                self._connection.pace.interruption_ns, self.interrupt
            )

    def interrupt(self) -> None:
        """End the interrupted response now, if that is still pending."""
        if self._interrupted_id is not None:
            self._end_early(self._interrupted_id, "turn_detected")
            self._interrupted_id = None

    def _start(self, params: dict[str, Any], *, out_of_band: bool) -> None:
        connection = self._connection
        request = ResponseRequest(self._count, params, tuple(connection.conversation), out_of_band)
        generation = ResponseGeneration(
            connection.writer.new_id("resp"),
            self._reply_to(request),
            self._settings_for(params, out_of_band=out_of_band),
            connection.pace,
            connection.writer,
            None if out_of_band else connection.conversation,
        )
        self._count += 1
        if not out_of_band:
            self.active = generation
            self.playback_end_ns = None
            self._is_turn_unanswered = False
        events = self._until_done(generation, generation.run())
        self._running[generation.id] = (generation, events)
        self._connection.send_paced(events)

    def _reply_to(self, request: ResponseRequest) -> Reply:
        if callable(self._replies):
            return self._replies(request)
        return self._replies[min(request.number, len(self._replies) - 1)]

    def _settings_for(self, params: dict[str, Any], *, out_of_band: bool) -> ResponseSettings:
        session = self._connection.session.wire
        settings = {**session, **params}
        output = {**session["audio"]["output"], **params.get("audio", {}).get("output", {})}
        wire = {
            "conversation_id": None if out_of_band else self._connection.conversation_id,
            "output_modalities": settings["output_modalities"],
            "max_output_tokens": settings["max_output_tokens"],
            "audio": {"output": {"format": output["format"], "voice": output["voice"]}},
            "metadata": params.get("metadata"),
        }
        text_tokens = len(settings["instructions"]) // _CHARACTERS_PER_TOKEN
        audio_tokens = 0
        for item in self._connection.conversation:
            text_tokens += _text_tokens(item)
            audio_tokens += item.audio_ms // 100
        return ResponseSettings(
            wire,
            format_from_wire(output["format"]),
            text_tokens,
            audio_tokens,
            has_phases=self._connection.session.is_reasoning,
        )

    def _end_early(self, response_id: str, reason: str) -> bool:
        """End a response early; return whether it was running. It is no longer active from now
        on."""
        found = self._running.pop(response_id, None)
        if found is None:
            return False
        generation, events = found
        events.close()
        if self.active is generation:
            self.active = None
        self._connection.send_paced(self._until_done(generation, generation.cancel(reason)))
        return True

    def _until_done(self, generation: ResponseGeneration, events: PacedEvents) -> PacedEvents:
        yield from events
        connection = self._connection
        connection.event_queue.schedule_after(
            connection.pace.rate_limits_ns, self._send_rate_limits
        )
        self._running.pop(generation.id, None)
        if self.active is generation:
            self.active = None
        if generation.is_in_conversation and self.active is None:
            self.playback_end_ns = connection.event_queue.now + generation.audio_ms * MS
            if self._is_turn_unanswered:
                self._start({}, out_of_band=False)

    def _send_rate_limits(self) -> None:
        tokens = {
            "name": "tokens",
            "limit": _TOKENS_PER_MINUTE,
            "remaining": _TOKENS_PER_MINUTE - 1000,
            "reset_seconds": 1.5,
        }
        self._connection.send_new("rate_limits.updated", rate_limits=[tokens])


def _text_tokens(item: StoredItem) -> int:
    return sum(map(len, item.texts)) // _CHARACTERS_PER_TOKEN
