import pytest

from twilio_realtime_core.protocols.realtime import CancelResponse, ServerError
from twilio_realtime_core.responses.cancels import cancel_event, is_late_cancel, with_event_id

LATE = "response_cancel_not_active"


def test_a_cancel_names_its_response_in_its_event_id() -> None:
    assert cancel_event("r1") == CancelResponse("r1", event_id="bridge-cancel-r1")


@pytest.mark.parametrize("event_id", [None, ""])
@pytest.mark.parametrize("response_id", [None, "r1"])
def test_a_cancel_of_the_application_gets_an_event_id(
    event_id: str | None, response_id: str | None
) -> None:
    event = with_event_id(CancelResponse(response_id, event_id=event_id))
    assert event.response_id == response_id
    assert is_late_cancel(ServerError(code=LATE, event_id=event.event_id))


def test_a_cancel_of_the_application_keeps_its_event_id() -> None:
    event = CancelResponse("r1", event_id="mine")
    assert with_event_id(event) is event


@pytest.mark.parametrize(
    ("error", "is_late"),
    [
        (ServerError(code=LATE, event_id="bridge-cancel-r1"), True),
        (ServerError(code=LATE, event_id="mine"), False),
        (ServerError(code=LATE), False),
        (ServerError(code="something_else", event_id="bridge-cancel-r1"), False),
        (ServerError(event_id="bridge-cancel-r1"), False),
    ],
)
def test_only_the_late_cancel_of_the_bridge_is_recognised(
    error: ServerError,
    is_late: bool,  # noqa: FBT001
) -> None:
    assert is_late_cancel(error) is is_late


def test_a_late_cancel_is_recognised_by_its_event_id() -> None:
    cancel = cancel_event("r1")
    assert is_late_cancel(ServerError(code=LATE, event_id=cancel.event_id))
