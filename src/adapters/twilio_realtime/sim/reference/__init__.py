"""The invariants of a call, judged from the inputs and outputs of its bridge alone.

`CheckedBridge(Bridge(...))` takes the place of a bridge and judges each step by each of
`INVARIANTS`. The judges share a reference model of the call, `expected`. Of the core they import
values only: they have their own decoder (`received` and `sent`), and limits are literals.

Several judges can share the number of an invariant. Some numbers have no judge: these invariants
compare several runs, or are about bytes.
"""

from .checked_bridge import CallMachine, CheckedBridge, InvariantBroken
from .invariants import INVARIANTS
from .step_record import Invariant

__all__ = ["INVARIANTS", "CallMachine", "CheckedBridge", "Invariant", "InvariantBroken"]
