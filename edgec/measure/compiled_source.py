"""Small shared libraries in C that measuring needs, compiled by zig when they are first wanted, then from the cache."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from edgec.core.cache import Cache, key_of
from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError
from edgec.core.tool_chain import tool_chain_environment


def shared_library(folder: str, name: str, options: Sequence[str]) -> bytes:
    """The shared library of a source under `hw/`.

    Args:
        folder: of the source, in `hw/`.
        name: of the source.
        options: of the compiler, beyond those of any shared library.

    Raises:
        EdgecError: EC0901 if the compiler is missing or fails.
    """
    source = resources.files("edgec.hw").joinpath(folder, name).read_bytes()
    cache = Cache()
    key = key_of("shared library", name, source, *options)
    stored = cache.get(key)
    if stored is None:
        stored = _compiled(source, name, options)
        cache.put(key, stored)
    return stored


def _compiled(source: bytes, name: str, options: Sequence[str]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="edgec-compile-") as folder:
        scratch = Path(folder)
        (scratch / name).write_bytes(source)
        command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O2", *options, "-o", "made.so", name]
        environment = tool_chain_environment(os.environ, scratch / "objects")
        done = subprocess.run(command, cwd=scratch, env=environment, capture_output=True, check=False)
        if done.returncode != 0:
            last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
            raise EdgecError(TOOL_MISSING, f"zig cc failed: {' '.join(last)}", hint="pip install 'edgec[tvm]'")
        return (scratch / "made.so").read_bytes()
