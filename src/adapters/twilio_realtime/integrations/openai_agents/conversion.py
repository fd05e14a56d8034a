"""Items and usage of a call, as values of the Agents SDK."""

from typing import Any

from agents.realtime.items import (
    AssistantAudio,
    AssistantMessageItem,
    AssistantText,
    InputAudio,
    InputImage,
    InputText,
    RealtimeItem,
    SystemMessageItem,
    UserMessageItem,
)
from agents.realtime.model_events import (
    RealtimeModelCachedTokensDetails,
    RealtimeModelInputTokensDetails,
    RealtimeModelOutputTokensDetails,
    RealtimeModelUsageEvent,
)
from agents.usage import Usage as SdkUsage

from twilio_realtime_core.commands import SendMessage
from twilio_realtime_core.values.items import (
    AudioPart,
    ConversationItem,
    ImagePart,
    Message,
    Role,
    TextPart,
)
from twilio_realtime_core.values.usage import Usage

__all__ = ["to_message_command", "to_sdk_item", "to_usage_event"]

_NO_WORDS = "…"
"""The transcript of speech of which no whole word was heard. The session of the SDK takes an empty
one for one that is not known yet, and keeps what the agent meant to say."""


def to_sdk_item(item: ConversationItem, previous_item_id: str | None = None) -> RealtimeItem | None:
    """Return a message as the SDK has it, with the words that the caller heard; `None` for another
    item."""
    if not isinstance(item, Message):
        return None
    match item.role:
        case Role.SYSTEM:
            texts = [InputText(text=part.text) for part in item.parts if isinstance(part, TextPart)]
            return SystemMessageItem(
                item_id=item.id, previous_item_id=previous_item_id, content=texts
            )
        case Role.USER:
            inputs: list[Any] = [_to_input(part) for part in item.parts]
            return UserMessageItem(
                item_id=item.id,
                previous_item_id=previous_item_id,
                content=[each for each in inputs if each is not None],
            )
        case Role.ASSISTANT:
            outputs: list[Any] = [_to_output(part) for part in item.parts]
            return AssistantMessageItem(
                item_id=item.id,
                previous_item_id=previous_item_id,
                status=_status(item),
                content=[each for each in outputs if each is not None],
            )


def _to_input(part: object) -> InputText | InputAudio | InputImage | None:
    match part:
        case TextPart(text=text):
            return InputText(text=text)
        case AudioPart(transcript=transcript):
            return InputAudio(transcript=transcript)
        case ImagePart(image_url=url, detail=detail):
            return InputImage(image_url=url, detail=detail)
        case _:
            return None


def _to_output(part: object) -> AssistantText | AssistantAudio | None:
    match part:
        case TextPart(text=text):
            return AssistantText(text=text)
        case AudioPart(transcript=transcript, heard_ms=None):
            return AssistantAudio(transcript=transcript)
        case AudioPart(heard=heard):
            return AssistantAudio(transcript=heard or _NO_WORDS)
        case _:
            return None


def _status(item: Message) -> Any:
    if any(isinstance(part, AudioPart) and part.heard_ms is not None for part in item.parts):
        return "incomplete"
    return "completed" if item.is_complete else "in_progress"


def to_usage_event(usage: Usage) -> RealtimeModelUsageEvent:
    """Return the usage of a response as the event of the SDK."""
    total = SdkUsage(
        requests=1,
        input_tokens=usage.input.total,
        output_tokens=usage.output.total,
        total_tokens=usage.input.total + usage.output.total,
    )
    total.input_tokens_details.cached_tokens = usage.cached.total
    total.output_tokens_details.reasoning_tokens = usage.reasoning
    return RealtimeModelUsageEvent(
        usage=total,
        input_tokens_details=RealtimeModelInputTokensDetails(
            text_tokens=usage.input.text,
            audio_tokens=usage.input.audio,
            image_tokens=usage.input.image,
            cached_tokens=usage.cached.total,
            cached_tokens_details=RealtimeModelCachedTokensDetails(
                text_tokens=usage.cached.text,
                audio_tokens=usage.cached.audio,
                image_tokens=usage.cached.image,
            ),
        ),
        output_tokens_details=RealtimeModelOutputTokensDetails(
            text_tokens=usage.output.text, audio_tokens=usage.output.audio
        ),
    )


def to_message_command(user_input: Any) -> SendMessage:
    """Return the command for a user's input, text or a message with text and images. Parts of
    another type are left out, as the SDK does. Raises `LocalProtocolError` for an empty one."""
    if isinstance(user_input, str):
        return SendMessage(str.__str__(user_input))  # it may be of a subclass
    parts: list[TextPart | ImagePart] = []
    for part in user_input.get("content", ()):
        match part:
            case {"type": "input_text", "text": str(text)}:
                parts.append(TextPart(str.__str__(text)))
            case {"type": "input_image", "image_url": str(url)}:
                parts.append(ImagePart(url, part.get("detail")))
            case _:
                pass
    return SendMessage(parts)
