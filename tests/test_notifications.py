"""Notifications are values that can be logged."""

from typing import get_args

import pytest

from twilio_realtime_core import Fault, notifications
from twilio_realtime_core.notifications import (
    AgentTranscript,
    CallerTranscript,
    CallStarted,
    KeyPressed,
    Notification,
    RealtimeEvent,
    ResponseFinished,
    SessionReady,
    TwilioMessage,
)


@pytest.mark.parametrize(
    "event",
    [
        CallStarted("MZ1", "CA1", "secret", {"secret": "secret"}),
        SessionReady({"instructions": "secret"}),
        CallerTranscript("i", "secret", final=True),
        AgentTranscript("r", "i", 0, "secret", final=False),
        KeyPressed("secret"),
        ResponseFinished("r", "failed", {"error": {"message": "secret"}}, None),
        TwilioMessage("secret"),
        RealtimeEvent("secret"),
    ],
)
def test_what_people_say_press_and_are_called_stays_out_of_repr(event: Notification) -> None:
    assert "secret" not in repr(event)


def test_the_union_holds_every_notification() -> None:
    others = {"EndReason", "HeardItem", "InterruptionCause", "Notification"}
    named = {getattr(notifications, name) for name in set(notifications.__all__) - others}
    assert set(get_args(Notification)) == named | {Fault}
