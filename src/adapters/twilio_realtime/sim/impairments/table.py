"""All that may go wrong in one random call: a table of faults, of which each call gets some.

A fault changes the `Trouble` of a call before it begins. It draws its numbers from the choices, so
that the draws alone tell what it was.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from twilio_realtime_core.machine.units import MS, SECOND

from ..choices import Choices
from ..model.realtime_peer import OpeningError
from ..model.replies import Reply
from ..world.network_direction import NetworkDirection
from .message_impairments import MESSAGE_IMPAIRMENTS
from .plan import DIRECTIONS, AddImpairment, ImpairmentPlan, LinkCut
from .protocol_rules import StreamRestart

__all__ = ["IMPAIRMENTS", "ImpairmentPlan", "LinkCut", "draw_impairments"]

_LATENCIES_MS: Final = {"phone": (40, 120), "model": (25, 150)}
"""Milliseconds one way: as a rule, and at most."""


def draw_impairments(
    choices: Choices, names: Sequence[str] = (), percent: int = 100
) -> ImpairmentPlan:
    """Links of any length, and some of the faults: each of those with `names` in `percent` of a
    hundred calls; without names any of all, as many as chance says."""
    trouble = ImpairmentPlan(choices)
    for name in DIRECTIONS:
        usual, most = _LATENCIES_MS["phone" if "phone" in name else "model"]
        latency_ms = usual
        if choices.draw_bool(f"{name}: another latency", 50):
            latency_ms = choices.draw_integer(f"{name}: latency, ms", 0, most)
        trouble.directions[name] = NetworkDirection(latency_ms * MS)
    if not names:
        # Half of the calls have hardly any fault, so that the usual is tried as well.
        percent = choices.draw_option("percent of the faults", (0, 3, 10, 25))
    for name in names or IMPAIRMENTS:
        seldom = name in _FATAL and not names
        if percent and choices.draw_bool(name, -(-percent // _FATAL_SHARE) if seldom else percent):
            before = trouble.all_rules()
            IMPAIRMENTS[name](trouble)
            trouble.rules_by_name[name] = [
                rule for rule in trouble.all_rules() if rule not in before
            ]
    return trouble


_FATAL_SHARE: Final = 4
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


def _restart_stream(plan: ImpairmentPlan) -> None:
    plan.stream_restart = StreamRestart(after=plan.choices.draw_integer("after frames", 0, 350))


def _cut_link(peer: str, *, is_reset: bool) -> AddImpairment:
    def add(trouble: ImpairmentPlan) -> None:
        at_ms = trouble.choices.draw_integer("lost at, ms", 0, 8000)
        after = trouble.choices.draw_integer("after so many bytes", 1, 2000)
        trouble.cuts.append(LinkCut(peer, at_ms * MS, after, is_reset))

    return add


def _add_jitter(direction: str) -> AddImpairment:
    def add(trouble: ImpairmentPlan) -> None:
        trouble.directions[direction].jitter_ns = (
            trouble.choices.draw_integer("jitter, ms", 1, 200) * MS
        )
        trouble.directions[direction].random = trouble.choices.draw_random(
            f"{direction}: jitter of each message"
        )

    return add


def _add_stall(direction: str) -> AddImpairment:
    def add(trouble: ImpairmentPlan) -> None:
        begins = trouble.choices.draw_integer("stalls at, ms", 0, 7000) * MS
        lasts = trouble.choices.draw_integer("stalls for, ms", 1, 2500) * MS
        trouble.directions[direction].stalls = ((begins, begins + lasts),)

    return add


def _limit_bandwidth(direction: str) -> AddImpairment:
    def add(trouble: ImpairmentPlan) -> None:
        # A second of speech is about 11 kB of media.
        kb = trouble.choices.draw_option("kB a second", (100, 40, 20, 14))
        trouble.directions[direction].bytes_per_second = 1000 * kb

    return add


def _drift_clock(peer: str) -> AddImpairment:
    def add(trouble: ImpairmentPlan) -> None:
        trouble.drift_ppm[peer] = trouble.choices.draw_option("ppm", (100, -100, 1000, -1000))

    return add


def _refuse_connection(plan: ImpairmentPlan) -> None:
    plan.is_connection_refused = True


def _delay_connection(plan: ImpairmentPlan) -> None:
    plan.connect_ns = plan.choices.draw_integer("connects after, ms", 100, 16_000) * MS


def _delay_playback(plan: ImpairmentPlan) -> None:
    plan.start_delay_ns = plan.choices.draw_integer("plays after, ms", 1, 400) * MS


def _open_with_error(plan: ImpairmentPlan) -> None:
    plan.opening_error = plan.choices.draw_option("why", tuple(OpeningError))


def _shorten_session(plan: ImpairmentPlan) -> None:
    plan.max_session_ns = plan.choices.draw_integer("session of, ms", 500, 8000) * MS


def _delay_answers(plan: ImpairmentPlan) -> None:
    answer_ms = plan.choices.draw_integer("answers after, ms", 1, 400)
    plan.pace = attrs.evolve(plan.pace, client_event_ns=answer_ms * MS)


def _generate_fast(plan: ImpairmentPlan) -> None:
    plan.pace = attrs.evolve(
        plan.pace, audio_speed=30.0, first_spoken_item_ns=20 * MS, first_audio_ns=10 * MS
    )


def _cancel_late(plan: ImpairmentPlan) -> None:
    cancelled_ms = plan.choices.draw_integer("response.done after, ms", 1, 2000)
    plan.pace = attrs.evolve(
        plan.pace, cancelled_done_ns=cancelled_ms * MS, interruption_ns=cancelled_ms * MS // 2
    )


def _ping_often(plan: ImpairmentPlan) -> None:
    plan.pace = attrs.evolve(plan.pace, ping_interval_ns=SECOND // 2)


def _edit_reply(edit: Callable[[Reply], Reply]) -> AddImpairment:
    def add(trouble: ImpairmentPlan) -> None:
        which = trouble.choices.draw_integer("which response", 0, 3)
        trouble.reply_edits.append(lambda n, reply: edit(reply) if n == which else reply)

    return add


def _fail_transcription(plan: ImpairmentPlan) -> None:
    plan.is_transcription_failing = True


IMPAIRMENTS: Final[dict[str, AddImpairment]] = {
    **MESSAGE_IMPAIRMENTS,
    # The peers.
    "another stream on the same socket": _restart_stream,
    "Twilio reads slowly": _limit_bandwidth("bridge to phone"),
    "Twilio plays late": _delay_playback,
    "a server that refuses": _refuse_connection,
    "a server that answers late": _delay_connection,
    "a session that is closed at once": _open_with_error,
    "a session that expires": _shorten_session,
    "a server that works slowly": _delay_answers,
    "a server that works fast": _generate_fast,
    "a server that cancels late": _cancel_late,
    "a server that pings often": _ping_often,
    "a failed response": _edit_reply(lambda reply: Reply.failed(*reply.items)),
    "a response over the rate": _edit_reply(lambda _: Reply.failed(code="rate_limit_exceeded")),
    "an incomplete response": _edit_reply(lambda reply: Reply.incomplete(*reply.items)),
    "an empty response": _edit_reply(lambda _: Reply()),
    "transcriptions that fail": _fail_transcription,
    # The network, and clocks.
    **{f"jitter, {way}": _add_jitter(way) for way in DIRECTIONS},
    **{f"a stall, {way}": _add_stall(way) for way in DIRECTIONS},
    "a narrow line to the model": _limit_bandwidth("bridge to model"),
    "the phone's socket closed": _cut_link("phone", is_reset=False),
    "the phone's socket reset": _cut_link("phone", is_reset=True),
    "the model's socket closed": _cut_link("model", is_reset=False),
    "the model's socket reset": _cut_link("model", is_reset=True),
    "Twilio's clock drifts": _drift_clock("phone"),
    "the server's clock drifts": _drift_clock("model"),
}
"""What can be wrong, by name. A new fault is a line here."""
