"""Times and durations of a call, as people read them."""

from datetime import datetime

from twilio_realtime_core.machine.units import MS, SECOND

__all__ = ["describe_duration", "describe_instant", "describe_time"]

_MINUTE_S = 60


def describe_duration(duration_ns: int) -> str:
    """Return a duration, to a tenth of a second below a minute."""
    if round(duration_ns / SECOND, 1) < _MINUTE_S:
        return f"{duration_ns / SECOND:.1f} s"
    minutes, seconds = divmod(round(duration_ns / SECOND), _MINUTE_S)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def describe_time(at_ns: int) -> str:
    """Return a time of the call in minutes and seconds, to 10 ms."""
    minutes, hundredths = divmod(round(at_ns / (10 * MS)), 100 * _MINUTE_S)
    return f"{minutes}:{hundredths / 100:05.2f}"


def describe_instant(recorded_at: str) -> str:
    """Return a time of day in ISO 8601, as a recording has it; another text as it is."""
    try:
        instant = datetime.fromisoformat(recorded_at)
    except ValueError:
        return recorded_at
    return f"{instant.day} {instant:%B %Y, %H:%M:%S} UTC"
