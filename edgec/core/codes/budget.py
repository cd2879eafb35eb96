"""EC0112 and on: budgets."""

from __future__ import annotations

from edgec.core.errors import ErrorCode, ExitStatus

BAD_BASELINE = ErrorCode(
    "EC0112",
    "the baseline file cannot be used",
    ExitStatus.USAGE,
    "`edgec.baseline.json` cannot be read, or it is not what `edgec check --update` writes. edgec stops, because a "
    "regression would go unseen.",
    "Restore the file from git, or remove it and run `edgec check --update`.",
)

NO_BUDGET = ErrorCode(
    "EC0113",
    "there is no budget",
    ExitStatus.USAGE,
    "`edgec check` compares builds with the budgets of the project file, and the file states none.",
    'Add a table [budget.TARGET.MODEL] with a line such as instructions = {max_increase = "1%"}.',
)
