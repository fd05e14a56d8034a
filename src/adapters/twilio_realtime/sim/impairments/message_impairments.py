"""Impairments of messages and events: rules for some messages of one kind, drawn for each call."""

from collections.abc import Callable
from typing import Any, Final

from twilio_realtime_core.machine.units import MS

from .plan import AddImpairment, ImpairmentPlan
from .protocol_rules import McpToolCall, Repeat
from .rules import Corrupt, Delay, Drop, Duplicate, Replace, Rule, Swap

__all__ = ["MESSAGE_IMPAIRMENTS"]

_KINDS_FROM_PHONE: Final = ("media", "mark", "start", "connected", "dtmf", "stop")
_KINDS_TO_PHONE: Final = ("media", "mark", "clear")
_KINDS_FROM_MODEL: Final = (
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
_LIFECYCLE_KINDS: Final = (
    "response.created",
    "response.output_audio.delta",
    "response.done",
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "error",
)
"""Events that drive the lifecycles of a call."""
_KINDS_TO_MODEL: Final = (
    "input_audio_buffer.append",
    "session.update",
    "response.create",
    "response.cancel",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.create",
)
_MAX_AFTER_BY_KIND: Final = {
    "": 40,
    "media": 300,
    "input_audio_buffer.append": 300,
    "mark": 8,
    "response.output_audio.delta": 20,
    "response.output_audio_transcript.delta": 20,
}
"""How many messages pass at most before a rule applies, for kinds that are frequent in a call; the
empty kind stands for all events of the model's server together."""

_MAX_AFTER: Final = 2
"""The same for all other kinds."""


def _draw_matching(plan: ImpairmentPlan, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Draw which messages a rule applies to."""
    kind = plan.choices.draw_option("of which kind", kinds)
    after = plan.choices.draw_integer("after how many", 0, _MAX_AFTER_BY_KIND.get(kind, _MAX_AFTER))
    return {"kind": kind, "after": after, "times": plan.choices.draw_integer("how many", 1, 3)}


def _add_rule(
    direction: str, make_rule: Callable[..., Rule], kinds: tuple[str, ...], **arguments: Any
) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        rules: list[Rule] = getattr(plan, direction)
        rules.append(make_rule(**_draw_matching(plan, kinds), **arguments))

    return add


def _add_delay(direction: str, kinds: tuple[str, ...]) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        rules: list[Rule] = getattr(plan, direction)
        delay_ns = plan.choices.draw_integer("kept back, ms", 1, 2500) * MS
        rules.append(Delay(**_draw_matching(plan, kinds), delay_ns=delay_ns))

    return add


def _add_repeat(kinds: tuple[str, ...], *trigger_kinds: str, keep_original: bool) -> AddImpairment:
    """Repeat events, or deliver them late, behind an event of one of the trigger kinds (empty: of
    any kind)."""

    def add(plan: ImpairmentPlan) -> None:
        choices = plan.choices
        trigger_kind = choices.draw_option("behind which kind", trigger_kinds)
        trigger_count = choices.draw_integer(
            "behind so many", 1, _MAX_AFTER_BY_KIND.get(trigger_kind, _MAX_AFTER) + 1
        )
        copies = choices.draw_integer("copies", 1, 2) if keep_original else 1
        plan.from_model.append(
            Repeat(
                **_draw_matching(plan, kinds),
                trigger_kind=trigger_kind,
                trigger_count=trigger_count,
                copies=copies,
                keep_original=keep_original,
            )
        )

    return add


def _lose_start(plan: ImpairmentPlan) -> None:
    plan.from_phone.append(Drop("start"))


def _lose_response_created(plan: ImpairmentPlan) -> None:
    after = plan.choices.draw_integer("after how many", 0, _MAX_AFTER)
    plan.from_model.append(Drop("response.created", after=after))


def _call_mcp_tool(plan: ImpairmentPlan) -> None:
    choices = plan.choices
    plan.from_model.append(
        McpToolCall(
            after=choices.draw_integer("after how many", 0, _MAX_AFTER),
            fails=choices.draw_bool("the tool fails", 30),
            needs_approval=choices.draw_bool("the tool is to be approved", 50),
        )
    )


def _add_unknown_field(event: dict[str, Any]) -> None:
    event.setdefault("session" if "session" in event else "response", {})["nonsense"] = True


def _name_another_stream(message: dict[str, Any]) -> None:
    message["streamSid"] = "MZ" + "f" * 32


def _name_another_response(event: dict[str, Any]) -> None:
    event["response_id"], event["item_id"] = "resp_of_nobody", "item_of_nobody"


# Another rule may have emptied the message before.


def _change_format(event: dict[str, Any]) -> None:
    if event["session"]:
        event["session"]["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 24000}


def _spoil_audio(message: dict[str, Any]) -> None:
    if message.get("media"):
        message["media"]["payload"] = "*"
    elif message.get("delta"):
        message["delta"] = "*"


def _null_fields(message: dict[str, Any]) -> None:
    for name in message:
        if name not in ("type", "event"):
            message[name] = None


MESSAGE_IMPAIRMENTS: Final[dict[str, AddImpairment]] = {
    # Messages from and to Twilio.
    "Twilio's messages late": _add_delay("from_phone", _KINDS_FROM_PHONE),
    "Twilio's messages lost": _add_rule("from_phone", Drop, _KINDS_FROM_PHONE),
    "Twilio's messages doubled": _add_rule("from_phone", Duplicate, _KINDS_FROM_PHONE),
    "Twilio's messages swapped": _add_rule("from_phone", Swap, _KINDS_FROM_PHONE),
    "Twilio's messages no JSON": _add_rule("from_phone", Corrupt, _KINDS_FROM_PHONE),
    "Twilio's messages empty": _add_rule(
        "from_phone", Replace, _KINDS_FROM_PHONE, edit=_null_fields
    ),
    "start lost": _lose_start,
    "marks lost": _add_rule("from_phone", Drop, ("mark",)),
    "marks doubled": _add_rule("from_phone", Duplicate, ("mark",)),
    "marks late": _add_delay("from_phone", ("mark",)),
    "marks swapped": _add_rule("from_phone", Swap, ("mark",)),
    "messages of another stream": _add_rule(
        "from_phone", Replace, ("media", "mark", "stop"), edit=_name_another_stream
    ),
    "no audio in Twilio's media": _add_rule("from_phone", Replace, ("media",), edit=_spoil_audio),
    "messages to Twilio late": _add_delay("to_phone", _KINDS_TO_PHONE),
    "messages to Twilio lost": _add_rule("to_phone", Drop, _KINDS_TO_PHONE),
    "messages to Twilio doubled": _add_rule("to_phone", Duplicate, _KINDS_TO_PHONE),
    # Events from and to the model's server.
    "server events late": _add_delay("from_model", _KINDS_FROM_MODEL),
    "server events lost": _add_rule("from_model", Drop, _KINDS_FROM_MODEL),
    "server events doubled": _add_rule("from_model", Duplicate, _KINDS_FROM_MODEL),
    "server events swapped": _add_rule("from_model", Swap, _KINDS_FROM_MODEL),
    "server events repeated": _add_repeat(
        _LIFECYCLE_KINDS, "", "response.done", keep_original=True
    ),
    "server events in another order": _add_repeat(
        _LIFECYCLE_KINDS, "", "response.done", keep_original=False
    ),
    "a response that begins twice": _add_repeat(
        ("response.created",),
        "conversation.item.added",
        "response.done",
        "response.output_audio.done",
        keep_original=True,
    ),
    "a response that ends late": _add_repeat(
        ("response.done",),
        "conversation.item.added",
        "response.created",
        keep_original=False,
    ),
    "audio behind its response": _add_repeat(
        ("response.output_audio.delta",), "response.done", keep_original=False
    ),
    "server events no JSON": _add_rule("from_model", Corrupt, _KINDS_FROM_MODEL),
    "server events empty": _add_rule("from_model", Replace, _KINDS_FROM_MODEL, edit=_null_fields),
    "a response that begins unseen": _lose_response_created,
    "tools of MCP servers": _call_mcp_tool,
    "no audio in deltas": _add_rule(
        "from_model", Replace, _KINDS_FROM_MODEL[:1], edit=_spoil_audio
    ),
    "audio of another response": _add_rule(
        "from_model", Replace, _KINDS_FROM_MODEL[:2], edit=_name_another_response
    ),
    "another format": _add_rule("from_model", Replace, ("session.updated",), edit=_change_format),
    "client events late": _add_delay("to_model", _KINDS_TO_MODEL),
    "client events lost": _add_rule("to_model", Drop, _KINDS_TO_MODEL),
    "client events doubled": _add_rule("to_model", Duplicate, _KINDS_TO_MODEL),
    "updates rejected": _add_rule(
        "to_model", Replace, ("session.update",), edit=_add_unknown_field
    ),
    "requests refused": _add_rule(
        "to_model", Replace, ("response.create",), edit=_add_unknown_field
    ),
}
"""By name. A new impairment of messages is a line here."""
