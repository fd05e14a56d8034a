import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]

PACKAGES = {
    "twilio_realtime_core": ROOT / "src/twilio_realtime_core",
    "twilio_realtime": ROOT / "src/adapters/twilio_realtime",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The files of a wheel built from this checkout; the text of those of its metadata."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    built = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.iterdir()
    with ZipFile(path) as archive:
        return {
            name: archive.read(name).decode() if name.endswith("METADATA") else ""
            for name in archive.namelist()
        }


@pytest.fixture(scope="module")
def wheel(built: dict[str, str]) -> set[str]:
    """The names of the files in the wheel."""
    return set(built)


@pytest.fixture(scope="module")
def readme(built: dict[str, str]) -> str:
    """The README, as a package index shows it."""
    (metadata,) = (text for name, text in built.items() if name.endswith("METADATA"))
    return metadata.partition("\n\n")[2]


def files_below(folder: Path, wanted: Callable[[Path], bool]) -> set[str]:
    return {
        str(path.relative_to(folder.parent))
        for path in folder.rglob("*")
        if path.is_file() and wanted(path)
    }


def test_the_wheel_holds_only_the_packages_at_its_top(wheel: set[str]) -> None:
    tops = {name.partition("/")[0] for name in wheel}
    (metadata,) = {top for top in tops if top.endswith(".dist-info")}
    assert tops - {metadata} == set(PACKAGES)
    assert f"{metadata}/licenses/LICENSE" in wheel


def test_the_readme_of_the_wheel_has_no_relative_links(readme: str) -> None:
    assert readme.startswith("# twilio-realtime-core")
    assert re.findall(r"\]\((?!https?:|#)[^)]*\)", readme) == []


def test_every_package_below_src_is_in_the_wheel() -> None:
    found = {path.parent for path in (ROOT / "src").glob("*/__init__.py")}
    found |= {path.parent for path in (ROOT / "src/adapters").glob("*/__init__.py")}
    assert found == set(PACKAGES.values())


def test_the_folder_of_the_adapters_is_no_package() -> None:
    assert not (ROOT / "src/adapters/__init__.py").exists()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wheel_holds_every_module_and_is_typed(wheel: set[str], package: str) -> None:
    assert f"{package}/py.typed" in wheel
    modules = files_below(PACKAGES[package], lambda path: path.suffix == ".py")
    assert f"{package}/__init__.py" in modules
    assert modules <= wheel


def test_the_wheel_holds_the_page_of_the_browser_phone(wheel: set[str]) -> None:
    folder = PACKAGES["twilio_realtime"] / "server/browser_phone/page"
    files = {f"twilio_realtime/server/browser_phone/page/{each.name}" for each in folder.iterdir()}
    assert {each.rpartition(".")[2] for each in files} == {"css", "html", "js", "svg"}
    assert files <= wheel


def test_the_wheel_holds_the_sample_speech_of_the_simulator(wheel: set[str]) -> None:
    samples = files_below(PACKAGES["twilio_realtime"], lambda path: path.suffix == ".wav")
    assert len(samples) == 6
    assert samples <= wheel


def test_the_wheel_holds_what_pages_are_made_of(wheel: set[str]) -> None:
    kinds = {".css", ".html", ".js"}
    assets = files_below(PACKAGES["twilio_realtime"], lambda path: path.suffix in kinds)
    assert sum("/recordings/show/assets/" in each for each in assets) == 11
    assert assets <= wheel
