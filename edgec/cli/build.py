"""`edgec build`: compile a model for a device."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json, Shapes, parse_shapes
from edgec.cli.progress import watched

if TYPE_CHECKING:
    from edgec.build import BuildOptions, BuildResult


class WeightStore(StrEnum):
    """Where an integrated circuit has its weights."""

    HARD_WIRED = "hard-wired"
    REGISTERS = "registers"


Text = str | None
Count = int | None

ModelOrName = Annotated[Text, typer.Argument(metavar="MODEL.onnx", help="The network, or its name in edgec.toml.")]
TargetName = Annotated[
    Text, typer.Option("--target", "-t", metavar="NAME", help="The device; see `edgec targets list`.")
]
Recipe = Annotated[
    Text, typer.Option("--recipe", metavar="NAME|FILE", help="The passes to apply; `exact` unless said otherwise.")
]
Data = Annotated[
    Text, typer.Option("--data", metavar="SPEC", help="A .npz, a folder of images by class, or module:function.")
]
Threads = Annotated[
    Count, typer.Option("--threads", metavar="N", min=1, max=1024, help="Threads of an inference; 1 unless said.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="DIR", help="Where to write; MODEL-TARGET unless said.")
]
Seed = Annotated[
    Count, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed of every random choice; 0.")
]
KeepSteps = Annotated[bool, typer.Option("--keep-steps", help="Keep the model after each pass, in DIR/passes/.")]
Tune = Annotated[
    int, typer.Option("--tune", metavar="N", min=0, max=100_000, help="Kernels to measure for faster choices; 0.")
]
TuningDatabase = Annotated[
    Path | None,
    typer.Option(
        "--tuning-database", metavar="FILE", help="What was measured: used, and added to by --tune. To be shared."
    ),
]
Boards = Annotated[
    list[str] | None,
    typer.Option(
        "--board",
        metavar="ssh://HOST|rpc://TRACKER/KEY|COMMAND",
        help="Where --tune measures; repeat it for boards that share the work. This machine, or the emulator.",
    ),
]
Device = Annotated[
    Text,
    typer.Option("--device", metavar="ssh://USER@BOARD|rpc://TRACKER/KEY", help="Verify and measure on this board."),
]
Liberty = Annotated[
    Path | None, typer.Option("--liberty", metavar="FILE", help="Cell library of an ASIC; the target's unless said.")
]
Weights = Annotated[
    WeightStore | None,
    typer.Option("--weights", help="Weights of an ASIC: fixed, or in registers that are written over I2C."),
]
TripleRegisters = Annotated[
    bool | None,
    typer.Option("--triple-registers/--single-registers", help="Three copies of an ASIC's registers, and votes."),
]
ProjectFile = Annotated[
    Path | None, typer.Option("--project", metavar="FILE", help="A project file; ./edgec.toml if it exists.")
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing unless it fails; the report is in the folder.")
]


def build(
    model: ModelOrName = None,
    target: TargetName = None,
    recipe: Recipe = None,
    data: Data = None,
    shape: Shapes = None,
    threads: Threads = None,
    out: Out = None,
    seed: Seed = None,
    keep_steps: KeepSteps = False,
    tune: Tune = 0,
    tuning_database: TuningDatabase = None,
    board: Boards = None,
    device: Device = None,
    liberty: Liberty = None,
    weights: Weights = None,
    triple_registers: TripleRegisters = None,
    project: ProjectFile = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compile a model for a device.

    Writes a folder with a self-contained C library, the model after the passes, and a report of what it costs. What
    the command line leaves out is taken from edgec.toml.
    """
    from edgec.build import build as run_build
    from edgec.core.target_silicon import SiliconOptions
    from edgec.project import Request, resolve

    request = Request(
        model=model,
        target=target,
        recipe=recipe,
        data=data,
        shapes=parse_shapes(shape or ()),
        threads=threads,
        out=out,
        seed=seed,
        keep_steps=keep_steps,
        device=device,
        tune=tune,
        tuning_database=tuning_database,
        boards=tuple(board or ()),
        silicon=SiliconOptions(
            liberty=liberty,
            weights=None if weights is None else weights.value,
            triple_registers=triple_registers,
        ),
    )
    options = resolve(request, project)
    with watched(quiet=quiet) as progress:
        result = run_build(options, progress)
    _show(options, result, json=json, quiet=quiet)


def _show(options: BuildOptions, result: BuildResult, *, json: bool, quiet: bool) -> None:
    if json:
        from edgec.report.files import write_json

        terminal.write(write_json(result.report).decode())
        return
    if quiet:
        return
    from edgec.report.terminal import TerminalReport

    terminal.write_rich(TerminalReport(result.report))
    terminal.say(f"wrote {options.out}")
