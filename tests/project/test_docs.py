"""Pages link to what exists, name targets that exist, and are as their generators write them."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

import build_site
from pages import FENCE, ROOT, blocks, each_page

SPAN = re.compile(r"(`+)(?!`)(?P<code>.+?)(?<!`)\1(?!`)", re.S)
LINK = re.compile(
    r"!?\[[^\]]*\]\((?P<target>[^)\s]+)[^)]*\)|^\[[^\]]+\]:\s*(?P<reference>\S+)", re.M
)
HEADING = re.compile(r"^#+\s+(?P<text>.+?)\s*$", re.M)
TARGET = re.compile(r"^(?P<target>[a-z][a-z-]*):", re.M)
MAKE = re.compile(r"(?:^|[\s$;&(])make (?:[A-Z_]+=\S+ )*(?P<target>[a-z][a-z-]*)", re.M)
OF_ONE_MACHINE = re.compile(r"(?<![\w.:/-])/(?:home|root|tmp|Users|work)/\S*")
UPWARDS = re.compile(r"(?:\.\./)+[\w./-]*")


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


# Generated pages


GENERATED = {
    "make_configuration": "reference/configuration.md",
    "make_invariants": "explanation/invariants.md",
    "make_options": "reference/options.md",
    "make_reasons": "reference/reasons.md",
}
"""Pages by the script that writes them."""


@pytest.mark.parametrize("script", GENERATED)
def test_a_generated_page_is_up_to_date(script: str) -> None:
    made = runpy.run_path(str(ROOT / f"docs/tools/{script}.py"))["page"]()
    page = (ROOT / "docs" / GENERATED[script]).read_text("utf-8")
    assert page == made, f"run: python docs/tools/{script}.py"


def test_every_part_of_the_packages_has_a_page_of_the_api_or_is_not_public() -> None:
    parts = {
        f"{package.name}.{path.stem}"
        for package in (ROOT / "src/twilio_realtime_core", ROOT / "src/adapters/twilio_realtime")
        for path in package.iterdir()
        if not path.name.startswith("_") and (path.is_dir() or path.suffix == ".py")
    }
    assert set(build_site.API) | build_site.NOT_PUBLIC == parts


def test_the_tables_of_measured_figures_are_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs/tools/make_performance.py"))
    assert made["outdated"]() == {}, "run: python docs/tools/make_performance.py"
    pages = "".join((ROOT / "docs" / name).read_text("utf-8") for name in made["PAGES"])
    assert set(made["BLOCK"].findall(pages)) == set(made["TABLES"])


def test_the_table_of_accuracy_in_the_readme_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs/tools/make_accuracy_table.py"))["table"]()
    readme = (ROOT / "README.md").read_text("utf-8")
    assert made in readme, "run: python docs/tools/make_accuracy_table.py"


# The checks themselves


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
