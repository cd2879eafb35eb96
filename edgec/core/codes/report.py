"""EC08xx: reports."""

from edgec.core.errors import ErrorCode, ExitStatus

UNREADABLE = ErrorCode(
    "EC0801",
    "The report cannot be read",
    ExitStatus.USAGE,
    "The file that was named as a report does not exist, is a folder, or may not be read.",
    "Name a report.json that `edgec build` wrote, or the folder of an artefact that holds one.",
)
NOT_JSON = ErrorCode(
    "EC0802",
    "The report is not JSON",
    ExitStatus.USAGE,
    "The file is not valid JSON in UTF-8: it was cut off, edited by hand, or is another kind of file. "
    "`NaN` and `Infinity` are no JSON either.",
    "Build again, or fix the file at the position that the message names.",
)
UNKNOWN_SCHEMA = ErrorCode(
    "EC0803",
    "The report has a schema that this edgec does not know",
    ExitStatus.USAGE,
    "Every report states its schema in its first key. This edgec reads `edgec-report/1` only; "
    "it does not guess what another version means.",
    "Read the report with the version of edgec that wrote it, or build again with this one.",
)
SCHEMA_VIOLATED = ErrorCode(
    "EC0804",
    "The report does not fit its schema",
    ExitStatus.USAGE,
    "The file is JSON, but a key is missing, unknown or of the wrong type. "
    "Every place is listed with its path from the root of the document.",
    "Build again, or correct the places that the message lists; the schema is edgec-report-1.schema.json.",
)
CONTRADICTORY = ErrorCode(
    "EC0805",
    "The report contradicts itself",
    ExitStatus.USAGE,
    "The file has the right form, but its numbers do not agree: an error band that does not hold its value, "
    "a number that is not finite, or layers and time between layers that do not add up to the total latency.",
    "Do not trust the file. Build again; if edgec itself wrote it, report the bug with the file.",
)
