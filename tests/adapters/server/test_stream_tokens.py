"""One-time tokens of streams."""

from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.server.stream_tokens import (
    MAX_TOKENS,
    TOKEN_CHARACTERS,
    StreamTokens,
    TokenFault,
)
from twilio_realtime_core.machine.units import MS


class Clock:
    now = 1

    def __call__(self) -> int:
        return self.now


def make(lifetime_ms: int = 60_000) -> tuple[StreamTokens[str], Clock]:
    clock, numbers = Clock(), count()
    return StreamTokens(lifetime_ms, lambda size: next(numbers).to_bytes(size), clock), clock


def test_a_token_leads_to_its_value_once() -> None:
    tokens, _ = make()
    first, second = tokens.issue("a"), tokens.issue("b")
    assert len(first) == TOKEN_CHARACTERS
    assert (tokens.get(first), tokens.get(second)) == ("a", "b")
    assert tokens.get(first) == "a"  # asking changes nothing
    tokens.mark_used(first)
    assert tokens.get(first) is TokenFault.USED
    assert tokens.get(second) == "b"


def test_a_token_that_was_not_issued_is_unknown() -> None:
    assert make()[0].get("x") is TokenFault.UNKNOWN


def test_a_token_expires_at_the_end_of_its_lifetime() -> None:
    tokens, clock = make(60_000)
    token = tokens.issue("a")
    clock.now += 60_000 * MS - 1
    assert tokens.get(token) == "a"
    clock.now += 1
    assert tokens.get(token) is TokenFault.EXPIRED


def test_an_expired_token_is_forgotten_after_another_lifetime() -> None:
    tokens, clock = make(1000)
    token = tokens.issue("a")
    clock.now += 2000 * MS - 1
    tokens.issue("b")
    assert tokens.get(token) is TokenFault.EXPIRED
    clock.now += 1
    tokens.issue("c")
    assert tokens.get(token) is TokenFault.UNKNOWN


def test_the_oldest_of_too_many_tokens_goes_first() -> None:
    tokens, _ = make()
    issued = [tokens.issue(str(number)) for number in range(MAX_TOKENS + 1)]
    assert tokens.get(issued[0]) is TokenFault.UNKNOWN
    assert tokens.get(issued[1]) == "1"


@given(st.lists(st.tuples(st.sampled_from(["issue", "use", "wait"]), st.integers(0, 2000))))
def test_no_token_is_valid_twice_or_too_late(steps: list[tuple[str, int]]) -> None:
    tokens, clock = make(1000)
    issued: dict[str, int] = {}
    used: set[str] = set()
    for kind, number in steps:
        if kind == "issue":
            issued[tokens.issue("value")] = clock.now
        elif kind == "wait":
            clock.now += number * MS
        elif issued:
            token = list(issued)[number % len(issued)]
            is_valid = tokens.get(token) == "value"
            assert is_valid == (token not in used and clock.now - issued[token] < 1000 * MS)
            if is_valid:
                tokens.mark_used(token)
                used.add(token)
