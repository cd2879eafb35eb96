"""The executor: what it leaves behind, and what a user reads when it cannot go on."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgec.backends import executor
from edgec.backends.executor import execute
from edgec.backends.plan import BuildPlan, Command, MemoryUse, Tool
from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.interface import Interface
from edgec.core.progress import Silent

PYTHON = Tool("python", (sys.executable,), "apt install python3")


def plan(script: str = "open('out/made', 'w').write('x')", **changes: object) -> BuildPlan:
    made = BuildPlan(
        files={"src/a.txt": b"a", "build/b.txt": b"b"},
        commands=(Command("python", ("-c", script), "out/made", "make the file"),),
        tools=(PYTHON,),
        discard=("build",),
        interface=Interface(symbol="net", inputs=(), outputs=()),
        layers=(),
        fallbacks=(),
        memory=MemoryUse(weights_bytes=0, activations_bytes=0, scratch_bytes=0),
        library="out/made",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_files_and_products_stay_and_what_is_discarded_goes(tmp_path: Path) -> None:
    execute(plan(), tmp_path / "new" / "folder", Silent())
    left = {str(p.relative_to(tmp_path / "new/folder")) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {"src/a.txt", "out/made"}


def test_what_the_tool_chain_compiles_of_a_build_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = {"a.c": b"int twice(int x) { return 2 * x; }\n"}
    commands = (Command("zig", ("cc", "-c", "a.c", "-o", "a.o"), "a.o", "compile it"),)
    zig = Tool("zig", (sys.executable, "-m", "ziglang"), "pip install ziglang")
    execute(plan(files=files, commands=commands, tools=(zig,), discard=()), tmp_path / "built", Silent())
    assert {path.name for path in (tmp_path / "built").iterdir()} == {"a.c", "a.o"}
    assert [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".o"] == []


def test_a_missing_tool_is_found_before_anything_is_written(tmp_path: Path) -> None:
    tool = Tool("python", ("no-such-program",), "apt install no-such-program")
    with pytest.raises(EdgecError) as caught:
        execute(plan(tools=(tool,)), tmp_path / "new", Silent())
    assert caught.value.code.status is ExitStatus.TOOL_MISSING
    assert caught.value.hint == "apt install no-such-program"
    assert not (tmp_path / "new").exists()


def test_a_missing_python_module_is_a_missing_tool(tmp_path: Path) -> None:
    tool = Tool("python", (sys.executable, "-m", "no_such_module"), "pip install no-such-module")
    with pytest.raises(EdgecError) as caught:
        execute(plan(tools=(tool,)), tmp_path / "new", Silent())
    assert caught.value.code.code == "EC0901"


def test_a_tool_that_does_not_answer_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_VERSION_SECONDS", 0.2)
    tool = Tool("python", (sys.executable, "-c", "import time; time.sleep(60)"), "apt install python3")
    with pytest.raises(EdgecError) as caught:
        execute(plan(tools=(tool,)), tmp_path, Silent())
    assert caught.value.code.code == "EC0901"
    assert "did not answer" in caught.value.what


def test_a_failing_tool_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(EdgecError) as caught:
        execute(plan("import sys; print('the reason'); sys.exit(3)"), tmp_path, Silent())
    assert caught.value.code.code == "EC0902"
    assert "make the file" in caught.value.what
    assert caught.value.details == ("the reason",)


def test_a_tool_that_leaves_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgecError) as caught:
        execute(plan("pass"), tmp_path, Silent())
    assert caught.value.code.code == "EC0903"


@pytest.mark.parametrize("path", ["../escape", "/escape", "a/../../escape"])
def test_nothing_is_written_outside_the_folder(tmp_path: Path, path: str) -> None:
    with pytest.raises(EdgecError) as caught:
        execute(plan(files={path: b"x"}), tmp_path / "inside", Silent())
    assert caught.value.code.code == "EC0905"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EdgecError) as caught:
        execute(plan(), tmp_path / "file" / "folder", Silent())
    assert caught.value.code.code == "EC0904"
    assert "--out" in caught.value.hint
