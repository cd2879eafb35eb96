"""`edgec targets`: the devices that edgec knows."""

from __future__ import annotations

from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json, Quiet
from edgec.cli.progress import watched

app = typer.Typer(no_args_is_help=True, help="The devices that edgec knows.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME|FILE.toml", help="A target, or a datasheet.", show_default=False)]
Threads = Annotated[
    int, typer.Option("--threads", metavar="N", min=1, max=1024, help="Threads of an inference; 1 unless said.")
]


@app.command("list")
def list_targets(json: Json = False) -> None:
    """List the targets by name."""
    from edgec.core.target_files import target_summaries

    rows = target_summaries()
    if json:
        terminal.write_json([{"name": row.name, "title": row.title, "backend": row.backend} for row in rows])
    else:
        terminal.write_table(("NAME", "BACKEND", "DEVICE"), [(row.name, row.backend, row.title) for row in rows])


@app.command("show")
def show(name: Name, json: Json = False) -> None:
    """Show a target's datasheet: every number with its basis and its source."""
    from edgec.core.target_files import load_target, target_path

    target = load_target(name)
    if json:
        terminal.write_json(target.model_dump(mode="json"))
    else:
        terminal.write(target_path(name).read_text(encoding="utf-8"))


@app.command("validate")
def validate(
    name: Annotated[str | None, typer.Argument(metavar="NAME|FILE.toml", help="One target; all without it.")] = None,
    json: Json = False,
) -> None:
    """Check a datasheet, then compile a one-operator model for it and look at the produced file."""
    from edgec.core.target_files import target_names
    from edgec.validate import validate_target

    names = target_names() if name is None else (name,)
    findings = [validate_target(each) for each in names]
    if json:
        terminal.write_json([finding.model_dump(mode="json") for finding in findings])
    else:
        terminal.write_table(("TARGET", "PRODUCED"), [(finding.target, finding.produced) for finding in findings])


@app.command("calibrate")
def calibrate(
    threads: Threads = 1,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure how fast this machine is, for predictions of the target `host`.

    Small networks of every kind of layer are built and timed, which takes a few minutes; the machine should do nothing
    else meanwhile. The rates are kept in edgec's cache for this processor and number of threads.
    """
    from edgec.calibrate import calibrate_host

    with watched(quiet=quiet) as progress:
        calibration = calibrate_host(threads, progress)
    if json:
        terminal.write_json(calibration.model_dump(mode="json"))
        return
    terminal.write_table(("WORK", "RATE"), [(cost.value, f"{rate:.3g}") for cost, rate in calibration.rates.items()])
    terminal.write(
        f"\n{calibration.machine}, {calibration.kernels} kernels: stretches that the fit had not seen are missed by"
        f" {calibration.unseen_error:.0%} in the mean, nine in ten by less than a factor of {calibration.factor:.2f}"
    )
