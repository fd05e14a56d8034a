"""What a failed test says of the recording of its call."""

from collections.abc import Iterable
from pathlib import Path

from ..recordings.show.page_file import page_beside, write_page

__all__ = ["recording_note"]


def recording_note(record_to: Path | None, lines: Iterable[str]) -> str:
    """Write the page of a call that is recorded to a file, beside that file. Return the lines that
    name it, and the command that keeps the call as a test."""
    if record_to is None:
        command = "record it (record_to=FILE) and run: twilio-realtime replay FILE --to-test DIR"
        return f"To keep the call as a test: {command}"
    recording = (each.encode() for each in lines)
    page = write_page(recording, page_beside(record_to), title=f"Failed: {record_to.name}")
    command = f"twilio-realtime replay {record_to} --to-test DIR"
    return f"Page of the call: {page.text}\nTo keep the call as a test: {command}"
