"""Commands are values."""

import pytest

from twilio_realtime_core import (
    Configure,
    HangUp,
    Interrupt,
    LocalProtocolError,
    SendAudio,
    SendEvent,
)
from twilio_realtime_core.protocols.realtime import CreateResponse, RawClientEvent


def test_commands_are_equal_by_their_fields() -> None:
    assert HangUp() == HangUp()
    assert Interrupt() == Interrupt(cancel=True) != Interrupt(cancel=False)
    assert Configure(model="a") == Configure(None, "a") != Configure()


def test_a_url_is_not_in_the_repr() -> None:
    assert "secret" not in repr(Configure(url="wss://model/v1?token=secret"))


def test_audio_is_not_in_the_repr() -> None:
    assert repr(SendAudio(b"\xff" * 160)) == "SendAudio(audio=<160 samples>, commit=False)"


def test_an_event_may_be_a_value_or_plain_data() -> None:
    typed = SendEvent(CreateResponse(event_id="e"))
    assert SendEvent({"type": "response.create", "event_id": "e"}) == typed


def test_an_event_of_an_unknown_kind_is_sent_unchanged() -> None:
    body = {"type": "session.dance", "steps": 2}
    assert SendEvent(body).event == RawClientEvent("session.dance", body)


@pytest.mark.parametrize(
    "body", [{}, {"type": 3}, {"type": "response.create", "response": 3}, {"type": "x", "y": {1j}}]
)
def test_plain_data_that_is_no_event_is_misuse(body: dict[str, object]) -> None:
    with pytest.raises(LocalProtocolError):
        SendEvent(body)
