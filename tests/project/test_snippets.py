"""Every snippet of the pages runs as it is shown, and prints what is shown below it."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest
from click.testing import CliRunner

from pages import FENCE, PAGES, ROOT, Block, blocks, each_page
from twilio_realtime.cli.commands import commands as command_group

LANGUAGES = {"console", "diff", "json", "mermaid", "nginx", "python", "text", "toml", "xml", "yaml"}
"""What blocks may be; the rest of the line after `text` names a table for its generator."""

TEST = re.compile(r"^async def (test_\w+)\(call\b", re.M)

FAILING = {"test_an_interruption_does_no_harm_whenever_it_comes"}
"""Tests whose failure is the point of their page."""

INSTALL = re.compile(r"twilio-realtime-core(?:\[([\w,-]+)\])?")
SCRIPT = re.compile(r"(?:docs|tests)/[\w./-]+\.(?:py|sh)")
OTHER_PROGRAMS = {"apt-get", "cd", "curl", "export", "git", "make", "ngrok", "pre-commit"}
"""Programs of console blocks that are not this project's; the targets of `make` have a test."""

MODULES = {"build", "mutants", "pytest", "venv"}
"""Modules that are run with `python -m`."""

QUICK = {"replay", "simulate"}
"""Commands that are run where the page shows what they print."""


def run(page: Path, text: str) -> int:
    """Run the Python blocks of a page, in order, in one namespace; how many there were.

    Blocks that the reader is to save are saved in the current folder before.
    """
    namespace: dict[str, object] = {"__name__": page.stem}
    python = [block for block in blocks(text) if block.info == "python"]
    for block in python:
        if block.saved_as:
            Path(block.saved_as).write_text(block.code, "utf-8")
    for block in python:
        # Empty lines in front, so that a failure names the line of the page.
        code = compile("\n" * block.lines_before + block.code, str(page), "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, namespace)  # noqa: S102
        place = f"{page.name}:{block.lines_before}"
        assert printed.getvalue() == (block.output or ""), f"{place} prints something else"
    return len(python)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the reader's, the current one; its modules can be imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-a-test")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


@each_page
@pytest.mark.usefixtures("folder")
def test_the_python_of_a_page_runs_and_prints_what_it_shows(page: Path) -> None:
    text = page.read_text("utf-8")
    assert run(page, text) == text.count("\n```python\n")


@each_page
def test_every_block_of_a_page_is_in_a_known_language(page: Path) -> None:
    words = {(block.info.split() or [""])[0] for block in blocks(page.read_text("utf-8"))}
    assert words <= LANGUAGES


# Tests on pages.


def python_of(page: Path) -> str:
    code = [block.code for block in blocks(page.read_text("utf-8")) if block.info == "python"]
    return "\n\n".join(code)


WITH_TESTS = [page for page in PAGES if TEST.search(python_of(page))]


@pytest.mark.parametrize("page", WITH_TESTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_tests_on_a_page_pass(page: Path, tmp_path: Path) -> None:
    """They run in a process of their own, as a reader would run them."""
    saved = [block for block in blocks(page.read_text("utf-8")) if block.saved_as]
    for block in saved:
        (tmp_path / block.saved_as).write_text(block.code, "utf-8")
    if not saved:
        (tmp_path / "test_page.py").write_text(python_of(page), "utf-8")
    names = set(TEST.findall(python_of(page))) - FAILING
    command = [sys.executable, "-m", "pytest", "-q", "-p", "twilio_realtime.testing.plugin"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(tmp_path), "-c", os.devnull, "-rA"]
    command += ["-k", " or ".join(sorted(names))]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'docs/examples'}"}
    done = subprocess.run(  # noqa: S603
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert {name for name in names if f"::{name}\n" in done.stdout} == names


# Commands.


def commands(block: Block) -> Iterator[tuple[list[str], str]]:
    """The words of each command of a console block, and what it is shown to print."""
    parts = re.split(r"^\$ ", block.code, flags=re.M)
    assert not parts[0], "a console block starts with a command"
    for part in parts[1:]:
        parsed = re.fullmatch(r"(?P<line>(?:[^\n]*\\\n)*[^\n]*)\n?(?P<printed>.*)", part, re.S)
        assert parsed
        line = parsed["line"].replace("\\\n", " ")
        yield shlex.split(line, comments=True), parsed["printed"]


def shell_commands() -> list[tuple[Path, list[str], str]]:
    return [
        (page, words, printed)
        for page in PAGES
        for block in blocks(page.read_text("utf-8"))
        if block.info == "console"
        for words, printed in commands(block)
    ]


def command_id(value: object) -> str | None:
    return " ".join(value)[:60] if isinstance(value, list) else None  # pyright: ignore


@pytest.mark.parametrize(("page", "words", "printed"), shell_commands(), ids=command_id)
def test_a_shown_command_exists_and_takes_its_options(
    page: Path, words: list[str], printed: str
) -> None:
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    words = [word.removeprefix(".venv/bin/") for word in words]
    if words[:1] == ["timeout"]:
        words = words[words.index("twilio-realtime") :]
    match words:
        case ["twilio-realtime", *arguments]:
            parse(arguments)
            if printed:
                assert arguments[0] in QUICK or "--help" in arguments, "its output is not checked"
                assert printed == output(arguments), page
        case ["pip", "install", *packages]:
            for package in packages:
                check_install(package)
        case ["pytest", *_]:
            pass
        case ["python" | "python3", "-m", module, *_]:
            assert module in MODULES
        case ["python" | "python3", script, *_] if SCRIPT.fullmatch(script):
            assert (ROOT / script).exists()
        case ["python" | "python3", program, *_]:
            shown = {block.code.strip() for block in blocks(page.read_text("utf-8"))}
            assert program.startswith("-m") or shown, f"{program} is not on the page"
        case [program, *_] if SCRIPT.fullmatch(program):
            assert (ROOT / program).exists()
        case [program, *_]:
            assert program in OTHER_PROGRAMS
        case []:
            pass
        case _:
            raise AssertionError(words)


def parse(arguments: list[str]) -> None:
    """Parse the arguments as the command does, without running it."""
    if arguments in (["--help"], ["--version"]):
        return
    program = click.Context(command_group)
    command = command_group.get_command(program, arguments[0])
    assert command is not None, f"there is no command {arguments[0]}"
    context = click.Context(command)
    options = [each for each in arguments[1:] if each != "--help"]
    try:
        given, _, _ = command.make_parser(context).parse_args(options)
        for parameter in command.params:
            value = given.get(parameter.name)
            if isinstance(value, (str, tuple)) and not isinstance(parameter.type, click.Path):
                parameter.type_cast_value(context, value)
    except click.UsageError as error:
        raise AssertionError(f"{arguments}: {error.format_message()}") from error


def output(arguments: list[str]) -> str:
    if "--help" in arguments:
        text = CliRunner().invoke(
            command_group, arguments, prog_name="twilio-realtime", terminal_width=78
        )
        return text.output
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "twilio_realtime.cli", *arguments],
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def check_install(package: str) -> None:
    if package.startswith("-") or package == ".":
        return
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = INSTALL.fullmatch(package)
    if named and named[1]:
        assert set(named[1].split(",")) <= set(project["optional-dependencies"])


# Data.


@each_page
def test_data_on_a_page_is_well_formed(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.info == "toml":
            tomllib.loads(block.code)
        elif block.info == "json":
            for line in block.code.splitlines():
                msgspec.json.decode(line)


# The checks themselves.


def test_blocks_share_a_namespace_and_fail_at_their_line() -> None:
    page = (
        "A page\n\n```python\nx = 1\n```\n\n```diff\nno python\n```\n\n"
        "```python\nassert x == %d\n```\n"
    )
    assert run(ROOT / "a.md", page % 1) == 2
    with pytest.raises(AssertionError) as raised:
        run(ROOT / "a.md", page % 2)
    assert raised.traceback[-1].lineno == 11  # counted from 0
    assert str(raised.traceback[-1].path).endswith("a.md")


@pytest.mark.parametrize("shown", ["", "\n```text\n2\n```\n", "Then:\n\n```text\n1\n```\n"])
def test_a_snippet_that_prints_something_else_is_found(shown: str) -> None:
    with pytest.raises(AssertionError, match=r"a\.md:1 prints something else"):
        run(ROOT / "a.md", f"```python\nprint(1)\n```\n{shown}")


def test_a_snippet_that_prints_what_is_shown_passes() -> None:
    assert run(ROOT / "a.md", "```python\nprint(1)\n```\n\n```text\n1\n```\n") == 1


@pytest.mark.parametrize(
    "arguments", [["serf"], ["serve", "--no-such"], ["simulate", "--calls", "x"]]
)
def test_an_impossible_command_is_found(arguments: list[str]) -> None:
    with pytest.raises(AssertionError):
        parse(arguments)


def test_every_fence_is_a_block() -> None:
    assert len(FENCE.findall("```text\na\n```\n````text\n```\n````\n")) == 2
