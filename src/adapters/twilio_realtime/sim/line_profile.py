"""The profile of a line: how long its messages and its player take, as distributions.

`twilio-realtime line` learns a profile from recordings and writes it to a file; `simulate --line`
and the study of accuracy read it. The file is JSON, an object:

| field | meaning |
|---|---|
| `format` | `twilio-realtime-line` |
| `version` | 1 |
| `calls` | how many calls it was learned from |
| `round_trip_ms` | for each call: to the player and back, without jitter |
| `jitter_ms` | for each message and way: what it takes longer |
| `start_delay_ms` | for each call: the least time before the player starts |
| `start_delay_varies_ms` | for each burst of audio: what it starts later than that |
| `frame_gap_ms` | from one frame of the caller's to the next |
| `response_ms` | from the end of the caller's speech to the first audio of the response |
| `first_audio_ms` | from the creation of a response to its first audio |
| `audio_speed` | how many times faster than real time a response is generated |

Each of the last eight is a distribution, `{"samples": N, "quantiles": [...]}`, with 21 quantiles
from the least to the most in steps of 5 %, or absent where the recordings did not show it. Later
versions of this project may add fields; those that are not known are ignored.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import UnionType
from typing import Any, Final, TypeGuard, cast

from attrs import Attribute, field, fields, frozen

from twilio_realtime_core.machine.units import MS

from ..errors import UsageError

__all__ = ["Distribution", "LineProfile", "read_line_profile"]

_FORMAT: Final = "twilio-realtime-line"
_VERSION: Final = 1
_STEPS: Final = 20
"""Steps between quantiles, of 5 % each."""

_MAX_VALUE: Final = 600_000.0
"""The most of any quantity: ten minutes in ms, more than a call can be held with."""

_MAX_FILE_BYTES: Final = 1 << 20
"""The most that is read of a file: a profile has about 2 kB."""

_MAX_SHOWN_CHARACTERS: Final = 40


def _check_quantiles(
    distribution: "Distribution",
    attribute: "Attribute[tuple[float, ...]]",
    value: tuple[float, ...],
) -> None:
    del distribution, attribute
    if len(value) != _STEPS + 1:
        raise ValueError(f"has {len(value)} quantiles, and needs {_STEPS + 1}")
    if not all(0 <= each <= _MAX_VALUE for each in value):
        raise ValueError(f"has a quantile that is not from 0 to {_MAX_VALUE:.0f}")
    if list(value) != sorted(value):
        raise ValueError("has quantiles that decrease")


@frozen
class Distribution:
    """How a quantity is distributed: 21 quantiles in steps of 5 %, and how many samples they come
    from. Raises `ValueError` for quantiles that are none."""

    quantiles: tuple[float, ...] = field(validator=_check_quantiles)
    samples: int = 1

    @classmethod
    def of(cls, samples: Sequence[float]) -> "Distribution | None":
        """Return the distribution of samples, rounded to microseconds where they are in ms; `None`
        if there are none."""
        if not samples:
            return None
        ordered = sorted(min(max(0.0, each), _MAX_VALUE) for each in samples)
        quantiles = (_interpolate(ordered, step / _STEPS) for step in range(_STEPS + 1))
        return cls(tuple(round(each, 3) for each in quantiles), len(ordered))

    @property
    def median(self) -> float:
        """The value that half of the samples are below."""
        return self.quantiles[_STEPS // 2]

    @property
    def highest(self) -> float:
        """The highest value."""
        return self.quantiles[-1]

    def at(self, share: float) -> float:
        """Return the value that a share of the samples (0 to 1) is below."""
        return _interpolate(self.quantiles, share)

    def draw(self, random: Random) -> float:
        """Draw a value."""
        return self.at(random.random())

    def draw_ns(self, random: Random) -> int:
        """Draw a value in ms; return it in ns."""
        return round(self.draw(random) * MS)


def _interpolate(ordered: Sequence[float], share: float) -> float:
    position = share * (len(ordered) - 1)
    below = min(int(position), len(ordered) - 1)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


@frozen(kw_only=True)
class LineProfile:
    """How a line behaves. The module says what the fields mean; `None` is not known."""

    calls: int = 0
    round_trip_ms: Distribution | None = None
    jitter_ms: Distribution | None = None
    start_delay_ms: Distribution | None = None
    start_delay_varies_ms: Distribution | None = None
    frame_gap_ms: Distribution | None = None
    response_ms: Distribution | None = None
    first_audio_ms: Distribution | None = None
    audio_speed: Distribution | None = None

    @classmethod
    def distribution_names(cls) -> tuple[str, ...]:
        """Return the names of the fields that are distributions."""
        return tuple(each.name for each in fields(cls) if each.name != "calls")

    @property
    def distributions(self) -> dict[str, Distribution]:
        """What is known, by name."""
        found = ((name, getattr(self, name)) for name in self.distribution_names())
        return {name: each for name, each in found if each is not None}

    def to_json(self) -> dict[str, object]:
        """Return the profile as an object for JSON."""
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "calls": self.calls,
            **{
                name: {"samples": each.samples, "quantiles": list(each.quantiles)}
                for name, each in self.distributions.items()
            },
        }

    @classmethod
    def from_json(cls, data: object) -> "LineProfile":
        """Return the profile that an object holds. Raises `UsageError`, which says what is
        wrong."""
        if not isinstance(data, dict):
            raise UsageError("this is not the profile of a line: it is not a JSON object")
        values = cast("Mapping[str, Any]", data)
        if values.get("format") != _FORMAT:
            raise UsageError(
                "this is not the profile of a line: its `format` is not "
                f"{_FORMAT}; write one with `twilio-realtime line -o FILE`"
            )
        if values.get("version") != _VERSION or isinstance(values["version"], bool):
            shown = _shorten(values.get("version"))
            raise UsageError(
                f"the profile has version {shown}, and this program reads version {_VERSION}: "
                "learn it again with `twilio-realtime line`"
            )
        calls = values.get("calls", 0)
        if type(calls) is not int or calls < 0:
            raise UsageError(f"`calls` is {_shorten(calls)}, and has to be a number of calls")
        found = {name: values[name] for name in cls.distribution_names() if name in values}
        return cls(calls=calls, **{name: _decode(name, each) for name, each in found.items()})


def _decode(name: str, value: object) -> Distribution | None:
    if value is None:
        return None
    data = _as_mapping(value)
    samples, quantiles = data.get("samples"), _as_list(data.get("quantiles"))
    if quantiles is None or not _is_number(samples, int) or samples < 1:
        raise UsageError(
            f"`{name}` is {_shorten(value)}, and has to be an object with a number of `samples` and"
            " a list of `quantiles`"
        )
    numbers = [each for each in quantiles if _is_number(each, int | float)]
    if len(numbers) < len(quantiles):
        raise UsageError(f"`{name}` has a quantile that is not a number")
    try:
        distribution = Distribution(tuple(map(float, numbers)), int(samples))
    except OverflowError:
        raise UsageError(f"`{name}` has a quantile that is too large") from None
    except ValueError as error:
        raise UsageError(f"`{name}` {error}") from None
    if name == "audio_speed" and distribution.quantiles[0] <= 0:
        raise UsageError("`audio_speed` has a quantile of 0, at which nothing is generated")
    return distribution


def _as_mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def _as_list(value: object) -> list[object] | None:
    return cast("list[object]", value) if isinstance(value, list) else None


def _is_number(value: object, kind: type | UnionType) -> TypeGuard[float]:
    return isinstance(value, kind) and not isinstance(value, bool)


def _shorten(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else f"{text[:_MAX_SHOWN_CHARACTERS]}…"


def read_line_profile(path: Path) -> LineProfile:
    """Read the profile of a line from a file. Raises `UsageError`, which names the file, and
    `OSError`."""
    with path.open("rb") as file:
        content = file.read(_MAX_FILE_BYTES + 1)
    if len(content) > _MAX_FILE_BYTES:
        raise UsageError(f"{path}: this is not the profile of a line: it is larger than 1 MiB")
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        raise UsageError(f"{path}: this is not the profile of a line: it is not JSON") from None
    try:
        return LineProfile.from_json(data)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
