"""EC09xx: tools, and our own bugs."""

from edgec.core.errors import ErrorCode, ExitStatus

TOOL_MISSING = ErrorCode(
    "EC0901",
    "a tool is missing",
    ExitStatus.TOOL_MISSING,
    "The build needs a program that is not installed. It is looked for before any work is done.",
    "Install it with the command in the hint.",
)
TOOL_FAILED = ErrorCode(
    "EC0902",
    "a tool failed",
    ExitStatus.INTERNAL,
    "A step of the build ended with an error. The files it was given are edgec's own, so this is a bug in edgec or a"
    " damaged installation of the tool.",
    "Run `edgec doctor`, and report the tool's message if the tools are in order.",
)
TOOL_LEFT_NOTHING = ErrorCode(
    "EC0903",
    "a tool did not leave the file it should",
    ExitStatus.INTERNAL,
    "A step of the build ended well, but the file that the next step needs is not there.",
    "Report it; this is a bug in edgec.",
)
WRITE_FAILED = ErrorCode(
    "EC0904",
    "the artefact cannot be written",
    ExitStatus.USAGE,
    "The operating system refused to create or write a file of the artefact: no space, no permission, or a path that is"
    " too long.",
    "Choose another folder with --out, or make room.",
)
PATH_OUTSIDE = ErrorCode(
    "EC0905",
    "a plan names a file outside its folder",
    ExitStatus.INTERNAL,
    "A plan may only write below the folder of the artefact.",
    "Report it; this is a bug in the backend.",
)
