"""The scenario of a random call: one with a name, or random parts in a row."""

from typing import Final

from ..choices import Choices
from ..scenarios.parts import (
    ScenarioPart,
    answer,
    function_call,
    function_calls,
    goodbye,
    greeting,
    interruption,
    key_presses,
    monologue,
    muted_speech,
    question,
    several_items,
    silent_caller,
)
from ..scenarios.table import SCENARIOS

__all__ = ["draw_scenario"]

_WEIGHTED_PARTS: Final = (
    *((3, make) for make in (question, answer, goodbye, interruption, function_call)),
    *(
        (1, make)
        for make in (
            several_items,
            monologue,
            key_presses,
            muted_speech,
            silent_caller,
            function_calls,
        )
    ),
    (1, lambda: interruption(after_ms=0)),
    (1, lambda: question() + answer(2500, wait_for_end=False) + interruption(after_ms=300)),
)
"""Parts that a random call is made of, with their weights."""

_MAX_PARTS: Final = 5


def draw_scenario(choices: Choices, requested: str | None) -> tuple[str, ScenarioPart]:
    """Return the name of a scenario, and what happens in it. It is one of `SCENARIOS` if it is
    `requested` by its name; `random` is the name of one of random parts."""
    if requested is not None:
        return requested, SCENARIOS[requested]()
    if choices.draw_bool("a scenario with a name", 50):
        name = choices.draw_option("which scenario", tuple(SCENARIOS))
        return name, SCENARIOS[name]()
    part = greeting() if choices.draw_bool("the agent greets", 50) else ScenarioPart()
    for _ in range(choices.draw_integer("parts", 0, _MAX_PARTS)):
        part += choices.draw_weighted("part", _WEIGHTED_PARTS)()
    return "random", part
