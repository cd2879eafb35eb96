"""The kinds of cores whose integer kernels this machine can run."""

from __future__ import annotations

from edgec.backends.tvm.core_description import CoreDescription
from edgec.core.target_files import load_target

KIB = 1024


def runnable_cores() -> dict[str, CoreDescription]:
    """Descriptions by name; plain kernels run everywhere."""
    host = CoreDescription.of(load_target("host"))
    found = {
        "vectors of 4": CoreDescription(4, 32, "none", 32 * KIB, 512 * KIB),
        "scalar": CoreDescription(1, 14, "none", 16 * KIB, 0),
    }
    for lanes, registers in ((16, 32), (8, 16)):
        if host.float_lanes < lanes:
            continue
        for dot in ("vnni", "none"):
            if host.multiplies_pairs and dot in (host.dot_product, "none"):
                name = f"{dot} of {lanes}"
                found[name] = CoreDescription(lanes, registers, dot, 32 * KIB, 512 * KIB, multiplies_pairs=True)
    if host.dot_product == "sdot":
        found["sdot"] = CoreDescription(4, 32, "sdot", 32 * KIB, 512 * KIB)
    return found
