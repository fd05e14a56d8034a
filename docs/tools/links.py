"""Links of pages, written anew for places where the files around them are not: a package index, and
the site.

A link to a file of the repository leads to the project's home. While that has no address, such a
link becomes its text.
"""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["FENCED", "ROOT", "home", "link_to_home", "rewrite"]

ROOT: Final = Path(__file__).parents[2]

FENCED: Final = re.compile(r"^(`{3,}).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(
    r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s#]*)(?P<anchor>#[^)\s]*)?\)"
)


def home() -> str:
    """Return the address of the project's home, without a slash at its end; "" if there is none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    address: str = project["tool"]["hatch"]["metadata"]["hooks"]["custom"]["home"]
    return address.rstrip("/")


def link_to_home(path: Path, address: str) -> str | None:
    """Return the address of a file or folder of the repository; `None` if there is no home."""
    if not address:
        return None
    kind = "raw" if path.suffix == ".svg" else "tree" if path.is_dir() else "blob"
    return f"{address}/{kind}/main/{path.relative_to(ROOT)}"


def rewrite(text: str, page: Path, target: Callable[[Path], str | None]) -> str:
    """Return the text of a page with the links to files replaced.

    `target` gets the file that a link names and returns where to link to, or `None` for its text
    alone. Code blocks, links within the page and links to other hosts stay as they are.
    """

    def replace(match: re.Match[str]) -> str:
        path = match["path"]
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        new = target((page.parent / path).resolve())
        if new is None:
            return match["text"]
        return f"{match['image']}[{match['text']}]({new}{match['anchor'] or ''})"

    parts: list[str] = []
    end = 0
    for block in FENCED.finditer(text):
        parts += [_LINK.sub(replace, text[end : block.start()]), block[0]]
        end = block.end()
    return "".join([*parts, _LINK.sub(replace, text[end:])])
