"""EC11xx: FPGAs and ASICs."""

from edgec.core.errors import ErrorCode, ExitStatus

RANGE_TOO_WIDE = ErrorCode(
    "EC1101",
    "a value of the network is too wide for the hardware",
    ExitStatus.UNSUPPORTED,
    "Widths follow from the ranges of inputs and weights, so that nothing can overflow. The layer named could produce"
    " values wider than any multiplier or adder that is built for it.",
    "Quantise the layer's inputs and weights to fewer bits, or put a quantiser before it.",
)
DOES_NOT_FIT = ErrorCode(
    "EC1102",
    "the network does not fit the device",
    ExitStatus.UNSUPPORTED,
    "Weights and intermediate values must fit the memories and cells of the target, even where the layers are computed"
    " a few products at a time.",
    "Quantise to fewer bits, prune the network, or choose a larger device.",
)
CELLS_UNREADABLE = ErrorCode(
    "EC1103",
    "a table of cells cannot be read",
    ExitStatus.USAGE,
    "An ASIC estimate needs the areas, delays and energies of a cell library, as a table of edgec or a Liberty file.",
    "Give the path of a table with every cell that edgec's own tables have.",
)
