"""Recipes: what they accept, and how they say what is wrong with a line."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from edgec.core import recipe as recipes
from edgec.core.codes.passes import PASS_BROKEN, PASS_NOT_FOUND, RECIPE_INVALID, RECIPE_NOT_FOUND
from edgec.core.errors import EdgecError
from edgec.core.recipe import built_in_recipes, find_pass, load_recipe, make_pass, pass_names


@pytest.fixture(autouse=True)
def fresh_discovery() -> Iterator[None]:
    recipes._entry_points.cache_clear()
    yield
    recipes._entry_points.cache_clear()


def refused(tmp_path: Path, text: str) -> EdgecError:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(EdgecError) as caught:
        load_recipe(str(path))
    return caught.value


@pytest.mark.parametrize("name", built_in_recipes())
def test_built_in_recipes_load(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.passes


def test_the_default_recipe_is_there() -> None:
    assert "exact" in built_in_recipes()
    assert "static-shapes" in pass_names()
    assert find_pass("static-shapes").name == "static-shapes"


def test_a_file_with_options(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('description = "d"\n[[pass]]\nname = "static-shapes"\nshapes = {x = [1, 2]}\n')
    (step,) = load_recipe(str(path)).passes
    assert step.options.model_dump() == {"shapes": {"x": (1, 2)}}


def test_unknown_recipe_names_its_neighbour() -> None:
    with pytest.raises(EdgecError) as caught:
        load_recipe("exakt")
    assert caught.value.code is RECIPE_NOT_FOUND
    assert "`exact`" in caught.value.hint
    with pytest.raises(EdgecError) as caught:
        load_recipe("nowhere/mine.toml")
    assert caught.value.code is RECIPE_NOT_FOUND


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ('[[pass]]\nname = "fold-constants"\n[[pass]\n', 3, "TOML", ""),
        ('\n[[pass]]\nsuffix = 1\n', 2, "no name", "name"),
        ('[[pass]]\nname = "fold-constants"\n\n[[pass]]\nname = "static-shapes"\nshape = {}\n', 6, "shape", "`shapes`"),
        ('[[pass]]\nname = "static-shapes"\nshapes = 3\n', 3, "shapes", "static-shapes"),
        ('[[passes]]\nname = "static-shapes"\n', 1, "passes", "[[pass]]"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(tmp_path: Path, text: str, line: int, what: str, hint: str) -> None:
    error = refused(tmp_path, text)
    assert error.code is RECIPE_INVALID
    assert error.where.endswith(f"mine.toml:{line}")
    assert what in error.what
    assert hint in error.hint


@pytest.mark.parametrize("text", ["", "pass = 3", "pass = []", "pass = [1]", 'description = "d"'])
def test_a_recipe_without_passes_is_refused(tmp_path: Path, text: str) -> None:
    assert refused(tmp_path, text).code is RECIPE_INVALID


def test_a_recipe_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EdgecError) as caught:
        load_recipe(str(path))
    assert caught.value.code is RECIPE_INVALID


def test_unknown_pass_names_its_neighbour_and_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, '[[pass]]\n# comment\nname = "static-shape"\n')
    assert error.code is PASS_NOT_FOUND
    assert "`static-shapes`" in error.hint
    assert error.where.endswith("mine.toml:3")


def test_options_are_checked_without_a_recipe() -> None:
    with pytest.raises(EdgecError) as caught:
        make_pass("fold-batch-norm", {"strength": 3})
    assert caught.value.code is RECIPE_INVALID
    assert caught.value.where == "pass fold-batch-norm"


def declare(monkeypatch: pytest.MonkeyPatch, *declared: tuple[str, str]) -> None:
    points = [metadata.EntryPoint(name, value, recipes.ENTRY_POINTS) for name, value in declared]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points)


@pytest.mark.parametrize("value", ["missing_package_of_passes:Pass", "json:NoSuchThing", "json:JSONDecoder"])
def test_a_broken_package_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    declare(monkeypatch, ("theirs", value))
    with pytest.raises(EdgecError) as caught:
        make_pass("theirs")
    assert caught.value.code is PASS_BROKEN
    assert value.split(":")[0] in caught.value.what + caught.value.where


def test_two_packages_with_one_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    declare(monkeypatch, ("theirs", "a:B"), ("theirs", "c:D"))
    with pytest.raises(EdgecError) as caught:
        make_pass("theirs")
    assert caught.value.code is PASS_BROKEN
