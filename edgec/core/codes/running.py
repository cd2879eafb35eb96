"""EC065x: running an artefact."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

ARTIFACT_NOT_RUNNABLE = ErrorCode(
    "EC0650",
    "the artefact has no executable",
    ExitStatus.UNSUPPORTED,
    "Only an artefact with a runner can be run: an executable that reads inputs and writes outputs.",
    "Build for a target that has one, or link the artefact's library into a program of your own.",
)

ARTIFACT_CRASHED = ErrorCode(
    "EC0651",
    "the artefact crashed",
    ExitStatus.INTERNAL,
    "The artefact's runner ended by a signal or with an error. An illegal instruction (SIGILL) means that the machine, "
    "or the emulated core, lacks an instruction that the target's datasheet promises; the rest are bugs.",
    "Check that the target describes the machine; if it does, report the model.",
)

ARTIFACT_TIMED_OUT = ErrorCode(
    "EC0652",
    "the artefact did not end in time",
    ExitStatus.UNSUPPORTED,
    "The artefact's runner was stopped at the time limit. Emulated cores are some ten to a hundred times slower than "
    "this machine.",
    "Run fewer samples, or run on the device itself.",
)

ARTIFACT_OUTPUT = ErrorCode(
    "EC0653",
    "the artefact's runner broke its protocol",
    ExitStatus.INTERNAL,
    "The runner wrote outputs of another size than its interface says, or lines that are no timings.",
    "Build the artefact again with this version of edgec; report the model if that does not help.",
)

ARTIFACT_INPUT = ErrorCode(
    "EC0654",
    "the inputs do not fit the artefact",
    ExitStatus.USAGE,
    "Every input of the artefact needs an array of its name, element type and shape.",
    "`edgec report ARTIFACT` lists the inputs.",
)
