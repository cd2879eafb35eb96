"""Tables of standard cells: our own in `hw/cells/`, or a user's Liberty file."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edgec.backends.rtl.cell_functions import CellFunction, OutputFunction
from edgec.backends.rtl.liberty import CellCost, CellLibrary, read_liberty
from edgec.core.codes.hardware import CELLS_UNREADABLE
from edgec.core.errors import EdgecError
from edgec.core.target import Quantity


class _Cell(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    function: str
    gate_equivalents: float
    fo4: float

    @property
    def inputs(self) -> tuple[str, ...]:
        return tuple(pin for pin in "ABC" if pin in self.function)


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    volts: Quantity
    nand2_um2: Quantity
    fo4_ps: Quantity
    pin_ff: Quantity
    leakage_nw_per_ge: Quantity
    internal_fj_per_ge: Quantity
    register_clock_fj: Quantity
    cells: dict[str, _Cell]


def load_cells(cells: str) -> tuple[CellLibrary, str]:
    """A library, and the Liberty text of its functions and areas that yosys maps to.

    Args:
        cells: name of a table in `hw/cells/`, or path of a Liberty file.

    Raises:
        EdgecError: EC1103 for a file that cannot be read.
    """
    if re.fullmatch(r"[a-z0-9-]+", cells):
        return _own(cells)
    try:
        text = Path(cells).read_text(encoding="utf-8")
        return read_liberty(text), text
    except (OSError, ValueError) as problem:
        raise EdgecError(CELLS_UNREADABLE, str(problem), where=cells, hint=CELLS_UNREADABLE.remedy) from problem


def _own(name: str) -> tuple[CellLibrary, str]:
    file = resources.files("edgec.hw") / "cells" / f"{name}.toml"
    try:
        table = _Table.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValidationError) as problem:
        raise EdgecError(CELLS_UNREADABLE, f"no table {name!r} of cells", hint=CELLS_UNREADABLE.remedy) from problem
    costs = {
        kind: CellCost(
            area_um2=cell.gate_equivalents * table.nand2_um2.value,
            leakage_nw=cell.gate_equivalents * table.leakage_nw_per_ge.value,
            pin_capacitance_ff=table.pin_ff.value,
            delay_ps=cell.fo4 * table.fo4_ps.value,
            internal_fj=cell.gate_equivalents * table.internal_fj_per_ge.value,
            clock_fj=0.0 if cell.function else table.register_clock_fj.value,
        )
        for kind, cell in table.cells.items()
    }
    functions = {
        kind: CellFunction((OutputFunction("Y", cell.inputs, cell.function),))
        if cell.function
        else CellFunction((OutputFunction("Q", (), "IQ"),), "D")
        for kind, cell in table.cells.items()
    }
    return CellLibrary(table.volts.value, functions, costs), _liberty_text(table, costs)


def _liberty_text(table: _Table, costs: dict[str, CellCost]) -> str:
    """Functions, areas and delays; the mapper wants tables over slope and load, here linear in the load."""
    lines = [
        f"library ({table.name.replace('-', '_')}) {{",
        f'  time_unit : "1ns"; capacitive_load_unit (1, ff); nom_voltage : {table.volts.value:g};',
        "  lu_table_template (delays) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;",
        '    index_1 ("0.01, 1"); index_2 ("1, 40"); }',
    ]
    for kind, cell in table.cells.items():
        lines.append(f"  cell ({kind}) {{ area : {costs[kind].area_um2:g};")
        capacitance = f"direction : input; capacitance : {costs[kind].pin_capacitance_ff:g};"
        if cell.function:
            lines += [f"    pin ({pin}) {{ {capacitance} }}" for pin in cell.inputs]
            lines.append(f'    pin (Y) {{ direction : output; function : "{cell.function}"; max_capacitance : 100;')
            lines += [_arc(pin, costs[kind].delay_ps / 1e3) for pin in cell.inputs]
            lines.append("    }")
        else:
            lines.append('    ff (IQ, IQN) { clocked_on : "C"; next_state : "D"; }')
            lines.append(f"    pin (C) {{ {capacitance} clock : true; }} pin (D) {{ {capacitance} }}")
            lines.append('    pin (Q) { direction : output; function : "IQ";')
            lines += [_arc("C", costs[kind].delay_ps / 1e3), "    }"]
        lines.append("  }")
    return "\n".join([*lines, "}", ""])


def _arc(pin: str, delay_ns: float) -> str:
    """Delays from one pin: half of the mean at no load, the mean at four pins and their wires."""
    row = f'"{delay_ns / 2:g}, {delay_ns * 1.5:g}"'
    tables = " ".join(
        f"{kind} (delays) {{ values ({row}, {row}); }}"
        for kind in ("cell_rise", "rise_transition", "cell_fall", "fall_transition")
    )
    return f'      timing () {{ related_pin : "{pin}"; {tables} }}'
