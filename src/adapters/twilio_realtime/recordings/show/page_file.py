"""The page of a recording as a file: what a test or a simulation leaves of a call that failed."""

from collections.abc import Iterable
from pathlib import Path

from attrs import frozen

from ...errors import UsageError
from ..private_files import create_private_file
from .page import render_recording

__all__ = ["PageFile", "page_beside", "write_page"]


@frozen
class PageFile:
    """The file of a page, or why there is none."""

    file: str | None = None
    error: str | None = None

    @property
    def text(self) -> str:
        """The name of the file for people, or that it was not written."""
        return f"not written: {self.error}" if self.file is None else self.file


def page_beside(path: Path) -> Path:
    """Return the file of the page that belongs to another file of a call."""
    return path.with_name(f"{path.name}.html" if path.suffix == ".html" else f"{path.stem}.html")


def write_page(recording: Iterable[bytes], path: Path, *, title: str) -> PageFile:
    """Write the page of a recording to a file, whose folder is created if need be. What prevents it
    is in the result: nothing else fails because of a page."""
    try:
        page = render_recording(recording, title=title)
        path.parent.mkdir(parents=True, exist_ok=True)
        create_private_file(path)
        path.write_text(page, "utf-8")
    except OSError as error:
        return PageFile(error=(error.strerror or str(error)).lower())
    except UsageError as error:
        return PageFile(error=f"the call has no recording to show: {error}")
    except Exception as error:  # a failed call may have values that no other call has
        return PageFile(error=f"the call cannot be shown: {error!r}")
    return PageFile(str(path))
