"""EC06xx: artefacts."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

NOT_OURS_TO_REPLACE = ErrorCode(
    "EC0601",
    "the output folder holds files that edgec did not write",
    ExitStatus.USAGE,
    "edgec replaces an output folder as a whole. It does so only where the folder is absent, empty, or holds an "
    "artefact of edgec and nothing else, so that none of your files are ever deleted.",
    "Name another --out, or move your files away.",
)

FOLDER_BUSY = ErrorCode(
    "EC0602",
    "another build writes the same folder",
    ExitStatus.USAGE,
    "Two builds into one folder would race. The one that came first goes on.",
    "Wait for the other build, or name another --out.",
)

CANNOT_WRITE = ErrorCode(
    "EC0603",
    "the artefact cannot be written",
    ExitStatus.USAGE,
    "The folder's place is full, read-only, or may not be written by this user. The old artefact, if there was one, "
    "is as it was.",
    "Free some space, or name another --out.",
)

NOT_AN_ARTIFACT = ErrorCode(
    "EC0604",
    "this is not an artefact",
    ExitStatus.USAGE,
    "An artefact is a folder written by `edgec build`, with a file `manifest.json` that names its contents.",
    "Give the folder that `edgec build --out` wrote.",
)

DAMAGED_MANIFEST = ErrorCode(
    "EC0605",
    "the manifest is damaged",
    ExitStatus.USAGE,
    "`manifest.json` is not what `edgec build` writes: not JSON, a missing or unknown key, a path that leaves the "
    "folder, or a version that this edgec does not know.",
    "Build the artefact again, with this version of edgec.",
)

CHANGED_FILES = ErrorCode(
    "EC0606",
    "the artefact is not as it was built",
    ExitStatus.USAGE,
    "The manifest records the size and SHA-256 of every file. Some file is missing, has other contents, was added, "
    "or is no regular file, so what the report says need not hold for what is there.",
    "Build the artefact again, or restore the files that the message lists.",
)

WRONG_RESULTS = ErrorCode(
    "EC0607",
    "the compiled network does not compute what its model says",
    ExitStatus.BUDGET_FAILED,
    "Before an artefact is handed over it runs on the same inputs as its model in ONNX Runtime. The outputs differ by "
    "more than rounding explains, so nothing was written.",
    "Report it with the model; a single thread or another target may work meanwhile.",
)
