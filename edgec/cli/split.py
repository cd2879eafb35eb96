"""`edgec split`: a network in two parts, one on the device and one on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgec.cli import terminal
from edgec.cli.options import Json, Model, Quiet, Shapes, parse_shapes
from edgec.cli.progress import watched
from edgec.core.codes.split import BAD_ADDRESS
from edgec.core.errors import EdgecError

app = typer.Typer(
    no_args_is_help=True,
    help="A network in two parts: a head on the device, a tail on a server.",
    rich_markup_mode=None,
)

Folder = Annotated[
    Path, typer.Argument(metavar="DIR", help="The folder that `edgec split build` wrote.", show_default=False)
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", metavar="FILE", help="Holds what a client must present.")
]


@app.command("build")
def build(
    model: Model,
    target: Annotated[str, typer.Option("--target", "-t", metavar="NAME", help="The device of the head.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Where to write.")],
    cut: Annotated[
        list[str] | None,
        typer.Option(
            "--cut", metavar="VALUE", help="A tensor that travels; repeat it for several. Chosen if left out."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="SPEC", help="A .npz, a folder of images, or module:function.")
    ] = None,
    recipe: Annotated[str, typer.Option("--recipe", metavar="NAME|FILE", help="The passes to apply.")] = "exact",
    shape: Shapes = None,
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, max=1024, help="Of the head.")] = 1,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1)] = 0,
    quantize: Annotated[
        bool, typer.Option("--quantize/--float", help="Send int8, entropy-coded, or the tensors as they are.")
    ] = True,
    local: Annotated[
        bool, typer.Option("--local/--no-local", help="Give the device the whole network too, as a fallback.")
    ] = True,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compile the head for a device, and prepare the tail for a server."""
    from edgec.build import BuildOptions
    from edgec.split_build import SplitOptions, build_split

    whole = BuildOptions(
        model=model,
        target=target,
        recipe=recipe,
        data=data,
        shapes=parse_shapes(shape or ()),
        threads=threads,
        out=out,
        seed=seed,
    )
    with watched(quiet=quiet) as progress:
        report = build_split(SplitOptions(whole, tuple(cut or ()), quantize, local), progress)
    if json:
        terminal.write_json(report.model_dump(mode="json"))
        return
    rows = (
        ("cut", ", ".join(terminal.printable(name) for name in report.cut)),
        ("head", f"{report.head_macs:,} MACs, {report.head_weight_bytes:,} bytes of weights"),
        ("tail", f"{report.tail_macs:,} MACs"),
        (
            "sends",
            f"{report.payload_bytes:,.0f} bytes; {report.raw_bytes:,} uncoded, the input has {report.input_bytes:,}",
        ),
        ("agreement", f"{report.fidelity.agreement:.1%} of {report.fidelity.samples} samples"),
        ("error", f"{report.fidelity.max_relative_error:.3g} of the range of the outputs"),
    )
    terminal.write_table(("PART", "COST"), rows)


@app.command("serve")
def serve(
    folder: Folder,
    port: Annotated[int, typer.Option("--port", metavar="N", min=0, max=65535, help="0 for any free one.")] = 0,
    host: Annotated[str, typer.Option("--host", metavar="ADDRESS", help="Beyond this machine only with a token.")] = (
        "127.0.0.1"
    ),
    token_file: TokenFile = None,
    certificate: Annotated[Path | None, typer.Option("--certificate", metavar="FILE.pem", help="For TLS.")] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="FILE.pem", help="Of the certificate.")] = None,
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", metavar="N", min=1, max=65535, help="Where Prometheus reads.")
    ] = None,
    threads: Annotated[int, typer.Option("--threads", metavar="N", min=1, max=1024, help="Of the tail.")] = 1,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, max=1024, help="Requests that run together.")
    ] = 16,
) -> None:
    """Answer requests with the tail; prints the port once it listens, and runs until it is interrupted."""
    from edgec.split_serve import ServeOptions
    from edgec.split_serve import serve as run_server

    options = ServeOptions(folder, host, port, token_file, certificate, key, metrics_port, threads, batch)
    run_server(options, lambda taken: terminal.write(f"listening on {host}:{taken}"))


@app.command("run")
def run(
    folder: Folder,
    connect: Annotated[str, typer.Option("--connect", metavar="HOST:PORT", help="Where the tail is served.")],
    inputs: Annotated[Path, typer.Option("--input", "-i", metavar="X.npz", help="One array for each input, by name.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="Y.npz", help="Where to write the outputs.")],
    token_file: TokenFile = None,
    fingerprint: Annotated[
        str, typer.Option("--pin", metavar="SHA256", help="Fingerprint of the server's certificate, for TLS.")
    ] = "",
    timeout: Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=0.001, max=3600.0)] = 2.0,
    deadline: Annotated[
        float,
        typer.Option("--deadline", metavar="MS", min=0.001, help="The device computes where the server needs more."),
    ] = 1000.0,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Run the head here and the tail on a server; the whole network here where the link is down or slow."""
    from edgec.split.client import Server
    from edgec.split_run import SplitRunOptions, run_split
    from edgec.split_serve import read_token

    host, port = _address(connect)
    server = Server(host, port, read_token(token_file), fingerprint)
    with watched(quiet=quiet) as progress:
        done = run_split(SplitRunOptions(folder, inputs, output, server, timeout, deadline), progress)
    if json:
        terminal.write_json(done.model_dump(mode="json"))
        return
    rows = [
        (str(number), where.value, f"{size:,}", f"{elapsed:.1f}", terminal.printable(reason))
        for number, (where, size, elapsed, reason) in enumerate(
            zip(done.where, done.payload_bytes, done.elapsed_ms, done.reasons, strict=True)
        )
    ]
    terminal.write_table(("SAMPLE", "COMPUTED ON", "BYTES SENT", "MS", "WHY"), rows)


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 2**16:
        raise EdgecError(BAD_ADDRESS, "this is no HOST:PORT", where=f"--connect {text}", hint=BAD_ADDRESS.remedy)
    return host.strip("[]"), int(port)
