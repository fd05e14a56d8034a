"""All that may go wrong in one random call: a table of faults, of which each call gets some.

A fault changes the `Trouble` of a call before it begins. It draws its numbers from the choices, so
that the draws alone tell what it was.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from twilio_realtime_core.machine.units import MS, SECOND

from ..choices import Choices
from ..model.realtime_peer import OpeningFault
from ..model.replies import Reply
from ..world.network_direction import RoughWay
from .message_impairments import MESSAGE_FAULTS
from .plan import WAYS, AddFault, Cut, Trouble
from .protocol_rules import StreamRestart

__all__ = ["FAULTS", "Cut", "Trouble", "draw_trouble"]

_LATENCIES: Final = {"phone": (40, 120), "model": (25, 150)}
"""Milliseconds one way: as a rule, and at most."""


def draw_trouble(choices: Choices, names: Sequence[str] = (), percent: int = 100) -> Trouble:
    """Links of any length, and some of the faults: each of those with `names` in `percent` of a
    hundred calls; without names any of all, as many as chance says."""
    trouble = Trouble(choices)
    for name in WAYS:
        usual, most = _LATENCIES["phone" if "phone" in name else "model"]
        latency_ms = usual
        if choices.happens(f"{name}: another latency", 50):
            latency_ms = choices.integer(f"{name}: latency, ms", 0, most)
        trouble.ways[name] = RoughWay(latency_ms * MS)
    if not names:
        # Half of the calls have hardly any fault, so that the usual is tried as well.
        percent = choices.pick("percent of the faults", (0, 3, 10, 25))
    for name in names or FAULTS:
        seldom = name in _FATAL and not names
        if percent and choices.happens(name, -(-percent // _SELDOM) if seldom else percent):
            before = trouble.rules()
            FAULTS[name](trouble)
            trouble.added[name] = [rule for rule in trouble.rules() if rule not in before]
    return trouble


_SELDOM: Final = 4
_FATAL: Final = frozenset(
    {
        "start lost",
        "another format",
        "updates rejected",
        "a server that refuses",
        "a session that is closed at once",
        "the phone's socket closed",
        "the phone's socket reset",
        "the model's socket closed",
        "the model's socket reset",
    }
)
"""Faults that end a call before long: they are not to be what most calls come to."""


def _restart(trouble: Trouble) -> None:
    trouble.restart = StreamRestart(after=trouble.choices.integer("after frames", 0, 350))


def _cut(leg: str, *, reset: bool) -> AddFault:
    def add(trouble: Trouble) -> None:
        at_ms = trouble.choices.integer("lost at, ms", 0, 8000)
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
    cancelled_ms = trouble.choices.integer("response.done after, ms", 1, 2000)
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
    **MESSAGE_FAULTS,
    # The peers.
    "another stream on the same socket": _restart,
    "Twilio reads slowly": _narrow("bridge to phone"),
    "Twilio plays late": _start_late,
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
