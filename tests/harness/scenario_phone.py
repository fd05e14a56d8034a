"""A call with a phone that plays: marks are echoed when everything before them has been heard."""

from calling import Call, StepResult

__all__ = ["Phone"]


class Phone(Call):
    """A call whose marks are echoed while it waits."""

    def wait_until(self, until_ns: int) -> StepResult:
        """Let time pass; timers fire, and marks are echoed."""
        return self.play_until(until_ns)
