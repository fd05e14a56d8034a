"""What a Realtime server can send, and what an application can ask to be sent as plain data."""

import json
import sys
from importlib import import_module
from typing import Any, cast

from twilio_realtime_core.errors import Fault, LocalProtocolError
from twilio_realtime_core.protocols import realtime

LONGEST_FAULT = 200
"""Characters of a message; none that says what is wrong and where comes near."""


def check(data: bytes) -> None:
    """Nothing raises but `LocalProtocolError`, and that not for the server's messages; faults hold
    nothing of the message; ids that are read can be sent back."""
    text = data.decode("utf-8", "surrogateescape")
    match realtime.decode(text):
        case Fault(message=message):
            assert message.isascii()
            assert len(message) < LONGEST_FAULT
        case realtime.OutputItemDoneEvent(item=realtime.Item(item_id)):
            assert json.loads(realtime.DeleteItem(item_id).encode())["item_id"] == item_id
        case realtime.OutputAudioDeltaEvent(_, item_id, _, index):
            truncate = json.loads(realtime.TruncateItem(item_id, index, 0).encode())
            assert (truncate["item_id"], truncate["content_index"]) == (item_id, index)
        case _:
            pass
    check_client_event(text)


def check_client_event(text: str) -> None:
    """What is taken as a client event can be sent, and says the same."""
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return
    if not isinstance(body, dict):
        return
    try:
        event = realtime.client_event(cast("dict[str, Any]", body))
    except LocalProtocolError:
        return
    sent = json.loads(event.encode())
    assert sent["type"] == event.type
    assert realtime.client_event(sent).encode() == event.encode()


def main() -> None:
    """Hand `check` to the fuzzer, which reads its options from the command line."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
