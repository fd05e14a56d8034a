"""Write configuration.md from the fields of the configuration classes and the texts below them.

python docs/tools/make_configuration.py           writes the page
python docs/tools/make_configuration.py --check   fails if the page is out of date
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import attrs

from twilio_realtime.server.service_config import ServiceConfig
from twilio_realtime_core import CallConfig, InterruptionLimit, InterruptionPolicy
from twilio_realtime_core.transport.websocket import LinkConfig

PAGE: Final = Path(__file__).parents[1] / "reference/configuration.md"

LONGEST: Final = 50
"""Longer defaults are not shown in full."""

CLASSES: Final = (CallConfig, InterruptionPolicy, InterruptionLimit, LinkConfig, ServiceConfig)

INTRODUCTION: Final = """\
# Configuration

The fields of the configuration classes, with their defaults. All durations are in milliseconds. A
value out of its range raises an error when the object is made. The session of the model has its own
page: [Session configuration](session-configuration.md).

```python
from twilio_realtime import Agent
from twilio_realtime_core import CallConfig, InterruptionPolicy

config = CallConfig(
    inactivity_timeout_ms=1000,
    interruption=InterruptionPolicy(after_speech_ms=300),
)
agent = Agent("You answer the phone of a pizza shop.", config=config)
```
"""


def page() -> str:
    """Return the whole page."""
    return "\n".join([INTRODUCTION, *("\n".join(lines(each)) for each in CLASSES)])


def lines(kind: type[Any]) -> Iterator[str]:
    """Yield the lines of a class: its docstring's first paragraph, and a row for each field."""
    texts = field_texts(kind)
    yield f"## `{kind.__name__}`\n"
    summary = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    yield f"`{kind.__module__}.{kind.__name__}`: {one_line(summary)}\n"
    yield "| field | default | meaning |"
    yield "|---|---|---|"
    for each in attrs.fields(kind):
        if each.init:
            yield f"| `{each.name}` | {default(each)} | {texts.get(each.name, '')} |"
    yield ""


def default(field: "attrs.Attribute[Any]") -> str:
    """Return the default of a field as code; nothing if the field is required."""
    value: Any = field.default
    if value is attrs.NOTHING:
        return "required"
    if factory := getattr(value, "factory", None):
        return f"`{factory.__name__}()`" if inspect.isclass(factory) else "made for each object"
    text = repr(value)
    if len(text) < LONGEST:
        return f"`{text}`"
    return "a text" if isinstance(value, str) else f"`{type(value).__name__}()`"


def field_texts(kind: type[Any]) -> dict[str, str]:
    """Return the texts that stand below the fields of a class, by field."""
    found: dict[str, str] = {}
    for above, below in pairwise(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(kind))))):
        match above, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = one_line(text).replace("|", "\\|")
            case _:
                pass
    return found


def one_line(text: str) -> str:
    """Return a docstring without its line breaks."""
    return " ".join(text.split())


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run {sys.argv[0]}")
