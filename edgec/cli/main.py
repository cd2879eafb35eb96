"""The program `edgec`: its verbs, and the one place where an exception becomes an exit status."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Annotated

import typer

from edgec.cli import (
    analyze,
    build,
    check,
    diff,
    doctor,
    explain,
    failure,
    init,
    passes,
    report,
    run,
    split,
    targets,
    terminal,
    verify,
)
from edgec.core.errors import ExitStatus
from edgec.core.version import VERSION

_INTERRUPTED = 130
_signals: list[int] = []
"""Signals that this process was asked to leave with."""

app = typer.Typer(
    name="edgec",
    help="Compile a trained neural network (ONNX) for edge devices, with an honest report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    epilog="Exit status: 0 done, 1 a check failed, 2 wrong usage or input, 3 a tool is missing, 4 not supported.",
)
app.command("build")(build.build)
app.command("analyze")(analyze.analyze)
app.command("verify")(verify.verify)
app.command("run")(run.run)
app.command("check")(check.check)
app.command("report")(report.report)
app.command("diff")(diff.diff)
app.add_typer(split.app, name="split")
app.add_typer(targets.app, name="targets")
app.add_typer(passes.app, name="passes")
app.command("doctor")(doctor.doctor)
app.command("explain")(explain.explain)
app.command("init")(init.init)


def _show_version(wanted: bool) -> None:
    if wanted:
        terminal.write(f"edgec {VERSION}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Compile a trained neural network (ONNX) for edge devices, with an honest report."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; never raises.

    Args:
        arguments: without the program's name; those of the process if None.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_process()
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.discard_stdout()
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception as problem:  # noqa: BLE001 - the one boundary; everything becomes a message and a status
        if _signals:
            return 128 + _signals[0]
        return failure.report(failure.translated(problem, arguments))
    return status


def _run(arguments: list[str]) -> int:
    """Parse and call. Typer's own `main` is left out: it turns errors of the output into statuses of its own."""
    command = typer.main.get_command(app)
    try:
        with command.make_context("edgec", arguments) as context:
            command.invoke(context)
    except typer.Exit as leaving:
        return leaving.exit_code
    except typer.TyperException as problem:
        if type(problem).__name__ != "NoArgsIsHelpError":
            raise
        terminal.say(problem.format_message())
        return int(ExitStatus.USAGE)
    return 0


def _prepare_process() -> None:
    """Names from files may not fit the terminal's encoding; a polite kill must clean up like an interrupt."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    _signals.clear()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    # A library whose callback this interrupts may turn the exception into one of its own: the number is kept.
    _signals.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
