import runpy
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twilio_realtime_core.machine.lifecycles import (
    ACTIVE_RESPONSE,
    RESPONSE,
    SESSION,
    STREAM,
    TURN,
    ActiveResponseInput,
    ActiveResponseState,
    Lifecycle,
    ResponseInput,
    ResponseState,
    SessionInput,
    SessionState,
    StreamInput,
    StreamState,
    Table,
    TurnInput,
    TurnState,
)

DOCS = Path(__file__).parents[3] / "docs"

# Where each input leads from each state; a dot where it makes no sense.
STREAM_GRID = """
           OPENED  CONNECTED START     START_AGAIN MEDIA     MARK      DTMF      STOP    CLOSE   CLOSED
UNOPENED   WAITING .         .         .           .         .         .         .       CLOSED  CLOSED
WAITING    .       WAITING   STREAMING .           .         .         .         STOPPED CLOSING CLOSED
STREAMING  .       .         STREAMING .           STREAMING STREAMING STREAMING STOPPED CLOSING CLOSED
STOPPED    .       .         .         .           .         .         .         .       CLOSING .
CLOSING    .       .         .         .           .         .         .         .       .       CLOSED
CLOSED     .       .         .         .           .         .         .         .       .       .
"""  # noqa: E501
SESSION_GRID = """
            OPEN    OPENED      CONFIGURED CLOSE   CLOSED
UNOPENED    OPENING .           .          CLOSED  .
OPENING     .       CONFIGURING .          CLOSING CLOSED
CONFIGURING .       .           READY      CLOSING CLOSED
READY       .       .           READY      CLOSING CLOSED
CLOSING     .       CLOSING     .          .       CLOSED
CLOSED      .       .           .          .       .
"""
RESPONSE_GRID = """
            CREATED    AUDIO       CANCEL     INTERRUPT   DONE
GENERATING  GENERATING GENERATING  CANCELLING INTERRUPTED DONE
CANCELLING  CANCELLING CANCELLING  .          INTERRUPTED DONE
INTERRUPTED INTERRUPTED INTERRUPTED .          .           SILENCED
DONE        .          .           .          SILENCED    .
SILENCED    .          SILENCED    .          .           .
"""
SLOT_GRID = """
       ASK   CREATED CREATED_AGAIN DONE OTHER_DONE BUSY  REFUSED NOT_ANSWERED
FREE   ASKED ACTIVE  .             .    FREE       .     .       FREE
ASKED  .     ACTIVE  TAKEN         .    ASKED      TAKEN FREE    ASKED
ACTIVE .     ACTIVE  .             FREE ACTIVE     .     .       ACTIVE
TAKEN  .     ACTIVE  TAKEN         FREE FREE       .     .       FREE
"""
TURN_GRID = """
         SPEECH_STARTED SPEECH_STOPPED COMMITTED
QUIET    SPEAKING       QUIET          QUIET
SPEAKING .              PAUSED         QUIET
PAUSED   SPEAKING       .              QUIET
"""

Grid = tuple[str, Table[Any, Any], type[Enum], type[Enum]]
TABLES: dict[str, Grid] = {
    "stream": (STREAM_GRID, STREAM, StreamState, StreamInput),
    "session": (SESSION_GRID, SESSION, SessionState, SessionInput),
    "response": (RESPONSE_GRID, RESPONSE, ResponseState, ResponseInput),
    "slot": (SLOT_GRID, ACTIVE_RESPONSE, ActiveResponseState, ActiveResponseInput),
    "turn": (TURN_GRID, TURN, TurnState, TurnInput),
}


def cells(name: str) -> Iterator[tuple[Enum, Enum, Enum | None]]:
    """Each state and input of a grid, and where they lead."""
    grid, _, states, inputs = TABLES[name]
    head, *rows = grid.strip("\n").splitlines()
    for row in rows:
        state, *targets = row.split()
        for event, target in zip(head.split(), targets, strict=True):
            yield states[state], inputs[event], None if target == "." else states[target]


PAIRS = [
    pytest.param(name, state, event, target, id=f"{name}: {event.value} while {state.value}")
    for name in TABLES
    for state, event, target in cells(name)
]


@pytest.mark.parametrize(("name", "state", "event", "target"), PAIRS)
def test_an_input_leads_where_it_should_or_changes_nothing(
    name: str, state: Enum, event: Enum, target: Enum | None
) -> None:
    life = Lifecycle[Any, Any](TABLES[name][1], state)
    assert life.step(event) is (target is not None)
    assert life.state is (target or state)


@pytest.mark.parametrize("name", TABLES)
def test_every_pair_of_state_and_input_is_looked_at(name: str) -> None:
    _, table, states, inputs = TABLES[name]
    looked_at = [(state, event) for state, event, _ in cells(name)]
    assert looked_at == [(state, event) for state in states for event in inputs]
    assert list(table) == list(states)


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_a_life_goes_on_from_where_it_is(name: str, data: st.DataObject) -> None:
    _, table, states, inputs = TABLES[name]
    leads = {(state, event): target for state, event, target in cells(name)}
    state = data.draw(st.sampled_from(states))
    life = Lifecycle[Any, Any](table, state)
    for event in data.draw(st.lists(st.sampled_from(inputs), max_size=20)):
        target = leads[state, event]
        assert life.step(event) is (target is not None)
        state = target or state
        assert life.state is state


@pytest.mark.parametrize("name", TABLES)
def test_every_state_can_be_reached_from_the_first(name: str) -> None:
    _, _, states, _ = TABLES[name]
    reached = {next(iter(states))}
    for _ in states:
        reached |= {target for state, _, target in cells(name) if target and state in reached}
    assert reached == set(states)


def test_two_lives_of_one_table_do_not_touch() -> None:
    one, other = (Lifecycle(TURN, TurnState.QUIET) for _ in range(2))
    assert one.step(TurnInput.SPEECH_STARTED)
    assert (one.state, other.state) == (TurnState.SPEAKING, TurnState.QUIET)


def test_the_page_of_the_states_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "make_states.py"))["page"]()
    assert (DOCS / "states.md").read_text("utf-8") == made, "run: python docs/make_states.py"
