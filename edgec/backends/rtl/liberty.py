"""Liberty files: what cells compute, and what they cost. Source: Liberty User Guide, Synopsys, volume 1."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from edgec.backends.rtl.cell_functions import CellFunction, OutputFunction


@dataclass(frozen=True)
class CellCost:
    """What a cell costs.

    Attributes:
        area_um2: square micrometres.
        leakage_nw: nanowatts.
        pin_capacitance_ff: femtofarads of the mean input pin.
        delay_ps: picoseconds from input to output at a mean load.
        internal_fj: femtojoules within the cell for each change of its output.
        clock_fj: femtojoules within a register for each cycle of its clock; 0 for other cells.
    """

    area_um2: float
    leakage_nw: float
    pin_capacitance_ff: float
    delay_ps: float
    internal_fj: float
    clock_fj: float = 0.0


STEP_PS = 5.0
"""Resolution of the simulation of gates that take time."""

_MOST_STEPS = 4095


def delay_steps(cost: CellCost) -> int:
    """The delay of a gate in steps of the simulation; at least one, and at most what its wheel of events holds."""
    return min(max(1, round(cost.delay_ps / STEP_PS)), _MOST_STEPS)


@dataclass(frozen=True)
class CellLibrary:
    """A library of standard cells.

    Attributes:
        volts: supply.
        functions: what each cell computes.
        costs: what each cell costs.
    """

    volts: float
    functions: Mapping[str, CellFunction]
    costs: Mapping[str, CellCost]


@dataclass
class _Group:
    """`kind (name) { attribute : value; … }`."""

    kind: str
    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    groups: list[_Group] = field(default_factory=list)

    def inside(self, kind: str) -> Iterator[_Group]:
        return (group for group in self.groups if group.kind == kind)

    def number(self, name: str, default: float = 0.0) -> float:
        try:
            return float(self.attributes.get(name, default))
        except ValueError:
            return default


def read_liberty(text: str) -> CellLibrary:
    """Parse a Liberty file.

    Raises:
        ValueError: where it is no Liberty file.
    """
    library = _parse(text)
    to_ff = 1000.0 if "pf" in library.attributes.get("capacitive_load_unit", "1,ff").lower() else 1.0
    to_ps = _unit(library.attributes.get("time_unit", "1ns"), {"ns": 1000.0, "ps": 1.0})
    to_nw = _unit(library.attributes.get("leakage_power_unit", "1nW"), {"mw": 1e6, "uw": 1e3, "nw": 1.0, "pw": 1e-3})
    volts = library.number("nom_voltage", 1.0)
    functions, costs = {}, {}
    for cell in library.inside("cell"):
        function = _function(cell)
        if function is None:
            continue
        functions[cell.name] = function
        costs[cell.name] = CellCost(
            area_um2=cell.number("area"),
            leakage_nw=cell.number("cell_leakage_power") * to_nw,
            pin_capacitance_ff=_mean(
                pin.number("capacitance") * to_ff
                for pin in cell.inside("pin")
                if pin.attributes.get("direction") == "input"
            ),
            delay_ps=_mean(_table_values(cell, ("cell_rise", "cell_fall"), "output")) * to_ps,
            # An energy of Liberty is power times time: the unit of capacitance times volts squared.
            internal_fj=_mean(_table_values(cell, ("rise_power", "fall_power"), "output")) * to_ff,
            clock_fj=_clock_energy(cell) * to_ff,
        )
    if not functions:
        raise ValueError("it describes no cell")
    return CellLibrary(volts, functions, costs)


def _function(cell: _Group) -> CellFunction | None:
    """What a cell computes; None for latches, fillers, tri-states, and more than a clock to control a register."""
    pins = {pin.name: pin for pin in cell.inside("pin")}
    inputs = tuple(name for name, pin in pins.items() if pin.attributes.get("direction") == "input")
    states = list(cell.inside("ff"))
    outputs = [
        (name, pin.attributes["function"])
        for name, pin in pins.items()
        if pin.attributes.get("direction") == "output" and "function" in pin.attributes
    ]
    if not outputs or any(True for _ in cell.inside("latch")):
        return None
    if any("three_state" in pin.attributes for pin in pins.values()):
        return None
    if states:
        following = states[0].attributes.get("next_state", "").strip()
        if following not in inputs:
            return None
        state = states[0].name.split(",")[0].strip()
        held = tuple(OutputFunction(name, (), text) for name, text in outputs if text.strip() == state)
        return CellFunction(held, following)
    return CellFunction(
        tuple(
            OutputFunction(name, tuple(i for i in inputs if re.search(rf"\b{re.escape(i)}\b", text)), text)
            for name, text in outputs
        )
    )


def _clock_energy(cell: _Group) -> float:
    """Energy of both edges of a register's clock, whatever its data does."""
    return sum(_mean(_table_values(cell, (kind,), "clock")) for kind in ("rise_power", "fall_power"))


def _table_values(cell: _Group, kinds: tuple[str, ...], role: Literal["output", "clock"]) -> Iterator[float]:
    """The middle value of each table of the cell's outputs, or of its clock."""
    for pin in cell.inside("pin"):
        mine = (
            pin.attributes.get("direction") == "output" if role == "output" else pin.attributes.get("clock") == "true"
        )
        for arc in pin.groups if mine else ():
            for table in arc.groups:
                if table.kind in kinds and "values" in table.attributes:
                    values = [float(number) for number in re.findall(r"[-+.\deE]+", table.attributes["values"])]
                    yield statistics.median(values)


def _mean(values: Iterator[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0


def _unit(text: str, factors: Mapping[str, float]) -> float:
    number, unit = re.match(r"([\d.]*)\s*([a-z]+)", text.strip().lower()).groups()  # type: ignore[union-attr]
    return float(number or 1) * factors[unit]


_TOKEN = re.compile(r'"[^"]*"|[{}();:,]|[^\s{}();:,"]+')


def _parse(text: str) -> _Group:
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL).replace("\\\n", " ")
    tokens = _TOKEN.findall(text)
    top = _Group("", "")
    at = _body(tokens, 0, top)
    libraries = list(top.inside("library"))
    if at < len(tokens) or len(libraries) != 1:
        raise ValueError("it is no Liberty file")
    return libraries[0]


def _body(tokens: list[str], at: int, group: _Group) -> int:
    """Read attributes and groups up to the brace that closes the group."""
    while at < len(tokens) and tokens[at] != "}":
        name = tokens[at]
        following = tokens[at + 1] if at + 1 < len(tokens) else ""
        if following == ":":
            end = at + 2
            while end < len(tokens) and tokens[end] not in (";", "}"):
                end += 1
            group.attributes[name] = " ".join(tokens[at + 2 : end]).strip('"')
            at = end + (end < len(tokens) and tokens[end] == ";")
        elif following == "(":
            close = tokens.index(")", at)
            arguments = (
                "".join(tokens[at + 2 : close]).replace('"', "")
                if name != "values"
                else " ".join(tokens[at + 2 : close]).replace('"', " ")
            )
            if close + 1 < len(tokens) and tokens[close + 1] == "{":
                inner = _Group(name, arguments)
                group.groups.append(inner)
                at = _body(tokens, close + 2, inner) + 1
            else:
                group.attributes[name] = arguments
                at = close + 1
        else:
            at += 1
    return at
