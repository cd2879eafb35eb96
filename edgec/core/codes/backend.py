"""EC04xx: backends."""

from edgec.core.errors import ErrorCode, ExitStatus

UNSUPPORTED_NODES = ErrorCode(
    "EC0401",
    "the backend cannot lower some nodes",
    ExitStatus.UNSUPPORTED,
    "Every node of the model must become code for the target. The nodes listed have an operator, an attribute or a"
    " shape that this backend has no code for. Nothing is built, because a model with holes is no model.",
    "Replace these nodes in the network, cut the model before them, fix its input shapes with --shape, or choose a"
    " target with another backend.",
)
CODE_GENERATION_FAILED = ErrorCode(
    "EC0402",
    "the code generator failed on a kernel",
    ExitStatus.INTERNAL,
    "The node was accepted, but TVM or LLVM could not turn it into machine code. This is a bug in edgec.",
    "Report it with the model, or with the node's operator, attributes and shapes.",
)
UNSUPPORTED_HOST = ErrorCode(
    "EC0403",
    "this machine cannot be a target",
    ExitStatus.UNSUPPORTED,
    "The target `host` builds for the machine that runs edgec, which must run Linux for that.",
    "Choose another target; every other one is cross-compiled and does not depend on this machine.",
)
