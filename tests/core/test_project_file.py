"""`edgec.toml`: what a build takes where the command line does not say, and errors that name the line."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgec.core.configuration import line_of, load_project
from edgec.core.errors import EdgecError
from edgec.project import Request, resolve

WHOLE = """\
[models]
classifier = "models/classifier.onnx"
[shapes.classifier]
image = [1, 3, 224, 224]
[data]
classifier = "data/calibration.npz"
[build]
target = "raspberry-pi-4"
recipe = "int8"
threads = 4
seed = 7
[budget.raspberry-pi-4.classifier]
latency_ms = {max = 40, mode = "predicted"}
instructions = {max_increase = "2%"}
"""


def request(**given: object) -> Request:
    values: dict[str, object] = {
        "model": None,
        "target": None,
        "recipe": None,
        "data": None,
        "shapes": {},
        "threads": None,
        "out": None,
        "seed": None,
        "keep_steps": False,
    }
    return Request(**(values | given))  # type: ignore[arg-type]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "edgec.toml"
    path.write_text(WHOLE)
    return path


def error_of(folder: Path, text: str | bytes) -> EdgecError:
    path = folder / "edgec.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EdgecError) as caught:
        load_project(path)
    assert caught.value.hint
    return caught.value


def test_the_project_file_fills_in_what_the_command_line_leaves_out(project: Path) -> None:
    options = resolve(request(), project)
    assert options.model == project.parent / "models" / "classifier.onnx"
    assert (options.target, options.recipe, options.threads, options.seed) == ("raspberry-pi-4", "int8", 4, 7)
    assert options.data == str(project.parent / "data" / "calibration.npz")
    assert options.shapes == {"image": (1, 3, 224, 224)}
    assert options.out == Path("classifier-raspberry-pi-4")


def test_the_command_line_comes_first(project: Path) -> None:
    given = request(
        model="classifier",
        target="host",
        recipe="exact",
        data="x.npz",
        shapes={"image": (1, 3, 8, 8)},
        threads=1,
        seed=0,
    )
    options = resolve(given, project)
    assert (options.target, options.recipe, options.threads, options.seed) == ("host", "exact", 1, 0)
    assert (options.data, options.shapes) == ("x.npz", {"image": (1, 3, 8, 8)})


def test_a_path_is_no_name_and_takes_no_data_of_another_model(project: Path) -> None:
    options = resolve(request(model="other/net.onnx"), project)
    assert (options.model, options.data, dict(options.shapes)) == (Path("other/net.onnx"), None, {})


def test_without_a_project_file_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = resolve(request(model="net.onnx", target="my/board.toml"), None)
    assert (options.recipe, options.threads, options.seed, options.data) == ("exact", 1, 0, None)
    assert options.out == Path("net-board")


def test_the_project_file_of_the_working_folder_is_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.parent)
    assert resolve(request(), None).recipe == "int8"


@pytest.mark.parametrize(
    ("given", "code", "hint"),
    [
        (request(target="host"), "EC0101", "MODEL.onnx"),
        (request(model="net.onnx"), "EC0101", "targets list"),
    ],
)
def test_what_is_named_nowhere_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Request, code: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EdgecError) as caught:
        resolve(given, None)
    assert (caught.value.code.code, hint in caught.value.hint) == (code, True)


def test_several_models_need_a_choice(tmp_path: Path) -> None:
    (tmp_path / "edgec.toml").write_text('[models]\na = "a.onnx"\nb = "b.onnx"\n')
    with pytest.raises(EdgecError) as caught:
        resolve(request(target="host"), tmp_path / "edgec.toml")
    assert "a, b" in caught.value.hint
    with pytest.raises(EdgecError) as caught:
        resolve(request(target="host", model="c"), tmp_path / "edgec.toml")
    assert caught.value.code.code == "EC0104"


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("[models\n", 1, "expected ']'"),
        ('[models]\na = "x"\na = "y"\n', 3, "overwrite"),
        ('[models]\na = "x"\n[build]\ntargets = "host"\n', 4, "build.targets: unknown key"),
        ('[build]\nseed = 1\nthreads = "4"\n', 3, "build.threads"),
        ("[build]\nthreads = 0\n", 2, "greater than or equal to 1"),
        ("[build]\nthreads = true\n", 2, "valid integer"),
        ("[models]\n\n# comment = 1\na = 1\n", 4, "models.a"),
        ('[models]\na = "x"\n[shapes.a]\nx = [1, 0]\n', 4, "shapes.a.x"),
        ('[budget."t".m]\nlatency_ms = {max = "fast"}\n', 2, "latency_ms"),
        ("[budget.t.m]\nlatency_ms = {max = inf}\n", 2, "finite"),
        ('[budget.t.m]\ninstructions = {max_increase = "two"}\n', 2, "max_increase"),
        ("[colour]\n", 1, "colour: unknown key"),
    ],
)
def test_an_error_names_the_line(tmp_path: Path, text: str, line: int, what: str) -> None:
    error = error_of(tmp_path, text)
    assert error.code.code == "EC0103"
    assert f"edgec.toml:{line}" in error.where
    assert what in error.what


def test_several_errors_are_all_listed(tmp_path: Path) -> None:
    error = error_of(tmp_path, "[build]\nthreads = 0\nseed = -1\nfoo = 1\n")
    assert error.where.endswith("edgec.toml:2")
    assert len(error.details) == 2
    assert error.details[0].startswith("line 3: build.seed")


def test_data_of_a_model_that_is_not_defined(tmp_path: Path) -> None:
    error = error_of(tmp_path, '[models]\na = "a.onnx"\n[data]\nb = "x.npz"\n')
    assert error.code.code == "EC0104"
    assert error.where.endswith("edgec.toml:4")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 5000, b"#" * (2**20 + 1), b"\x00"])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    assert error_of(tmp_path, content).code.code == "EC0103"


@pytest.mark.parametrize("name", ["absent.toml", ".", "/dev/zero"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EdgecError) as caught:
        load_project(tmp_path / name)
    assert caught.value.code.code == "EC0105"


def test_lines_of_quoted_and_dotted_keys() -> None:
    text = '[a."b.c"]\nd = 1\n[e]\nf.g = 2\n'
    assert line_of(text, ("a", "b.c", "d")) == 2
    assert line_of(text, ("e", "f", "g")) == 4
    assert line_of(text, ("e", "f", "h")) == 3
    assert line_of(text, ("z",)) == 1
