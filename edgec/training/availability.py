"""Whether the libraries for training are installed."""

from __future__ import annotations

import importlib.util

from edgec.core.codes.tool import TOOL_MISSING
from edgec.core.errors import EdgecError


def require_training() -> None:
    """Check that torch and Brevitas are installed, before any work is done.

    Raises:
        EdgecError: EC0901 with the line that installs them.
    """
    missing = [name for name in ("torch", "brevitas") if importlib.util.find_spec(name) is None]
    if missing:
        what = f"training needs {' and '.join(missing)}, not installed"
        raise EdgecError(TOOL_MISSING, what, hint="pip install 'edgec[qat]'")
