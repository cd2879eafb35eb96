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
