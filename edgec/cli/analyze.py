"""`edgec analyze`: what a model costs, before any compilation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from edgec.cli import split_table, terminal
from edgec.cli.options import Json, Model, Quiet, Shapes, parse_shapes
from edgec.cli.progress import watched
from edgec.core.codes.usage import BAD_USAGE
from edgec.core.errors import EdgecError

if TYPE_CHECKING:
    from edgec.analyze import Analysis, OperatorRow


def analyze(
    model: Model,
    shape: Shapes = None,
    target: Annotated[
        str | None, typer.Option("--target", "-t", metavar="NAME", help="Also list what this device cannot run.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Where to cut the model between this device and a server, see --link.")
    ] = False,
    link: Annotated[
        list[str] | None,
        typer.Option("--link", metavar="wifi|lte|lora|MBPS", help="Between device and server; may be repeated."),
    ] = None,
    server: Annotated[
        str | None, typer.Option("--server", metavar="NAME", help="What runs the tail of a split; host unless said.")
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Count a model's work, parameters and memory; nothing is compiled."""
    from edgec.analyze import analyze as run_analysis

    if split:
        shapes = parse_shapes(shape or ())
        split_table.show(model, target or "host", server or "host", link or [], shapes, quiet=quiet, json=json)
        return
    if link or server:
        given = "--link" if link else "--server"
        raise EdgecError(BAD_USAGE, f"{given} says nothing without --split", hint="add --split, or leave it out")
    with watched(quiet=quiet) as progress:
        analysis = run_analysis(model, parse_shapes(shape or ()), target, progress)
    if json:
        terminal.write_json(analysis.model_dump(mode="json"))
    else:
        _show(analysis)


def _show(analysis: Analysis) -> None:
    terminal.write(f"{terminal.printable(analysis.name)}  ({analysis.file_bytes:,} bytes)\n")
    for title, tensors in (("input", analysis.inputs), ("output", analysis.outputs)):
        for tensor in tensors:
            extents = ", ".join(map(str, tensor.shape)) if tensor.shape is not None else "unknown rank"
            terminal.write(
                f"{title:<16}{terminal.printable(tensor.name)}  {tensor.dtype}[{terminal.printable(extents)}]"
            )
    for title, number in (
        ("opset", analysis.opset),
        ("nodes", analysis.nodes),
        ("parameters", analysis.parameters),
        ("weights", analysis.weight_bytes),
        ("activations", analysis.peak_activation_bytes),
        ("MACs", analysis.macs),
    ):
        unit = " bytes" if title in ("weights", "activations") else ""
        bound = "at least " if title == "MACs" and analysis.unknown else ""
        terminal.write(f"{title:<16}{'unknown' if number is None else f'{bound}{number:,}{unit}'}")
    if analysis.unknown:
        first = analysis.unknown[0]
        terminal.write(f"not counted     {len(analysis.unknown)} nodes whose shapes are open, see --json; the first:")
        terminal.write(terminal.printable(f"                {first.node} ({first.operator}): {first.reason}"))
    for note in analysis.notes:
        terminal.write(f"note: {terminal.printable(note)}")
    terminal.write("")
    terminal.write_table(("OPERATOR", "NODES", "MACS", "BYTES"), [_row(row) for row in analysis.operators])
    if analysis.target:
        _show_unsupported(analysis)


def _show_unsupported(analysis: Analysis) -> None:
    terminal.write("")
    if not analysis.unsupported:
        terminal.write(f"every node can be compiled for {analysis.target}")
        return
    terminal.write(f"{len(analysis.unsupported)} nodes cannot be compiled for {analysis.target}:")
    for node in analysis.unsupported:
        terminal.write(f"  {terminal.printable(node.node)}: {terminal.printable(node.reason)}")
        terminal.write(f"    hint: {terminal.printable(node.hint)}")


def _row(row: OperatorRow) -> tuple[str, ...]:
    counts = (row.macs, row.bytes)
    return (row.operator, str(row.nodes), *("unknown" if count is None else f"{count:,}" for count in counts))
