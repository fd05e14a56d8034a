from collections import deque
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twilio_realtime_core.errors import LocalProtocolError
from twilio_realtime_core.protocols.realtime import CreateResponse, Response, ServerError
from twilio_realtime_core.responses.requests import (
    MAX_REQUESTS,
    PlaybackDecision,
    RefusedRequest,
    Requests,
)
from twilio_realtime_core.responses.responses import MAX_RESPONSES

BUSY = "conversation_already_has_active_response"


def opened() -> Requests:
    requests = Requests()
    assert requests.open() == []
    return requests


def by_hand(event_id: str | None = None, **parameters: Any) -> CreateResponse:
    return CreateResponse(parameters or None, event_id)


def beside(event_id: str | None = None) -> CreateResponse:
    return by_hand(event_id, conversation="none")


def inside(response_id: str) -> Response:
    return Response(response_id, conversation_id="conv_1")


def outside(response_id: str) -> Response:
    return Response(response_id, conversation_id=None)


def busy(event_id: str | None) -> ServerError:
    return ServerError("Conversation already has an active response", None, BUSY, None, event_id)


def wrong(event_id: str | None, message: str = "") -> ServerError:
    return ServerError(message, "invalid_request_error", "invalid_value", None, event_id)


def ids(events: list[CreateResponse] | tuple[CreateResponse, ...]) -> list[str | None]:
    return [each.event_id for each in events]


# One at a time.


def test_a_request_is_sent_answered_and_over() -> None:
    """S34."""
    requests = opened()
    assert not requests.is_busy
    assert requests.enqueue_automatic() == [CreateResponse(event_id="bridge-request-1")]
    assert (requests.is_busy, requests.unanswered_count) == (True, 1)
    assert requests.created(inside("r1")) is PlaybackDecision.PLAY
    assert (requests.is_busy, requests.unanswered_count) == (True, 0)
    assert requests.done(inside("r1")) == []
    assert (requests.is_busy, requests.unanswered_count) == (False, 0)


def test_nothing_is_sent_before_the_session_is_ready() -> None:
    requests = Requests()
    assert requests.enqueue_automatic() == []
    assert requests.enqueue(by_hand("a", instructions="be brief")) == []
    assert requests.enqueue(beside("b")) == []
    assert requests.enqueue_automatic() == []
    assert (requests.is_busy, requests.unanswered_count) == (True, 3)
    assert ids(requests.open()) == ["bridge-request-1", "b"]
    assert requests.open() == []
    requests.created(inside("r1"))
    assert ids(requests.done(inside("r1"))) == ["a"]


def test_a_request_by_hand_waits_for_the_active_response_and_keeps_its_parameters() -> None:
    """S42."""
    requests = opened()
    requests.created(inside("r1"))
    event = by_hand("mine", instructions="be brief")
    assert requests.enqueue(event) == []
    assert requests.done(inside("r1")) == [event]


def test_an_interruption_lets_what_is_asked_for_after_it_wait_for_the_end_of_the_response() -> None:
    """S39: the message goes out at once, its `response.create` after `response.done`."""
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("r1"))
    requests.interrupted(cancel=True)
    assert requests.enqueue_automatic() == []
    assert ids(requests.done(inside("r1"))) == ["bridge-request-2"]
    assert requests.created(inside("r2")) is PlaybackDecision.PLAY


def test_automatic_requests_that_wait_are_one() -> None:
    """S81: however many results, one request."""
    requests = opened()
    requests.created(inside("r1"))
    assert [requests.enqueue_automatic() for _ in range(3)] == [[], [], []]
    assert requests.unanswered_count == 1
    assert ids(requests.done(inside("r1"))) == ["bridge-request-1"]
    requests.created(inside("r2"))
    assert requests.done(inside("r2")) == []


def test_what_is_added_after_a_request_was_sent_has_a_turn_of_its_own() -> None:
    """S67."""
    requests = opened()
    assert ids(requests.enqueue_automatic()) == ["bridge-request-1"]
    assert [requests.enqueue_automatic() for _ in range(2)] == [[], []]
    assert requests.unanswered_count == 2
    requests.created(inside("r1"))
    assert ids(requests.done(inside("r1"))) == ["bridge-request-2"]
    requests.created(inside("r2"))
    assert requests.done(inside("r2")) == []


def test_requests_by_hand_stay_distinct_and_in_order() -> None:
    """S44."""
    requests = opened()
    sent = requests.enqueue_automatic()
    requests.enqueue(by_hand("a", instructions="be brief"))
    requests.enqueue_automatic()
    requests.enqueue(by_hand("b"))
    requests.enqueue(by_hand("c"))
    requests.enqueue_automatic()
    for number in range(5):
        requests.created(inside(str(number)))
        sent += requests.done(inside(str(number)))
    assert ids(sent) == ["bridge-request-1", "a", "bridge-request-3", "b", "c"]


def test_a_request_by_hand_goes_out_when_it_is_made() -> None:
    """S41: what is appended after it follows it."""
    event = by_hand("mine")
    assert opened().enqueue(event) == [event]


@pytest.mark.parametrize("event_id", [None, ""])
def test_a_request_without_an_event_id_gets_one(event_id: str | None) -> None:
    [event] = opened().enqueue(by_hand(event_id, instructions="be brief"))
    assert event == by_hand("bridge-request-1", instructions="be brief")


def test_too_many_requests_by_hand_are_refused_and_automatic_ones_never() -> None:
    requests = opened()
    requests.created(inside("r1"))
    for _ in range(MAX_REQUESTS):
        requests.check_capacity()
        requests.enqueue(by_hand())
    with pytest.raises(LocalProtocolError, match="requests wait already"):
        requests.check_capacity()
    with pytest.raises(LocalProtocolError):
        requests.enqueue(by_hand("one more"))
    assert requests.unanswered_count == MAX_REQUESTS
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    assert requests.unanswered_count == MAX_REQUESTS + 1


# Responses of turn detection, and what is told late, twice or never.


def test_a_late_end_of_a_cancelled_response_does_not_free_the_next() -> None:
    requests = opened()
    requests.created(inside("r1"))
    requests.created(inside("r2"))
    requests.enqueue_automatic()
    assert requests.done(inside("r1")) == []
    assert ids(requests.done(inside("r2"))) == ["bridge-request-1"]


def test_the_end_of_the_latest_response_frees_even_if_that_of_one_before_is_never_told() -> None:
    requests = opened()
    requests.created(inside("r1"))
    requests.created(inside("r2"))
    requests.enqueue_automatic()
    assert ids(requests.done(inside("r2"))) == ["bridge-request-1"]
    assert requests.done(inside("r1")) == []
    assert requests.unanswered_count == 1


def test_a_response_created_twice_is_one() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("r1"))
    requests.enqueue_automatic()
    assert requests.created(inside("r1")) is PlaybackDecision.PLAY
    assert ids(requests.done(inside("r1"))) == ["bridge-request-2"]


def test_a_response_that_is_over_is_not_active_again() -> None:
    requests = opened()
    requests.created(inside("r1"))
    requests.done(inside("r1"))
    requests.created(inside("r1"))
    assert not requests.is_busy
    assert requests.done(inside("r1")) == []


def test_the_end_of_a_response_that_was_never_created_answers_a_request() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    assert ids(requests.done(inside("r1"))) == ["bridge-request-2"]


@pytest.mark.parametrize("response_id", ["", "same"])
def test_a_server_that_gives_every_response_the_same_id_is_served(response_id: str) -> None:
    requests = opened()
    sent = requests.enqueue_automatic()
    for _ in range(3):
        requests.enqueue_automatic()
        requests.created(inside(response_id))
        sent += requests.done(inside(response_id))
    assert ids(sent) == [f"bridge-request-{number}" for number in (1, 2, 3, 4)]


def test_a_server_that_uses_ids_again_is_served() -> None:
    requests = opened()
    for response_id in ("r1", "r2"):
        requests.created(inside(response_id))
        requests.done(inside(response_id))
    requests.created(inside("r1"))
    requests.enqueue_automatic()
    requests.refused(busy("bridge-request-1"))
    assert ids(requests.done(inside("r1"))) == ["bridge-request-1"]


def test_an_id_told_again_in_place_of_the_answer_leaves_room_for_the_answer() -> None:
    requests = opened()
    requests.created(inside("r1"))
    requests.done(inside("r1"))
    requests.enqueue_automatic()
    requests.created(inside("r1"))
    requests.enqueue_automatic()
    requests.created(inside("r2"))
    assert ids(requests.done(inside("r2"))) == ["bridge-request-2"]


def test_an_id_told_again_in_place_of_a_refusal_leaves_nothing_taken() -> None:
    requests = opened()
    requests.created(inside("r1"))
    requests.done(inside("r1"))
    requests.enqueue_automatic()
    requests.created(inside("r1"))
    assert requests.is_busy
    assert requests.refused(wrong("bridge-request-1")) == RefusedRequest(
        "bridge-request-1", is_final=True, events=()
    )
    assert not requests.is_busy


def test_what_is_forgotten_of_a_long_call_does_no_harm() -> None:
    requests = opened()
    for number in range(MAX_RESPONSES + 1):
        requests.created(inside(str(number)))
        requests.done(inside(str(number)))
    requests.done(inside("0"))
    assert not requests.is_busy
    requests.created(inside("1"))
    requests.enqueue_automatic()
    assert ids(requests.done(inside("1"))) == ["bridge-request-1"]


# Errors.


def test_an_error_releases_the_request_that_it_names_and_the_next_goes() -> None:
    """S36, S43."""
    requests = opened()
    requests.enqueue(by_hand("a"))
    requests.enqueue(by_hand("b"))
    refusal = requests.refused(wrong("a"))
    assert refusal == RefusedRequest("a", is_final=True, events=(by_hand("b"),))
    assert requests.unanswered_count == 1


def test_a_refused_request_takes_with_it_what_it_covered() -> None:
    requests = opened()
    requests.created(inside("r1"))
    for _ in range(3):
        requests.enqueue_automatic()
    requests.done(inside("r1"))
    assert requests.refused(wrong("bridge-request-1")) == RefusedRequest(
        "bridge-request-1", is_final=True, events=()
    )
    assert not requests.is_busy


@pytest.mark.parametrize(
    "error",
    [
        wrong("somebody-else"),
        wrong(None, "The server had an error while processing your request"),
        busy("somebody-else"),
        ServerError(),
    ],
)
def test_an_error_of_something_else_changes_nothing(error: ServerError) -> None:
    """S36, S38, S68."""
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    assert requests.refused(error) is None
    assert requests.unanswered_count == 2


def test_an_error_with_no_event_id_that_names_response_create_is_of_the_request() -> None:
    """S37."""
    requests = opened()
    requests.enqueue(beside("b"))
    requests.enqueue(by_hand("a"))
    error = wrong(None, "Invalid value in 'response.create'.")
    assert requests.refused(error) == RefusedRequest("a", is_final=True, events=())
    assert requests.refused(error) == RefusedRequest("b", is_final=True, events=())
    assert requests.refused(error) is None


def test_such_an_error_is_not_of_a_request_that_has_its_answer() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("r1"))
    assert requests.refused(wrong(None, "Invalid value in 'response.create'.")) is None


def test_a_cancelled_response_leaves_room_for_the_next() -> None:
    """S68."""
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("r1"))
    requests.enqueue_automatic()
    assert ids(requests.done(Response("r1", "cancelled", "conv_1"))) == ["bridge-request-2"]


@pytest.mark.parametrize("named", [True, False])
def test_a_request_that_met_an_active_response_is_made_again_when_that_is_done(
    named: bool,  # noqa: FBT001
) -> None:
    """S37: with its event id, or known by its code."""
    requests = opened()
    event = by_hand("mine", instructions="be brief")
    requests.enqueue(event)
    requests.enqueue(by_hand("next"))
    refusal = requests.refused(busy("mine" if named else None))
    assert refusal == RefusedRequest("mine", is_final=False, events=())
    assert requests.unanswered_count == 2
    requests.created(inside("of turn detection"))
    assert requests.done(inside("of turn detection")) == [event]
    requests.created(inside("r1"))
    assert ids(requests.done(inside("r1"))) == ["next"]


@pytest.mark.parametrize("event_id", ["bridge-request-1", None])
def test_a_request_that_seemed_answered_by_turn_detection_is_made_again(
    event_id: str | None,
) -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("of turn detection"))
    assert requests.unanswered_count == 0
    assert requests.refused(busy(event_id)) == RefusedRequest(
        "bridge-request-1", is_final=False, events=()
    )
    assert requests.unanswered_count == 1
    assert ids(requests.done(inside("of turn detection"))) == ["bridge-request-1"]


def test_a_request_whose_refusal_comes_after_the_end_of_that_response_is_made_at_once() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("of turn detection"))
    requests.done(inside("of turn detection"))
    refusal = requests.refused(busy("bridge-request-1"))
    assert refusal is not None
    assert ids(refusal.events) == ["bridge-request-1"]


def test_a_request_that_seemed_answered_and_was_refused_is_released() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.created(inside("of turn detection"))
    requests.enqueue_automatic()
    assert requests.refused(wrong("bridge-request-1")) == RefusedRequest(
        "bridge-request-1", is_final=True, events=()
    )
    assert requests.refused(wrong("bridge-request-1")) is None
    assert ids(requests.done(inside("of turn detection"))) == ["bridge-request-2"]


def test_a_request_that_seemed_answered_before_another_was_sent_is_made_again() -> None:
    """The refusal of the first is under way while two responses of turn detection seem to answer
    it and the second."""
    requests = opened()
    requests.enqueue(by_hand("a"))
    requests.enqueue(by_hand("b"))
    requests.created(inside("r1"))
    assert ids(requests.done(inside("r1"))) == ["b"]
    requests.created(inside("r2"))
    assert requests.refused(busy("a")) == RefusedRequest("a", is_final=False, events=())
    assert requests.refused(busy("b")) == RefusedRequest("b", is_final=False, events=())
    sent = requests.done(inside("r2"))
    requests.created(inside("r3"))
    sent += requests.done(inside("r3"))
    assert ids(sent) == ["a", "b"]


def test_a_request_that_met_a_response_never_told_of_waits_for_the_next_end() -> None:
    requests = opened()
    requests.created(inside("r0"))
    requests.done(inside("r0"))
    requests.enqueue_automatic()
    requests.refused(busy("bridge-request-1"))
    assert requests.enqueue_automatic() == []
    assert ids(requests.done(inside("r1"))) == ["bridge-request-1"]


def test_an_automatic_request_that_is_made_again_covers_those_that_wait() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue(by_hand("a"))
    requests.enqueue_automatic()
    assert requests.unanswered_count == 3
    requests.refused(busy("bridge-request-1"))
    assert requests.unanswered_count == 2
    sent = requests.done(inside("r1"))
    for each in ("r2", "r3"):
        requests.created(inside(each))
        sent += requests.done(inside(each))
    assert ids(sent) == ["bridge-request-1", "a"]


def test_a_request_by_hand_that_is_made_again_covers_nothing() -> None:
    requests = opened()
    requests.enqueue(by_hand("a"))
    requests.enqueue_automatic()
    requests.refused(busy("a"))
    assert requests.unanswered_count == 2


# Outside the conversation.


def test_a_request_outside_the_conversation_waits_for_nothing() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    event = beside("b")
    assert requests.enqueue(event) == [event]
    assert requests.unanswered_count == 3
    assert requests.created(outside("r1")) is PlaybackDecision.PLAY
    assert requests.unanswered_count == 2
    assert requests.done(outside("r1")) == []
    requests.created(inside("r2"))
    assert ids(requests.done(inside("r2"))) == ["bridge-request-2"]


def test_a_response_outside_the_conversation_keeps_none_waiting() -> None:
    requests = opened()
    requests.enqueue(beside())
    assert not requests.is_busy
    requests.created(outside("r1"))
    assert not requests.is_busy
    assert ids(requests.enqueue_automatic()) == ["bridge-request-2"]


@pytest.mark.parametrize("error", [wrong("b"), busy("b")])
def test_a_refused_request_outside_the_conversation_is_released(error: ServerError) -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue(beside("b"))
    assert requests.refused(error) == RefusedRequest("b", is_final=True, events=())
    assert requests.unanswered_count == 1


def test_an_event_id_used_again_names_the_request_that_has_no_answer() -> None:
    requests = opened()
    requests.enqueue(by_hand("same"))
    requests.created(inside("r1"))
    requests.enqueue(beside("same"))
    assert requests.refused(wrong("same")) == RefusedRequest("same", is_final=True, events=())
    assert requests.unanswered_count == 0


def test_only_so_many_requests_outside_the_conversation_are_remembered() -> None:
    requests = opened()
    for number in range(MAX_REQUESTS + 1):
        assert len(requests.enqueue(beside(str(number)))) == 1
    assert requests.unanswered_count == MAX_REQUESTS
    assert requests.refused(wrong("0")) is None
    assert requests.refused(wrong("1")) is not None


def test_a_server_that_names_no_conversation_at_all_is_served() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    requests.created(outside("r1"))
    assert ids(requests.done(outside("r1"))) == ["bridge-request-2"]


# Interruption.


@pytest.mark.parametrize(
    ("cancels", "birth"),
    [
        ([True], PlaybackDecision.CANCEL),
        ([False], PlaybackDecision.SUPPRESS),
        ([False, True], PlaybackDecision.CANCEL),
        ([True, False], PlaybackDecision.CANCEL),
    ],
)
def test_an_interruption_stops_a_response_that_is_asked_for_at_its_birth(
    cancels: list[bool], birth: PlaybackDecision
) -> None:
    requests = opened()
    requests.enqueue_automatic()
    for cancel in cancels:
        requests.interrupted(cancel=cancel)
    assert requests.created(inside("r1")) is birth
    requests.enqueue_automatic()
    requests.done(inside("r1"))
    assert requests.created(inside("r2")) is PlaybackDecision.PLAY


def test_an_interruption_does_not_touch_what_waits() -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.enqueue_automatic()
    requests.interrupted(cancel=True)
    requests.created(inside("r1"))
    assert ids(requests.done(inside("r1"))) == ["bridge-request-2"]
    assert requests.created(inside("r2")) is PlaybackDecision.PLAY


def test_an_interruption_where_nothing_is_asked_for_binds_to_nothing() -> None:
    requests = opened()
    requests.interrupted(cancel=True)
    requests.enqueue(beside())
    requests.interrupted(cancel=True)
    assert requests.created(inside("of turn detection")) is PlaybackDecision.PLAY


@pytest.mark.parametrize("error", [busy("bridge-request-1"), wrong("bridge-request-1")])
def test_an_interruption_of_a_request_that_was_refused_is_over(error: ServerError) -> None:
    requests = opened()
    requests.enqueue_automatic()
    requests.interrupted(cancel=True)
    requests.refused(error)
    assert requests.created(inside("of turn detection")) is PlaybackDecision.PLAY
    requests.enqueue_automatic()
    requests.done(inside("of turn detection"))
    assert requests.created(inside("r1")) is PlaybackDecision.PLAY


# Against a server that answers in any order that it may.


class Server:
    """A model's server, and the two ways to it. Responses of turn detection come at any time, and
    the end of a cancelled one may be told late. `answers` counts the responses and final refusals
    of each request, by event id. Of the automatic ones, `asked` were made and the first `covered`
    came before a request that was answered."""

    def __init__(self, *, orderly: bool) -> None:
        self.orderly = orderly
        self.requests = Requests()
        self.to_server: deque[tuple[CreateResponse, int]] = deque()
        self.to_client: deque[Response | ServerError] = deque()
        self.late: list[Response] = []
        self.active: str | None = None
        self.told_active: str | None = None
        self.answers: dict[str | None, int] = {}
        self.asked = self.covered = 0
        self.refused: list[str | None] = []
        self.made = 0
        self.created: list[str] = []

    # What the application does.

    def send(self, events: list[CreateResponse] | tuple[CreateResponse, ...]) -> None:
        for each in events:
            assert each.response or self.told_active is None or not self.orderly
            self.answers.setdefault(each.event_id, 0)
            self.to_server.append((each, self.asked))

    def ask(self) -> None:
        self.asked += 1
        self.send(self.requests.enqueue_automatic())

    def ask_by_hand(self) -> None:
        if self.requests.unanswered_count < MAX_REQUESTS:
            self.send(self.requests.enqueue(by_hand(self.next_id("by-hand"))))

    def ask_beside(self) -> None:
        if self.requests.unanswered_count < MAX_REQUESTS:
            self.send(self.requests.enqueue(beside(self.next_id("beside"))))

    def next_id(self, kind: str) -> str:
        self.made += 1
        return f"{kind}-{self.made}"

    def interrupt(self) -> None:
        self.requests.interrupted(cancel=True)

    # What the server does.

    def serve(self, error: ServerError | None = None) -> None:
        """Take the next request."""
        if not self.to_server:
            return
        event, asked = self.to_server.popleft()
        if event.response is None and self.active is not None:
            self.to_client.append(busy(event.event_id))
            return
        self.answers[event.event_id] += 1
        if is_automatic(event.event_id):
            self.covered = asked
        if error is not None:
            self.to_client.append(wrong(event.event_id))
        elif event.response is None:
            self.begin()
        else:
            response = outside(self.next_id("r"))
            self.tell(response, "in_progress")
            self.tell(response, "completed")

    def refuse(self) -> None:
        """Take the next request, and refuse it where it would be accepted."""
        self.serve(wrong(None))

    def begin(self) -> None:
        self.active = self.next_id("r")
        self.created.append(self.active)
        self.tell(inside(self.active), "in_progress")

    def finish(self) -> None:
        if self.active is not None:
            self.tell(inside(self.active), "completed")
            self.active = None

    def take_turn(self) -> None:
        """Turn detection cancels the active response, whose end is told late, and makes one."""
        if self.active is not None:
            self.late.append(Response(self.active, "cancelled", "conv_1"))
        self.begin()

    def tell_late(self) -> None:
        if self.late:
            self.to_client.append(self.late.pop(0))

    def tell(self, response: Response, status: str) -> None:
        self.to_client.append(Response(response.id, status, response.conversation_id))

    # What arrives.

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
                    self.told_active = event.id
                self.requests.created(event)
            case Response():
                if event.id == self.told_active:
                    self.told_active = None
                self.send(self.requests.done(event))

    def settle(self) -> None:
        """The server answers everything."""
        while self.to_server or self.to_client or self.late or self.active:
            for act in (self.serve, self.finish, self.tell_late, self.deliver):
                act()

    # What a server should not do.

    def tell_again(self) -> None:
        """Tell of the response before the last once more."""
        for response_id in self.created[-2:-1]:
            self.tell(inside(response_id), "in_progress")

    def end_again(self) -> None:
        for response_id in self.created[-2:-1]:
            self.tell(inside(response_id), "completed")

    def end_unknown(self) -> None:
        self.tell(inside(""), "completed")


APPLICATION = ["ask", "ask_by_hand", "ask_by_hand", "ask_beside", "interrupt"]
LEGAL = ["serve", "refuse", "finish", "take_turn", "tell_late", "deliver", "deliver", "deliver"]
WRONG = ["tell_again", "end_again", "end_unknown"]


def is_automatic(event_id: str | None) -> bool:
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
def test_every_request_is_answered_once_in_whatever_order_the_server_answers(
    acts: list[str],
) -> None:
    server = run(acts, orderly=True)
    assert (server.requests.unanswered_count, server.requests.is_busy) == (0, False)
    assert server.covered == server.asked
    for event_id, answers in server.answers.items():
        assert answers == 1 or (answers == 0 and is_automatic(event_id))
    assert len(server.refused) == len(set(server.refused))


@settings(max_examples=200)
@given(st.lists(st.sampled_from(APPLICATION + LEGAL + WRONG), max_size=60))
def test_whatever_is_told_twice_or_out_of_order_the_next_request_is_made(acts: list[str]) -> None:
    requests = run(acts, orderly=False).requests
    assert (requests.unanswered_count, requests.is_busy) == (0, False)
    assert len(requests.enqueue_automatic()) == 1
