"""What audio to the caller belongs to, and how far it has been played."""

from typing import TypeAlias

from attrs import field, frozen

__all__ = ["AudioSource", "Clip", "PartKey", "PlaybackPosition"]


@frozen(cache_hash=True)
class PartKey:
    """A content part of an item, which audio of the model belongs to and which can be truncated.

    `session` counts the Realtime sessions of the call from 1, since ids are unique within one only.
    """

    session: int
    response_id: str
    item_id: str
    content_index: int


@frozen(cache_hash=True)
class Clip:
    """Audio of the application, which the model does not know of. `number` counts the clips of a
    call from 1; `name` is the application's; `samples` is its length."""

    number: int
    name: str
    samples: int


AudioSource: TypeAlias = PartKey | Clip


@frozen
class PlaybackPosition:
    """How far audio has been played, in samples: `confirmed <= estimated <= sent`.

    `confirmed_samples` is known from marks. `estimated_samples` is what a `clear` sent at that
    moment leaves heard, and `margin_samples` how far it may be off, as far as the call has shown.
    `is_complete`: all audio of the source has been sent.
    """

    source: AudioSource
    confirmed_samples: int
    estimated_samples: int
    sent_samples: int
    is_complete: bool
    margin_samples: int = field(default=0, eq=False)

    @property
    def is_heard_completely(self) -> bool:
        """Whether all of it was heard, as far as can be known."""
        return self.is_complete and self.estimated_samples == self.sent_samples
