"""All that may go wrong in one random call: a table of faults, of which each call gets some.

A fault changes the `Trouble` of a call before it begins. It draws its numbers from the choices, so
that the draws alone tell what it was.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias

import attrs
from attrs import define, field

from twilio_realtime_core.times import MS, SECOND

from .choices import Choices
from .faults import Corrupt, Delay, Drop, Duplicate, Replace, Rule, Swap
from .links import RoughWay
from .realtime_peer import SESSION_NS, OpeningFault
from .replies import Pace, Reply

__all__ = ["FAULTS", "AddFault", "Cut", "Trouble", "draw_trouble"]

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
_TO_MODEL: Final = (
    "input_audio_buffer.append",
    "session.update",
    "response.create",
    "response.cancel",
    "conversation.item.truncate",
    "conversation.item.delete",
    "conversation.item.create",
)
_MANY: Final = ("media", "input_audio_buffer.append")
"""Kinds of which there are fifty a second."""


@define
class Cut:
    """A link is lost: which, when (ns), and, where there are bytes, after how many more of them,
    from the phone's or the model's side, and whether by a reset."""

    leg: str
    at_ns: int
    after_bytes: int
    reset: bool


@define(eq=False)
class Trouble:
    """What is wrong with the peers, the links and the clocks of a call."""

    choices: Choices
    from_phone: list[Rule] = field(init=False, factory=list[Rule])
    to_phone: list[Rule] = field(init=False, factory=list[Rule])
    from_model: list[Rule] = field(init=False, factory=list[Rule])
    to_model: list[Rule] = field(init=False, factory=list[Rule])
    ways: dict[str, RoughWay] = field(init=False, factory=dict[str, RoughWay])
    """By where it comes from and goes to, such as `bridge to phone`."""
    cuts: list[Cut] = field(init=False, factory=list[Cut])
    drift_ppm: dict[str, int] = field(init=False, factory=dict[str, int])
    """By peer: `phone` or `model`."""
    refused: bool = field(init=False, default=False)
    """The model's server accepts no connection."""
    connect_ns: int = field(init=False, default=0)
    start_delay_ns: int = field(init=False, default=0)
    pace: Pace = field(init=False, factory=Pace)
    opening_fault: OpeningFault | None = field(init=False, default=None)
    session_ns: int = field(init=False, default=SESSION_NS)
    edit_replies: list[Callable[[int, Reply], Reply]] = field(
        init=False, factory=list[Callable[[int, Reply], Reply]]
    )
    """What becomes of the model's reply of a number."""
    fails_to_transcribe: bool = field(init=False, default=False)
    added: dict[str, list[Rule]] = field(init=False, factory=dict[str, list[Rule]])
    """The faults of this call by name, with their rules."""

    def rules(self) -> list[Rule]:
        """All rules so far."""
        return [*self.from_phone, *self.to_phone, *self.from_model, *self.to_model]

    def exercised(self) -> dict[str, int]:
        """How often each fault of this call has had its way; 1 where that cannot be counted."""
        return {
            name: sum(rule.done for rule in rules) if rules else 1
            for name, rules in self.added.items()
        }


AddFault: TypeAlias = Callable[[Trouble], object]

WAYS: Final = ("phone to bridge", "bridge to phone", "bridge to model", "model to bridge")
_LATENCIES: Final = {"phone": (40, 120), "model": (25, 150)}
"""Milliseconds one way: as a rule, and at most."""


def draw_trouble(choices: Choices) -> Trouble:
    """Links of any length, and some of the faults."""
    trouble = Trouble(choices)
    for name in WAYS:
        usual, most = _LATENCIES["phone" if "phone" in name else "model"]
        latency_ms = usual
        if choices.happens(f"{name}: another latency", 50):
            latency_ms = choices.integer(f"{name}: latency, ms", 0, most)
        trouble.ways[name] = RoughWay(latency_ms * MS)
    # Half of the calls have hardly any fault, so that the usual is tried as well.
    percent = choices.pick("percent of the faults", (0, 3, 10, 25))
    for name, add in FAULTS.items():
        if percent and choices.happens(name, percent):
            before = trouble.rules()
            add(trouble)
            trouble.added[name] = [rule for rule in trouble.rules() if rule not in before]
    return trouble


def _place(trouble: Trouble, kinds: tuple[str, ...]) -> dict[str, Any]:
    """Which messages a rule is for."""
    kind = trouble.choices.pick("of which kind", kinds)
    after = trouble.choices.integer("after how many", 0, 300 if kind in _MANY else 6)
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


def _unknown_model(event: dict[str, Any]) -> None:
    event["session"]["nonsense"] = True


def _of_another_stream(message: dict[str, Any]) -> None:
    message["streamSid"] = "MZ" + "f" * 32


def _of_another_response(event: dict[str, Any]) -> None:
    event["response_id"], event["item_id"] = "resp_of_nobody", "item_of_nobody"


def _other_format(event: dict[str, Any]) -> None:
    event["session"]["audio"]["output"]["format"] = {"type": "audio/pcm", "rate": 24000}


def _bad_audio(message: dict[str, Any]) -> None:
    if "media" in message:
        message["media"]["payload"] = "*"
    else:
        message["delta"] = "*"


def _null_fields(message: dict[str, Any]) -> None:
    for name in message:
        if name not in ("type", "event"):
            message[name] = None


def _cut(leg: str, *, reset: bool) -> AddFault:
    def add(trouble: Trouble) -> None:
        at_ms = trouble.choices.integer("lost at, ms", 0, 9000)
        after = trouble.choices.integer("after so many bytes", 1, 2000)
        trouble.cuts.append(Cut(leg, at_ms * MS, after, reset))

    return add


def _jitter(way: str) -> AddFault:
    def add(trouble: Trouble) -> None:
        trouble.ways[way].jitter_ns = trouble.choices.integer("jitter, ms", 1, 200) * MS
        trouble.ways[way].chance = trouble.choices.stream(f"{way}: jitter of each message")

    return add


def _stall(way: str) -> AddFault:
    def add(trouble: Trouble) -> None:
        begins = trouble.choices.integer("stalls at, ms", 0, 7000) * MS
        lasts = trouble.choices.integer("stalls for, ms", 1, 2500) * MS
        trouble.ways[way].stalls = ((begins, begins + lasts),)

    return add


def _narrow(way: str) -> AddFault:
    def add(trouble: Trouble) -> None:
        # A second of speech is about 11 kB of media.
        kb = trouble.choices.pick("kB a second", (100, 40, 20, 14))
        trouble.ways[way].bytes_per_second = 1000 * kb

    return add


def _drift(peer: str) -> AddFault:
    def add(trouble: Trouble) -> None:
        trouble.drift_ppm[peer] = trouble.choices.pick("ppm", (100, -100, 1000, -1000))

    return add


def _refuse(trouble: Trouble) -> None:
    trouble.refused = True


def _connect_late(trouble: Trouble) -> None:
    trouble.connect_ns = trouble.choices.integer("connects after, ms", 100, 16_000) * MS


def _start_late(trouble: Trouble) -> None:
    trouble.start_delay_ns = trouble.choices.integer("plays after, ms", 1, 400) * MS


def _open_with_error(trouble: Trouble) -> None:
    trouble.opening_fault = trouble.choices.pick("why", tuple(OpeningFault))


def _expire(trouble: Trouble) -> None:
    trouble.session_ns = trouble.choices.integer("session of, ms", 500, 8000) * MS


def _work_slowly(trouble: Trouble) -> None:
    answer_ms = trouble.choices.integer("answers after, ms", 1, 400)
    trouble.pace = attrs.evolve(trouble.pace, answer_ns=answer_ms * MS)


def _make_fast(trouble: Trouble) -> None:
    trouble.pace = attrs.evolve(trouble.pace, speed=30.0, item_ns=20 * MS, audio_ns=10 * MS)


def _cancel_late(trouble: Trouble) -> None:
    cancelled_ms = trouble.choices.integer("response.done after, ms", 1, 800)
    trouble.pace = attrs.evolve(
        trouble.pace, cancelled_ns=cancelled_ms * MS, interrupt_ns=cancelled_ms * MS // 2
    )


def _ping_often(trouble: Trouble) -> None:
    trouble.pace = attrs.evolve(trouble.pace, ping_ns=SECOND // 2)


def _reply_badly(change: Callable[[Reply], Reply]) -> AddFault:
    def add(trouble: Trouble) -> None:
        which = trouble.choices.integer("which response", 0, 3)
        trouble.edit_replies.append(lambda n, reply: change(reply) if n == which else reply)

    return add


def _fail_to_transcribe(trouble: Trouble) -> None:
    trouble.fails_to_transcribe = True


FAULTS: Final[dict[str, AddFault]] = {
    # Messages of Twilio, and to it.
    "Twilio's messages late": _delay("from_phone", _FROM_PHONE),
    "Twilio's messages lost": _on("from_phone", Drop, _FROM_PHONE),
    "Twilio's messages doubled": _on("from_phone", Duplicate, _FROM_PHONE),
    "Twilio's messages swapped": _on("from_phone", Swap, _FROM_PHONE),
    "Twilio's messages no JSON": _on("from_phone", Corrupt, _FROM_PHONE),
    "Twilio's messages empty": _on("from_phone", Replace, _FROM_PHONE, edit=_null_fields),
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
    "Twilio reads slowly": _narrow("bridge to phone"),
    "Twilio plays late": _start_late,
    # Events of the model's server, and to it.
    "server events late": _delay("from_model", _FROM_MODEL),
    "server events lost": _on("from_model", Drop, _FROM_MODEL),
    "server events doubled": _on("from_model", Duplicate, _FROM_MODEL),
    "server events swapped": _on("from_model", Swap, _FROM_MODEL),
    "server events no JSON": _on("from_model", Corrupt, _FROM_MODEL),
    "server events empty": _on("from_model", Replace, _FROM_MODEL, edit=_null_fields),
    "no audio in deltas": _on("from_model", Replace, _FROM_MODEL[:1], edit=_bad_audio),
    "audio of another response": _on(
        "from_model", Replace, _FROM_MODEL[:2], edit=_of_another_response
    ),
    "another format": _on("from_model", Replace, ("session.updated",), edit=_other_format),
    "client events late": _delay("to_model", _TO_MODEL),
    "client events lost": _on("to_model", Drop, _TO_MODEL),
    "client events doubled": _on("to_model", Duplicate, _TO_MODEL),
    "updates rejected": _on("to_model", Replace, ("session.update",), edit=_unknown_model),
    "a server that refuses": _refuse,
    "a server that answers late": _connect_late,
    "a session that is closed at once": _open_with_error,
    "a session that expires": _expire,
    "a server that works slowly": _work_slowly,
    "a server that works fast": _make_fast,
    "a server that cancels late": _cancel_late,
    "a server that pings often": _ping_often,
    "a failed response": _reply_badly(lambda reply: Reply.failed(*reply.items)),
    "a response over the rate": _reply_badly(lambda _: Reply.failed(code="rate_limit_exceeded")),
    "an incomplete response": _reply_badly(lambda reply: Reply.incomplete(*reply.items)),
    "an empty response": _reply_badly(lambda _: Reply()),
    "transcriptions that fail": _fail_to_transcribe,
    # The network, and clocks.
    **{f"jitter, {way}": _jitter(way) for way in WAYS},
    **{f"a stall, {way}": _stall(way) for way in WAYS},
    "a narrow line to the model": _narrow("bridge to model"),
    "the phone's socket closed": _cut("phone", reset=False),
    "the phone's socket reset": _cut("phone", reset=True),
    "the model's socket closed": _cut("model", reset=False),
    "the model's socket reset": _cut("model", reset=True),
    "Twilio's clock drifts": _drift("phone"),
    "the server's clock drifts": _drift("model"),
}
"""What can be wrong, by name. A new fault is a line here."""
