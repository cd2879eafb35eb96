"""A manifest names what an artefact is, and every way in which it is not that any more."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgec.core.errors import EdgecError
from edgec.core.interface import Interface
from edgec.core.manifest import Provenance, check_integrity, digest_of, read_manifest, write_manifest
from edgec.core.tensor import TensorSpec

DIGEST = "a" * 64
SPEC = TensorSpec(name="x", dtype="float32", shape=(1, 3))


def provenance(**changes: object) -> Provenance:
    values: dict[str, object] = {
        "model_name": "m",
        "model_sha256": DIGEST,
        "target_name": "host",
        "target_sha256": DIGEST,
        "recipe": "exact",
        "options_sha256": DIGEST,
        "plan_sha256": DIGEST,
        "seed": 0,
        "tools": {"zig": "1", "tvm": "2"},
    }
    return Provenance.model_validate(values | changes)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    (folder / "include").mkdir(parents=True)
    (folder / "run").write_bytes(b"program")
    (folder / "include" / "m.h").write_text("void m(void);")
    interface = Interface(symbol="m", inputs=(SPEC,), outputs=(SPEC,), runner="run", emulator=("qemu-aarch64",))
    write_manifest(folder, edgec="0.1.0", provenance=provenance(), interface=interface)
    return folder


def edited(folder: Path, change: Callable[[dict], object]) -> None:  # type: ignore[type-arg]
    path = folder / "manifest.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def code_of(folder: Path) -> str:
    with pytest.raises(EdgecError) as caught:
        check_integrity(folder)
    assert caught.value.hint
    return caught.value.code.code


def test_what_is_written_is_read_back(artifact: Path) -> None:
    manifest = check_integrity(artifact)
    assert [file.path for file in manifest.files] == ["include/m.h", "run"]
    assert manifest.interface.inputs == (SPEC,)
    assert list(manifest.provenance.tools) == ["tvm", "zig"]


def test_equal_builds_have_equal_manifests(artifact: Path) -> None:
    first = (artifact / "manifest.json").read_bytes()
    os.utime(artifact / "run", (0, 0))
    again = provenance(tools={"tvm": "2", "zig": "1"})
    write_manifest(artifact, edgec="0.1.0", provenance=again, interface=read_manifest(artifact).interface)
    assert (artifact / "manifest.json").read_bytes() == first


def test_every_difference_is_named(artifact: Path) -> None:
    (artifact / "run").write_bytes(b"Program")
    (artifact / "include" / "m.h").unlink()
    (artifact / "extra.txt").write_text("x")
    (artifact / "link").symlink_to("run")
    os.mkfifo(artifact / "pipe")
    with pytest.raises(EdgecError) as caught:
        check_integrity(artifact)
    assert caught.value.code.code == "EC0606"
    assert set(caught.value.details) == {
        "include/m.h: missing",
        "run: has other contents",
        "extra.txt: not part of the artefact",
        "link: is a symbolic link",
        "pipe: is neither a file nor a folder",
    }


def test_reports_may_come_later_and_differ(artifact: Path) -> None:
    (artifact / "report.json").write_text("measured")
    (artifact / "report.html").write_text("measured")
    assert [file.path for file in check_integrity(artifact).files] == ["include/m.h", "run"]
    (artifact / "include" / "report.json").write_text("not at its place")
    assert code_of(artifact) == "EC0606"


def test_a_file_of_another_size_is_named_with_both_sizes(artifact: Path) -> None:
    (artifact / "run").write_bytes(b"long program")
    with pytest.raises(EdgecError) as caught:
        check_integrity(artifact)
    assert caught.value.details == ("run: has 12 bytes instead of 7",)


def test_a_file_replaced_by_a_link_to_its_own_content_is_refused(artifact: Path, tmp_path: Path) -> None:
    (artifact / "run").rename(tmp_path / "elsewhere")
    (artifact / "run").symlink_to(tmp_path / "elsewhere")
    assert code_of(artifact) == "EC0606"


@pytest.mark.parametrize(
    "path",
    ["../secret", "/etc/passwd", "a/../../b", "a\\b", "", ".", "a//b", "./a", "a\nb", "manifest.json", "x" * 2000],
)
def test_a_path_that_leaves_the_artefact_is_refused(artifact: Path, path: str) -> None:
    edited(artifact, lambda values: values["files"][0].update(path=path))
    assert code_of(artifact) == "EC0605"


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.update(schema="edgec-manifest/2"),
        lambda values: values.pop("interface"),
        lambda values: values.update(surprise=1),
        lambda values: values["files"].append(values["files"][0]),
        lambda values: values["files"][0].update(size_bytes=-1),
        lambda values: values["files"][0].update(sha256="zz"),
        lambda values: values["interface"].update(runner="../../bin/sh"),
        lambda values: values["interface"].update(emulator=["/bin/sh", "-c"]),
        lambda values: values["interface"].update(emulator=["sh", "-c"]),
    ],
)
def test_a_manifest_that_breaks_its_schema_is_refused(
    artifact: Path,
    change: Callable[[dict], object],  # type: ignore[type-arg]
) -> None:
    edited(artifact, change)
    assert code_of(artifact) == "EC0605"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema": "x"}'])
def test_garbage_is_refused(artifact: Path, content: bytes) -> None:
    (artifact / "manifest.json").write_bytes(content)
    assert code_of(artifact) == "EC0605"


def test_a_huge_manifest_is_not_read(artifact: Path) -> None:
    with (artifact / "manifest.json").open("wb") as file:
        file.truncate(2**34)
    assert code_of(artifact) == "EC0605"


def test_a_manifest_that_is_a_link_is_refused(artifact: Path, tmp_path: Path) -> None:
    (artifact / "manifest.json").rename(tmp_path / "m.json")
    (artifact / "manifest.json").symlink_to(tmp_path / "m.json")
    assert code_of(artifact) == "EC0605"


def test_a_folder_without_a_manifest_is_no_artefact(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "EC0604"
    assert code_of(tmp_path / "absent") == "EC0604"


def test_a_link_in_a_finished_folder_is_refused(artifact: Path) -> None:
    (artifact / "link").symlink_to("/etc/passwd")
    with pytest.raises(EdgecError) as caught:
        write_manifest(
            artifact, edgec="1", provenance=provenance(), interface=Interface(symbol="m", inputs=(), outputs=())
        )
    assert caught.value.code.code == "EC0603"


def test_the_digest_of_options_depends_on_every_value() -> None:
    assert digest_of(provenance()) == digest_of(provenance(tools={"tvm": "2", "zig": "1"}))
    assert digest_of(provenance()) != digest_of(provenance(seed=1))
