"""Estimates of integrated circuits: weights in registers over I2C, three copies of each register, Liberty files."""

from __future__ import annotations

import binascii
import json
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from quantised_networks import mlp
from typer.testing import CliRunner

pytest.importorskip("da4ml", reason="needs edgec[fpga]")
pytest.importorskip("pyosys", reason="needs edgec[fpga]")

from edgec.backends.rtl.cell_tables import load_cells
from edgec.backends.rtl.netlist import read_netlist
from edgec.backends.rtl.recognition import integer_graph
from edgec.backends.rtl.weight_registers import RegisterMap, weight_image, with_loaded_weights
from edgec.build import BuildOptions, build
from edgec.cli.main import app
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.core.target_silicon import SiliconOptions
from edgec.graph.load import load_model
from edgec.project import Request, resolve

SAMPLES = 1000


def _saved(folder: Path, seed: int) -> Path:
    path = folder / f"tiny{seed}.onnx"
    onnx.save(mlp((3, 4, 2), seed=seed), path)
    return path


def _built(model: Path, out: Path, silicon: SiliconOptions) -> Path:
    options = BuildOptions(
        model=model,
        target="asic-65nm-lp",
        out=out,
        silicon=silicon,
    )
    return build(options, Silent()).folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("silicon")


@pytest.fixture(scope="module")
def network(folder: Path) -> Path:
    return _saved(folder, 0)


@pytest.fixture(scope="module")
def single(folder: Path, network: Path) -> Path:
    return _built(network, folder / "single", SiliconOptions(weights="registers"))


@pytest.fixture(scope="module")
def triple(folder: Path, network: Path) -> Path:
    return _built(network, folder / "triple", SiliconOptions(weights="registers", triple_registers=True))


def _inputs(count: int) -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 2, (count, 3)).astype(np.float32)


def _simulated(artefact: Path, x: NDArray[np.float32], *more: str) -> subprocess.CompletedProcess[str]:
    (artefact / "given.bin").write_bytes(x.tobytes())
    command = [artefact / "simulation/simulate", artefact / "given.bin", artefact / "made.bin", *more]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def _made(artefact: Path) -> NDArray[np.float32]:
    return np.frombuffer((artefact / "made.bin").read_bytes(), np.float32).reshape(-1, 2)


def _expected(model: Path, x: NDArray[np.float32]) -> NDArray[np.generic]:
    graph = integer_graph(load_model(model).model)
    return graph.dequantise_outputs(graph.evaluate(graph.quantise_inputs([x])))[0]


def test_weights_written_over_the_bus_give_the_bits_of_the_reference(single: Path, network: Path) -> None:
    x = _inputs(SAMPLES)
    assert _simulated(single, x).returncode == 0
    np.testing.assert_array_equal(_made(single), _expected(network, x))
    report = json.loads((single / "report.json").read_text())
    assert report["verification"]["bit_exact"]


def test_the_image_of_another_network_makes_the_same_gates_that_network(single: Path, folder: Path) -> None:
    other = _saved(folder, 5)
    image = folder / "other.bin"
    image.write_bytes(weight_image(with_loaded_weights(integer_graph(load_model(other).model))))
    x = _inputs(100)
    done = _simulated(single, x, "--weights", str(image))
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(_made(single), _expected(other, x))


def test_an_image_with_a_wrong_bit_is_noticed_by_its_checksum(single: Path) -> None:
    image = bytearray((single / "weights/image.bin").read_bytes())
    assert binascii.crc_hqx(bytes(image), 0xFFFF) == 0
    image[3] ^= 1
    (single / "wrong.bin").write_bytes(bytes(image))
    done = _simulated(single, _inputs(1), "--weights", str(single / "wrong.bin"))
    assert done.returncode == 1
    assert "checksum" in done.stderr


def test_the_register_map_names_every_byte_of_the_image(single: Path) -> None:
    read = RegisterMap.model_validate_json((single / "weights/register-map.json").read_text())
    image = (single / "weights/image.bin").read_bytes()
    assert [block.holds for block in read.blocks] == ["weights", "bias", "weights", "bias"]
    assert read.blocks[0].first == 0
    assert sum(block.count * block.bytes_each for block in read.blocks) == len(image) - 2


def _registers(artefact: Path) -> list[str]:
    library, _ = load_cells(str(artefact / "netlist/cells.lib"))
    return [register.path for register in read_netlist(artefact / "netlist/mapped.json", library.functions).flip_flops]


def test_a_register_that_flips_every_cycle_changes_nothing_where_there_are_three(triple: Path, network: Path) -> None:
    paths = _registers(triple)
    assert len(paths) % 3 == 0
    x = _inputs(64)
    for register in range(0, len(paths), len(paths) // 12):
        assert _simulated(triple, x, "--upset", str(register)).returncode == 0
        np.testing.assert_array_equal(_made(triple), _expected(network, x), paths[register])


def test_a_register_that_flips_every_cycle_shows_where_there_is_one(single: Path, network: Path) -> None:
    weights = [at for at, path in enumerate(_registers(single)) if path.startswith("byte0.")]
    x = _inputs(SAMPLES)
    assert _simulated(single, x, "--upset", str(weights[-1])).returncode == 0
    assert (_made(single) != _expected(network, x)).any()


def test_three_copies_cost_area_and_the_report_says_so(single: Path, triple: Path) -> None:
    small, large = (json.loads((each / "report.json").read_text()) for each in (single, triple))
    assert large["metrics"]["energy_mj"]["value"] > small["metrics"]["energy_mj"]["value"]
    assert "votes" in json.dumps(large)
    assert "votes" not in json.dumps(small)
    assert "three copies and a vote" in json.dumps(large)


def test_hard_wired_weights_with_three_copies_give_the_bits_of_the_reference(folder: Path, network: Path) -> None:
    artefact = _built(network, folder / "wired", SiliconOptions(triple_registers=True))
    x = _inputs(64)
    assert _simulated(artefact, x, "--upset", "5").returncode == 0
    np.testing.assert_array_equal(_made(artefact), _expected(network, x))
    assert not (artefact / "weights").exists()
    assert _simulated(artefact, x, "--weights", str(artefact / "report.json")).returncode == 1


def test_a_liberty_file_of_the_user_is_mapped_to(folder: Path, network: Path, single: Path) -> None:
    text = (single / "netlist/cells.lib").read_text().replace("(NAND2)", "(MY_NAND)")
    library = folder / "mine.liberty"
    library.write_text(text)
    artefact = _built(network, folder / "mine", SiliconOptions(liberty=library))
    assert "MY_NAND" in (artefact / "netlist/mapped.json").read_text()


def test_options_of_integrated_circuits_are_refused_for_other_targets(network: Path, folder: Path) -> None:
    arguments = ["build", str(network), "--target", "ice40-hx8k", "--weights", "registers", "--out", str(folder / "no")]
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, EdgecError)
    assert "--weights: ice40-hx8k is no integrated circuit" in str(result.exception)


def test_the_project_file_chooses_as_the_options_do(tmp_path: Path) -> None:
    project = tmp_path / "edgec.toml"
    project.write_text(
        '[models]\nnet = "net.onnx"\n[build]\ntarget = "asic-65nm-lp"\nliberty = "cells/mine.lib"\n'
        'weights = "registers"\ntriple_registers = true\n'
    )
    request = Request(
        model="net",
        target=None,
        recipe=None,
        data=None,
        shapes={},
        threads=None,
        out=None,
        seed=None,
        keep_steps=False,
        silicon=SiliconOptions(triple_registers=False),
    )
    silicon = resolve(request, project).silicon
    assert silicon.liberty == tmp_path / "cells/mine.lib"
    assert silicon.weights == "registers"
    assert silicon.triple_registers is False
