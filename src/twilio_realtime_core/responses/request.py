"""A request for a response, `response.create`, with what is known of its answer before it comes."""

from collections.abc import Mapping
from enum import Enum, unique
from typing import Any

from attrs import define

from ..config.fields import as_mapping
from ..machine.reasons import Reason
from ..protocols.realtime import CreateResponse

__all__ = ["PlaybackDecision", "Request"]


@unique
class PlaybackDecision(Enum):
    """The decision on the audio of a response that was just created."""

    PLAY = "play"
    SUPPRESS = "suppress"
    """It was interrupted while it was requested: none of it is played."""
    CANCEL = "cancel"
    """The same, and it is cancelled."""


@define(eq=False)
class Request:
    """A request, with its event id. `number` is its place in the order of all; `is_automatic`: any
    other automatic one can stand for it."""

    event: CreateResponse
    number: int
    is_automatic: bool
    item_keys: tuple[str, ...] = ()
    """The items that an automatic one is to have a response to."""
    count: int = 1
    """How many automatic ones it stands for."""
    sent_at_ns: int = 0
    decision: PlaybackDecision = PlaybackDecision.PLAY
    is_cancelled: bool = False
    """Whether the application has cancelled its response before that was created."""
    is_covered: bool = False
    """Whether the response that seems to answer it was created after the server had its items."""
    held_by: Reason | None = None
    """Why it stays queued, as it was explained last."""

    is_repeated: bool = False
    """Whether it was sent before, to a model that was silent and may answer that one late."""

    @property
    def is_wanted(self) -> bool:
        """Whether the caller will hear its response: it was neither interrupted nor cancelled."""
        return self.decision is PlaybackDecision.PLAY and not self.is_cancelled

    @property
    def is_out_of_band(self) -> bool:
        """Whether its response is out of band."""
        response = self.event.response
        return response is not None and response.get("conversation") == "none"

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the server repeats of it in its response."""
        return as_mapping(as_mapping(self.event.response).get("metadata"))

    @property
    def is_silent(self) -> bool:
        """Whether its response is out of band, and text alone: the caller does not hear it."""
        response: Any = self.event.response or {}
        return self.is_out_of_band and response.get("output_modalities") == ["text"]
