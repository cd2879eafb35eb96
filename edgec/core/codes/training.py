"""EC10xx: training."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

NOT_TRAINABLE = ErrorCode(
    "EC1001",
    "the model has operators that cannot be trained",
    ExitStatus.UNSUPPORTED,
    "Passes that train run the network in PyTorch, forwards and backwards. An operator of the model has no form there "
    "that computes the same, so nothing is trained rather than something else.",
    "Leave the training pass out of the recipe, or cut the part of the network that is named off before it is trained.",
)
LABELS_MISSING = ErrorCode(
    "EC1002",
    "training with labels needs labels",
    ExitStatus.USAGE,
    "The pass is asked to learn from labels, and the data has none for some or all of its samples.",
    'Add the labels (`y`), or let the network learn from its own float outputs: `loss = "distillation"`.',
)
BAD_LABEL = ErrorCode(
    "EC1003",
    "a label is not a class of the network",
    ExitStatus.USAGE,
    "Labels are whole numbers from 0 to the number of classes less one, one a sample; the classes are the last axis of "
    "the model's first output.",
    "Number the classes from 0 in the order of the network's outputs.",
)
TOO_FEW_SAMPLES = ErrorCode(
    "EC1004",
    "too few samples to train on",
    ExitStatus.USAGE,
    "A step of training takes one batch of samples, and there is less than one.",
    "Give more samples, or a smaller `batch`.",
)
TRAINING_DIVERGED = ErrorCode(
    "EC1005",
    "training diverged",
    ExitStatus.USAGE,
    "The loss became infinite or not a number, so the weights are of no use and the model was left as it was.",
    "Use a smaller `learning_rate`; look at the data's scale if that does not help.",
)
