"""Output folders are whole or absent, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from edgec.core import artifact as staging_module
from edgec.core.artifact import staged
from edgec.core.codes.tool import TOOL_FAILED
from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.manifest import Provenance, check_integrity, write_manifest

DIGEST = "0" * 64
PROVENANCE = Provenance(
    model_name="m",
    model_sha256=DIGEST,
    target_name="host",
    target_sha256=DIGEST,
    recipe="exact",
    options_sha256=DIGEST,
    plan_sha256=DIGEST,
    seed=0,
    tools={"zig": "1", "apache-tvm": "2"},
)
INTERFACE = Interface(symbol="m", inputs=(), outputs=())

BUILDER = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from edgec.core.artifact import staged
    from edgec.core.errors import EdgecError
    from edgec.core.interface import Interface
    from edgec.core.manifest import Provenance, write_manifest
    place, text, pause = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    z = "0" * 64
    made_from = Provenance(model_name="m", model_sha256=z, target_name="t", target_sha256=z, recipe="exact",
                           options_sha256=z, plan_sha256=z, seed=0)
    try:
        with staged(place) as folder:
            for index in range(20):
                (folder / f"{index}.txt").write_text(text)
                if index == 10:
                    print("half", flush=True)
                    time.sleep(pause)
            interface = Interface(symbol="m", inputs=(), outputs=())
            write_manifest(folder, edgec="1", provenance=made_from, interface=interface)
    except EdgecError as problem:
        sys.exit(problem.code.code)
    """
)


def build(place: Path, **files: str) -> None:
    with staged(place) as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        write_manifest(folder, edgec="1", provenance=PROVENANCE, interface=INTERFACE)


def start(place: Path, text: str, pause: float = 0.0) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(place), text, str(pause)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tree(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != "manifest.json"}


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_build_appears_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    build(tmp_path / "out", a="1", b="2")
    assert tree(tmp_path / "out") == {"a": "1", "b": "2"}
    assert hidden(tmp_path) == []


def test_parents_are_made_and_removed_again_after_a_failure(tmp_path: Path) -> None:
    build(tmp_path / "x" / "y" / "out", a="1")
    assert check_integrity(tmp_path / "x" / "y" / "out").files[0].path == "a"
    with pytest.raises(RuntimeError, match="broken"), staged(tmp_path / "p" / "q" / "out"):
        raise RuntimeError("broken")
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("can_exchange", [True, False])
def test_an_artefact_is_replaced_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr(staging_module, "_exchange", lambda one, other: False)
    build(tmp_path / "out", a="1", b="2")
    build(tmp_path / "out", a="3")
    assert tree(tmp_path / "out") == {"a": "3"}
    assert hidden(tmp_path) == []
    check_integrity(tmp_path / "out")


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    build(tmp_path / "out", a="1")
    assert tree(tmp_path / "out") == {"a": "1"}


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    build(tmp_path / "link", a="1")
    assert (tmp_path / "link").is_symlink()
    assert tree(tmp_path / "real") == {"a": "1"}


def test_after_an_exception_the_old_artefact_is_untouched(tmp_path: Path) -> None:
    build(tmp_path / "out", a="1")
    with pytest.raises(RuntimeError, match="broken"), staged(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "a").write_text("2")
        raise RuntimeError("broken")
    assert tree(tmp_path / "out") == {"a": "1"}
    assert hidden(tmp_path) == []


def test_a_users_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(EdgecError) as caught:
        build(tmp_path / "out", a="1")
    assert caught.value.code.code == "EC0601"
    assert "thesis.txt" in caught.value.details
    assert tree(tmp_path / "out") == {"thesis.txt": "mine"}


def test_a_users_file_in_an_artefact_stops_its_replacement(tmp_path: Path) -> None:
    build(tmp_path / "out", a="1")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(EdgecError) as caught:
        build(tmp_path / "out", a="2")
    assert caught.value.code.code == "EC0601"
    assert caught.value.details == ("notes.txt",)
    assert tree(tmp_path / "out") == {"a": "1", "notes.txt": "mine"}


def test_a_foreign_manifest_json_is_no_artefact(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "manifest.json").write_text('{"name": "a web application"}')
    with pytest.raises(EdgecError) as caught:
        build(tmp_path / "site", a="1")
    assert caught.value.code.code == "EC0601"
    assert (tmp_path / "site" / "manifest.json").read_text() == '{"name": "a web application"}'


def test_a_file_that_appears_during_the_build_is_kept(tmp_path: Path) -> None:
    with pytest.raises(EdgecError) as caught, staged(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "a").write_text("1")
        write_manifest(folder, edgec="1", provenance=PROVENANCE, interface=INTERFACE)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "late.txt").write_text("mine")
    assert caught.value.code.code == "EC0601"
    assert tree(tmp_path / "out") == {"late.txt": "mine"}


@pytest.mark.parametrize("kind", ["file", "root"])
def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "file" if kind == "file" else Path("/")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EdgecError) as caught:
        build(place, a="1")
    assert caught.value.code.code == "EC0601"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_below_a_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(EdgecError) as caught:
        build(tmp_path / "file" / "out", a="1")
    assert caught.value.code.code == "EC0603"
    assert caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_parent_is_an_error_with_a_hint(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o500)
    with pytest.raises(EdgecError) as caught:
        build(parent / "out", a="1")
    assert caught.value.code.code == "EC0603"


def test_proc_cannot_hold_an_artefact() -> None:
    with pytest.raises(EdgecError) as caught:
        build(Path("/proc/edgec-out"), a="1")
    assert caught.value.code.code == "EC0603"


def test_a_full_disk_leaves_the_old_artefact(tmp_path: Path) -> None:
    build(tmp_path / "out", a="1")
    with pytest.raises(EdgecError) as caught, staged(tmp_path / "out") as folder:  # noqa: PT012
        (folder / "a").write_text("2")
        with Path("/dev/full").open("wb", buffering=0) as full:
            full.write(b"x")
    assert caught.value.code.code == "EC0603"
    assert "no space" in caught.value.what
    assert tree(tmp_path / "out") == {"a": "1"}
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(("free_bytes", "code"), [(4096, "EC0603"), (2**40, "EC0902")])
def test_a_tool_that_fails_on_a_full_disk_is_not_to_blame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_bytes: int, code: str
) -> None:
    monkeypatch.setattr(staging_module, "_free_bytes", lambda folder: free_bytes)
    with pytest.raises(EdgecError) as caught, staged(tmp_path / "out"):
        raise EdgecError(TOOL_FAILED, "`zig` ended with status -6", hint="")
    assert caught.value.code.code == code
    assert hidden(tmp_path) == []


def test_the_second_of_two_builds_into_one_folder_gets_a_clear_error(tmp_path: Path) -> None:
    first = start(tmp_path / "out", "first", pause=20)
    assert first.stdout is not None
    assert first.stdout.readline() == "half\n"
    with pytest.raises(EdgecError) as caught:
        build(tmp_path / "out", a="1")
    assert caught.value.code.code == "EC0602"
    first.kill()
    first.communicate()


def test_many_builds_at_once_never_mix(tmp_path: Path) -> None:
    processes = [start(tmp_path / "out", str(number)) for number in range(6)]
    ends = [(process.communicate()[1].strip(), process.returncode) for process in processes]
    assert all(status == 0 or message == "EC0602" for message, status in ends), ends
    assert any(status == 0 for _, status in ends)
    assert len(set(tree(tmp_path / "out").values())) == 1
    assert len(tree(tmp_path / "out")) == 20
    check_integrity(tmp_path / "out")
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("had_artefact", [True, False])
def test_a_killed_build_leaves_what_was_there_and_the_next_one_cleans_up(tmp_path: Path, had_artefact: bool) -> None:
    if had_artefact:
        build(tmp_path / "out", a="old")
    process = start(tmp_path / "out", "new", pause=20)
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / "out").exists() == had_artefact
    if had_artefact:
        assert tree(tmp_path / "out") == {"a": "old"}
        check_integrity(tmp_path / "out")
    assert hidden(tmp_path)
    build(tmp_path / "out", a="next")
    assert tree(tmp_path / "out") == {"a": "next"}
    assert hidden(tmp_path) == []


def test_kills_at_any_time_never_leave_a_broken_artefact(tmp_path: Path) -> None:
    build(tmp_path / "out", a="old")
    for attempt in range(10):
        process = start(tmp_path / "out", f"{attempt}")
        time.sleep(0.05 + 0.03 * attempt)
        process.kill()
        process.communicate()
        check_integrity(tmp_path / "out")
    build(tmp_path / "out", a="next")
    assert hidden(tmp_path) == []
