"""Strategies for Hypothesis: interruptions, impairments, and the turns of a caller.

    @given(ms=strategies.interruption_times())
    async def test_the_agent_takes_an_interruption(call: PhoneCall, ms: int) -> None: ...

The smallest example is the simplest: an interruption at the first sound, no impairment, one turn,
one word.
"""

from collections.abc import Sequence

from hypothesis import strategies as st

from ..sim.choices import Choices
from ..sim.model.replies import ReplyItem
from .impairments import Impairments
from .phone_call import CallerTurn

__all__ = ["impairments", "interruption_times", "phrases", "responses", "turns"]

_WORDS = ("well", "I", "see", "and", "what", "about", "the", "next", "one", "or", "two", "then")


def interruption_times(max_ms: int = 10_000) -> st.SearchStrategy[int]:
    """How much of the agent a caller hears before interrupting (ms), for `interrupt_after`."""
    return st.integers(0, max_ms)


@st.composite
def impairments(draw: st.DrawFn, *names: str) -> Impairments:
    """Impairments for `PhoneCall.impairments`: some of all, or none; with names, each of these in
    half of the examples.

    Some impairments end a call, as they should. For tests that need the call to continue, name
    others; `IMPAIRMENT_NAMES` of `twilio_realtime.testing.impairments` has all.
    """

    def draw_number(label: str, low: int, high: int) -> int:
        del label
        return draw(st.integers(low, high))

    return Impairments.drawn_from(Choices.from_source(draw_number), *names)


def phrases(max_words: int = len(_WORDS)) -> st.SearchStrategy[str]:
    """Phrases of a few words."""
    return st.integers(1, max_words).map(lambda count: " ".join(_WORDS[:count]))


def responses(functions: Sequence[ReplyItem] = ()) -> st.SearchStrategy[Sequence[str | ReplyItem]]:
    """Responses of the model: words, one of `functions`, or one after the other."""
    words = phrases()
    items: st.SearchStrategy[str | ReplyItem] = words
    if functions:
        items = words | st.sampled_from(functions)
    return st.lists(items, min_size=1, max_size=2)


def turns(
    max_turns: int = 4, functions: Sequence[ReplyItem] = (), keys: str = ""
) -> st.SearchStrategy[list[CallerTurn]]:
    """Turns of a caller for `PhoneCall.take_turns`, with interruptions at any point. The model
    calls any of `functions`, and the caller presses some of `keys`."""
    caller_turns = st.builds(
        CallerTurn,
        says=phrases(),
        keys=st.text(st.sampled_from(keys), max_size=2) if keys else st.just(""),
        interrupt_after_ms=st.none() | interruption_times(3000),
        responses=st.lists(responses(functions), min_size=1, max_size=2).map(tuple),
    )
    return st.lists(caller_turns, min_size=1, max_size=max_turns)
