"""Impairments of messages and events: rules for some messages of one kind, drawn for each call."""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final

from twilio_realtime_core.machine.units import MS, SECOND

from .odd_messages import BothTracks, EditAll, LateStart, ReuseItemId, duplicate_parts
from .plan import AddImpairment, ImpairmentPlan
from .protocol_rules import McpToolCall, Repeat
from .rules import AnnounceNewEvent, Corrupt, Delay, Drop, Duplicate, Replace, Rule, Swap

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
    "rate_limits.updated",
    "input_audio_buffer.timeout_triggered",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
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

_ALL: Final = 100_000
"""More messages than a call has."""

_FRAMES: Final = ("media", "input_audio_buffer.append")
"""The kinds of which there is one for each frame of the caller."""

_MAX_AFTER: Final = 2
"""The same for all other kinds."""


def _draw_matching(plan: ImpairmentPlan, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Draw which messages a rule applies to."""
    kind = plan.choices.draw_option("of which kind", kinds)
    most = _MAX_AFTER_BY_KIND.get(kind, _MAX_AFTER)
    if kind in _FRAMES:
        after = plan.draw_frames("after how many", most)
    else:
        after = plan.choices.draw_integer("after how many", 0, most)
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


_LONG_NS: Final = 24 * SECOND
"""How long a call with a silent model lasts: longer than the bridge waits for anything."""


def _lose_requests(plan: ImpairmentPlan) -> None:
    """Lose requests for responses: they get no answer."""
    plan.to_model.append(Drop(**_draw_matching(plan, ("response.create",))))
    plan.duration_ns = _LONG_NS


def _fall_silent(plan: ImpairmentPlan) -> None:
    """Send nothing more, perhaps in the middle of a response, and keep the socket open."""
    after = plan.choices.draw_integer("after how many events", 2, 150)
    times = plan.choices.draw_option("how many events", (_ALL, 100, 300))
    plan.from_model.append(Drop("", after=after, times=times))
    plan.duration_ns = _LONG_NS


def _lose_ends(plan: ImpairmentPlan) -> None:
    """Lose the ends of responses whose audio is complete."""
    plan.from_model.append(Drop(**_draw_matching(plan, ("response.done",))))
    plan.duration_ns = _LONG_NS


def _refuse_without_ids(*kinds: str) -> AddImpairment:
    """Refuse client events with errors that name neither them nor, perhaps, what was wrong."""

    def add(plan: ImpairmentPlan) -> None:
        plan.to_model.append(Replace(**_draw_matching(plan, kinds), edit=_spoil_without_id))
        if plan.choices.draw_bool("an unknown code", 50):
            plan.from_model.append(Replace("error", times=_ALL, edit=_name_no_cause))

    return add


def _leave_out_ids(*kinds: str) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        plan.from_model.append(Replace(**_draw_matching(plan, kinds), edit=_leave_out_id))

    return add


def _speak_beside(plan: ImpairmentPlan) -> None:
    plan.has_speech_beside = True


def _call_mcp_tool(plan: ImpairmentPlan) -> None:
    choices = plan.choices
    plan.from_model.append(
        McpToolCall(
            after=choices.draw_integer("after how many", 0, _MAX_AFTER),
            fails=choices.draw_bool("the tool fails", 30),
            needs_approval=choices.draw_bool("the tool is to be approved", 50),
        )
    )


def _spoil_without_id(event: dict[str, Any]) -> None:
    event.pop("event_id", None)
    _add_unknown_field(event)


def _name_no_cause(event: dict[str, Any]) -> None:
    if isinstance(event.get("error"), dict) and not event["error"].get("event_id"):
        event["error"] |= {"code": "unheard_of", "param": None, "message": "It has failed."}


def _leave_out_id(event: dict[str, Any]) -> None:
    if isinstance(event.get("response"), dict):
        event["response"].pop("id", None)


def _add_unknown_field(event: dict[str, Any]) -> None:
    event.setdefault("session" if "session" in event else "response", {})["nonsense"] = True


def _add_new_fields(event: dict[str, Any]) -> None:
    """Add fields as a later version of the API may have them, to an event and what it describes."""
    for each in (event, *(event.get(name) for name in ("response", "item", "session", "error"))):
        if isinstance(each, dict):
            each["new_field"] = {"since": "a later version", "values": [1, None]}


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


def _start_late(plan: ImpairmentPlan) -> None:
    plan.from_phone.append(LateStart(frames=plan.choices.draw_integer("frames before", 1, 30)))


def _send_both_tracks(plan: ImpairmentPlan) -> None:
    is_announced = plan.choices.draw_bool("the start says so", 50)
    plan.from_phone.append(BothTracks(is_announced=is_announced))


_FLOOD: Final = b64encode(b"\xff" * 61 * 8000).decode()
"""Audio of more than a minute in base64, which no stream may send at once."""


def _flood(message: dict[str, Any]) -> None:
    if message.get("media"):
        message["media"]["payload"] = _FLOOD


def _leave_format_out(message: dict[str, Any]) -> None:
    if message.get("start"):
        message["start"].pop("mediaFormat", None)


_ITEM_KINDS: Final = ("conversation.item.added", "conversation.item.done")


def _leave_status_out(event: dict[str, Any]) -> bool:
    item: dict[str, Any] = event.get("item") or {}
    return item.pop("status", None) is not None


def _name_root(event: dict[str, Any]) -> None:
    if event.get("item"):
        event["item"]["id"] = "root"


def _reuse_item_id(plan: ImpairmentPlan) -> None:
    plan.from_model.append(ReuseItemId(after=plan.choices.draw_integer("after how many", 1, 4)))


_TRANSCRIPT: Final = "response.output_audio_transcript"


def _lose_words(plan: ImpairmentPlan) -> None:
    """Lose the end of transcripts: only the items have them whole."""
    after = plan.choices.draw_integer("after how many", 0, 6)
    plan.from_model.append(Drop(f"{_TRANSCRIPT}.delta", after=after, times=1_000))
    plan.from_model.append(Drop(f"{_TRANSCRIPT}.done", times=1_000))


_TRANSCRIPTION: Final = "conversation.item.input_audio_transcription"


def _null_fields(message: dict[str, Any]) -> None:
    for name in message:
        if name not in ("type", "event"):
            message[name] = None


def _lose_marks(plan: ImpairmentPlan) -> None:
    """Lose all marks from one on: what was played then counts as heard by the clock alone."""
    after = plan.choices.draw_integer("after how many marks", 0, _MAX_AFTER_BY_KIND["mark"])
    plan.from_phone.append(Drop("mark", after=after, times=_ALL))


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
    "all marks lost": _lose_marks,
    "marks doubled": _add_rule("from_phone", Duplicate, ("mark",)),
    "marks late": _add_delay("from_phone", ("mark",)),
    "marks swapped": _add_rule("from_phone", Swap, ("mark",)),
    "messages of another stream": _add_rule(
        "from_phone", Replace, ("media", "mark", "stop"), edit=_name_another_stream
    ),
    "no audio in Twilio's media": _add_rule("from_phone", Replace, ("media",), edit=_spoil_audio),
    "a minute of audio at once": _add_rule("from_phone", Replace, ("media",), edit=_flood),
    "frames swapped": _add_rule("from_phone", Swap, ("media",)),
    "frames before start": _start_late,
    "both tracks": _send_both_tracks,
    "no format in start": _add_rule("from_phone", Replace, ("start",), edit=_leave_format_out),
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
    "events with new fields": _add_rule(
        "from_model", Replace, _KINDS_FROM_MODEL, edit=_add_new_fields
    ),
    "events of a new type": _add_rule("from_model", AnnounceNewEvent, _KINDS_FROM_MODEL),
    "a response that begins unseen": _lose_response_created,
    "tools of MCP servers": _call_mcp_tool,
    "no audio in deltas": _add_rule(
        "from_model", Replace, _KINDS_FROM_MODEL[:1], edit=_spoil_audio
    ),
    "audio of another response": _add_rule(
        "from_model", Replace, _KINDS_FROM_MODEL[:2], edit=_name_another_response
    ),
    "items without a status": lambda plan: plan.from_model.append(
        EditAll(kinds=_ITEM_KINDS, edit=_leave_status_out)
    ),
    "items of the id root": _add_rule(
        "from_model",
        Replace,
        (*_ITEM_KINDS, "response.output_item.added", "response.output_item.done"),
        edit=_name_root,
    ),
    "an item id used again": _reuse_item_id,
    "stale transcripts": _lose_words,
    "several content parts": lambda plan: plan.from_model.append(
        EditAll(
            kinds=(*_ITEM_KINDS, f"{_TRANSCRIPTION}.delta", f"{_TRANSCRIPTION}.completed"),
            edit=duplicate_parts,
        )
    ),
    "another format": _add_rule("from_model", Replace, ("session.updated",), edit=_change_format),
    "client events late": _add_delay("to_model", _KINDS_TO_MODEL),
    "client events lost": _add_rule("to_model", Drop, _KINDS_TO_MODEL),
    "client events doubled": _add_rule("to_model", Duplicate, _KINDS_TO_MODEL),
    "updates rejected": _add_rule(
        "to_model", Replace, ("session.update",), edit=_add_unknown_field
    ),
    "updates rejected without an id": _refuse_without_ids("session.update"),
    "requests refused without an id": _refuse_without_ids("response.create"),
    "requests without an answer": _lose_requests,
    "a model that falls silent": _fall_silent,
    "responses that do not end": _lose_ends,
    "responses that start without an id": _leave_out_ids("response.created"),
    "responses that end without an id": _leave_out_ids("response.done"),
    "speech out of band": _speak_beside,
    "audio behind its part": _add_repeat(
        ("response.output_audio.delta",),
        "response.output_audio.done",
        "response.done",
        keep_original=False,
    ),
    "requests refused": _add_rule(
        "to_model", Replace, ("response.create",), edit=_add_unknown_field
    ),
}
"""By name. A new impairment of messages is a line here."""
