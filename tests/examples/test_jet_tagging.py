"""The jet tagger: what the jets are like, the features of jets that can be reckoned by hand, and the script, tiny."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgec.graph.load import load_model
from tests.examples.example_modules import EXAMPLES, modules_of

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def parts() -> Iterator[SimpleNamespace]:
    with modules_of("jet_tagging", "jets", "features") as (jets, features):
        yield SimpleNamespace(jets=jets, features=features)


def test_jets_have_the_momentum_masses_and_numbers_of_their_kinds(parts: SimpleNamespace) -> None:
    import torch

    jets, numbers, kinds = parts.jets.make_jets(1500, 0)
    rows = parts.features.features(torch.from_numpy(jets), torch.from_numpy(numbers)).numpy()
    column = dict(zip(parts.features.NAMES, rows.T, strict=True))
    middle = {
        name: {kind: float(np.median(values[kinds == number])) for number, kind in enumerate(parts.jets.KINDS)}
        for name, values in column.items()
    }
    assert jets[..., 0].sum(1).mean() == pytest.approx(1000, rel=0.03)
    assert 70 < middle["mass"]["W"] < middle["mass"]["Z"] < 100 < middle["mass"]["top"] < 180
    assert middle["multiplicity"]["quark"] < middle["multiplicity"]["gluon"]
    assert middle["N2 1"]["W"] < middle["N2 1"]["quark"]


def test_features_of_two_particles(parts: SimpleNamespace) -> None:
    import torch

    jets = torch.zeros(1, 48, 3)
    jets[0, 0], jets[0, 1] = torch.tensor([600.0, 0.0, 0.1]), torch.tensor([400.0, 0.0, -0.1])
    row = parts.features.features(jets, torch.tensor([2]))[0]
    found = dict(zip(parts.features.NAMES, row.tolist(), strict=True))
    assert found["C1 0"] == pytest.approx(0.24)
    assert found["C1 1"] == pytest.approx(0.24 * 0.2, rel=1e-4)
    assert found["sum of z log z"] == pytest.approx(0.6 * np.log(0.6) + 0.4 * np.log(0.4), rel=1e-4)
    assert found["mass"] == pytest.approx(np.sqrt(2 * 600 * 400 * (1 - np.cos(0.2))), rel=1e-4)
    assert found["multiplicity"] == 2
    assert found["N2 1"] == pytest.approx(0, abs=1e-6)


def test_a_soft_particle_at_a_wide_angle_is_groomed_away(parts: SimpleNamespace) -> None:
    import torch

    jets = torch.zeros(1, 48, 3)
    jets[0, :3] = torch.tensor([[600.0, 0.0, 0.05], [400.0, 0.0, -0.05], [50.0, 0.7, 0.0]])
    mass = float(parts.features.groomed_mass(jets.double()))
    assert mass == pytest.approx(np.sqrt(2 * 600 * 400 * (1 - np.cos(0.1))), rel=1e-4)


def test_the_script_exports_a_network_that_does_better_than_guessing(tmp_path: Path) -> None:
    script = [sys.executable, str(EXAMPLES / "jet_tagging" / "train.py"), "--out", str(tmp_path)]
    subprocess.run([*script, "--jets", "2000", "--tested", "500", "--epochs", "5"], check=True, capture_output=True)
    with np.load(tmp_path / "data.npz", allow_pickle=False) as data:
        inputs, kinds = data["evaluation/x"], data["evaluation/y"]
        assert data["train/x"].shape == (2000, 16)
    import onnxruntime

    session = onnxruntime.InferenceSession(str(tmp_path / "jets.onnx"))
    answers = [int(session.run(None, {"x": row[None]})[0].argmax()) for row in inputs]
    assert np.mean(np.array(answers) == kinds) > 0.45
    products = [node for node in load_model(tmp_path / "jets.onnx").model.graph if node.op_type in ("Gemm", "MatMul")]
    assert len(products) == 4
