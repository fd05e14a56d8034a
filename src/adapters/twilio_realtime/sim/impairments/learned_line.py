"""A line as recordings have shown it, in the plan of a random call."""

from functools import partial
from random import Random
from typing import Final

import attrs

from twilio_realtime_core.machine.units import MS

from ..choices import Choices
from ..line_profile import Distribution, LineProfile
from .plan import ImpairmentPlan

__all__ = ["apply_line"]

_TO_PHONE: Final = ("bridge to phone", "phone to bridge")
_PERMILLE: Final = 1000


def apply_line(plan: ImpairmentPlan, line: LineProfile) -> None:
    """Give a plan the latencies, the jitter, the start delays and the pace of a line. What is the
    same throughout a call is drawn here; what is not known stays as it is."""
    choices = plan.choices
    if line.round_trip_ms is not None:
        # Nothing shows how a round trip is split, and nothing that the bridge does depends on it.
        trip_ns = _draw_ns(choices, "line: round trip", line.round_trip_ms)
        plan.directions["bridge to phone"].latency_ns = trip_ns // 2
        plan.directions["phone to bridge"].latency_ns = trip_ns - trip_ns // 2
    if line.jitter_ms is not None:
        for name in _TO_PHONE:
            direction = plan.directions[name]
            direction.jitter_ns = round(line.jitter_ms.highest * MS)
            direction.draw_jitter_ns = line.jitter_ms.draw_ns
            direction.random = choices.draw_random(f"line: jitter, {name}")
    _apply_start_delay(plan, line)
    _apply_pace(plan, line)


def _apply_start_delay(plan: ImpairmentPlan, line: LineProfile) -> None:
    if line.start_delay_ms is None:
        return
    least_ns = _draw_ns(plan.choices, "line: start delay", line.start_delay_ms)
    plan.start_delay_ns = least_ns
    varies = line.start_delay_varies_ms
    if varies is not None and varies.highest:
        plan.start_delay_ns += round(varies.highest * MS)
        random = plan.choices.draw_random("line: start delay of each burst")
        plan.draw_start_delay_ns = partial(_draw_start_delay_ns, least_ns, varies, random)


def _draw_start_delay_ns(least_ns: int, varies: Distribution, random: Random) -> int:
    return least_ns + varies.draw_ns(random)


def _apply_pace(plan: ImpairmentPlan, line: LineProfile) -> None:
    pace = plan.pace
    if line.audio_speed is not None:
        speed = line.audio_speed.at(_draw_share(plan.choices, "line: audio speed"))
        pace = attrs.evolve(pace, audio_speed=speed)
    if line.first_audio_ms is not None:
        first_ns = _draw_ns(plan.choices, "line: first audio", line.first_audio_ms)
        audio_ns = min(pace.first_audio_ns, first_ns // 2)
        transcript_ns = min(pace.transcript_ns, first_ns - audio_ns)
        pace = attrs.evolve(
            pace,
            first_audio_ns=audio_ns,
            transcript_ns=transcript_ns,
            first_spoken_item_ns=first_ns - audio_ns - transcript_ns,
        )
    plan.pace = pace


def _draw_ns(choices: Choices, label: str, distribution: Distribution) -> int:
    return round(distribution.at(_draw_share(choices, label)) * MS)


def _draw_share(choices: Choices, label: str) -> float:
    return choices.draw_integer(f"{label}, permille", 0, _PERMILLE) / _PERMILLE
