"""Strategies for Hypothesis: when a caller interrupts, what goes wrong, and what a call is like.

    @given(ms=strategies.interruption_times())
    async def test_an_interruption_does_no_harm(call: PhoneCall, ms: int) -> None: ...

The smallest example is the plainest: interrupted at the first sound, no fault, one turn, one word.
"""

from collections.abc import Sequence

from hypothesis import strategies as st

from ..sim.batch.choices import Choices
from ..sim.model.replies import ReplyItem
from .impairments import Faults
from .phone_call import Turn

__all__ = ["answers", "calls", "faults", "interruption_times", "sayings"]

_WORDS = ("well", "I", "see", "and", "what", "about", "the", "next", "one", "or", "two", "then")


def interruption_times(most_ms: int = 10_000) -> st.SearchStrategy[int]:
    """How much of the agent a caller hears before he interrupts (ms), for `interrupt_after`."""
    return st.integers(0, most_ms)


@st.composite
def faults(draw: st.DrawFn, *names: str) -> Faults:
    """What goes wrong, for `PhoneCall.faults`: some of all faults, or none; if some are named, each
    of these one time in two.

    Some of them end a call, as they should; name others for tests that go on
    (`twilio_realtime.testing.impairments.NAMES` has all).
    """

    def draw_number(label: str, low: int, high: int) -> int:
        del label
        return draw(st.integers(low, high))

    return Faults.drawn_from(Choices.drawn(draw_number), *names)


def sayings(most_words: int = len(_WORDS)) -> st.SearchStrategy[str]:
    """A few words."""
    return st.integers(1, most_words).map(lambda count: " ".join(_WORDS[:count]))


def answers(functions: Sequence[ReplyItem] = ()) -> st.SearchStrategy[Sequence[str | ReplyItem]]:
    """One response of the model: words, or one of `functions`, or one after the other."""
    words = sayings()
    items: st.SearchStrategy[str | ReplyItem] = words
    if functions:
        items = words | st.sampled_from(functions)
    return st.lists(items, min_size=1, max_size=2)


def calls(
    most_turns: int = 4, functions: Sequence[ReplyItem] = (), keys: str = ""
) -> st.SearchStrategy[list[Turn]]:
    """What a caller does, for `PhoneCall.follow`: some turns, with interruptions anywhere. The
    model calls any of `functions`, and the caller presses some of `keys`."""
    turns = st.builds(
        Turn,
        says=sayings(),
        keys=st.text(st.sampled_from(keys), max_size=2) if keys else st.just(""),
        interrupt_after_ms=st.none() | interruption_times(3000),
        answers=st.lists(answers(functions), min_size=1, max_size=2).map(tuple),
    )
    return st.lists(turns, min_size=1, max_size=most_turns)
