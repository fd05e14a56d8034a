"""Build the documentation as a site: python docs/tools/build_site.py [FOLDER]

The pages are copied to a folder of sources, with the links that the site needs and with a page of
the API for each part of the packages. Then Sphinx builds them, and any warning is an error.
"""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from pkgutil import walk_packages
from typing import Final

sys.path.insert(0, str(Path(__file__).parent))

from links import ROOT, home, link_to_home, rewrite

DOCS: Final = ROOT / "docs"

PARTS: Final = ("tutorial", "how-to", "reference", "explanation", "project")
"""The folders of the pages, in the order of the site."""

FIRST: Final = (
    "tutorial/first-agent.md",
    "tutorial/first-call.md",
    "tutorial/first-test.md",
    "tutorial/first-bad-call.md",
    "explanation/barge-in.md",
    "project/contributing.md",
    "reference/agents.md",
    "reference/commands.md",
    "reference/notifications.md",
)
"""Pages that stand first in their part; the others follow by name."""

MOVED: Final = {
    ROOT / "README.md": "index.md",
    ROOT / "CONTRIBUTING.md": "project/contributing.md",
    ROOT / "SECURITY.md": "project/security.md",
    ROOT / "CHANGELOG.md": "project/changelog.md",
}
"""Pages that stand at the top of the repository, and their place on the site."""

API: Final = {
    "twilio_realtime.agents": "Agents, functions and handlers",
    "twilio_realtime.hosts": "Calls in servers of others",
    "twilio_realtime.integrations": "Agents of other frameworks",
    "twilio_realtime.server": "The server",
    "twilio_realtime.recordings": "Recorded calls",
    "twilio_realtime.telemetry": "Metrics and traces",
    "twilio_realtime.twilio_api": "Twilio's REST API",
    "twilio_realtime.testing": "Tests of agents",
    "twilio_realtime.trio": "The driver for trio",
    "twilio_realtime.asyncio": "The driver for asyncio",
    "twilio_realtime.executors": "Executors of simulated calls",
    "twilio_realtime.runtime": "What both drivers share",
    "twilio_realtime.errors": "Errors of the adapters",
    "twilio_realtime.sim": "The simulator",
    "twilio_realtime_core.bridge": "Bridge",
    "twilio_realtime_core.commands": "Commands",
    "twilio_realtime_core.notifications": "Notifications",
    "twilio_realtime_core.config": "Configuration",
    "twilio_realtime_core.values": "Values",
    "twilio_realtime_core.errors": "Errors and faults",
    "twilio_realtime_core.conversation": "Conversation",
    "twilio_realtime_core.machine": "The machine contract",
    "twilio_realtime_core.transport": "Bytes and WebSockets",
    "twilio_realtime_core.protocols": "Codecs",
    "twilio_realtime_core.audio": "Audio",
    "twilio_realtime_core.webhook": "The webhook",
}
"""The public parts of the packages, each a page of the API."""

NOT_PUBLIC: Final = {
    *("twilio_realtime_core." + name for name in ("call", "downlink", "responses", "session")),
    *("twilio_realtime_core." + name for name in ("turns", "uplink")),
    "twilio_realtime.cli",
    "twilio_realtime.stop_requests",
}
"""Parts that have no page: what `Bridge` consists of, the command, which has pages itself, and what
programs do at signals."""

LEFT_OUT: Final = ("twilio_realtime.sim.impairments", "twilio_realtime.sim.reference")
"""Modules that are described elsewhere: the invariants have a page."""


def main(site: Path) -> int:
    """Copy the sources and build; return the exit status of Sphinx."""
    sources = site.with_name(f"{site.name}-sources")
    shutil.rmtree(sources, ignore_errors=True)
    places = copy_pages(sources)
    write_api(sources)
    add_contents(sources / "index.md", sorted({*places.values(), "reference/api/index.md"}))
    shutil.copy(DOCS / "tools/conf.py", sources / "conf.py")
    from sphinx.cmd.build import main as sphinx_build  # noqa: PLC0415 - of the extra `docs`

    return sphinx_build(["-q", "-W", "--keep-going", "-j", "auto", str(sources), str(site)])


def copy_pages(sources: Path) -> dict[Path, str]:
    """Copy pages and pictures with their links rewritten; return the place of each page."""
    pages = sorted(path for part in PARTS for path in (DOCS / part).rglob("*.md"))
    places = {page: str(page.relative_to(DOCS)) for page in pages} | MOVED
    pictures = {
        path: str(path.relative_to(DOCS))
        for kind in ("svg", "png")
        for path in DOCS.rglob(f"*.{kind}")
    }
    address = home()
    for page, place in places.items():
        up = "../" * place.count("/")

        def target(path: Path, up: str = up) -> str | None:
            known = places.get(path) or pictures.get(path)
            return f"{up}{known}" if known else link_to_home(path, address)

        write(sources / place, rewrite(page.read_text("utf-8"), page, target))
    for picture, place in pictures.items():
        shutil.copy(picture, sources / place)
    return places


def write_api(sources: Path) -> None:
    """Write a page for each part of the API, and the page that lists them."""
    lines = [
        "# API",
        "",
        "Made from the docstrings. Names are listed by the module that defines them.",
        "",
    ]
    lines += ["```{toctree}", ":maxdepth: 1", ""]
    for part, title in API.items():
        write(sources / f"reference/api/{part}.md", "\n".join(api_page(part, title)))
        lines.append(part)
    write(sources / "reference/api/index.md", "\n".join([*lines, "```", ""]))


def api_page(part: str, title: str) -> Iterator[str]:
    """Return the lines of a page: a section for each module with public names."""
    yield f"# {title}"
    for name in modules(part):
        module = importlib.import_module(name)
        names: list[str] = [
            each
            for each in getattr(module, "__all__", ())
            if getattr(getattr(module, each), "__module__", name) == name
        ]
        yield f"\n## {name}\n"
        yield f"```{{eval-rst}}\n.. automodule:: {name}\n   :members: {', '.join(names)}\n```\n"


def modules(part: str) -> list[str]:
    """Return the part itself and the modules in it, by name."""
    package = importlib.import_module(part)
    below = walk_packages(getattr(package, "__path__", ()), f"{part}.")
    names = [part, *(each.name for each in below)]
    return [name for name in names if not name.startswith(LEFT_OUT) and "._" not in name]


def add_contents(index: Path, places: list[str]) -> None:
    """Add the table of contents to the front page."""
    text = index.read_text("utf-8")
    for part in PARTS:
        in_part = [place for place in places if place.startswith(f"{part}/")]
        in_part.sort(
            key=lambda place: (FIRST.index(place) if place in FIRST else len(FIRST), place)
        )
        names = "\n".join(place.removesuffix(".md") for place in in_part)
        title = part.capitalize()
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {title}\n\n{names}\n```\n"
    write(index, text)


def write(path: Path, text: str) -> None:
    """Write a file, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build/site"
    status = main(folder.resolve())
    if status == 0:
        print(f"wrote {folder}/index.html")
    sys.exit(status)
