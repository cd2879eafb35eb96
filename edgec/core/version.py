"""The version of edgec, as reports and manifests state it."""

from __future__ import annotations

VERSION = "0.1.0"

_TOOLS = ("apache-tvm", "apache-tvm-ffi", "numpy", "onnx", "onnx-ir", "onnxruntime", "onnxscript", "ziglang")


def tool_versions() -> dict[str, str]:
    """Versions of the installed libraries and tools that take part in a build, by name."""
    from importlib import metadata

    installed = {}
    for tool in _TOOLS:
        try:
            installed[tool] = metadata.version(tool)
        except metadata.PackageNotFoundError:
            continue
    return installed


def source_sha256() -> str:
    """SHA-256 over every file of edgec as it is installed: what its version cannot tell about work in progress."""
    import hashlib
    import os
    from pathlib import Path

    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for folder, folders, files in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            path = Path(folder) / name
            digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()
