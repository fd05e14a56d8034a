"""Pages, help texts, docstrings and comments are in plain English, and titles are no questions."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pages import FENCE, ROOT, each_page

PHRASES = (
    r"(?:had|has|have|having) (?:its|their|his|her|your|our) (?:own )?way",
    r"held against",
    r"in vain",
    r"what goes wrong is",
    r"is told at once",
    r"whoever",
    r"tells? of",
    r"told of",
    r"of one's own",
    r"is to be heard",
    r"who drives",
    r"rooms of",
    r"puts? the receiver down",
    r"looks? after one call",
    r"waited for in vain",
    r"as it has to be",
    r"say all in",
    r"no business of",
    r"who may",
    r"what am I",
    r"where is what",
)
"""What may not come back: each can be said with a subject, a verb and an object."""

BANNED = re.compile(r"\b(?:" + "|".join(PHRASES).replace(" ", r"[\s#]+") + r")\b", re.IGNORECASE)
"""The phrases, also where a line ends within one."""

HEADING = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)

SOURCES = [
    *ROOT.glob("*.md"),
    *(ROOT / "changelog.d").glob("*.md"),
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "docs").rglob("*.py"),
    *(ROOT / "src").rglob("*.py"),
    *(path for path in (ROOT / "tests").rglob("*.py") if path.name != Path(__file__).name),
    *(ROOT / "fuzz").rglob("*.py"),
    ROOT / "Makefile",
]


def banned(text: str) -> Iterator[str]:
    for match in BANNED.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield f"line {line}: {' '.join(match[0].split())}"


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_banned_phrase_comes_back(source: Path) -> None:
    assert list(banned(source.read_text("utf-8"))) == []


@each_page
def test_no_title_of_a_page_is_a_question(page: Path) -> None:
    titles = [match["title"] for match in HEADING.finditer(FENCE.sub("", page.read_text("utf-8")))]
    assert titles
    assert not [title for title in titles if title.rstrip().endswith("?")]


def test_a_phrase_is_found_across_lines_in_any_case() -> None:
    text = "It has\n# its way. Plain.\nWho may\n    enter? Whoever knocks; the whole may stay.\n"
    assert list(banned(text)) == ["line 1: has # its way", "line 3: Who may", "line 4: Whoever"]
