"""A wheel and an editable install both carry the code, the data files and the command."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ("edgec/targets/host.toml", "edgec/passes/recipes/exact.toml", "edgec/hw/runtime/main.c", "edgec/py.typed")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    copy = tmp_path_factory.mktemp("checkout")
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    archive = ["tar", "--create", "--null", "--files-from=-"]
    packed = subprocess.run(archive, cwd=ROOT, input=listing, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], cwd=copy, input=packed, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(copy)]
    subprocess.run(build, check=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_code_and_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert set(DATA) <= set(names)
    assert not [name for name in names if name.startswith(("tests/", "passes/", "targets/", "hw/"))]


def test_the_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*install, str(wheel)], check=True)
    program = (
        "import edgec.passes, edgec.targets, edgec.hw, edgec.cli.main, sys;"
        "sys.argv = ['edgec', 'targets', 'list', '--json']; edgec.cli.main.main()"
    )
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert "raspberry-pi-4" in ran.stdout


def test_the_editable_install_finds_the_rooms() -> None:
    import edgec.hw
    import edgec.passes
    import edgec.targets

    for room in (edgec.passes, edgec.targets, edgec.hw):
        assert Path(str(room.__file__)).resolve().is_relative_to(ROOT)
