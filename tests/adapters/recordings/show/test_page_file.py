"""The page of a recording as a file."""

import os
import stat
from pathlib import Path

import pytest

from shown_calls import interrupted_call
from twilio_realtime.recordings.show import page_file
from twilio_realtime.recordings.show.page_file import PageFile, page_beside, write_page


@pytest.fixture
def recording() -> list[bytes]:
    return interrupted_call(keep_audio=False).lines


def test_a_page_is_written_where_only_the_owner_reads_it(
    recording: list[bytes], tmp_path: Path
) -> None:
    path = tmp_path / "new" / "call.html"
    assert write_page(recording, path, title="<failed>") == PageFile(str(path))
    assert "<title>&lt;failed&gt;</title>" in path.read_text("utf-8")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("file", "page"),
    [("1-messages.txt", "1-messages.html"), ("call", "call.html"), ("a.html", "a.html.html")],
)
def test_a_page_never_takes_the_place_of_the_file_that_it_belongs_to(file: str, page: str) -> None:
    assert page_beside(Path("calls") / file) == Path("calls") / page


@pytest.mark.parametrize("lines", [[], [b"{}\n"], [b"\xff\n"]])
def test_without_a_recording_there_is_no_page(lines: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "call.html"
    page = write_page(lines, path, title="x")
    assert page.file is None
    assert page.text.startswith("not written: the call has no recording to show: ")
    assert not path.exists()


def test_a_full_disk_is_said(
    recording: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_text(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_text", write_text)
    page = write_page(recording, tmp_path / "call.html", title="x")
    assert page.text == "not written: no space left on device"


def test_a_call_that_cannot_be_shown_is_said(
    recording: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(*_: object, **__: object) -> str:
        raise ZeroDivisionError("no time")

    monkeypatch.setattr(page_file, "render_recording", render)
    page = write_page(recording, tmp_path / "call.html", title="x")
    assert page.error == "the call cannot be shown: ZeroDivisionError('no time')"
