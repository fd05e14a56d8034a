"""The pages that people read: where they are, and the blocks of code in them."""

import re
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

__all__ = ["FENCE", "PAGES", "ROOT", "Block", "blocks", "each_page"]

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

FENCE: Final = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=fence)[ ]*$", re.M | re.S
)

SAVED: Final = re.compile(r"[Ss]ave\s+this\s+as\s+`(?P<file>[\w.-]+)`[^`\n]*\s*\Z")

each_page: Final = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT))
)


@frozen
class Block:
    """A fenced block: the word after its fence, its code, and the lines of the page before it.

    `output` is the text block that follows it with only blank lines between: what it prints.
    `saved_as` is the file that the sentence before the block tells the reader to save it as.
    """

    info: str
    code: str
    lines_before: int
    output: str | None = None
    saved_as: str = ""


def blocks(text: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    matches = list(FENCE.finditer(text))
    found: list[Block] = []
    for index, match in enumerate(matches):
        output = None
        for after in matches[index + 1 : index + 2]:
            between = text[match.end() : after.start()]
            if after["info"].strip() == "text" and not between.strip():
                output = after["code"]
        saved = SAVED.search(text[: match.start()])
        before = text.count("\n", 0, match.start("code"))
        name = saved["file"] if saved else ""
        found.append(Block(match["info"].strip(), match["code"], before, output, name))
    return found
