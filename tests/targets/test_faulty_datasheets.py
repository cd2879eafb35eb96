from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.target_files import load_target, target_path

GOOD = target_path("raspberry-pi-4").read_text(encoding="utf-8")


def _line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if words in line)


def _refused(tmp_path: Path, text: str) -> EdgecError:
    path = tmp_path / "board.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(EdgecError) as caught:
        load_target(str(path))
    assert caught.value.code.status == ExitStatus.USAGE
    assert caught.value.hint
    assert caught.value.where.startswith(str(path))
    return caught.value


def test_a_users_own_file_is_a_target(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(GOOD.replace('name = "raspberry-pi-4"', 'name = "my-board"'), encoding="utf-8")
    assert load_target(str(path)).name == "my-board"


def test_a_misspelt_name_gets_the_nearest_and_the_list() -> None:
    with pytest.raises(EdgecError, match="rasberry-pi4") as caught:
        load_target("rasberry-pi4")
    assert caught.value.code.code == "EC0501"
    assert "raspberry-pi-4" in caught.value.hint
    assert any("jetson-nano-cpu" in detail for detail in caught.value.details)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(EdgecError, match=r"absent\.toml") as caught:
        load_target("absent.toml")
    assert caught.value.code.code == "EC0502"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name = ", b"[core\n"])
def test_what_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "board.toml"
    path.write_bytes(content)
    with pytest.raises(EdgecError) as caught:
        load_target(str(path))
    assert caught.value.code.code == "EC0502"


def test_a_misspelt_key_is_found_with_its_line_and_the_right_one(tmp_path: Path) -> None:
    text = GOOD.replace("clock_mhz", "clok_mhz")
    error = _refused(tmp_path, text)
    everything = "\n".join(error.details)
    assert "core.clock_mhz is missing" in everything
    assert f"board.toml:{_line_of(text, 'clok_mhz')}: core.clok_mhz is not a key" in everything


def test_an_unknown_key_alone_hints_the_nearest(tmp_path: Path) -> None:
    text = GOOD.replace("[compiler]", '[compiler]\nfloat_aby = "hard"')
    error = _refused(tmp_path, text)
    assert error.hint == "did you mean 'float_abi'?"
    assert error.where.endswith(f":{_line_of(text, 'float_aby')}")


def test_a_value_outside_its_choices_names_them(tmp_path: Path) -> None:
    text = GOOD.replace('dot_product = "none"', 'dot_product = "smmla"')
    error = _refused(tmp_path, text)
    assert "smmla" in error.what
    assert "'sdot'" in error.hint
    assert error.where.endswith(f":{_line_of(text, 'smmla')}")


def test_a_number_without_a_source_is_refused_at_its_line(tmp_path: Path) -> None:
    text = re.sub(r"(size_mib = \{ value = 4096), .*\}", r"\1 }", GOOD)
    error = _refused(tmp_path, text)
    assert len(error.details) == 2
    assert all(f":{_line_of(text, 'size_mib')}: memory.size_mib" in detail for detail in error.details)


@pytest.mark.parametrize("value", ["0", "-4", "inf", "nan", '"four"'])
def test_a_number_that_cannot_be_is_refused(tmp_path: Path, value: str) -> None:
    text = re.sub(r"(^cores = \{ value = )4", rf"\g<1>{value}", GOOD, flags=re.MULTILINE)
    error = _refused(tmp_path, text)
    assert error.what.startswith("core.cores.value")
    assert error.where.endswith(f":{_line_of(text, 'cores = ')}")
