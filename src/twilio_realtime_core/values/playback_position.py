"""The source of audio to the caller, and how far it has been played."""

from typing import TypeAlias

from attrs import field, frozen

__all__ = ["AudioSource", "Clip", "PartKey", "PlaybackPosition"]


@frozen(cache_hash=True)
class PartKey:
    """The key of a content part: the unit to which audio of the model belongs, and which can be
    truncated."""

    session: int
    """The number of the Realtime session in the call, from 1; ids are unique in a session only."""
    response_id: str
    item_id: str
    content_index: int


@frozen(cache_hash=True)
class Clip:
    """A clip: audio of the application, of which the model does not know."""

    number: int
    """The number of the clip in the call, from 1."""
    name: str
    """The name that the application has given it."""
    samples: int
    """Its length."""


AudioSource: TypeAlias = PartKey | Clip


@frozen
class PlaybackPosition:
    """How far the audio of a source has been played: `confirmed <= estimated <= sent`."""

    source: AudioSource
    confirmed_samples: int
    """What marks confirm as heard."""
    estimated_samples: int
    """What a `clear` sent at this instant would leave heard."""
    sent_samples: int
    """What was sent to Twilio."""
    is_complete: bool
    """Whether all audio of the source was sent."""
    margin_samples: int = field(default=0, eq=False)
    """How far `estimated_samples` may be off, by what the call has shown."""
    is_started: bool = field(default=False, eq=False)
    """Whether some of it was heard for certain, which `PlaybackStarted` has notified of a part."""

    @property
    def is_heard_completely(self) -> bool:
        """Whether all audio of the source was heard, by the estimate."""
        return self.is_complete and self.estimated_samples == self.sent_samples
