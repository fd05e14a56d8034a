"""How much of an answer's time the functions took that the model called before it spoke."""

from collections.abc import Sequence

from attrs import frozen

from .events import FunctionSpan
from .turns import ShownTurn

__all__ = ["FunctionTime", "function_time"]


@frozen
class FunctionTime:
    """The names of the functions, when the first was called (ns), and how long they took (ns);
    where they ran at the same time, it counts once."""

    names: str
    start_ns: int
    duration_ns: int


def function_time(turn: ShownTurn, functions: Sequence[FunctionSpan]) -> FunctionTime | None:
    """Return the time of the functions whose output was sent between the request of the response
    and its first audio; `None`: there are none."""
    if turn.requested_ns is None or turn.first_delta_ns is None:
        return None
    spans: list[tuple[int, int, str]] = []
    for each in functions:
        end_ns = each.answered_ns
        if end_ns is None or not turn.requested_ns <= each.requested_ns <= end_ns:
            continue
        if end_ns <= turn.first_delta_ns:
            spans.append((each.requested_ns, end_ns, each.name[:80]))
    if not spans:
        return None
    spans.sort()
    duration_ns = last_ns = 0
    for start_ns, end_ns, _ in spans:
        duration_ns += max(0, end_ns - max(start_ns, last_ns))
        last_ns = max(last_ns, end_ns)
    return FunctionTime(
        " and ".join(dict.fromkeys(name for *_, name in spans)), spans[0][0], duration_ns
    )
