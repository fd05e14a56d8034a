"""A call with a phone that plays: marks come back when all before them has been heard."""

from calling import Call, StepResult

__all__ = ["Phone"]


class Phone(Call):
    """A call whose marks are echoed while it waits."""

    def wait_until(self, until_ns: int) -> StepResult:
        """Time passes; timers fire, and marks come back."""
        return self.play_until(until_ns)
