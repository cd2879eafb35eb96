"""The catalogue of error codes, one module a room.

| block  | room |
|--------|------|
| EC01xx | command line and configuration |
| EC02xx | loading a model |
| EC03xx | passes and pipeline |
| EC04xx | backends |
| EC05xx | targets |
| EC06xx | artefacts |
| EC07xx | data |
| EC08xx | reports |
| EC09xx | tools, and our own bugs |
| EC10xx | training |
| EC11xx | FPGAs and ASICs |
| EC12xx | split computing |
| EC13xx | high-level synthesis |
"""

from __future__ import annotations

import importlib
import pkgutil

from edgec.core.errors import ErrorCode


def catalogue() -> dict[str, ErrorCode]:
    """Every error code of edgec by its identifier, in order."""
    rows: dict[str, ErrorCode] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        rows.update({row.code: row for row in vars(module).values() if isinstance(row, ErrorCode)})
    return dict(sorted(rows.items()))
