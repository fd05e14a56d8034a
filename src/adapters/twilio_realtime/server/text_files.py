"""Files of text that people write: settings, variables, secrets, scripts."""

from pathlib import Path

from ..errors import UsageError

__all__ = ["read_text_file"]


def read_text_file(path: Path, name: str | None = None) -> str:
    """Return the text of a file in UTF-8, with or without a byte order mark.

    Raises `OSError` if it cannot be read, and `UsageError` if it is not UTF-8, which names the file
    (`name`; default: its path) and the line, and shows nothing of it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{name or path}, line {line}, is not text in UTF-8: save the file as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
