"""EC01xx: the command line and the project file."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

BAD_USAGE = ErrorCode(
    "EC0101",
    "the command line is not understood",
    ExitStatus.USAGE,
    "A verb, an option or an argument is unknown, missing, or has a value of the wrong kind. Nothing was done.",
    "Run the verb with --help to see what it takes.",
)

BAD_SHAPE = ErrorCode(
    "EC0102",
    "a --shape is not understood",
    ExitStatus.USAGE,
    "--shape fixes the shape of one input: its name, an equals sign, and its extents with commas between them. "
    "Every extent is a positive number.",
    "Write --shape NAME=1,3,224,224, once for each input with a dynamic shape.",
)

BAD_PROJECT_FILE = ErrorCode(
    "EC0103",
    "the project file is not understood",
    ExitStatus.USAGE,
    "edgec.toml is not valid TOML, or it holds a key that edgec does not know, or a value of the wrong kind. "
    "edgec stops instead of ignoring the key, because a misspelt default would change results silently.",
    "Mend the line that the message names; `edgec init` writes a commented example.",
)

UNKNOWN_PROJECT_NAME = ErrorCode(
    "EC0104",
    "the project file has no such entry",
    ExitStatus.USAGE,
    "A model or a data set was asked for by a name that the project file does not define.",
    "Add the entry to edgec.toml, or give the path of a file.",
)

UNREADABLE_FILE = ErrorCode(
    "EC0105",
    "a file cannot be read",
    ExitStatus.USAGE,
    "The file does not exist, is a folder, or may not be read by this user.",
    "Check the path and its permissions.",
)

UNWRITABLE_OUTPUT = ErrorCode(
    "EC0106",
    "the output cannot be written",
    ExitStatus.USAGE,
    "The place for the output is full, read-only, or may not be written by this user. Nothing half-written is left.",
    "Free some space, or name another place for the output.",
)

UNKNOWN_CODE = ErrorCode(
    "EC0107",
    "there is no such error code",
    ExitStatus.USAGE,
    "`edgec explain` takes a code as it stands in brackets after `error`.",
    "Run `edgec explain` without a code to list them all.",
)

WOULD_OVERWRITE = ErrorCode(
    "EC0108",
    "a file is in the way",
    ExitStatus.USAGE,
    "The verb writes a new file and one of that name exists. edgec does not overwrite what you may have edited.",
    "Remove or rename the file, or work in another folder.",
)

OUT_OF_MEMORY = ErrorCode(
    "EC0109",
    "this machine has too little memory",
    ExitStatus.UNSUPPORTED,
    "The system refused a request for memory. The model, its data or a request in a damaged file is too large for "
    "this machine.",
    "Use a machine with more memory, a smaller model, or fewer samples.",
)

NOT_AN_ARRAY_FILE = ErrorCode(
    "EC0110",
    "the inputs of the run cannot be used",
    ExitStatus.USAGE,
    "`edgec run` takes a .npz file with one array for each input of the artefact, of its name, type and shape.",
    "Write it with numpy: np.savez('x.npz', NAME=array).",
)
