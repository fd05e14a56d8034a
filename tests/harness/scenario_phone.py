"""A call with a phone that plays: marks come back when all before them has been heard."""

from calling import Call, Done

__all__ = ["Phone"]


class Phone(Call):
    """A call whose marks are echoed while it waits."""

    def wait_until(self, until: int) -> Done:
        """Time passes; timers fire, and marks come back."""
        return self.hear_until(until)
