"""Write invariants.md from the names and docstrings of the invariants.

python docs/tools/make_invariants.py           writes the page
python docs/tools/make_invariants.py --check   fails if the page is out of date
"""

import sys
from pathlib import Path

from twilio_realtime.sim.reference import INVARIANTS
from twilio_realtime.sim.reference.later_sessions import LaterSessions
from twilio_realtime.sim.reference.step_record import Invariant

PAGE = Path(__file__).parents[1] / "explanation/invariants.md"

INTRODUCTION = """\
# Invariants

An invariant is true of every step of every call. Each step of a simulated call is judged by all of
them, and so is each step of the `call` of a [test](../how-to/test-agents.md); `CheckedBridge` does
it for any other bridge. The judges read the inputs and outputs of the bridge and know nothing of
how it works: they have their own decoder, and their own copy of each limit. If an invariant does
not hold, `InvariantBroken` is raised, with its id and the step.

```python
from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime.sim.reference import CheckedBridge

config = CallConfig()
bridge = CheckedBridge(Bridge(config), config)
assert bridge.start(0) == []
```

[`make_invariants.py`](../tools/make_invariants.py) writes this page from
[the judges](../../src/adapters/twilio_realtime/sim/reference/invariants), whose docstrings say
more; a test keeps it up to date. [Planted bugs](../project/mutants.md) show whether the judges
would notice a bug.

| id | name | what holds |
|---|---|---|
"""

HELD_BY_TESTS = (
    (-1, "No exceptions", "Nothing raises, whatever a peer sends."),
    (
        11,
        "Same replay",
        "A replay of a recorded call has the same outputs, for any hash seed; tests hold that.",
    ),
    (
        12,
        "Any segmentation",
        "The same bytes give the same messages, however they are cut; property tests hold that.",
    ),
)
"""Invariants that no judge of single steps can see."""


def page() -> str:
    """Return the whole page."""
    judges: tuple[type[Invariant], ...] = (*INVARIANTS, LaterSessions)
    judged = [(each.number, each.name, each.sentence()) for each in judges]
    rows = sorted([*judged, *HELD_BY_TESTS], key=lambda row: row[0])
    return INTRODUCTION + "".join(f"| {id_} | {name} | {text} |\n" for id_, name, text in rows)


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run {sys.argv[0]}")
