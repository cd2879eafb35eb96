"""EC07xx: data for calibration, training and evaluation."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

BAD_SPEC = ErrorCode(
    "EC0701",
    "the data is not understood",
    ExitStatus.USAGE,
    "--data takes a .npz file, a folder with one folder of images for each class, or `module:function` for a "
    "function that yields (inputs, labels).",
    "Check the spelling and the path.",
)

UNREADABLE_DATA = ErrorCode(
    "EC0702",
    "the data cannot be read",
    ExitStatus.USAGE,
    "The file is damaged, cut short, or in another format than its name says.",
    "Write it again, with numpy.savez or an image program.",
)

PICKLED_DATA = ErrorCode(
    "EC0703",
    "the data holds Python objects",
    ExitStatus.USAGE,
    "An array of Python objects is stored as a pickle, and reading a pickle can run any program. edgec reads plain "
    "numbers only.",
    "Convert the array to a numeric type before saving it.",
)

TOO_LARGE = ErrorCode(
    "EC0704",
    "the data is larger than it may be",
    ExitStatus.USAGE,
    "The file declares more data than edgec reads at once, or unpacks to more than it declares. This is how a "
    "damaged or hostile archive exhausts a machine's memory.",
    "Use fewer samples, or a folder or a function, which are read one sample at a time.",
)

DOES_NOT_FIT = ErrorCode(
    "EC0705",
    "the data does not fit the model",
    ExitStatus.USAGE,
    "The arrays have other names, types or shapes than the model's inputs, or hold NaN or infinity. edgec does not "
    "convert in silence: a wrong scale or layout gives wrong results that look right.",
    "Convert the data as the hint says, in the way that the model was trained.",
)

PILLOW_MISSING = ErrorCode(
    "EC0706",
    "reading images needs Pillow",
    ExitStatus.TOOL_MISSING,
    "A folder of images was given as data and the package that decodes images is not installed.",
    "pip install 'edgec[images]'",
)

FUNCTION_FAILED = ErrorCode(
    "EC0707",
    "the data function failed",
    ExitStatus.USAGE,
    "`module:function` cannot be imported, is no function, raised an error, or yields something else than "
    "(inputs, labels).",
    "Call the function in a Python shell to see its error.",
)

EMPTY_SPLIT = ErrorCode(
    "EC0708",
    "the data has no sample for this use",
    ExitStatus.USAGE,
    "Calibration, training and evaluation each need at least one sample of their own.",
    "Add samples, or arrays whose names begin with calibration/, train/ or evaluation/.",
)
