"""What the C simulation can tell about a layer, as the artefact keeps it in `simulation/layers.json`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, TypeAdapter

FILE_NAME = "simulation/layers.json"


class TracedLayer(BaseModel):
    """A layer whose results the simulation writes with `--layers`.

    Attributes:
        name: in the generated code.
        node: the ONNX node that it stems from.
        op: its operator.
        value: the ONNX value that its result stands for.
        type: of the result.
        sums: type of the sums; empty where nothing is summed.
        order: element n of the result is element `order[n]` of the ONNX value.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    node: str
    op: str
    value: str
    type: str
    sums: str
    order: tuple[int, ...]


TRACED_LAYERS = TypeAdapter(tuple[TracedLayer, ...])
