"""Pass `fine-tune`: further training, which wins back what lossy passes cost."""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir
from pydantic import Field

from edgec.core.cache import Cache
from edgec.core.passes import Kind, Need, Pass, PassContext, PassOptions, PassResult
from edgec.training.availability import require_training
from edgec.training.options import FitOptions, Loss


class FineTuneOptions(FitOptions):
    """Options of `fine-tune`."""

    loss: Loss = Field(
        default=Loss.AUTO,
        description="labels (cross-entropy), distillation (the outputs of the model before the first pass that lost "
        "accuracy), both, or auto: labels where the data has them",
    )


class FineTune(Pass):
    """Train the model's weights on the data of the build, in PyTorch, and write them back.

    Case 1: with labels, cross-entropy; a network that ends in a Softmax is trained on what goes into it.
    Case 2: by `loss = "distillation"` or `"both"`, and without labels, the network learns the outputs that the model
        had before the first pass that lost accuracy. Without such a pass, those that it has already.
    Case 3: convolutions without batch normalisation get one for the training, an identity at first, because exporters
        fold it and deep networks train badly without; it is folded again.
    Case 4: a network with a batch of one written into it runs samples one by one.

    The pass is meant to follow the passes of the default recipe and a lossy one such as `prune-channels`. Needs the
    extra `qat`.
    """

    name: ClassVar[str] = "fine-tune"
    kind: ClassVar[Kind] = Kind.TRAINED
    needs: ClassVar[tuple[Need, ...]] = (Need.TRAINING,)
    Options: ClassVar[type[PassOptions]] = FineTuneOptions

    def run(self, model: ir.Model, context: PassContext) -> PassResult:
        """Train in place.

        Raises:
            EdgecError: EC0901 without the extra, EC1001 to EC1005.
        """
        require_training()
        from edgec.training.fine_tune import fine_tune

        options = self.options if isinstance(self.options, FineTuneOptions) else FineTuneOptions()
        if context.data is None:
            return PassResult(model, False, assumptions=("there is no data, so nothing was trained",))
        outcome, inserted = fine_tune(
            *(model, context.data, options),
            seed=context.seed,
            progress=context.progress,
            teacher=context.original,
            cache=Cache(),
        )
        stats: dict[str, int | float | str] = {
            "epochs": options.epochs,
            "epochs found in the cache": outcome.resumed,
            "loss of the first epoch": round(outcome.losses[0], 5),
            "loss of the last epoch": round(outcome.losses[-1], 5),
            "learned from": outcome.learned_from,
            "batch normalisations put in for training": inserted,
        }
        assumptions = [] if outcome.at_once else ["the network takes one sample at a time, so they ran one by one"]
        if "distillation" in outcome.learned_from and context.original is None:
            assumptions.append("no pass lost accuracy before, so the network learned the outputs that it had already")
        return PassResult(model, True, stats, (), tuple(assumptions))
