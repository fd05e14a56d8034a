"""Draws from a seed, from a function, and from an earlier call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime.sim.choices import Choices, Draw, DrawMismatchError


def draw_some(choices: Choices) -> list[object]:
    return [
        choices.draw_integer("size", 3, 9),
        choices.draw_bool("rain", 50),
        choices.draw_option("colour", ("red", "blue")),
        choices.draw_weighted("way", ((1, "left"), (2, "right"))),
        choices.draw_random("noise").random(),
    ]


@given(st.integers())
def test_a_seed_gives_draws_that_can_be_repeated(seed: int) -> None:
    first = Choices.from_seed(seed)
    drawn = draw_some(first)
    assert draw_some(Choices.from_seed(seed)) == drawn
    again = Choices.from_draws(first.draws)
    assert draw_some(again) == drawn
    assert again.draws == first.draws


def test_a_new_label_does_not_change_other_draws() -> None:
    one, other = Choices.from_seed(1), Choices.from_seed(1)
    other.draw_integer("new", 0, 9)
    assert draw_some(one) == draw_some(other)


@given(st.data())
def test_draws_can_come_from_hypothesis(data: st.DataObject) -> None:
    choices = Choices.from_source(
        lambda label, low, high: data.draw(st.integers(low, high), label=label)
    )
    size, rain, colour, way, noise = draw_some(choices)
    assert isinstance(size, int)
    assert 3 <= size <= 9
    assert rain in (True, False)
    assert colour in ("red", "blue")
    assert way in ("left", "right")
    assert isinstance(noise, float)


def test_the_lowest_draws_are_the_plainest_and_not_described() -> None:
    plainest = Choices.from_source(lambda _, low, __: low)
    assert draw_some(plainest)[:4] == [3, False, "red", "left"]
    assert plainest.decisions == []


def test_decisions_are_words_and_draws_are_numbers() -> None:
    def speak() -> None: ...

    highest = Choices.from_source(lambda _, __, high: high)
    draw_some(highest)
    highest.draw_option("what", (speak, speak))
    highest.draw_option("which", (len, lambda: None))
    assert highest.decisions == [
        "size: 9",
        "rain",
        "colour: blue",
        "way: right",
        "what: speak",
        "which: number 1",
    ]
    assert str(highest.draws[0]) == "size: 9 of 3 to 9"


def test_a_weighted_option_occurs_as_often_as_its_weight() -> None:
    points = iter(range(6))
    choices = Choices.from_source(lambda _, __, ___: next(points))
    options = ((1, "a"), (3, "b"), (2, "c"))
    assert "".join(choices.draw_weighted("x", options) for _ in range(6)) == "abbbcc"


@pytest.mark.parametrize("draws", [[], [Draw("colour", 3, 9, 4)], [Draw("size", 3, 8, 4)]], ids=str)
def test_draws_from_another_call_are_refused(draws: list[Draw]) -> None:
    with pytest.raises(DrawMismatchError, match="size, 3 to 9, was not drawn in the earlier call"):
        Choices.from_draws(draws).draw_integer("size", 3, 9)
