"""How far audio has been played to the caller."""

from attrs import field, frozen

__all__ = ["PartKey", "PlaybackPosition"]


@frozen(cache_hash=True)
class PartKey:
    """A content part of an item: what audio belongs to, and what can be truncated.

    `session` counts the Realtime sessions of the call from 1, since ids are unique only within one;
    0 is audio of the application's own.
    """

    session: int
    response_id: str
    item_id: str
    content_index: int

    @property
    def is_clip(self) -> bool:
        """Whether it is the application's own: the model does not know of it."""
        return self.session == 0


@frozen
class PlaybackPosition:
    """How far a part has been played, in samples: `confirmed <= estimated <= sent`.

    `confirmed` is known from marks; `estimated` is what a `clear` sent at that moment leaves
    heard, and `margin` how far it may be off, as far as the line has shown. `complete`: all audio
    of the part has been sent.
    """

    part: PartKey
    confirmed_samples: int
    estimated_samples: int
    sent_samples: int
    is_complete: bool
    margin_samples: int = field(default=0, eq=False)
