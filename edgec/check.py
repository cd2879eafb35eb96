"""The verb `check`: does every build of the project keep its budgets?

A report is taken from the cache where nothing that decides it has changed. A timed budget that seems broken is
measured again before it counts as broken, and never taken from the cache.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgec.budgets.baseline import FILE_NAME as BASELINE_NAME
from edgec.budgets.baseline import Baseline, Entry, entry_of, merged, read_baseline, write_baseline
from edgec.budgets.causes import causes, entry_changes, grown_layers
from edgec.budgets.fingerprint import fingerprint, has_unknown_data
from edgec.budgets.judging import Compared, is_timed, judge, limit_text
from edgec.core.cache import Cache, key_of
from edgec.core.codes.budget import NO_BUDGET
from edgec.core.codes.usage import BAD_PROJECT_FILE, UNKNOWN_PROJECT_NAME
from edgec.core.configuration import Limit, Project, line_of, load_project
from edgec.core.errors import EdgecError
from edgec.core.progress import Progress
from edgec.core.target_files import load_target
from edgec.project import Request, resolve
from edgec.report.check_records import CheckResult, Outcome, Verdict
from edgec.report.content import STYLES
from edgec.report.schema import Report

_MEASUREMENTS = 3
"""How often a timed budget is measured before it is broken."""


@dataclass(frozen=True)
class CheckOptions:
    """What to check.

    Attributes:
        project: the project file.
        update: whether to write the present figures to the baseline.
        fresh: whether to build and measure even what the cache knows.
        devices: the board of a target by its name, over what the project file says.
    """

    project: Path
    update: bool = False
    fresh: bool = False
    devices: Mapping[str, str] | None = None


def check(options: CheckOptions, progress: Progress) -> CheckResult:
    """Build every model for every target that has a budget, and compare.

    Raises:
        EdgecError: EC0103 to EC0105 for a faulty project file, EC0112 for a faulty baseline, EC0113 without a budget;
            what a build raises.
    """
    project = load_project(options.project)
    text = options.project.read_text(encoding="utf-8")
    _check_names(options.project, text, project)
    place = options.project.parent / BASELINE_NAME
    old = read_baseline(place)
    verdicts: list[Verdict] = []
    entries: dict[str, dict[str, Entry]] = {}
    changes: list[str] = []
    for target, model, limits in _pairs(project):
        builder = _Builder(options, project, target, model)
        before = old.entry(target, model)
        found, entry = _judged(builder, limits, before, options, progress)
        verdicts += [
            each.model_copy(update={"line": line_of(text, ("budget", target, model, each.metric))}) for each in found
        ]
        kept = merged(before, entry)
        entries.setdefault(target, {})[model] = kept
        changes += entry_changes(f"{target} / {model}", before, kept)
    if options.update:
        changes += _removed(old, entries)
        write_baseline(place, Baseline(entries=entries))
    return CheckResult(
        project=str(options.project),
        baseline=str(place),
        verdicts=tuple(verdicts),
        baseline_changes=tuple(changes) if options.update else (),
    )


def _pairs(project: Project) -> Iterator[tuple[str, str, Mapping[str, Limit]]]:
    for target, models in project.budget.items():
        for model, limits in models.items():
            yield target, model, limits


def _removed(old: Baseline, entries: Mapping[str, Mapping[str, Entry]]) -> Iterator[str]:
    for target, models in old.entries.items():
        for model, entry in models.items():
            if model not in entries.get(target, {}):
                yield from entry_changes(f"{target} / {model}", entry, None)


def _judged(
    builder: _Builder, limits: Mapping[str, Limit], before: Entry | None, options: CheckOptions, progress: Progress
) -> tuple[list[Verdict], Entry]:
    """The verdicts of one build and its figures; timed budgets that seem broken are measured again."""
    report = builder.report(progress, fresh=options.fresh)
    for attempt in range(_MEASUREMENTS):
        entry = entry_of(report, builder.made_by, limits)
        # With --update the figures of now become the baseline, so they are what regressions are judged by.
        baseline = merged(before, entry) if options.update else before
        verdicts = [_verdict(builder, metric, limit, report, entry, baseline) for metric, limit in limits.items()]
        again = any(each.outcome is Outcome.BROKEN and is_timed(each.metric, each.value) for each in verdicts)
        if not again or attempt == _MEASUREMENTS - 1:
            break
        report = builder.report(progress, fresh=True)
    return verdicts, entry


def _verdict(
    builder: _Builder, metric: str, limit: Limit, report: Report, entry: Entry, baseline: Entry | None
) -> Verdict:
    now = getattr(report.metrics, metric)
    compared = Compared(metric, now, entry, baseline)
    judgement = judge(limit, compared)
    broken = judgement.outcome is Outcome.BROKEN
    return Verdict(
        target=builder.target,
        model=builder.model,
        metric=metric,
        line=1,
        limit=limit_text(metric, limit),
        outcome=judgement.outcome,
        value=now,
        baseline=compared.before.as_value() if compared.before is not None else None,
        reason=judgement.reason,
        layers=grown_layers(metric, baseline, entry) if broken else (),
        causes=causes(baseline, entry) if broken else (),
    )


class _Builder:
    """Reports of one model on one target, from the cache or built.

    Args:
        options: of the check.
        project: the project file.
        target: name of the target.
        model: name of the model.
    """

    def __init__(self, options: CheckOptions, project: Project, target: str, model: str) -> None:
        self.target = target
        self.model = model
        devices = {**project.device, **(options.devices or {})}
        request = Request(
            model=model,
            target=target,
            recipe=None,
            data=None,
            shapes={},
            threads=None,
            out=None,
            seed=None,
            keep_steps=False,
            device=devices.get(target),
        )
        self._options = resolve(request, options.project)
        self.made_by = fingerprint(
            self._options.model,
            load_target(self._options.target),
            recipe=self._options.recipe,
            data=self._options.data,
            shapes=self._options.shapes,
            threads=self._options.threads,
            seed=self._options.seed,
            device=self._options.device,
        )
        self._cache = Cache()
        self._key = key_of("check", json.dumps(self.made_by, sort_keys=True))

    def report(self, progress: Progress, *, fresh: bool) -> Report:
        """The report; a fresh one is built whatever the cache holds."""
        known = not fresh and not has_unknown_data(self._options.data)
        stored = self._cache.get(self._key) if known else None
        if stored is not None:
            return Report.model_validate_json(stored)
        from edgec.build import build
        from edgec.report.files import write_json

        with tempfile.TemporaryDirectory(prefix="edgec-check-") as folder:
            made = build(replace(self._options, out=Path(folder) / "artifact"), progress).report
        self._cache.put(self._key, write_json(made))
        return made


def _check_names(path: Path, text: str, project: Project) -> None:
    if not any(limits for _, _, limits in _pairs(project)):
        raise EdgecError(NO_BUDGET, "the project file states no budget", where=str(path), hint=NO_BUDGET.remedy)
    for target, model, limits in _pairs(project):
        if model not in project.models:
            raise EdgecError(
                UNKNOWN_PROJECT_NAME,
                f"[budget.{target}] names the model {model}, which [models] does not define",
                where=f"{path}:{line_of(text, ('budget', target, model))}",
                hint=f"defined are: {', '.join(project.models) or 'none'}",
            )
        for metric in limits:
            if metric not in STYLES:
                raise EdgecError(
                    BAD_PROJECT_FILE,
                    f"{metric} is not a metric of a report",
                    where=f"{path}:{line_of(text, ('budget', target, model, metric))}",
                    hint=f"metrics are: {', '.join(STYLES)}",
                )
