"""The invariants of a call, by subject, and the list of them all."""

from typing import Final

from ..step_record import Invariant
from .audio import DownlinkAudio, HeardPositions, PlaybackMarks, UplinkAudio
from .event_notifications import EventNotifications
from .interruptions import (
    InterruptionCancels,
    InterruptionCorrections,
    InterruptionDecisions,
)
from .items import CreatedItems, ItemNotifications, McpNotifications
from .lifecycle import BoundedWaits, CallEnding, LinkOrder, PlaybackNotices, TimeoutContract
from .queues_and_formats import PinnedFormats, QueueLimits
from .raw_notifications import RawNotifications
from .requests import FunctionAnswers, ResponseRequests
from .silence import ModelSilence
from .stream_limits import StreamLimits
from .words import HeardWords

__all__ = ["INVARIANTS"]

INVARIANTS: Final[tuple[type[Invariant], ...]] = (
    TimeoutContract,
    LinkOrder,
    UplinkAudio,
    DownlinkAudio,
    InterruptionDecisions,
    HeardPositions,
    InterruptionCorrections,
    PlaybackMarks,
    ResponseRequests,
    InterruptionCancels,
    FunctionAnswers,
    PinnedFormats,
    QueueLimits,
    CallEnding,
    BoundedWaits,
    EventNotifications,
    RawNotifications,
    ItemNotifications,
    McpNotifications,
    ModelSilence,
    StreamLimits,
    HeardWords,
    CreatedItems,
    PlaybackNotices,
)
"""In the order of their numbers."""
