"""The list of passes of a build: its recipe, the shapes that were given, and what the backend asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from edgec.core.passes import Pass, PassContext
from edgec.core.recipe import load_recipe, make_pass
from edgec.core.trace import ModelSize
from edgec.graph.cost import model_size

_STATIC_SHAPES = "static-shapes"


def pass_list(recipe: str, shapes: Mapping[str, tuple[int, ...]], prerequisites: tuple[str, ...]) -> tuple[Pass, ...]:
    """The passes of a recipe with the given shapes filled in, then those prerequisites that the recipe lacks.

    Shapes come first if the recipe does not fix them itself: every backend wants them static.

    Raises:
        EdgecError: EC0301 to EC0304 for a recipe or a pass that is not there or not valid.
    """
    passes = [_with_shapes(step, shapes) for step in load_recipe(recipe).passes]
    names = {step.name for step in passes}
    if _STATIC_SHAPES not in names:
        passes.insert(0, make_pass(_STATIC_SHAPES, {"shapes": dict(shapes)}))
    passes += [make_pass(name) for name in prerequisites if name not in names]
    return tuple(passes)


def with_static_inputs(model: ir.Model, shapes: Mapping[str, tuple[int, ...]]) -> ir.Model:
    """A copy of the model with its input shapes fixed, as a build fixes them, and every shape that follows.

    Raises:
        EdgecError: EC0310 to EC0314 for shapes that do not fit the model or leave a dimension open.
    """
    from edgec.passes.shape_inference import infer_computed_shapes

    static = make_pass(_STATIC_SHAPES, {"shapes": dict(shapes)}).run(model.clone(), PassContext()).model
    infer_computed_shapes(static)
    return static


def size_with_shapes(shapes: Mapping[str, tuple[int, ...]]) -> Callable[[ir.Model], ModelSize]:
    """A function that counts a model's size with its input shapes fixed, whether or not a pass has fixed them yet."""

    def size(model: ir.Model) -> ModelSize:
        return model_size(with_static_inputs(model, shapes))

    return size


def _with_shapes(step: Pass, shapes: Mapping[str, tuple[int, ...]]) -> Pass:
    if step.name != _STATIC_SHAPES or not shapes:
        return step
    options = step.options.model_dump()
    return make_pass(_STATIC_SHAPES, {"shapes": {**options["shapes"], **shapes}})
