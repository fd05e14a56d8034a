from collections import deque
from typing import Any

import pytest
from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.machine.lifecycles import ResponseInput
from twilio_realtime_core.machine.reasons import Reason
from twilio_realtime_core.protocols.realtime import CreateResponse, Response, ServerError
from twilio_realtime_core.responses.request import PlaybackDecision
from twilio_realtime_core.responses.request_queue import MAX_REQUESTS
from twilio_realtime_core.responses.requests import Requests
from twilio_realtime_core.responses.responses import MAX_RESPONSES, Responses

BUSY = "conversation_already_has_active_response"


@frozen
class Refusal:
    """What became of a refused request, and what is sent after it."""

    event_id: str | None
    is_final: bool
    events: tuple[CreateResponse, ...]


class SessionRequests:
    """Requests, and the records of their responses as events of the server describe them. What each
    step leads to is sent at once."""

    def __init__(self) -> None:
        self.requests = Requests()
        self.responses = Responses()
        self.is_caller_turn = False

    @property
    def is_busy(self) -> bool:
        return self.requests.is_busy

    @property
    def unanswered_count(self) -> int:
        return self.requests.unanswered_count

    def check_capacity(self) -> None:
        self.requests.queue.check_capacity()

    def due(self) -> list[CreateResponse]:
        return self.requests.take_due(0, is_caller_turn=self.is_caller_turn)

    def open(self) -> list[CreateResponse]:
        self.requests.open()
        return self.due()

    def enqueue(self, event: CreateResponse) -> list[CreateResponse]:
        self.requests.queue.add(event)
        return self.due()

    def enqueue_automatic(self, *item_keys: str) -> list[CreateResponse]:
        self.requests.queue.add_automatic(Reason.REQUESTED_FOR_MESSAGE, *item_keys)
        return self.due()

    def interrupted(self, *, cancel: bool) -> None:
        self.requests.interrupted(cancel=cancel)

    def refused(self, error: ServerError) -> Refusal | None:
        refused = self.requests.refused(error)
        due = tuple(self.due())
        if refused is None:
            assert due == ()
            return None
        return Refusal(refused.event_id, refused.is_final, due)

    def response_created(self, response: Response) -> PlaybackDecision:
        record = self.responses.start(response, 0)
        is_repeated, record.is_announced = record.is_announced, True
        return self.requests.created(record, is_repeated=is_repeated, now=0)

    def response_done(self, response: Response) -> list[CreateResponse]:
        record = self.responses.finish(response)
        if record is None:
            return self.due()
        record.lifecycle.step(ResponseInput.DONE)
        was_announced, record.is_announced = record.is_announced, True
        self.requests.done(record, was_announced=was_announced, now=0)
        return self.due()


def opened() -> SessionRequests:
    requests = SessionRequests()
    assert requests.open() == []
    return requests


def request(event_id: str | None = None, **parameters: Any) -> CreateResponse:
    return CreateResponse(parameters or None, event_id)


def out_of_band_request(event_id: str | None = None) -> CreateResponse:
    return request(event_id, conversation="none")


def in_conversation(response_id: str) -> Response:
    return Response(response_id, conversation_id="conv_1")


def out_of_band(response_id: str) -> Response:
    return Response(response_id, conversation_id=None)


def busy(event_id: str | None) -> ServerError:
    return ServerError("Conversation already has an active response", None, BUSY, None, event_id)


def wrong(event_id: str | None, message: str = "") -> ServerError:
    return ServerError(message, "invalid_request_error", "invalid_value", None, event_id)


def ids(events: list[CreateResponse] | tuple[CreateResponse, ...]) -> list[str | None]:
    return [each.event_id for each in events]


# One request at a time.


def test_a_request_is_sent_answered_and_finished() -> None:
    """S34."""
    requests = opened()
    assert not requests.is_busy
    assert requests.enqueue_automatic() == [CreateResponse(event_id="bridge-request-1")]
    assert (requests.is_busy, requests.unanswered_count) == (True, 1)
    assert requests.response_created(in_conversation("r1")) is PlaybackDecision.PLAY
    assert (requests.is_busy, requests.unanswered_count) == (True, 0)
    assert requests.response_done(in_conversation("r1")) == []
    assert (requests.is_busy, requests.unanswered_count) == (False, 0)


def test_nothing_is_sent_before_the_session_is_ready() -> None:
    requests = SessionRequests()
    assert requests.enqueue_automatic() == []
    assert requests.enqueue(request("a", instructions="be brief")) == []
    assert requests.enqueue(out_of_band_request("b")) == []
    assert requests.enqueue_automatic() == []
    assert (requests.is_busy, requests.unanswered_count) == (True, 3)
    assert ids(requests.open()) == ["bridge-request-1", "b"]
    assert requests.open() == []
    requests.response_created(in_conversation("r1"))
    assert ids(requests.response_done(in_conversation("r1"))) == ["a"]


def test_a_request_is_queued_while_a_response_is_active() -> None:
    """S42."""
    requests = opened()
    requests.response_created(in_conversation("r1"))
    event = request("mine", instructions="be brief")
    assert requests.enqueue(event) == []
    assert requests.response_done(in_conversation("r1")) == [event]


def test_a_request_after_an_interruption_is_queued_until_the_end() -> None:
    """S39: the message is sent at once, its `response.create` after `response.done`."""
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r1"))
    requests.interrupted(cancel=True)
    assert requests.enqueue_automatic() == []
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-2"]
    assert requests.response_created(in_conversation("r2")) is PlaybackDecision.PLAY


def test_queued_automatic_requests_are_one() -> None:
    """S81: any number of outputs, one request."""
    requests = opened()
    requests.response_created(in_conversation("r1"))
    assert [requests.enqueue_automatic() for _ in range(3)] == [[], [], []]
    assert requests.unanswered_count == 1
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-1"]
    requests.response_created(in_conversation("r2"))
    assert requests.response_done(in_conversation("r2")) == []


def test_a_sent_request_does_not_cover_later_ones() -> None:
    """S67."""
    requests = opened()
    assert ids(requests.enqueue_automatic()) == ["bridge-request-1"]
    assert [requests.enqueue_automatic() for _ in range(2)] == [[], []]
    assert requests.unanswered_count == 2
    requests.response_created(in_conversation("r1"))
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-2"]
    requests.response_created(in_conversation("r2"))
    assert requests.response_done(in_conversation("r2")) == []


def test_requests_of_the_application_stay_distinct_and_in_order() -> None:
    """S44."""
    requests = opened()
    sent = requests.enqueue_automatic()
    requests.enqueue(request("a", instructions="be brief"))
    requests.enqueue_automatic()
    requests.enqueue(request("b"))
    requests.enqueue(request("c"))
    requests.enqueue_automatic()
    for number in range(5):
        requests.response_created(in_conversation(str(number)))
        sent += requests.response_done(in_conversation(str(number)))
    assert ids(sent) == ["bridge-request-1", "a", "bridge-request-3", "b", "c"]


def test_a_request_is_sent_when_it_is_made() -> None:
    """S41: items that are created after it follow it."""
    event = request("mine")
    assert opened().enqueue(event) == [event]


@pytest.mark.parametrize("event_id", [None, ""])
def test_a_request_without_an_event_id_gets_one(event_id: str | None) -> None:
    [event] = opened().enqueue(request(event_id, instructions="be brief"))
    assert event == request("bridge-request-1", instructions="be brief")


def test_only_requests_of_the_application_are_limited() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    for _ in range(MAX_REQUESTS):
        requests.check_capacity()
        requests.enqueue(request())
    with pytest.raises(LocalProtocolError, match="requests are queued already"):
        requests.check_capacity()
    with pytest.raises(LocalProtocolError):
        requests.enqueue(request("one more"))
    assert requests.unanswered_count == MAX_REQUESTS
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    assert requests.unanswered_count == MAX_REQUESTS + 1


# Responses of turn detection, and events that are late, repeated or lost.


def test_a_late_end_does_not_release_the_next_request() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    requests.response_created(in_conversation("r2"))
    requests.enqueue_automatic()
    assert requests.response_done(in_conversation("r1")) == []
    assert ids(requests.response_done(in_conversation("r2"))) == ["bridge-request-1"]


def test_the_end_of_the_latest_response_releases_a_request() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    requests.response_created(in_conversation("r2"))
    requests.enqueue_automatic()
    assert ids(requests.response_done(in_conversation("r2"))) == ["bridge-request-1"]
    assert requests.response_done(in_conversation("r1")) == []
    assert requests.unanswered_count == 1


def test_a_response_created_twice_is_one() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r1"))
    requests.enqueue_automatic()
    assert requests.response_created(in_conversation("r1")) is PlaybackDecision.PLAY
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-2"]


def test_a_finished_response_is_not_active_again() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    requests.response_done(in_conversation("r1"))
    requests.response_created(in_conversation("r1"))
    assert not requests.is_busy
    assert requests.response_done(in_conversation("r1")) == []


def test_the_end_of_an_unannounced_response_answers_a_request() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-2"]


@pytest.mark.parametrize("response_id", ["", "same"])
def test_responses_may_all_have_the_same_id(response_id: str) -> None:
    requests = opened()
    sent = requests.enqueue_automatic()
    for _ in range(3):
        requests.enqueue_automatic()
        requests.response_created(in_conversation(response_id))
        sent += requests.response_done(in_conversation(response_id))
    assert ids(sent) == [f"bridge-request-{number}" for number in (1, 2, 3, 4)]


def test_response_ids_may_be_reused() -> None:
    requests = opened()
    for response_id in ("r1", "r2"):
        requests.response_created(in_conversation(response_id))
        requests.response_done(in_conversation(response_id))
    requests.response_created(in_conversation("r1"))
    requests.enqueue_automatic()
    requests.refused(busy("bridge-request-1"))
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-1"]


def test_a_repeated_id_does_not_replace_the_answer() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    requests.response_done(in_conversation("r1"))
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r1"))
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r2"))
    assert ids(requests.response_done(in_conversation("r2"))) == ["bridge-request-2"]


def test_a_repeated_id_before_a_refusal_leaves_nothing_active() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    requests.response_done(in_conversation("r1"))
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r1"))
    assert requests.is_busy
    assert requests.refused(wrong("bridge-request-1")) == Refusal(
        "bridge-request-1", is_final=True, events=()
    )
    assert not requests.is_busy


def test_forgotten_responses_do_no_harm() -> None:
    requests = opened()
    for number in range(MAX_RESPONSES + 1):
        requests.response_created(in_conversation(str(number)))
        requests.response_done(in_conversation(str(number)))
    requests.response_done(in_conversation("0"))
    assert not requests.is_busy
    requests.response_created(in_conversation("1"))
    requests.enqueue_automatic()
    assert ids(requests.response_done(in_conversation("1"))) == ["bridge-request-1"]


# Errors.


def test_an_error_releases_its_request_and_sends_the_next() -> None:
    """S36, S43."""
    requests = opened()
    requests.enqueue(request("a"))
    requests.enqueue(request("b"))
    refusal = requests.refused(wrong("a"))
    assert refusal == Refusal("a", is_final=True, events=(request("b"),))
    assert requests.unanswered_count == 1


def test_each_refusal_drops_one_of_those_that_a_request_covers() -> None:
    requests = opened()
    requests.response_created(in_conversation("r1"))
    for _ in range(3):
        requests.enqueue_automatic()
    (sent,) = requests.response_done(in_conversation("r1"))
    for is_final in (False, False, True):
        assert requests.refused(wrong("bridge-request-1")) == Refusal(
            "bridge-request-1", is_final, events=() if is_final else (sent,)
        )
    assert not requests.is_busy


@pytest.mark.parametrize(
    "error",
    [
        wrong("somebody-else"),
        wrong(None, "Audio content of 50ms is already shorter than 60ms"),
        busy("somebody-else"),
        ServerError(code="item_truncate_invalid_item_id"),
    ],
)
def test_an_unrelated_error_changes_nothing(error: ServerError) -> None:
    """S36, S38, S68."""
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    assert requests.refused(error) is None
    assert requests.unanswered_count == 2


def test_an_error_without_event_id_may_name_response_create() -> None:
    """S37."""
    requests = opened()
    requests.enqueue(out_of_band_request("b"))
    requests.enqueue(request("a"))
    error = wrong(None, "Invalid value in 'response.create'.")
    assert requests.refused(error) == Refusal("a", is_final=True, events=())
    assert requests.refused(error) == Refusal("b", is_final=True, events=())
    assert requests.refused(error) is None


def test_such_an_error_refuses_no_answered_request() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r1"))
    assert requests.refused(wrong(None, "Invalid value in 'response.create'.")) is None


def test_a_cancelled_response_releases_the_next_request() -> None:
    """S68."""
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("r1"))
    requests.enqueue_automatic()
    assert ids(requests.response_done(Response("r1", "cancelled", "conv_1"))) == [
        "bridge-request-2"
    ]


@pytest.mark.parametrize("named", [True, False])
def test_a_request_that_met_an_active_response_is_sent_again(
    named: bool,  # noqa: FBT001
) -> None:
    """S37: identified by its event id, or by its code."""
    requests = opened()
    event = request("mine", instructions="be brief")
    requests.enqueue(event)
    requests.enqueue(request("next"))
    refusal = requests.refused(busy("mine" if named else None))
    assert refusal == Refusal("mine", is_final=False, events=())
    assert requests.unanswered_count == 2
    requests.response_created(in_conversation("of turn detection"))
    assert requests.response_done(in_conversation("of turn detection")) == [event]
    requests.response_created(in_conversation("r1"))
    assert ids(requests.response_done(in_conversation("r1"))) == ["next"]


@pytest.mark.parametrize("event_id", ["bridge-request-1", None])
def test_a_request_with_a_wrong_answer_is_sent_again(
    event_id: str | None,
) -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("of turn detection"))
    assert requests.unanswered_count == 0
    assert requests.refused(busy(event_id)) == Refusal(
        "bridge-request-1", is_final=False, events=()
    )
    assert requests.unanswered_count == 1
    assert ids(requests.response_done(in_conversation("of turn detection"))) == ["bridge-request-1"]


def test_a_request_refused_late_is_sent_again_at_once() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("of turn detection"))
    requests.response_done(in_conversation("of turn detection"))
    refusal = requests.refused(busy("bridge-request-1"))
    assert refusal is not None
    assert ids(refusal.events) == ["bridge-request-1"]


def test_a_request_with_a_wrong_answer_can_be_refused() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.response_created(in_conversation("of turn detection"))
    requests.enqueue_automatic()
    assert requests.refused(wrong("bridge-request-1")) == Refusal(
        "bridge-request-1", is_final=True, events=()
    )
    assert requests.refused(wrong("bridge-request-1")) is None
    assert ids(requests.response_done(in_conversation("of turn detection"))) == ["bridge-request-2"]


def test_two_requests_with_wrong_answers_are_sent_again() -> None:
    """Two responses of turn detection seem to answer both requests before the first is refused."""
    requests = opened()
    requests.enqueue(request("a"))
    requests.enqueue(request("b"))
    requests.response_created(in_conversation("r1"))
    assert ids(requests.response_done(in_conversation("r1"))) == ["b"]
    requests.response_created(in_conversation("r2"))
    assert requests.refused(busy("a")) == Refusal("a", is_final=False, events=())
    assert requests.refused(busy("b")) == Refusal("b", is_final=False, events=())
    sent = requests.response_done(in_conversation("r2"))
    requests.response_created(in_conversation("r3"))
    sent += requests.response_done(in_conversation("r3"))
    assert ids(sent) == ["a", "b"]


def test_a_request_that_met_an_unannounced_response_is_queued() -> None:
    requests = opened()
    requests.response_created(in_conversation("r0"))
    requests.response_done(in_conversation("r0"))
    requests.enqueue_automatic()
    requests.refused(busy("bridge-request-1"))
    assert requests.enqueue_automatic() == []
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-1"]


def test_an_automatic_request_queued_again_covers_those_queued() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue(request("a"))
    requests.enqueue_automatic()
    assert requests.unanswered_count == 3
    requests.refused(busy("bridge-request-1"))
    assert requests.unanswered_count == 2
    sent = requests.response_done(in_conversation("r1"))
    for each in ("r2", "r3"):
        requests.response_created(in_conversation(each))
        sent += requests.response_done(in_conversation(each))
    assert ids(sent) == ["bridge-request-1", "a"]


def test_a_request_of_the_application_queued_again_covers_nothing() -> None:
    requests = opened()
    requests.enqueue(request("a"))
    requests.enqueue_automatic()
    requests.refused(busy("a"))
    assert requests.unanswered_count == 2


# Out-of-band responses.


def test_an_out_of_band_request_is_sent_at_once() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    event = out_of_band_request("b")
    assert requests.enqueue(event) == [event]
    assert requests.unanswered_count == 3
    assert requests.response_created(out_of_band("r1")) is PlaybackDecision.PLAY
    assert requests.unanswered_count == 2
    assert requests.response_done(out_of_band("r1")) == []
    requests.response_created(in_conversation("r2"))
    assert ids(requests.response_done(in_conversation("r2"))) == ["bridge-request-2"]


def test_an_out_of_band_response_does_not_queue_requests() -> None:
    requests = opened()
    requests.enqueue(out_of_band_request())
    assert not requests.is_busy
    requests.response_created(out_of_band("r1"))
    assert not requests.is_busy
    assert ids(requests.enqueue_automatic()) == ["bridge-request-2"]


@pytest.mark.parametrize("error", [wrong("b"), busy("b")])
def test_a_refused_out_of_band_request_is_released(error: ServerError) -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue(out_of_band_request("b"))
    assert requests.refused(error) == Refusal("b", is_final=True, events=())
    assert requests.unanswered_count == 1


def test_a_reused_event_id_names_the_unanswered_request() -> None:
    requests = opened()
    requests.enqueue(request("same"))
    requests.response_created(in_conversation("r1"))
    requests.enqueue(out_of_band_request("same"))
    assert requests.refused(wrong("same")) == Refusal("same", is_final=True, events=())
    assert requests.unanswered_count == 0


def test_the_number_of_remembered_out_of_band_requests_is_limited() -> None:
    requests = opened()
    for number in range(MAX_REQUESTS + 1):
        assert len(requests.enqueue(out_of_band_request(str(number)))) == 1
    assert requests.unanswered_count == MAX_REQUESTS
    assert requests.refused(wrong("0")) is None
    assert requests.refused(wrong("1")) is not None


def test_an_unrequested_out_of_band_response_answers_a_request() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    requests.response_created(out_of_band("r1"))
    assert ids(requests.response_done(out_of_band("r1"))) == ["bridge-request-2"]


# Interruption.


@pytest.mark.parametrize(
    ("cancels", "decision"),
    [
        ([True], PlaybackDecision.CANCEL),
        ([False], PlaybackDecision.SUPPRESS),
        ([False, True], PlaybackDecision.CANCEL),
        ([True, False], PlaybackDecision.CANCEL),
    ],
)
def test_an_interruption_suppresses_a_response_that_is_requested(
    cancels: list[bool], decision: PlaybackDecision
) -> None:
    requests = opened()
    requests.enqueue_automatic()
    for cancel in cancels:
        requests.interrupted(cancel=cancel)
    assert requests.response_created(in_conversation("r1")) is decision
    requests.enqueue_automatic()
    requests.response_done(in_conversation("r1"))
    assert requests.response_created(in_conversation("r2")) is PlaybackDecision.PLAY


def test_an_interruption_keeps_queued_requests() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    requests.interrupted(cancel=True)
    requests.response_created(in_conversation("r1"))
    assert ids(requests.response_done(in_conversation("r1"))) == ["bridge-request-2"]
    assert requests.response_created(in_conversation("r2")) is PlaybackDecision.PLAY


def test_an_interruption_without_a_request_suppresses_nothing() -> None:
    requests = opened()
    requests.interrupted(cancel=True)
    requests.enqueue(out_of_band_request())
    requests.interrupted(cancel=True)
    assert requests.response_created(in_conversation("of turn detection")) is PlaybackDecision.PLAY


@pytest.mark.parametrize("error", [busy("bridge-request-1"), wrong("bridge-request-1")])
def test_an_interruption_does_not_outlive_a_refused_request(error: ServerError) -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.interrupted(cancel=True)
    requests.refused(error)
    assert requests.response_created(in_conversation("of turn detection")) is PlaybackDecision.PLAY
    requests.enqueue_automatic()
    requests.response_done(in_conversation("of turn detection"))
    assert requests.response_created(in_conversation("r1")) is PlaybackDecision.PLAY


# Property tests: a server that answers in any order that the protocol allows.


class Server:
    """A model's server, and what is under way in both directions. Turn detection creates responses
    at any time, and the end of a cancelled one may be sent late. `answer_counts` are the responses
    and final refusals of each request, by event id. `enqueued` automatic requests were made; those
    before number `covered` came before a request that was answered."""

    def __init__(self, *, orderly: bool) -> None:
        self.orderly = orderly
        self.requests = SessionRequests()
        self.to_server: deque[tuple[CreateResponse, int]] = deque()
        self.to_client: deque[Response | ServerError] = deque()
        self.late_ends: list[Response] = []
        self.active: str | None = None
        self.received_active: str | None = None
        self.answer_counts: dict[str | None, int] = {}
        self.enqueued = self.covered = 0
        self.refused: list[str | None] = []
        self.count = 0
        self.created: list[str] = []

    # The application.

    def send(self, events: list[CreateResponse] | tuple[CreateResponse, ...]) -> None:
        for each in events:
            assert each.response or self.received_active is None or not self.orderly
            self.answer_counts.setdefault(each.event_id, 0)
            self.to_server.append((each, self.enqueued))

    def enqueue_automatic(self) -> None:
        self.enqueued += 1
        self.send(self.requests.enqueue_automatic())

    def enqueue(self) -> None:
        if self.requests.unanswered_count < MAX_REQUESTS:
            self.send(self.requests.enqueue(request(self.next_id("application"))))

    def enqueue_out_of_band(self) -> None:
        if self.requests.unanswered_count < MAX_REQUESTS:
            self.send(self.requests.enqueue(out_of_band_request(self.next_id("out-of-band"))))

    def next_id(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"

    def interrupt(self) -> None:
        self.requests.interrupted(cancel=True)

    # The server.

    def serve(self, error: ServerError | None = None) -> None:
        """Answer the next request."""
        if not self.to_server:
            return
        event, enqueued = self.to_server.popleft()
        if event.response is None and self.active is not None:
            self.to_client.append(busy(event.event_id))
            return
        if error is None or not is_automatic_id(event.event_id):  # which is made again
            self.answer_counts[event.event_id] += 1
        if is_automatic_id(event.event_id):
            self.covered = enqueued
        if error is not None:
            self.to_client.append(wrong(event.event_id))
        elif event.response is None:
            self.create()
        else:
            response = out_of_band(self.next_id("r"))
            self.notify(response, "in_progress")
            self.notify(response, "completed")

    def refuse(self) -> None:
        """Answer the next request with a refusal, unless a response is active."""
        self.serve(wrong(None))

    def create(self) -> None:
        self.active = self.next_id("r")
        self.created.append(self.active)
        self.notify(in_conversation(self.active), "in_progress")

    def finish(self) -> None:
        if self.active is not None:
            self.notify(in_conversation(self.active), "completed")
            self.active = None

    def take_turn(self) -> None:
        """Turn detection cancels the active response, whose end is sent late, and creates one."""
        if self.active is not None:
            self.late_ends.append(Response(self.active, "cancelled", "conv_1"))
        self.create()

    def send_late_end(self) -> None:
        if self.late_ends:
            self.to_client.append(self.late_ends.pop(0))

    def notify(self, response: Response, status: str) -> None:
        self.to_client.append(Response(response.id, status, response.conversation_id))

    # The client.

    def deliver(self) -> None:
        if not self.to_client:
            return
        event = self.to_client.popleft()
        match event:
            case ServerError():
                refusal = self.requests.refused(event)
                if refusal is not None:
                    self.refused += [refusal.event_id] * refusal.is_final
                    self.send(refusal.events)
            case Response(status="in_progress"):
                if event.conversation_id is not None:
                    self.received_active = event.id
                self.requests.response_created(event)
            case Response():
                if event.id == self.received_active:
                    self.received_active = None
                self.send(self.requests.response_done(event))

    def settle(self) -> None:
        """The server answers everything."""
        while self.to_server or self.to_client or self.late_ends or self.active:
            for act in (self.serve, self.finish, self.send_late_end, self.deliver):
                act()

    # Faults of the server.

    def create_again(self) -> None:
        """Send `response.created` once more for the response before the last."""
        for response_id in self.created[-2:-1]:
            self.notify(in_conversation(response_id), "in_progress")

    def end_again(self) -> None:
        for response_id in self.created[-2:-1]:
            self.notify(in_conversation(response_id), "completed")

    def end_unknown(self) -> None:
        self.notify(in_conversation(""), "completed")


APPLICATION = ["enqueue_automatic", "enqueue", "enqueue", "enqueue_out_of_band", "interrupt"]
LEGAL = ["serve", "refuse", "finish", "take_turn", "send_late_end", "deliver", "deliver", "deliver"]
WRONG = ["create_again", "end_again", "end_unknown"]


def is_automatic_id(event_id: str | None) -> bool:
    return event_id is not None and event_id.startswith("bridge-request-")


def run(acts: list[str], *, orderly: bool) -> Server:
    server = Server(orderly=orderly)
    server.send(server.requests.open())
    for act in acts:
        getattr(server, act)()
    server.settle()
    return server


@settings(max_examples=200)
@given(st.lists(st.sampled_from(APPLICATION + LEGAL), max_size=60))
def test_every_request_is_answered_once_in_any_order(
    acts: list[str],
) -> None:
    server = run(acts, orderly=True)
    assert (server.requests.unanswered_count, server.requests.is_busy) == (0, False)
    assert server.covered == server.enqueued
    for event_id, count in server.answer_counts.items():
        # An automatic one that stands for several is made again for the others if it is refused.
        assert count == 1 or is_automatic_id(event_id)
    assert len(server.refused) == len(set(server.refused))


@settings(max_examples=200)
@given(st.lists(st.sampled_from(APPLICATION + LEGAL + WRONG), max_size=60))
def test_faults_of_the_server_do_not_block_later_requests(acts: list[str]) -> None:
    requests = run(acts, orderly=False).requests
    assert (requests.unanswered_count, requests.is_busy) == (0, False)
    assert len(requests.enqueue_automatic()) == 1
