"""`edgec run`: run an artefact on inputs from a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Artifact, Json, Quiet
from edgec.cli.progress import watched


def run(
    artifact: Artifact,
    inputs: Annotated[Path, typer.Option("--input", "-i", metavar="X.npz", help="One array for each input, by name.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="Y.npz", help="Where to write the outputs.")],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run an artefact on inputs from a file.

    It runs natively, or in an emulator if it was built for another machine.
    """
    from edgec.run import run as run_inference

    with watched(quiet=quiet) as progress:
        written = run_inference(artifact, inputs, output, progress)
    if json:
        terminal.write_json([tensor.model_dump(mode="json") for tensor in written])
        return
    rows = [(tensor.name, tensor.dtype, "x".join(map(str, tensor.shape)) or "scalar") for tensor in written]
    terminal.write_table(("OUTPUT", "TYPE", "SHAPE"), rows)
