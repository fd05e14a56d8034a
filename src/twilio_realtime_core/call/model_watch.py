"""When the model was heard of last, and how often in a row it fell silent."""

from attrs import define, field

__all__ = ["ModelWatch"]


@define(eq=False)
class ModelWatch:
    """The last event of the model, and the silences since it finished a response."""

    last_event_ns: int = field(init=False, default=0)
    silence_count: int = field(init=False, default=0)

    def event_received(self, now: int) -> None:
        """Note an event, of whatever type."""
        self.last_event_ns = now

    def response_finished(self, *, is_given_up: bool) -> None:
        """Note that a response is done: the model works, unless we have given the response up."""
        if not is_given_up:
            self.silence_count = 0
