"""The pages for people, held to the truth: their code runs, their links and commands exist."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import frozen

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]

FENCE = re.compile(
    r"^(?P<fence>`{3,})(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=fence)[ ]*$", re.M | re.S
)
SPAN = re.compile(r"(`+)(?!`)(?P<code>.+?)(?<!`)\1(?!`)", re.S)
LINK = re.compile(
    r"!?\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(?P<reference>\S+)", re.M
)
HEADING = re.compile(r"^#+\s+(?P<text>.+?)\s*$", re.M)
TARGET = re.compile(r"^(?P<target>[a-z][a-z-]*):", re.M)
MAKE = re.compile(r"(?:^|[\s$;&(])make (?:[A-Z_]+=\S+ )*(?P<target>[a-z][a-z-]*)", re.M)
OF_ONE_MACHINE = re.compile(r"(?<![\w.:/-])/(?:home|root|tmp|Users|work)/\S*")
UPWARDS = re.compile(r"(?:\.\./)+[\w./-]*")

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@frozen
class Block:
    """A fenced block: the word after its fence, its code, and the lines of the page before it."""

    info: str
    code: str
    lines_before: int


def blocks(text: str) -> list[Block]:
    return [
        Block(match["info"].strip(), match["code"], text.count("\n", 0, match.start("code")))
        for match in FENCE.finditer(text)
    ]


def run(page: Path, text: str) -> int:
    """Run the Python blocks of a page, in order, in one namespace; how many there were."""
    namespace: dict[str, object] = {"__name__": page.stem}
    python = [block for block in blocks(text) if block.info == "python"]
    for block in python:
        # Empty lines in front, so that a failure names the line of the page.
        code = compile("\n" * block.lines_before + block.code, str(page), "exec")
        exec(code, namespace)  # noqa: S102
    return len(python)


def broken_links(page: Path, text: str) -> list[str]:
    links = [match["target"] or match["reference"] for match in LINK.finditer(FENCE.sub("", text))]
    local = [link for link in links if not re.match(r"(?:https?|mailto):", link)]
    return [link for link in local if not resolves(page, text, link)]


def resolves(page: Path, text: str, link: str) -> bool:
    path, _, anchor = link.partition("#")
    if path:
        file = (page.parent / path).resolve()
        if not file.is_relative_to(ROOT) or not file.exists():
            return False
        text = file.read_text("utf-8") if anchor else ""
    return not anchor or anchor in anchors(text)


def anchors(text: str) -> set[str]:
    """The anchors that code hosts make of a page's headings."""
    headings = [match["text"] for match in HEADING.finditer(FENCE.sub("", text))]
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def unknown_targets(text: str, makefile: str) -> set[str]:
    """What a page tells to `make`, in code only, and the Makefile does not know."""
    code = [match["code"] for match in SPAN.finditer(FENCE.sub("", text))]
    code += [block.code for block in blocks(text)]
    named = {match["target"] for one in code for match in MAKE.finditer(one)}
    return named - {match["target"] for match in TARGET.finditer(makefile)}


def strange_paths(page: Path, text: str) -> Iterator[str]:
    """Paths that mean something on one machine only, or lead out of the project."""
    yield from (match[0] for match in OF_ONE_MACHINE.finditer(text))
    for match in UPWARDS.finditer(text):
        if not (page.parent / match[0]).resolve().is_relative_to(ROOT):
            yield match[0]


@each_page
def test_the_python_of_a_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text("utf-8")
    assert run(page, text) == text.count("\n```python\n")


@each_page
def test_no_python_on_a_page_is_kept_from_running(page: Path) -> None:
    words = {block.info for block in blocks(page.read_text("utf-8"))}
    assert {word for word in words if word.startswith("py")} <= {"python"}


@each_page
def test_every_block_on_a_page_is_closed(page: Path) -> None:
    assert "```" not in FENCE.sub("", page.read_text("utf-8"))


@each_page
def test_every_local_link_on_a_page_leads_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text("utf-8")) == []


@each_page
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    assert unknown_targets(page.read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")) == set()


@each_page
def test_a_page_names_no_path_outside_the_project(page: Path) -> None:
    assert list(strange_paths(page, page.read_text("utf-8"))) == []


# The checks themselves


def test_the_page_of_the_invariants_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs/make_invariants.py"))["page"]()
    page = (ROOT / "docs/invariants.md").read_text("utf-8")
    assert page == made, "run: python docs/make_invariants.py"


def test_blocks_share_a_namespace_and_fail_at_their_line() -> None:
    page = (
        "A page\n\n```python\nx = 1\n```\n\n```text\nno python\n```\n\n"
        "```python\nassert x == %d\n```\n"
    )
    assert run(ROOT / "a.md", page % 1) == 2
    with pytest.raises(AssertionError) as raised:
        run(ROOT / "a.md", page % 2)
    assert raised.traceback[-1].lineno == 11  # counted from 0
    assert str(raised.traceback[-1].path).endswith("a.md")


def test_a_broken_link_is_found() -> None:
    page = (
        "# A page\n## It's *here*\n[a](LICENSE) [b](#its-here) [c](https://example.com/x)\n"
        "![d](no.png) [e](#there) [f](../elsewhere) [g](docs 'title') [h](README.md#nowhere)\n"
        "[i]: absent.md\n```text\n[j](no)\n```\n"
    )
    found = ["no.png", "#there", "../elsewhere", "README.md#nowhere", "absent.md"]
    assert broken_links(ROOT / "a.md", page) == found


def test_an_unknown_target_is_found_in_code_only() -> None:
    page = (
        "Run `make test` or make do.\n```console\n$ make bench\n$ cd a && make dance\n```\n"
        "`make FUZZ_SECONDS=5 fuzz`, `CI=1 make sing`"
    )
    assert unknown_targets(page, "test: a\nfuzz:\nbench:\n") == {"dance", "sing"}


def test_a_path_of_one_machine_is_found() -> None:
    page = "see /home/me/x, `/tmp/y` and ../../z, not https://example.com/home/a or docs/../b"
    found = ["/home/me/x,", "/tmp/y`", "../../z"]  # noqa: S108
    assert list(strange_paths(ROOT / "docs/a.md", page)) == found
