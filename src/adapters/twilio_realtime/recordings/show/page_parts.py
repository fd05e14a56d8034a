"""Parts of the page that several of its sections have."""

from twilio_realtime_core.machine.units import MS

from .times import describe_time

__all__ = ["time_button"]


def time_button(at_ns: int) -> str:
    """Return a button that moves the cursor to a time of the call, which is its label."""
    label, at_ms = describe_time(at_ns), round(at_ns / MS, 2)
    return f'<button type="button" class="time" data-at="{at_ms}">{label}</button>'
