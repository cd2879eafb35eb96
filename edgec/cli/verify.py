"""`edgec verify`: is an artefact as it was built, and does it compute what its model says."""

from __future__ import annotations

from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Artifact, Json, Quiet
from edgec.cli.progress import watched
from edgec.core.errors import ExitStatus


def verify(
    artifact: Artifact,
    samples: Annotated[int, typer.Option("--samples", metavar="N", min=1, max=10_000, help="Inputs to compare.")] = 4,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the random inputs.")] = 0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Check an artefact and what it computes.

    Every file is compared with the manifest, then the outputs with those of ONNX Runtime on the artefact's model. The
    exit status is 1 if the outputs differ by more than rounding.
    """
    from edgec.verify import verify as run_verification

    with watched(quiet=quiet) as progress:
        verdict = run_verification(artifact, samples=samples, seed=seed, progress=progress)
    if json:
        terminal.write_json(verdict.model_dump(mode="json"))
    else:
        terminal.write(verdict.summary)
    if verdict.passed is False:
        raise typer.Exit(int(ExitStatus.BUDGET_FAILED))
