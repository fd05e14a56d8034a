"""Limits of what calls may cost."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from phone_network import ENVIRONMENT, PhoneNetwork, run_network
from twilio_realtime import Agent, CallEnded, EndReason, UsageError, serving
from twilio_realtime.server import spending
from twilio_realtime.server.service import Service
from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime.server.spending import Spending, SpendingLimits, TokenBudget
from twilio_realtime_core.notifications import KeyPressed, ResponseFinished
from twilio_realtime_core.transport.http import HttpRequest, HttpResponse
from twilio_realtime_core.values.usage import Tokens, Usage

ANN, BOB = "+15005550006", "+15005550007"


class Clock:
    """Time that passes as the test says, from noon on."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def utc(self) -> datetime:
        return datetime(2026, 12, 1, 12, tzinfo=UTC) + timedelta(seconds=self.now_s)


class Call:
    """Any object."""


def make(clock: Clock, **limits: int) -> Spending:
    return Spending(SpendingLimits(**limits), clock=clock, now_utc=clock.utc)


# Minutes a day


def test_calls_in_progress_and_over_count_as_minutes() -> None:
    clock, one, other = Clock(), Call(), Call()
    spent = make(clock, max_minutes_per_day=3)
    spent.begin(one)
    clock.now_s = 60
    spent.end(one)
    spent.begin(other)
    clock.now_s = 119
    assert spent.minutes_today == pytest.approx(119 / 60)
    assert spent.find_refusal() is None
    clock.now_s = 180
    assert spent.find_refusal() == "the calls of today have taken 3 minutes, which is the limit"


def test_a_new_day_begins_anew() -> None:
    clock, call = Clock(), Call()
    spent = make(clock, max_minutes_per_day=1)
    spent.begin(call)
    clock.now_s = 3600
    assert spent.find_refusal()
    clock.now_s = 12 * 3600
    assert spent.minutes_today == 0
    clock.now_s += 30
    spent.end(call)
    spent.end(call)
    assert spent.minutes_today == 0.5


def test_without_a_limit_nothing_is_refused() -> None:
    clock = Clock()
    spent = make(clock)
    spent.begin(clock)
    clock.now_s = 1e6
    assert spent.find_refusal() is None
    assert [spent.admit_caller(ANN) for _ in range(1000)] == 1000 * [None]


# Callers


def test_a_caller_who_calls_again_and_again_is_slowed_down() -> None:
    clock = Clock()
    spent = make(clock, max_calls_per_caller=3)
    assert [spent.admit_caller(ANN) for _ in range(3)] == [None, None, None]
    refusal = spent.admit_caller(ANN)
    assert refusal == "one caller has called more than 3 times in an hour"
    assert ANN not in refusal
    assert spent.admit_caller(BOB) is None
    clock.now_s = 1199
    assert spent.admit_caller(ANN)
    clock.now_s = 1201
    assert spent.admit_caller(ANN) is None
    assert spent.admit_caller(ANN)


def test_no_number_stays_in_memory() -> None:
    spent = make(Clock(), max_calls_per_caller=3)
    spent.admit_caller(ANN)
    assert ANN.encode() not in b"".join(vars_of(spent))


def vars_of(spent: Spending) -> list[bytes]:
    callers: dict[bytes, Any] = getattr(spent, "_callers")  # noqa: B009
    assert callers
    return list(callers)


def test_callers_are_forgotten_beyond_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "MAX_CALLERS", 2)
    spent = make(Clock(), max_calls_per_caller=1)
    for number in (ANN, BOB, "+15005550008"):
        assert spent.admit_caller(number) is None
    assert spent.admit_caller(BOB)
    assert spent.admit_caller(ANN) is None


# Tokens


def test_tokens_are_used_up_once() -> None:
    budget = TokenBudget(100)
    finished = ResponseFinished("r", "completed", None, Usage(Tokens(40), Tokens(30), Tokens(10)))
    unknown = ResponseFinished("r", "completed", None, None)
    events = [finished, KeyPressed("1"), unknown, finished, finished]
    assert [budget.is_used_up_by(each) for each in events] == [False, False, False, True, False]
    assert not TokenBudget().is_used_up_by(finished)


@pytest.mark.parametrize("runtime", ["trio", "asyncio"])
def test_a_call_over_its_tokens_ends_after_playback(
    runtime: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    agent, ends = Agent(greeting="Greet."), list[CallEnded]()
    agent.on(CallEnded)(lambda _, event: ends.append(event))

    async def use(network: PhoneNetwork) -> None:
        async with serving(agent, max_tokens_per_call=1, **network.settings):
            await network.call_in()

    run_network(PhoneNetwork(runtime), use)
    (end,) = ends
    assert (end.reason, end.detail) == (EndReason.HUNG_UP, "all was heard")
    assert "call.over_budget" in {vars(each).get("event") for each in caplog.records}


# The service


def ask(service: Service, number: str) -> bytes:
    body = urlencode({"From": number, "CallSid": "CA1"}).encode()
    headers = (("host", "localhost"), ("content-type", "application/x-www-form-urlencoded"))
    answer = service.respond(HttpRequest("POST", "/incoming-call", headers, body))
    assert isinstance(answer, HttpResponse)
    return answer.body


def test_a_repeated_caller_hears_a_busy_signal() -> None:
    service = Service(ServiceConfig(), spending=make(Clock(), max_calls_per_caller=1))
    assert b"<Connect>" in ask(service, ANN)
    assert b'reason="busy"' in ask(service, ANN)
    assert b"<Connect>" in ask(service, BOB)


def test_after_the_minutes_of_the_day_nobody_is_answered() -> None:
    clock, call = Clock(), Call()
    spent = make(clock, max_minutes_per_day=1)
    service = Service(ServiceConfig(), spending=spent)
    spent.begin(call)
    clock.now_s = 60
    assert b'reason="busy"' in ask(service, ANN)
    ready = service.respond(HttpRequest("GET", "/readyz", (("host", "localhost"),)))
    assert isinstance(ready, HttpResponse)
    assert ready.status == 503


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="max_tokens_per_call must be at least 1"):
        SpendingLimits(max_tokens_per_call=0)
