"""The configuration of Sphinx for the documentation; `build_site.py` uses it."""

import importlib.metadata
import re
from typing import Any

from sphinx.application import Sphinx

project = "twilio-realtime-core"
version = release = importlib.metadata.version(project)
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
html_title = f"{project} {release}"
myst_heading_anchors = 4
default_role = "py:obj"  # what docstrings have between backticks: a link where it is documented
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
suppress_warnings = [
    "myst.header",  # the table of contents follows below sections
    "misc.highlighting_failure",
]

_CODE = re.compile(r"(`[^`\n]*`)")
_MARKUP = re.compile(r"([*|\\]|(?<=\w)_(?!\w))")


def escape_docstring(*arguments: Any) -> None:
    """Make reStructuredText of a docstring: only backticks and indented blocks mean something.

    The last argument of `autodoc-process-docstring` is the list of lines, to be changed in place.
    """
    lines: list[str] = arguments[-1]
    text: list[str] = []
    is_literal = False
    for line in lines:
        above = text[-1] if text else ""
        if line.startswith("    ") and not is_literal and not above.lstrip().startswith("- "):
            text += ["", "::", ""]
            is_literal = True
        elif line.strip() and not line.startswith("    "):
            is_literal = False
        text.append(line if is_literal else escape_line(line))
    lines[:] = text


def escape_line(line: str) -> str:
    """Escape what has a meaning in reStructuredText, outside of backticks."""
    pieces = _CODE.split(line)  # every second one is code
    escaped = [
        piece if index % 2 else _MARKUP.sub(r"\\\1", piece) for index, piece in enumerate(pieces)
    ]
    for index in range(2, len(pieces), 2):
        if escaped[index][:1].isalnum():
            escaped[index] = "\\ " + escaped[index]  # ends the code
    return "".join(escaped)


def setup(app: Sphinx) -> None:
    """Register the handler of docstrings."""
    app.connect("autodoc-process-docstring", escape_docstring)
