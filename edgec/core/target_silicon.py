"""What a build may choose of an integrated circuit, over what its datasheet says."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from edgec.core.codes.usage import BAD_USAGE
from edgec.core.errors import EdgecError
from edgec.core.target import Target


class SiliconOptions(BaseModel):
    """Choices for a target with the section `[asic]`; None leaves what the datasheet says.

    Attributes:
        liberty: cell library to map to, a Liberty file.
        weights: `hard-wired` into adders, or in `registers` that are written over I2C.
        triple_registers: three copies of each register and a vote.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    liberty: Path | None = None
    weights: Literal["hard-wired", "registers"] | None = None
    triple_registers: bool | None = None

    def applied_to(self, target: Target) -> Target:
        """The target with these choices.

        Raises:
            EdgecError: EC0101 for choices and a target that is no integrated circuit.
        """
        chosen = {name: value for name, value in self if value is not None}
        if not chosen:
            return target
        if target.asic is None:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in chosen)
            raise EdgecError(
                BAD_USAGE,
                f"{options}: {target.name} is no integrated circuit",
                hint="use --target asic-65nm-lp, or leave the option out",
            )
        if self.liberty is not None:
            chosen["cells"] = str(self.liberty)
        asic = target.asic.model_copy(update={name: value for name, value in chosen.items() if name != "liberty"})
        return target.model_copy(update={"asic": asic})
