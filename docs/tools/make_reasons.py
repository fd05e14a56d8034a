"""Write reasons.md from the enums of `twilio_realtime_core.machine.reasons`.

python docs/tools/make_reasons.py           writes the page
python docs/tools/make_reasons.py --check   fails if the page is out of date
"""

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

from twilio_realtime_core.machine.reasons import Decision, Reason

PAGE = Path(__file__).parents[1] / "reference/reasons.md"
MAKE_STATES = Path(__file__).with_name("make_states.py")

INTRODUCTION = """\
# Reasons

Where the bridge has a choice, it gives the reason for what it does. `Bridge.reasons` has those of
the last step, in order; [recordings](../how-to/recorded-calls.md) hold those of each step in the
field `why`.

```python
from twilio_realtime_core import Bridge, Interrupt

bridge = Bridge()
bridge.start(0)
bridge.send(Interrupt(), 1)
assert [(why.decision.value, why.label) for why in bridge.reasons] == [
    ("interruption_unneeded", "nothing_to_stop")
]
```

[`make_reasons.py`](../tools/make_reasons.py) writes this page from
[`reasons.py`](../../src/twilio_realtime_core/machine/reasons.py); a test keeps it up to date. Later
versions may give reasons for more decisions.

| decision | reason | what it means |
|---|---|---|
"""


def page() -> str:
    """Return the whole page."""
    return INTRODUCTION + "".join(f"{line}\n" for line in rows())


def rows() -> Iterator[str]:
    """Yield a row for each decision, and below it one for each of its reasons."""
    comments = runpy.run_path(str(MAKE_STATES))["comments"]
    decisions, reasons = comments(Decision), comments(Reason)
    for decision in Decision:
        yield f"| `{decision.value}` | | **{decisions[decision.name]}** |"
        for reason in Reason:
            if reason.decision is decision:
                yield f"| | `{reason.label}` | {reasons[reason.name]} |"


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run {sys.argv[0]}")
