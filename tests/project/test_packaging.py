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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    built = subprocess.run(  # noqa: S603
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.iterdir()
    with ZipFile(path) as archive:
        return set(archive.namelist())


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


def test_the_wheel_holds_the_sample_speech_of_the_simulator(wheel: set[str]) -> None:
    samples = files_below(PACKAGES["twilio_realtime"], lambda path: path.suffix == ".wav")
    assert len(samples) == 6
    assert samples <= wheel
