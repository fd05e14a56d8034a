"""Writes invariants.md from what the invariants of `twilio_realtime.sim` say of themselves.

python docs/make_invariants.py           writes the page
python docs/make_invariants.py --check   fails if the page is out of date
"""

import inspect
import sys
from pathlib import Path

from twilio_realtime.sim.reference import INVARIANTS

PAGE = Path(__file__).with_name("invariants.md")

INTRODUCTION = """\
# What is always true of a call?

What a bridge is told and what it asks for is held against this, step by step: in each simulated
call, in the `call` of a [test](testing-agents.md), and wherever `Checked` takes a bridge's place.
The judges believe what the peers say, and not the bridge: they know nothing of how it works. What
does not hold is raised as `InvariantBroken`, with its number and the step.

```python
from twilio_realtime_core import Bridge, CallConfig
from twilio_realtime.sim.reference import Checked

config = CallConfig()
bridge = Checked(Bridge(config), config)
assert bridge.start(0) == []
```

[`make_invariants.py`](make_invariants.py) writes this page from
[the judges](../src/adapters/twilio_realtime/sim/reference); a test holds it to them. Whether they
would notice a bug is [another question](mutants.md).

| number | what is always true |
|---|---|
"""

HELD_BY_TESTS = (
    (-1, "Nothing raises, whatever a peer may send."),
    (11, "Replaying a recorded call gives the same outputs. (Tests hold that, across hash seeds.)"),
    (12, "Any segmentation of the bytes gives the same messages. (Property tests hold that.)"),
)
"""What no judge of single steps can see."""


def page() -> str:
    """The whole page."""
    judged = [(each.number, words(each)) for each in INVARIANTS]
    rows = sorted([*judged, *HELD_BY_TESTS], key=lambda row: row[0])
    return INTRODUCTION + "".join(f"| {number} | {text} |\n" for number, text in rows)


def words(invariant: type) -> str:
    """What an invariant says of itself, in one line."""
    return " ".join((inspect.getdoc(invariant) or "").split())


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run {sys.argv[0]}")
