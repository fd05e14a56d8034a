"""What is always true of a call, judged from what a bridge is told and what it asks for.

`Checked(Bridge(...))` takes the bridge's place anywhere and holds each of its steps against every
invariant, one class for each; `INVARIANTS` is the list. Nothing is believed of the bridge: only its
inputs and its outputs count, and from them `Facts` are gathered that the invariants share. Where
a number has two classes, one says what a bridge must not do, and one what it must. The numbers have
gaps: the other invariants compare several runs, or speak of bytes, and are not held
step by step.
"""

from .checked_bridge import INVARIANTS, CallMachine, Checked, InvariantBroken
from .step_record import Invariant

__all__ = ["INVARIANTS", "CallMachine", "Checked", "Invariant", "InvariantBroken"]
