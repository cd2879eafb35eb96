"""The compressor: its geometry, the distance of its tables, what it is compared with, and the whole script, tiny."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgec.backends.hls4ml.backend import HlsBackend
from edgec.backends.rtl.backend import RtlBackend
from edgec.core.target_files import load_target
from edgec.graph.load import load_model
from tests.examples.example_modules import EXAMPLES, modules_of

for needed in ("torch", "brevitas", "ot", "hls4ml"):
    pytest.importorskip(needed)


@pytest.fixture(scope="module")
def parts() -> Iterator[SimpleNamespace]:
    names = ("geometry", "metrics", "baselines", "showers")
    with modules_of("hllhc_compressor", *names) as modules:
        yield SimpleNamespace(**dict(zip(names, modules, strict=True)))


def test_cells_of_a_rhombus_and_its_neighbours_are_one_side_apart(parts: SimpleNamespace) -> None:
    distances = parts.geometry.distances()
    np.testing.assert_allclose(distances, distances.T)
    np.testing.assert_allclose(np.where(np.eye(48) == 1, np.inf, distances).min(1), np.sqrt(3) / 2, atol=0.14)
    turned = np.roll(np.arange(48), 16)
    np.testing.assert_allclose(distances, distances[np.ix_(turned, turned)], atol=1e-12)


def test_sums_cover_every_cell_and_only_neighbours(parts: SimpleNamespace) -> None:
    distances = parts.geometry.distances()
    assert (parts.geometry.super_cells().sum(0) == 1).all()
    for sums, number in ((parts.geometry.super_cells(), 12), (parts.geometry.windows(), 36)):
        assert sums.shape == (number, 48)
        for row in sums:
            members = np.flatnonzero(row)
            assert len(members) == 4
            assert distances[np.ix_(members, members)].max() < 1.8


def test_distance_is_the_least_work_of_all_assignments(parts: SimpleNamespace) -> None:
    random = np.random.default_rng(0)
    between = parts.geometry.distances()
    for _ in range(5):
        here, there = random.choice(48, 5, replace=False), random.choice(48, 5, replace=False)
        wanted, made = np.zeros((2, 1, 48), np.float32)
        wanted[0, here], made[0, there] = 3.0, 0.2
        least = min(between[here, list(order)].mean() for order in permutations(there))
        assert parts.metrics.movers_distance(wanted, made)[0] == pytest.approx(least, abs=1e-6)


def test_loss_of_the_training_follows_the_distance(parts: SimpleNamespace) -> None:
    import torch

    wanted = parts.showers.fractions(parts.showers.make_showers(50, 0))
    made = np.roll(wanted, 1, axis=0)
    exact = parts.metrics.movers_distance(wanted, made).mean()
    tensor = torch.from_numpy(made).requires_grad_()
    loss = parts.metrics.movers_loss(torch.from_numpy(wanted), tensor)
    loss.backward()
    assert float(loss) == pytest.approx(exact, abs=0.15)
    assert torch.isfinite(tensor.grad).all()
    assert float(parts.metrics.telescope_loss(torch.from_numpy(wanted), torch.from_numpy(wanted))) == 0


def test_what_is_compared_takes_no_more_bits_than_it_is_given(parts: SimpleNamespace) -> None:
    energies = parts.showers.make_showers(300, 1)
    cells = parts.showers.fractions(energies)
    for bits in (48, 80, 112, 144):
        kept = (parts.baselines.largest_cells(cells, bits) > 0).sum(1)
        assert parts.baselines.bits_of(kept).max() <= bits
        threshold = parts.baselines.threshold_for(energies, bits)
        taken = parts.baselines.bits_of((energies > threshold).sum(1))
        assert bits - 8 <= taken.mean() <= bits
        sums = parts.baselines.super_cell_sums(cells, bits)
        np.testing.assert_allclose(sums * (2 ** (bits // 12) - 1) % 1.0, 0, atol=1e-3) if bits == 48 else None
        np.testing.assert_allclose(parts.baselines.spread(sums).sum(1), sums.sum(1), rtol=1e-5)


def test_the_script_leaves_tables_pictures_and_encoders_that_both_backends_take(tmp_path: Path) -> None:
    script = [sys.executable, str(EXAMPLES / "hllhc_compressor" / "train.py"), "--out", str(tmp_path), "--seeds", "3"]
    effort = ["--modules", "600", "--tested", "80", "--float-steps", "20", "--quantised-steps", "3"]
    subprocess.run([*script, *effort], check=True, capture_output=True)
    rows = json.loads((tmp_path / "seed3" / "results.json").read_text())
    assert {row["bits"] for row in rows} == {0, 48, 80, 112, 144}
    assert all(0 < row["distances"]["all modules"] < 3 for row in rows)
    table = (tmp_path / "tables.md").read_text()
    assert "| 33 cells and more: bits | autoencoder | super-cells |" in table
    assert (tmp_path / "seed3" / "showers.svg").read_text().count("<polygon") == 48 * 4 * 7
    for bits in (48, 80, 112, 144):
        model = load_model(tmp_path / "seed3" / f"encoder-{bits}.onnx", quantisers=True).model
        assert HlsBackend().unsupported(model, load_target("zcu102")) == ()
        assert RtlBackend().unsupported(model, load_target("asic-65nm-lp")) == ()
