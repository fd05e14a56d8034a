"""What may go wrong with messages and events: rules for some of one kind, drawn for each call."""

from collections.abc import Callable
from typing import Any, Final

from twilio_realtime_core.machine.units import MS

from .plan import AddFault, Trouble
from .protocol_rules import Again, McpTools
from .rules import Corrupt, Delay, Drop, Duplicate, Replace, Rule, Swap

__all__ = ["MESSAGE_FAULTS"]

_FROM_PHONE: Final = ("media", "mark", "start", "connected", "dtmf", "stop")
_TO_PHONE: Final = ("media", "mark", "clear")
_FROM_MODEL: Final = (
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.delta",
    "response.output_audio_transcript.done",
    "response.created",
    "response.output_item.added",
    "response.output_item.done",
    "response.done",
    "conversation.item.added",
    "conversation.item.done",
    "conversation.item.truncated",
    "conversation.item.deleted",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "response.function_call_arguments.done",
    "session.created",
    "session.updated",
    "error",
)
_LIFE: Final = (
    "response.created",
    "response.output_audio.delta",
    "response.done",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "error",
)
"""Events that the lifecycles of a call go by."""
_TO_MODEL: Final = (
    "input_audio_buffer.append",
    "session.update",
    "response.create",
    "response.cancel",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.create",
)
_MANY: Final = {
    "": 40,
    "media": 300,
    "input_audio_buffer.append": 300,
    "mark": 8,
    "response.output_audio.delta": 20,
    "response.output_audio_transcript.delta": 20,
}
"""Kinds of which a call has more than a few, and after how many of them, at most, a rule begins;
empty: those of the model's server together."""

_FEW: Final = 2
"""The same of all other kinds."""


def _place(trouble: Trouble, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Which messages a rule is for."""
    kind = trouble.choices.pick("of which kind", kinds)
    after = trouble.choices.integer("after how many", 0, _MANY.get(kind, _FEW))
    return {"kind": kind, "after": after, "times": trouble.choices.integer("how many", 1, 3)}


def _on(way: str, make: Callable[..., Rule], kinds: tuple[str, ...], **more: Any) -> AddFault:
    def add(trouble: Trouble) -> None:
        rules: list[Rule] = getattr(trouble, way)
        rules.append(make(**_place(trouble, kinds), **more))

    return add


def _delay(way: str, kinds: tuple[str, ...]) -> AddFault:
    def add(trouble: Trouble) -> None:
        rules: list[Rule] = getattr(trouble, way)
        ns = trouble.choices.integer("kept back, ms", 1, 2500) * MS
        rules.append(Delay(**_place(trouble, kinds), ns=ns))

    return add


def _again(kinds: tuple[str, ...], *behind: str, first: bool) -> AddFault:
    """Events come again, or late, behind others of one of the kinds (empty: of any kind)."""

    def add(trouble: Trouble) -> None:
        choices = trouble.choices
        next_kind = choices.pick("behind which kind", behind)
        count = choices.integer("behind so many", 1, _MANY.get(next_kind, _FEW) + 1)
        copies = choices.integer("copies", 1, 2) if first else 1
        trouble.from_model.append(
            Again(
                **_place(trouble, kinds),
                next_kind=next_kind,
                behind=count,
                copies=copies,
                first=first,
            )
        )

    return add


def _lose_start(trouble: Trouble) -> None:
    trouble.from_phone.append(Drop("start"))


def _begin_unseen(trouble: Trouble) -> None:
    after = trouble.choices.integer("after how many", 0, _FEW)
    trouble.from_model.append(Drop("response.created", after=after))


def _use_mcp(trouble: Trouble) -> None:
    choices = trouble.choices
    trouble.from_model.append(
        McpTools(
            after=choices.integer("after how many", 0, _FEW),
            fails=choices.happens("the tool fails", 30),
            asks=choices.happens("the tool is to be approved", 50),
        )
    )


def _unknown_field(event: dict[str, Any]) -> None:
    event.setdefault("session" if "session" in event else "response", {})["nonsense"] = True


def _of_another_stream(message: dict[str, Any]) -> None:
    message["streamSid"] = "MZ" + "f" * 32


def _of_another_response(event: dict[str, Any]) -> None:
    event["response_id"], event["item_id"] = "resp_of_nobody", "item_of_nobody"


# Another rule may have emptied the message before.


def _other_format(event: dict[str, Any]) -> None:
    if event["session"]:
        event["session"]["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 24000}


def _bad_audio(message: dict[str, Any]) -> None:
    if message.get("media"):
        message["media"]["payload"] = "*"
    elif message.get("delta"):
        message["delta"] = "*"


def _null_fields(message: dict[str, Any]) -> None:
    for name in message:
        if name not in ("type", "event"):
            message[name] = None


MESSAGE_FAULTS: Final[dict[str, AddFault]] = {
    # Messages of Twilio, and to it.
    "Twilio's messages late": _delay("from_phone", _FROM_PHONE),
    "Twilio's messages lost": _on("from_phone", Drop, _FROM_PHONE),
    "Twilio's messages doubled": _on("from_phone", Duplicate, _FROM_PHONE),
    "Twilio's messages swapped": _on("from_phone", Swap, _FROM_PHONE),
    "Twilio's messages no JSON": _on("from_phone", Corrupt, _FROM_PHONE),
    "Twilio's messages empty": _on("from_phone", Replace, _FROM_PHONE, edit=_null_fields),
    "start lost": _lose_start,
    "marks lost": _on("from_phone", Drop, ("mark",)),
    "marks doubled": _on("from_phone", Duplicate, ("mark",)),
    "marks late": _delay("from_phone", ("mark",)),
    "marks swapped": _on("from_phone", Swap, ("mark",)),
    "messages of another stream": _on(
        "from_phone", Replace, ("media", "mark", "stop"), edit=_of_another_stream
    ),
    "no audio in Twilio's media": _on("from_phone", Replace, ("media",), edit=_bad_audio),
    "messages to Twilio late": _delay("to_phone", _TO_PHONE),
    "messages to Twilio lost": _on("to_phone", Drop, _TO_PHONE),
    "messages to Twilio doubled": _on("to_phone", Duplicate, _TO_PHONE),
    # Events of the model's server, and to it.
    "server events late": _delay("from_model", _FROM_MODEL),
    "server events lost": _on("from_model", Drop, _FROM_MODEL),
    "server events doubled": _on("from_model", Duplicate, _FROM_MODEL),
    "server events swapped": _on("from_model", Swap, _FROM_MODEL),
    "server events repeated": _again(_LIFE, "", "response.done", first=True),
    "server events in another order": _again(_LIFE, "", "response.done", first=False),
    "a response that begins twice": _again(
        ("response.created",),
        "conversation.item.added",
        "response.done",
        "response.output_audio.done",
        first=True,
    ),
    "a response that ends late": _again(
        ("response.done",),
        "conversation.item.added",
        "response.created",
        first=False,
    ),
    "audio behind its response": _again(
        ("response.output_audio.delta",), "response.done", first=False
    ),
    "server events no JSON": _on("from_model", Corrupt, _FROM_MODEL),
    "server events empty": _on("from_model", Replace, _FROM_MODEL, edit=_null_fields),
    "a response that begins unseen": _begin_unseen,
    "tools of MCP servers": _use_mcp,
    "no audio in deltas": _on("from_model", Replace, _FROM_MODEL[:1], edit=_bad_audio),
    "audio of another response": _on(
        "from_model", Replace, _FROM_MODEL[:2], edit=_of_another_response
    ),
    "another format": _on("from_model", Replace, ("session.updated",), edit=_other_format),
    "client events late": _delay("to_model", _TO_MODEL),
    "client events lost": _on("to_model", Drop, _TO_MODEL),
    "client events doubled": _on("to_model", Duplicate, _TO_MODEL),
    "updates rejected": _on("to_model", Replace, ("session.update",), edit=_unknown_field),
    "requests refused": _on("to_model", Replace, ("response.create",), edit=_unknown_field),
}
"""By name. A new fault is a line here."""
