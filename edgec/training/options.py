"""How to train: options that every pass which trains has."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from edgec.core.passes import PassOptions


class Loss(StrEnum):
    """What the network learns from."""

    AUTO = "auto"
    LABELS = "labels"
    DISTILLATION = "distillation"
    BOTH = "both"


class Optimizer(StrEnum):
    """How weights move along the gradient."""

    SGD = "sgd"
    ADAMW = "adamw"


class Schedule(StrEnum):
    """How the learning rate changes over the steps."""

    ONE_CYCLE = "one-cycle"
    COSINE = "cosine"
    CONSTANT = "constant"


class FitOptions(PassOptions):
    """Options of training."""

    epochs: int = Field(default=3, ge=1, description="how often every sample is seen")
    batch: int = Field(default=128, ge=1, description="samples a step")
    learning_rate: float = Field(default=0.02, gt=0, description="the largest learning rate of the schedule")
    optimizer: Optimizer = Field(
        default=Optimizer.SGD, description="sgd (with Nesterov momentum 0.9) or adamw, which wants a smaller rate"
    )
    schedule: Schedule = Field(
        default=Schedule.ONE_CYCLE,
        description="one-cycle (up for a fifth of the steps, then down as a cosine), cosine (down only) or constant",
    )
    weight_decay: float = Field(
        default=1e-4, ge=0, description="pull of weights towards zero; not of biases and scales"
    )
    loss: Loss = Field(
        default=Loss.AUTO,
        description="labels (cross-entropy), distillation (the outputs of the model as it was given), both, or auto: "
        "labels where the data has them",
    )
    temperature: float = Field(default=4.0, gt=0, description="softens the outputs of classifiers that are distilled")
    flip: bool = Field(default=False, description="mirror half of the batches of pictures left to right")
    shift: int = Field(default=0, ge=0, description="move pictures by up to this many pixels in both directions")
    threads: int = Field(default=1, ge=1, description="threads of torch; other numbers than 1 round differently")
