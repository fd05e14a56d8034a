"""Notifications are values that can be logged."""

from typing import get_args

import pytest

from twilio_realtime_core import Fault, notifications
from twilio_realtime_core.notifications import (
    AgentAudio,
    AgentText,
    AgentTranscript,
    CallerTranscript,
    CallerTranscriptFailed,
    CallStarted,
    FunctionCallRequested,
    InterruptedItem,
    ItemAdded,
    ItemUpdated,
    KeyPressed,
    McpApprovalRequested,
    McpCallFinished,
    McpToolsListed,
    Notification,
    RealtimeEvent,
    ResponseFinished,
    ResponseRefused,
    SessionReady,
    TwilioMessage,
)
from twilio_realtime_core.values.items import AudioPart, FunctionCall, Message, Role, TextPart


@pytest.mark.parametrize(
    "event",
    [
        CallStarted("MZ1", "CA1", "secret", {"secret": "secret"}),
        SessionReady({"instructions": "secret"}),
        CallerTranscript("i", "secret", final=True),
        AgentTranscript("r", "i", 0, "secret", final=False),
        KeyPressed("secret"),
        ResponseFinished("r", "failed", {"error": {"message": "secret"}}, None),
        AgentAudio("r", "i", 0, "secret"),
        AgentText("r", "i", 0, "secret", final=True),
        CallerTranscriptFailed("i", "secret"),
        ResponseRefused("e", None, "secret"),
        InterruptedItem("r", "i", 0, 20, 40, "secret", "secret"),
        ItemAdded(Message("i", Role.USER, (TextPart("secret"), AudioPart("secret"))), None),
        ItemUpdated(FunctionCall("i", "c", "f", "secret")),
        FunctionCallRequested("c", "f", "secret", "r", "i"),
        McpToolsListed("i", "docs", ("secret",)),
        McpApprovalRequested("i", "docs", "search", "secret"),
        McpCallFinished("i", "docs", "search", "secret", "secret"),
        TwilioMessage("secret"),
        RealtimeEvent("secret"),
    ],
)
def test_personal_data_is_not_in_the_repr(event: object) -> None:
    assert "secret" not in repr(event)


def test_the_union_holds_every_notification() -> None:
    others = {"EndReason", "InterruptedItem", "InterruptionCause", "Notification", "PaddingCause"}
    named = {getattr(notifications, name) for name in set(notifications.__all__) - others}
    assert set(get_args(Notification)) == named | {Fault}
