"""The table of impairments, and the drawing of a plan for one random call.

An impairment changes the plan of a call before it begins. It draws its numbers from the choices, so
that the draws alone say what it was.
"""

from collections.abc import Callable, Sequence
from typing import Final

import attrs

from twilio_realtime_core.machine.units import MS, SECOND

from ..choices import Choices
from ..line_profile import LineProfile
from ..model.realtime_peer import OpeningError
from ..model.replies import Reply
from ..scenarios.parts import spoken_reply
from ..world.network_direction import NetworkDirection
from .learned_line import apply_line
from .message_impairments import MESSAGE_IMPAIRMENTS
from .plan import DIRECTIONS, FRAME_MS, AddImpairment, ImpairmentPlan, LinkCut
from .protocol_rules import StreamRestart

__all__ = ["IMPAIRMENTS", "draw_impairments"]

_LATENCIES_MS: Final = {"phone": (40, 120), "model": (25, 150)}
"""One way, by peer: the usual latency, and the longest (ms)."""


def draw_impairments(
    choices: Choices,
    names: Sequence[str] = (),
    percent: int = 100,
    *,
    frame_ms: int = FRAME_MS,
    line: LineProfile | None = None,
) -> ImpairmentPlan:
    """Draw the latency of each direction, and some impairments.

    Each impairment in `names` occurs in `percent` of a hundred calls; without names, any may occur,
    with a drawn probability. What counts frames of the caller counts those of `frame_ms`. `line`
    says what the line to the phone and the model are like before that. Raises `KeyError` for an
    unknown name.
    """
    plan = ImpairmentPlan(choices, frame_ms)
    for name in DIRECTIONS:
        usual_ms, max_ms = _LATENCIES_MS["phone" if "phone" in name else "model"]
        latency_ms = usual_ms
        if choices.draw_bool(f"{name}: another latency", 50):
            latency_ms = choices.draw_integer(f"{name}: latency, ms", 0, max_ms)
        plan.directions[name] = NetworkDirection(latency_ms * MS)
    if line is not None:
        apply_line(plan, line)
    if not names:
        # Half of the calls have few impairments, so that undisturbed calls are tried as well.
        percent = choices.draw_option("percent of the faults", (0, 3, 10, 25))
    for name in names or IMPAIRMENTS:
        is_rare = name in _FATAL and not names
        if percent and choices.draw_bool(name, -(-percent // _FATAL_SHARE) if is_rare else percent):
            before = plan.all_rules()
            IMPAIRMENTS[name](plan)
            plan.rules_by_name[name] = [rule for rule in plan.all_rules() if rule not in before]
    return plan


_FATAL_SHARE: Final = 4
_FATAL: Final = frozenset(
    {
        "start lost",
        "another format",
        "a minute of audio at once",
        "updates rejected",
        "updates rejected without an id",
        "a server that refuses",
        "a session that is closed at once",
        "the phone's socket closed",
        "the phone's socket reset",
        "the model's socket closed",
        "the model's socket reset",
    }
)
"""Impairments that end a call early. Unless they are named, they occur less often than others, so
that most calls last."""


def _restart_stream(plan: ImpairmentPlan) -> None:
    plan.stream_restart = StreamRestart(after=plan.draw_frames("after frames", 350))


def _cut_link(peer: str, *, is_reset: bool) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        at_ms = plan.choices.draw_integer("lost at, ms", 0, 8000)
        after_bytes = plan.choices.draw_integer("after so many bytes", 1, 2000)
        plan.cuts.append(LinkCut(peer, at_ms * MS, after_bytes, is_reset))

    return add


def _add_jitter(direction: str) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        plan.directions[direction].draw_jitter_ns = None
        plan.directions[direction].jitter_ns = plan.choices.draw_integer("jitter, ms", 1, 200) * MS
        plan.directions[direction].random = plan.choices.draw_random(
            f"{direction}: jitter of each message"
        )

    return add


def _add_stall(direction: str) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        start_ns = plan.choices.draw_integer("stalls at, ms", 0, 7000) * MS
        duration_ns = plan.choices.draw_integer("stalls for, ms", 1, 2500) * MS
        plan.directions[direction].stalls = ((start_ns, start_ns + duration_ns),)

    return add


def _limit_bandwidth(direction: str) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        # A second of speech is about 11 kB of media.
        kb = plan.choices.draw_option("kB a second", (100, 40, 20, 14))
        plan.directions[direction].bytes_per_second = 1000 * kb

    return add


def _drift_clock(peer: str) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        plan.drift_ppm[peer] = plan.choices.draw_option("ppm", (100, -100, 1000, -1000))

    return add


def _refuse_connection(plan: ImpairmentPlan) -> None:
    plan.is_connection_refused = True


def _delay_connection(plan: ImpairmentPlan) -> None:
    plan.connect_ns = plan.choices.draw_integer("connects after, ms", 100, 16_000) * MS


def _delay_playback(plan: ImpairmentPlan) -> None:
    plan.draw_start_delay_ns = None
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


def _generate_at_another_pace(plan: ImpairmentPlan) -> None:
    tenths = plan.choices.draw_integer("times real time, in tenths", 12, 120)
    plan.pace = attrs.evolve(plan.pace, audio_speed=tenths / 10)


def _give_odd_ids(plan: ImpairmentPlan) -> None:
    plan.id_suffix = plan.choices.draw_option("ids end with", (".odd", "x" * 20))


def _cancel_late(plan: ImpairmentPlan) -> None:
    cancelled_ms = plan.choices.draw_integer("response.done after, ms", 1, 2000)
    plan.pace = attrs.evolve(
        plan.pace, cancelled_done_ns=cancelled_ms * MS, interruption_ns=cancelled_ms * MS // 2
    )


def _ping_often(plan: ImpairmentPlan) -> None:
    plan.pace = attrs.evolve(plan.pace, ping_interval_ns=SECOND // 2)


def _edit_reply(edit: Callable[[Reply], Reply]) -> AddImpairment:
    def add(plan: ImpairmentPlan) -> None:
        number = plan.choices.draw_integer("which response", 0, 3)
        plan.reply_edits.append(lambda n, reply: edit(reply) if n == number else reply)

    return add


def _add_commentary(reply: Reply) -> Reply:
    """Return a reply that begins with another message, as those of reasoning models do."""
    return attrs.evolve(reply, items=(spoken_reply(400, 8), *reply.items))


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
    "a server that generates at another pace": _generate_at_another_pace,
    "a server with odd ids": _give_odd_ids,
    "a server that cancels late": _cancel_late,
    "a server that pings often": _ping_often,
    "a failed response": _edit_reply(lambda reply: Reply.failed(*reply.items)),
    "a response over the rate": _edit_reply(lambda _: Reply.failed(code="rate_limit_exceeded")),
    "an incomplete response": _edit_reply(lambda reply: Reply.incomplete(*reply.items)),
    "an empty response": _edit_reply(lambda _: Reply()),
    "a word before the answer": _edit_reply(_add_commentary),
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
"""All impairments by name. A new impairment is a line here."""
