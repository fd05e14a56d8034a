"""Reports about phone calls: in order, once, and to those who follow."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.agents.phone_events import (
    AnsweredBy,
    PhoneCallAnswered,
    PhoneCallState,
    PhoneCallStatus,
    StreamStatus,
    TwilioRecordingStatus,
    parse_phone_event,
)
from twilio_realtime.server.phone_calls import (
    MAX_EVENTS,
    MAX_FOLLOWED_CALLS,
    MAX_UNKNOWN_CALLS,
    PhoneCalls,
)

SID = "CA" + 32 * "1"
ORDER = ("initiated", "ringing", "in-progress", "completed")
STATUSES = [PhoneCallStatus(SID, PhoneCallState(each), n) for n, each in enumerate(ORDER)]


@pytest.mark.parametrize(
    ("fields", "event"),
    [
        (
            {"CallStatus": "completed", "SequenceNumber": "3", "CallDuration": "12"},
            PhoneCallStatus(SID, PhoneCallState.COMPLETED, 3, 12),
        ),
        (
            {"CallStatus": "failed", "SipResponseCode": "404", "SequenceNumber": "x"},
            PhoneCallStatus(SID, PhoneCallState.FAILED, None, None, 404),
        ),
        (
            {
                "AnsweredBy": "machine_end_beep",
                "MachineDetectionDuration": "2100",
                "CallStatus": "in-progress",
            },
            PhoneCallAnswered(SID, AnsweredBy.MACHINE_END_BEEP, 2100),
        ),
        (
            {"RecordingSid": "RE1", "RecordingStatus": "absent", "ErrorCode": "0"},
            TwilioRecordingStatus(SID, "RE1", "absent"),
        ),
        (
            {"StreamEvent": "stream-error", "StreamSid": "MZ1", "StreamError": "31920"},
            StreamStatus(SID, "MZ1", "stream-error", "31920"),
        ),
        ({"CallStatus": "dreaming"}, None),
        ({"AnsweredBy": "cat", "MachineDetectionDuration": "1"}, None),
        ({}, None),
    ],
)
def test_a_form_becomes_a_value(fields: dict[str, str], event: object) -> None:
    assert parse_phone_event({"CallSid": SID} | fields) == event


NAMES = ("CallStatus", "SequenceNumber", "RecordingSid", "StreamEvent", "AnsweredBy", "ErrorCode")


@given(st.dictionaries(st.sampled_from((*NAMES, "MachineDetectionDuration")), st.text(max_size=12)))
def test_any_form_is_a_report_or_none(fields: dict[str, str]) -> None:
    event = parse_phone_event(fields)
    assert event is None or event.call_sid == ""


def receive(*events: Any) -> list[Any]:
    calls, seen = PhoneCalls(), list[Any]()
    calls.follow(SID, seen.append)
    for event in events:
        calls.receive(event)
    return seen


def test_reports_come_in_their_order() -> None:
    assert receive(*STATUSES) == STATUSES


@given(st.lists(st.sampled_from(STATUSES)))
def test_late_and_repeated_reports_are_left_out(events: list[PhoneCallStatus]) -> None:
    numbers = [event.sequence_number for event in receive(*events)]
    assert numbers == sorted(set(numbers))
    assert (3 in numbers) == (STATUSES[3] in events)


def test_nothing_follows_the_end() -> None:
    ended = PhoneCallStatus(SID, PhoneCallState.BUSY)
    assert receive(ended, PhoneCallStatus(SID, PhoneCallState.RINGING)) == [ended]


def test_reports_before_a_call_is_followed_are_kept() -> None:
    calls, seen = PhoneCalls(), list[Any]()
    assert calls.receive(STATUSES[0])
    calls.follow(SID, seen.append)
    assert calls.receive(STATUSES[1])
    assert not calls.receive(STATUSES[1])
    assert seen == STATUSES[:2]


def test_a_later_follower_gets_what_was_reported() -> None:
    calls, one, other = PhoneCalls(), list[Any](), list[Any]()
    calls.follow(SID, one.append)
    calls.receive(STATUSES[0])
    calls.follow(SID, other.append)
    calls.unfollow(SID, one.append)
    calls.receive(STATUSES[1])
    assert (one, other) == (STATUSES[:1], STATUSES[:2])


def test_a_call_in_progress_outlives_many_that_ended() -> None:
    calls, seen = PhoneCalls(), list[Any]()
    calls.follow(SID, seen.append)
    for number in range(MAX_FOLLOWED_CALLS + 9):
        calls.follow(f"CA{number}", print)
        calls.unfollow(f"CA{number}", print)
    calls.receive(STATUSES[0])
    assert seen == STATUSES[:1]


def test_queues_of_reports_are_bounded() -> None:
    calls, seen = PhoneCalls(), list[Any]()
    calls.follow(SID, seen.append)
    for number in range(MAX_EVENTS + 9):
        calls.receive(TwilioRecordingStatus(SID, f"RE{number}", "completed"))
    assert len(seen) == MAX_EVENTS
    for number in range(MAX_UNKNOWN_CALLS + 9):
        calls.receive(StreamStatus(f"CA{number}", "MZ1", "stream-started"))
    for number in range(MAX_FOLLOWED_CALLS + 9):
        calls.follow(f"other {number}", seen.append)
    assert not calls.receive(StreamStatus("CA20", "MZ1", "stream-started"))
    assert calls.receive(StreamStatus("CA0", "MZ1", "stream-started"))
