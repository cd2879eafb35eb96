from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import BaseModel

from edgec.core.target import Basis, Quantity
from edgec.core.target_files import load_target, target_names, target_path, target_sha256, target_summaries

ROOT = Path(__file__).resolve().parents[2]
READ_FROM_THIS_MACHINE = ("host", "opencl-generic")
DEVICES = [name for name in target_names() if name not in READ_FROM_THIS_MACHINE]
PROCESSORS = [name for name in DEVICES if load_target(name).backend == "tvm"]
NOT_EMULATED = ("ios-arm64",)  # nothing here runs programs of Apple's system


def _quantities(section: BaseModel) -> list[tuple[str, Quantity]]:
    found = []
    for key, value in section:
        if isinstance(value, Quantity):
            found.append((key, value))
        elif isinstance(value, BaseModel):
            found += [(f"{key}.{inner}", quantity) for inner, quantity in _quantities(value)]
    return found


def test_the_promised_devices_are_there() -> None:
    promised = {"host", "raspberry-pi-3", "raspberry-pi-4", "raspberry-pi-5", "jetson-nano-cpu", "jetson-orin-nano-cpu"}
    promised |= {"jetson-nano", "jetson-orin-nano", "android-mali", "android-adreno", "opencl-generic", *NOT_EMULATED}
    assert promised | {"android-arm64", "visionfive2", "cortex-m7"} <= set(target_names())


@pytest.mark.parametrize("name", target_names())
def test_a_datasheet_holds_its_schema_and_its_file_name(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target_sha256(target) == target_sha256(load_target(str(target_path(name))))


@pytest.mark.parametrize("name", DEVICES)
def test_every_number_has_a_source_that_says_where_or_why(name: str) -> None:
    quantities = _quantities(load_target(name))
    assert len(quantities) >= 5
    for key, quantity in quantities:
        assert len(quantity.source) > 10, key
        assert quantity.basis != Basis.MEASURED, f"{key}: nobody measured this device"


@pytest.mark.parametrize("name", [name for name in PROCESSORS if name not in NOT_EMULATED])
def test_the_emulated_core_is_one_that_the_emulator_knows(name: str) -> None:
    emulator = load_target(name).emulator
    assert emulator is not None
    if shutil.which(emulator.executable) is None:
        pytest.skip(f"{emulator.executable} is not installed")
    listed = subprocess.run([emulator.executable, "-cpu", "help"], capture_output=True, text=True, check=False).stdout
    assert emulator.arguments[0] == "-cpu"
    assert emulator.arguments[1] in listed.split()


def test_only_cores_with_the_instruction_claim_a_dot_product() -> None:
    claims = {name: load_target(name).core.dot_product for name in PROCESSORS}
    assert {name for name, dot in claims.items() if dot == "sdot"} == {"raspberry-pi-5", "jetson-orin-nano-cpu"}
    for name, dot in claims.items():
        assert ("+dotprod" in load_target(name).compiler.features) == (dot == "sdot")


def test_the_host_is_this_machine() -> None:
    target = load_target("host")
    for key, quantity in _quantities(target):
        assert quantity.basis in (Basis.MEASURED, Basis.ASSUMED), key
    assert target.core.cores.basis == Basis.MEASURED
    assert target.emulator is None


def test_the_list_needs_no_schema_and_no_heavy_library() -> None:
    program = (
        "import sys; from edgec.core.target_files import target_summaries; rows = target_summaries();"
        "sys.exit(len(rows) < 9 or 'pydantic' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_list_shows_what_the_files_say() -> None:
    for row in target_summaries():
        content = tomllib.loads(target_path(row.name).read_text(encoding="utf-8"))
        assert (row.name, row.title, row.backend) == (content["name"], content["title"], content["backend"])


def _renderer() -> ModuleType:
    path = ROOT / "docs" / "render_targets.py"
    spec = importlib.util.spec_from_file_location("render_targets", path)
    if spec is None or spec.loader is None:
        raise FileNotFoundError(path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_page_is_up_to_date() -> None:
    page = (ROOT / "docs" / "reference" / "targets.md").read_text(encoding="utf-8")
    assert page == _renderer().render(), "run `python docs/render_targets.py`"
