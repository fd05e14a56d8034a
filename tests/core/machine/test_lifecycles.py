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
    FUNCTION_CALL,
    RESPONSE,
    SESSION,
    STREAM,
    TURN,
    ActiveResponseInput,
    ActiveResponseState,
    FunctionCallInput,
    FunctionCallState,
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

# The state that each input leads to from each state; a dot where there is no transition.
STREAM_GRID = """
               OPENED         CONNECTED      START     START_AGAIN MEDIA     MARK      DTMF      STOP    CLOSE   CLOSED
UNOPENED       AWAITING_START .              .         .           .         .         .         .       CLOSED  CLOSED
AWAITING_START .              AWAITING_START STREAMING .           .         .         .         STOPPED CLOSING CLOSED
STREAMING      .              .              STREAMING .           STREAMING STREAMING STREAMING STOPPED CLOSING CLOSED
STOPPED        .              .              .         .           .         .         .         .       CLOSING .
CLOSING        .              .              .         .           .         .         .         .       .       CLOSED
CLOSED         .              .              .         .           .         .         .         .       .       .
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
                 CREATED     AUDIO            CANCEL     INTERRUPT        DONE
GENERATING       GENERATING  GENERATING       CANCELLING INTERRUPTED      DONE
CANCELLING       CANCELLING  CANCELLING       .          INTERRUPTED      DONE
INTERRUPTED      INTERRUPTED INTERRUPTED      .          .                INTERRUPTED_DONE
DONE             .           .                .          INTERRUPTED_DONE .
INTERRUPTED_DONE .           INTERRUPTED_DONE .          .                .
"""
ACTIVE_RESPONSE_GRID = """
                  REQUEST   CREATED CREATED_AGAIN     DONE OTHER_DONE BUSY              REFUSED EARLIER_REFUSED EXPIRED
FREE              REQUESTED ACTIVE  .                 .    FREE       .                 .       FREE            .
REQUESTED         .         ACTIVE  ACTIVE_UNKNOWN_ID .    REQUESTED  ACTIVE_UNKNOWN_ID FREE    REQUESTED       FREE
ACTIVE            .         ACTIVE  .                 FREE ACTIVE     .                 .       ACTIVE          FREE
ACTIVE_UNKNOWN_ID .         ACTIVE  ACTIVE_UNKNOWN_ID FREE FREE       .                 .       FREE            FREE
"""  # noqa: E501
TURN_GRID = """
                   STREAM_STARTED SPEECH_STARTED SPEECH_STOPPED COMMITTED          ANSWERED OVER  EXPIRED DISCARDED SESSION_LOST REPLAY
QUIET              QUIET          SPEAKING       QUIET          QUIET              .        .     .       .         QUIET        REPLAYED
SPEAKING           QUIET          .              PAUSED         SPEAKING_COMMITTED QUIET    .     .       QUIET     .            REPLAYED
SPEAKING_COMMITTED QUIET          SPEAKING       PAUSED         SPEAKING_COMMITTED QUIET    .     QUIET   QUIET     .            REPLAYED
PAUSED             QUIET          SPEAKING       .              COMMITTED          QUIET    .     QUIET   QUIET     .            REPLAYED
COMMITTED          QUIET          SPEAKING       COMMITTED      COMMITTED          QUIET    QUIET QUIET   .         QUIET        REPLAYED
REPLAYED           QUIET          SPEAKING       PAUSED         COMMITTED          QUIET    .     QUIET   QUIET     .            REPLAYED
"""  # noqa: E501
FUNCTION_CALL_GRID = """
            ANSWER   SEND_OUTPUT
REQUESTED   ANSWERED .
ANSWERED    .        OUTPUT_SENT
OUTPUT_SENT .        .
"""

Grid = tuple[str, Table[Any, Any], type[Enum], type[Enum]]
TABLES: dict[str, Grid] = {
    "stream": (STREAM_GRID, STREAM, StreamState, StreamInput),
    "session": (SESSION_GRID, SESSION, SessionState, SessionInput),
    "response": (RESPONSE_GRID, RESPONSE, ResponseState, ResponseInput),
    "active response": (
        ACTIVE_RESPONSE_GRID,
        ACTIVE_RESPONSE,
        ActiveResponseState,
        ActiveResponseInput,
    ),
    "turn": (TURN_GRID, TURN, TurnState, TurnInput),
    "function call": (FUNCTION_CALL_GRID, FUNCTION_CALL, FunctionCallState, FunctionCallInput),
}


def cells(name: str) -> Iterator[tuple[Enum, Enum, Enum | None]]:
    """Each state and input of a grid, and the state that they lead to."""
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
def test_an_input_leads_to_its_state_or_changes_nothing(
    name: str, state: Enum, event: Enum, target: Enum | None
) -> None:
    lifecycle = Lifecycle[Any, Any](TABLES[name][1], state)
    assert lifecycle.step(event) is (target is not None)
    assert lifecycle.state is (target or state)


@pytest.mark.parametrize("name", TABLES)
def test_every_pair_of_state_and_input_is_in_a_grid(name: str) -> None:
    _, table, states, inputs = TABLES[name]
    cells_of_grid = [(state, event) for state, event, _ in cells(name)]
    assert cells_of_grid == [(state, event) for state in states for event in inputs]
    assert list(table) == list(states)


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_a_lifecycle_follows_its_table_step_by_step(name: str, data: st.DataObject) -> None:
    _, table, states, inputs = TABLES[name]
    targets = {(state, event): target for state, event, target in cells(name)}
    state = data.draw(st.sampled_from(states))
    lifecycle = Lifecycle[Any, Any](table, state)
    for event in data.draw(st.lists(st.sampled_from(inputs), max_size=20)):
        target = targets[state, event]
        assert lifecycle.step(event) is (target is not None)
        state = target or state
        assert lifecycle.state is state


@pytest.mark.parametrize("name", TABLES)
def test_every_state_is_reachable_from_the_first(name: str) -> None:
    _, _, states, _ = TABLES[name]
    reached = {next(iter(states))}
    for _ in states:
        reached |= {target for state, _, target in cells(name) if target and state in reached}
    assert reached == set(states)


def test_two_lifecycles_of_one_table_are_independent() -> None:
    one, other = (Lifecycle(TURN, TurnState.QUIET) for _ in range(2))
    assert one.step(TurnInput.SPEECH_STARTED)
    assert (one.state, other.state) == (TurnState.SPEAKING, TurnState.QUIET)


def test_the_page_of_the_lifecycles_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "tools/make_states.py"))["page"]()
    page = (DOCS / "explanation/lifecycles.md").read_text("utf-8")
    assert page == made, "run: python docs/tools/make_states.py"
