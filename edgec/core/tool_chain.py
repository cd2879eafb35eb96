"""The environment of the C tool chain, zig, which keeps two kinds of things.

C libraries and start-up code, compiled once for each platform and set of options, take seconds to minutes; they are
kept for all builds of a user, some hundred megabytes. What it compiles of a build's own sources is of no use to another
build, and as large as the network: it lies with the build and goes with it, so that nothing grows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgec.core.cache import user_cache_folder


def tool_chain_environment(outer: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """A caller's environment with places for both; a place that the caller chose by zig's own variables stays.

    Args:
        outer: the caller's environment.
        scratch: a folder that the caller removes after the last command; made if it does not exist.
    """
    # Not under EDGEC_CACHE: a store of its own for a build is no reason to compile the C library anew.
    libraries = user_cache_folder() / "zig"
    return {"ZIG_GLOBAL_CACHE_DIR": str(libraries), "ZIG_LOCAL_CACHE_DIR": str(scratch), **outer}
