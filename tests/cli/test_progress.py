"""Progress is a bar on a terminal, lines in a pipe, and nothing when quiet."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Display

from edgec.cli.progress import Bar, Lines, watched
from edgec.core.progress import Silent


def test_lines_escape_what_comes_from_files(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.start("load \x1b[2J.onnx", 3)
    lines.advance()
    lines.note("batch set to 1")
    assert capsys.readouterr().err == "edgec: load \\x1b[2J.onnx\nnote: batch set to 1\n"


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with watched(quiet=True) as progress:
        progress.start("work")
        progress.note("something")
    assert isinstance(progress, Silent)
    assert capsys.readouterr().err == ""


def test_a_bar_shows_the_current_step_only() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=80, color_system=None)
    with Display(TextColumn("{task.description}"), BarColumn(), console=console, auto_refresh=False) as display:
        bar = Bar(display)
        bar.advance()
        bar.start("first [bold]step", 2)
        bar.advance(2)
        assert display.tasks[0].finished
        bar.start("second")
        assert [task.description for task in display.tasks] == ["second"]
        bar.note("kept [red]as it is")
        display.refresh()
    assert "kept [red]as it is" in screen.getvalue()


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"CI": "1"}, False)])
def test_on_a_terminal(scripted_artifact: Path, environment: dict[str, str], coloured: bool) -> None:
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "CI", "TERM")}
    control, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "edgec", "verify", str(scripted_artifact)],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=plain | {"TERM": "xterm-256color"} | environment,
    )
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    shown = _read_all(control)
    assert process.returncode == 0
    assert b"verified" in out
    assert b"\x1b" not in out
    assert (b"\x1b" in shown) == coloured
    assert b"comparing with ONNX Runtime" in shown


def _read_all(control: int) -> bytes:
    shown = b""
    try:
        while chunk := os.read(control, 4096):
            shown += chunk
    except OSError:
        pass
    os.close(control)
    return shown
