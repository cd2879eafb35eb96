"""A static library for iOS, made and linked without anything of Apple's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgec.build import BuildOptions, build
from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.report.schema import Unverified
from tests.models import mobile_net

ZIG = (sys.executable, "-m", "ziglang")
MACH_O_64 = b"\xcf\xfa\xed\xfe"


def _options(folder: Path, threads: int = 1) -> BuildOptions:
    model = folder / "network.onnx"
    model.write_bytes(mobile_net().SerializeToString())
    return BuildOptions(model=model, target="ios-arm64", out=folder / "artifact", threads=threads)


def test_the_library_links_for_ios(tmp_path: Path) -> None:
    report = build(_options(tmp_path), Silent()).report
    assert isinstance(report.verification, Unverified)
    library = tmp_path / "artifact" / "lib" / "libnetwork.a"
    subprocess.run([*ZIG, "ar", "x", str(library)], cwd=tmp_path, check=True)
    objects = sorted(tmp_path.glob("*.o"))
    assert len(objects) == 4
    assert all(each.read_bytes().startswith(MACH_O_64) for each in objects)
    link = ("cc", "-target", "aarch64-ios.14.0", "-shared", "-nostdlib", "-Wl,-undefined,dynamic_lookup")
    subprocess.run([*ZIG, *link, "-o", "network.dylib", *map(str, objects)], cwd=tmp_path, check=True)
    assert (tmp_path / "network.dylib").read_bytes().startswith(MACH_O_64)


def test_several_threads_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgecError) as raised:
        build(_options(tmp_path, threads=2), Silent())
    assert raised.value.code.code == "EC0407"
