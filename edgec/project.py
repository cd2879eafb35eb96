"""What a build is asked to do: the command line, completed by the project file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edgec.build import BuildOptions
from edgec.core.codes.usage import BAD_USAGE, UNKNOWN_PROJECT_NAME
from edgec.core.configuration import FILE_NAME, Defaults, Project, load_project
from edgec.core.errors import EdgecError
from edgec.core.target_silicon import SiliconOptions


@dataclass(frozen=True)
class Request:
    """The options of `edgec build` as they were given; None where the user did not say."""

    model: str | None
    target: str | None
    recipe: str | None
    data: str | None
    shapes: Mapping[str, tuple[int, ...]]
    threads: int | None
    out: Path | None
    seed: int | None
    keep_steps: bool
    tune: int = 0
    tuning_database: Path | None = None
    boards: tuple[str, ...] = ()
    device: str | None = None
    silicon: SiliconOptions = field(default_factory=SiliconOptions)


def resolve(request: Request, project_file: Path | None) -> BuildOptions:
    """The options of a build: what was asked for first, then the project file, then the defaults.

    Args:
        request: what the command line says.
        project_file: the project file; None takes `edgec.toml` of the working folder if it exists.

    Raises:
        EdgecError: EC0101 if no model or no target is named anywhere, or boards without tuning; EC0103 and EC0104 for a
            faulty project file.
    """
    path = project_file if project_file is not None else Path(FILE_NAME)
    known = project_file is not None or path.is_file()
    project = load_project(path) if known else Project()
    name, model = _model(request.model, project, path)
    target = request.target or project.build.target
    if target is None:
        raise EdgecError(
            BAD_USAGE, "no target is named", hint="add --target NAME; `edgec targets list` shows the devices"
        )
    if request.boards and not request.tune:
        raise EdgecError(
            BAD_USAGE, "--board says nothing without --tune", hint="add --tune N, or measure with --device"
        )
    folder = path.parent
    shapes = {**project.shapes.get(name, {}), **request.shapes}
    return BuildOptions(
        model=model,
        target=target,
        recipe=request.recipe or project.build.recipe or "exact",
        data=request.data if request.data is not None else _data(project.data.get(name), folder),
        shapes=shapes,
        threads=request.threads or project.build.threads or 1,
        out=request.out or Path(f"{model.stem}-{Path(target).stem}"),
        seed=request.seed if request.seed is not None else project.build.seed or 0,
        keep_steps=request.keep_steps,
        device=request.device,
        tune=request.tune,
        tuning_database=request.tuning_database,
        boards=request.boards,
        silicon=_silicon(request.silicon, project.build, folder),
    )


def _silicon(asked: SiliconOptions, defaults: Defaults, folder: Path) -> SiliconOptions:
    """Paths in a project file are relative to it."""
    liberty = None if defaults.liberty is None else folder / defaults.liberty
    given = SiliconOptions(liberty=liberty, weights=defaults.weights, triple_registers=defaults.triple_registers)
    return given.model_copy(update={name: value for name, value in asked if value is not None})


def _model(asked: str | None, project: Project, path: Path) -> tuple[str, Path]:
    """Name in the project file (empty for a path that it does not know), and path of the model."""
    if asked is None:
        if len(project.models) == 1:
            asked = next(iter(project.models))
        else:
            hint = f"name one of: {', '.join(project.models)}" if project.models else "edgec build MODEL.onnx …"
            raise EdgecError(BAD_USAGE, "no model is named", hint=hint)
    if asked in project.models:
        return asked, path.parent / project.models[asked]
    if not Path(asked).exists() and Path(asked).suffix == "" and project.models:
        raise EdgecError(
            UNKNOWN_PROJECT_NAME,
            f"there is no file and no model {asked}",
            where=str(path),
            hint=f"defined are: {', '.join(project.models)}",
        )
    return "", Path(asked)


def _data(specification: str | None, folder: Path) -> str | None:
    """Paths in a project file are relative to it; `module:function` is no path."""
    if specification is None or ":" in specification:
        return specification
    return str(folder / specification)
