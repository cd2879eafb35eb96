"""The GitHub action and the GitLab job: they are valid, and the commands that they hold run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
NEEDS_EDGEC_ONLY = "artifact_bytes = {max = 1e9}\n"


@pytest.fixture
def checkout(small_model: Path, tmp_path: Path) -> Path:
    shutil.copy(small_model, tmp_path / "model.onnx")
    (tmp_path / "edgec.toml").write_text(
        f'[models]\nnet = "model.onnx"\n[budget.raspberry-pi-4.net]\n{NEEDS_EDGEC_ONLY}'
    )
    return tmp_path


def shell(script: str, folder: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script as the CI systems do, with this environment's edgec first on PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    bash = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    environment = {**os.environ, "PATH": path, **variables}
    return subprocess.run(bash, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_github_action_checks_budgets(checkout: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    steps: list[dict[str, Any]] = action["runs"]["steps"]
    assert all("shell" in step for step in steps if "run" in step)
    step = next(step for step in steps if "edgec check" in step.get("run", ""))
    # Inputs reach the shell as variables only: an input is text, never code.
    assert all("${{" not in each.get("run", "") for each in steps)
    given = {name: str(each.get("default", "")) for name, each in action["inputs"].items()}
    variables = {
        name: value.replace("${{ inputs.", "").replace(" }}", "") if "inputs." in value else ""
        for name, value in step["env"].items()
    }
    variables = {name: given.get(value, "") for name, value in variables.items() if value} | {
        "EDGEC_ARGUMENTS": "--markdown out.md"
    }
    ran = shell(step["run"], checkout, variables)
    assert ran.returncode == 0, ran.stderr
    assert (checkout / given["junit"]).exists()
    assert (checkout / "out.md").exists()


def test_the_gitlab_job_checks_budgets(checkout: Path) -> None:
    job = yaml.safe_load((ROOT / "ci" / "gitlab-edgec.yml").read_text())["edgec-check"]
    variables = {"EDGEC_PROJECT": job["variables"]["EDGEC_PROJECT"]}
    ran = shell("\n".join(job["script"]), checkout, variables)
    assert ran.returncode == 0, ran.stderr
    assert (checkout / job["artifacts"]["reports"]["junit"]).exists()
    assert all((checkout / path).exists() for path in job["artifacts"]["paths"])


def test_a_broken_budget_fails_the_job(checkout: Path) -> None:
    file = checkout / "edgec.toml"
    file.write_text(file.read_text().replace("1e9", "1"))
    job = yaml.safe_load((ROOT / "ci" / "gitlab-edgec.yml").read_text())["edgec-check"]
    ran = shell("\n".join(job["script"]), checkout, {"EDGEC_PROJECT": "edgec.toml"})
    assert ran.returncode == 1
    assert "BROKEN   Artefact size" in ran.stdout
