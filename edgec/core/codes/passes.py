"""Errors of passes, recipes and the pipeline: EC03xx."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

RECIPE_NOT_FOUND = ErrorCode(
    "EC0301",
    "there is no such recipe",
    ExitStatus.USAGE,
    "A recipe is the name of a built-in list of passes, or the path of a TOML file.",
    "See `edgec passes list` for the built-in recipes.",
)
RECIPE_INVALID = ErrorCode(
    "EC0302",
    "the recipe is not valid",
    ExitStatus.USAGE,
    "A recipe is a TOML file of `[[pass]]` tables, each with the `name` of a pass and its options.",
    "Correct the line that is named; `edgec passes show NAME` lists the options of a pass.",
)
PASS_NOT_FOUND = ErrorCode(
    "EC0303",
    "there is no such pass",
    ExitStatus.USAGE,
    "Passes are found by the entry points of installed packages in the group `edgec.passes`.",
    "See `edgec passes list`; install the package that brings the pass.",
)
PASS_BROKEN = ErrorCode(
    "EC0304",
    "an installed pass cannot be loaded",
    ExitStatus.TOOL_MISSING,
    "A package declares a pass in the group `edgec.passes`, but importing it fails, or what it names is not a pass. "
    "edgec does not go on without it, because a missing pass would change results silently.",
    "Upgrade or uninstall the package that is named.",
)
PASS_NEEDS_DATA = ErrorCode(
    "EC0305",
    "a pass needs data that were not given",
    ExitStatus.USAGE,
    "The recipe contains a pass that calibrates, trains or evaluates, and there is nothing to do it with.",
    "Give data with `--data`, or choose a recipe that needs none.",
)
PASS_FAILED = ErrorCode(
    "EC0306",
    "a pass failed",
    ExitStatus.INTERNAL,
    "A pass stopped with an exception that it should have handled. This is a fault of the pass, not of the model.",
    "Leave the pass out of the recipe, and report the fault with the model to the author of the pass.",
)
PASS_CHANGED_OUTPUTS = ErrorCode(
    "EC0307",
    "a pass changed the outputs of the model although it promises not to",
    ExitStatus.INTERNAL,
    "After every exact pass the model is run on the same inputs as before it. The outputs differ by more than "
    "rounding, so the pass is wrong for this model, and nothing was built.",
    "Leave the pass out of the recipe, and report the fault with the model to the author of the pass.",
)
DYNAMIC_DIMENSION = ErrorCode(
    "EC0310",
    "a dimension of an input is open",
    ExitStatus.USAGE,
    "Code is generated for fixed shapes. The model leaves an extent of an input open, and it is not the batch, which "
    "would be taken as 1.",
    "Give the shape on the command line: `--shape INPUT=1,3,224,224`.",
)
SHAPE_OF_UNKNOWN_INPUT = ErrorCode(
    "EC0311",
    "a shape was given for an input that the model does not have",
    ExitStatus.USAGE,
    "`--shape` names an input of the model and its extents; no input has this name.",
    "Use one of the names in the message, or `edgec analyze MODEL` to see them.",
)
SHAPE_CONTRADICTION = ErrorCode(
    "EC0312",
    "a given shape contradicts the model",
    ExitStatus.USAGE,
    "The shape has another number of axes than the model's input, changes an extent that the model fixes, gives two "
    "extents to one named dimension, or is not positive.",
    "Give a shape that agrees with the model, or export the model with open dimensions.",
)
UNKNOWN_RANK = ErrorCode(
    "EC0313",
    "the model does not say how many axes an input has",
    ExitStatus.USAGE,
    "The input is declared without a shape, so nothing can be assumed about it.",
    "Give the whole shape on the command line: `--shape INPUT=1,3,224,224`.",
)
NOT_A_TENSOR = ErrorCode(
    "EC0314",
    "an input of the model is not a tensor",
    ExitStatus.UNSUPPORTED,
    "Sequences, maps and optional values have no place in an artefact's plain C interface.",
    "Export the model with plain tensors as inputs.",
)
REWRITE_FAILED = ErrorCode(
    "EC0315",
    "a rewrite of a library failed on the model",
    ExitStatus.UNSUPPORTED,
    "A pass of onnx_ir or onnxscript stopped with an exception: the model uses something that it did not foresee, or "
    "is not valid.",
    "Check the model with `onnx.checker.check_model(model, full_check=True)`; report the fault if it is valid.",
)
RECURSIVE_FUNCTION = ErrorCode(
    "EC0316",
    "the model's functions call each other in a circle",
    ExitStatus.UNSUPPORTED,
    "Functions of an ONNX model are expanded where they are called; that never ends if they call themselves.",
    "Export the model without recursive functions.",
)
NO_HALF_ARITHMETIC = ErrorCode(
    "EC0317",
    "the core has no fp16 arithmetic",
    ExitStatus.UNSUPPORTED,
    "The pass `convert-float16` was asked for, but the target's core cannot multiply and add vectors of fp16: each"
    " number would be widened to fp32 and narrowed again, and the network would run slower than before.",
    "Leave the pass out, or choose a target whose datasheet has the feature +fullfp16.",
)
