"""`edgec check` on real builds: what it keeps, catches, and says."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgec.backends.tvm.core_description import CoreDescription
from edgec.backends.tvm.operators import convolution
from edgec.backends.tvm.register_tile import TileChoice, choose_tile, possible_tiles
from edgec.check import CheckOptions, check
from edgec.cli.main import main
from edgec.core.cache import Cache
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.report.check_records import CheckResult, Outcome, Verdict
from tests.check.budgeted_project import BUDGET_OF_NET, emulates_arm, write_project

pytestmark = emulates_arm

PROJECT = (
    BUDGET_OF_NET
    + """\
instructions = {max_increase = "1%"}
l1_misses = {max_increase = "1%"}
artifact_bytes = {max_increase = "1%"}
latency_ms = {max = 1000, mode = "predicted"}
"""
)


@pytest.fixture(scope="module")
def project(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with its baseline."""
    file = write_project(tmp_path_factory.mktemp("project"), small_model, PROJECT)
    check(CheckOptions(file, update=True, fresh=True), Silent())
    return file


@pytest.fixture
def with_budget(project: Path, tmp_path: Path) -> Path:
    """A copy of the project whose file a test may change."""
    shutil.copytree(project.parent, tmp_path / "copy")
    return tmp_path / "copy" / "edgec.toml"


def verdict_of(result: CheckResult, metric: str) -> Verdict:
    return next(verdict for verdict in result.verdicts if verdict.metric == metric)


def slow_tile(
    extents: Sequence[int], channels: int, core: CoreDescription, *, dtype_bytes: int = 4, channel_multiple: int = 0
) -> TileChoice:
    """The worst tile for the network's second convolution, the usual one for the first."""
    if channels == 8:
        return choose_tile(extents, channels, core, dtype_bytes=dtype_bytes, channel_multiple=channel_multiple)
    return max(
        possible_tiles(extents, channels, core, dtype_bytes, channel_multiple), key=lambda possible: possible.cost
    )


def test_two_runs_have_identical_counts(project: Path) -> None:
    before = (project.parent / "edgec.baseline.json").read_bytes()
    result = check(CheckOptions(project, update=True, fresh=True), Silent())
    assert result.passed
    assert result.baseline_changes == ()
    assert (project.parent / "edgec.baseline.json").read_bytes() == before


def test_nothing_is_built_when_nothing_changed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("it was built")

    monkeypatch.setattr("edgec.build.build", refuse)
    assert check(CheckOptions(project), Silent()).passed


def test_a_worse_kernel_is_caught_in_its_layer(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convolution, "choose_tile", slow_tile)
    # The cache cannot know that the test changed the compiler in its memory.
    monkeypatch.setattr("edgec.check.Cache", lambda: Cache(tmp_path))
    result = check(CheckOptions(project, fresh=True), Silent())
    found = verdict_of(result, "instructions")
    assert found.outcome is Outcome.BROKEN
    assert found.line == 5
    growth = re.search(r"\(\+([0-9.]+)%\), 1% more is allowed", found.reason)
    assert growth
    assert float(growth.group(1)) >= 3
    assert "(Conv)" in found.layers[0]
    assert found.causes == ("nothing that edgec knows of was changed since the baseline",)


def test_the_cause_of_a_change_is_named(with_budget: Path) -> None:
    baseline = with_budget.parent / "edgec.baseline.json"
    document = json.loads(baseline.read_text())
    entry = document["entries"]["raspberry-pi-4"]["net"]
    entry["metrics"]["instructions"] = {**entry["metrics"]["instructions"], "value": 1000, "low": 1000, "high": 1000}
    entry["made_by"]["tool apache-tvm"] = "0.26.0"
    entry["passes"][0]["parameters"] += 7
    baseline.write_text(json.dumps(document))
    found = verdict_of(check(CheckOptions(with_budget), Silent()), "instructions")
    assert found.outcome is Outcome.BROKEN
    assert any(cause.startswith(f"pass {entry['passes'][0]['name']}: leaves") for cause in found.causes)
    assert any(cause.startswith("tool apache-tvm: 0.26.0 → ") for cause in found.causes)


def test_what_is_unavailable_or_had_otherwise_does_not_pass(with_budget: Path) -> None:
    with_budget.write_text(
        PROJECT + 'luts = {max = 10}\naccuracy = {min = 0.5}\nenergy_mj = {max = 1e9, mode = "measured"}\n'
    )
    result = check(CheckOptions(with_budget), Silent())
    assert not result.passed
    assert verdict_of(result, "luts").outcome is Outcome.UNKNOWN
    assert "--data" in verdict_of(result, "accuracy").reason
    assert verdict_of(result, "energy_mj").reason == "the budget is for a measured value, this one is predicted"
    assert verdict_of(result, "instructions").outcome is Outcome.KEPT


def test_a_regression_budget_without_a_baseline_does_not_pass(with_budget: Path) -> None:
    (with_budget.parent / "edgec.baseline.json").unlink()
    found = verdict_of(check(CheckOptions(with_budget), Silent()), "instructions")
    assert found.outcome is Outcome.UNKNOWN
    assert "--update" in found.reason


def test_every_output_names_what_broke(
    with_budget: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with_budget.write_text(PROJECT.replace("max = 1000", "max = 0.000001"))
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    files = ["--markdown", str(tmp_path / "out.md"), "--junit", str(tmp_path / "out.xml")]
    assert main(["check", "--quiet", "--project", str(with_budget), *files]) == 1
    shown = capsys.readouterr()
    assert "BROKEN   Latency" in shown.out
    assert "edgec.toml:8" in shown.out
    assert re.search(r"^::error file=.*edgec\.toml,line=8,title=Latency of net on raspberry-pi-4::", shown.err, re.M)
    markdown = (tmp_path / "out.md").read_text()
    assert markdown == (tmp_path / "summary.md").read_text()
    assert "1 of 4 budgets broken" in markdown
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()[0]  # noqa: S314 - written a line above
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "0")
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert "in layer" in (failure.text or "")


def test_json_is_the_result(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--quiet", "--json", "--project", str(project)]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "edgec-check/1"
    assert CheckResult.model_validate(document).passed


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (PROJECT.replace("instructions", "instuctions"), "EC0103", 5),
        (PROJECT.replace("4.net", "4.other"), "EC0104", 4),
        (PROJECT.replace('{max_increase = "1%"}', "{}"), "EC0103", 5),
        ("[models]\n", "EC0113", None),
    ],
)
def test_a_faulty_budget_is_an_error_at_its_line(with_budget: Path, text: str, code: str, line: int | None) -> None:
    with_budget.write_text(text)
    with pytest.raises(EdgecError) as caught:
        check(CheckOptions(with_budget), Silent())
    assert caught.value.code.code == code
    assert line is None or caught.value.where == f"{with_budget}:{line}"


def test_a_damaged_baseline_is_an_error(with_budget: Path) -> None:
    (with_budget.parent / "edgec.baseline.json").write_text('{"schema": "edgec-baseline/1", "entries": 3}')
    with pytest.raises(EdgecError) as caught:
        check(CheckOptions(with_budget), Silent())
    assert caught.value.code.code == "EC0112"
