"""`--data` in each of its forms: samples that fit the model, or an error that says what the data look like."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edgec.core.data import Split, load_data, split_indices
from edgec.core.errors import EdgecError
from edgec.core.tensor import TensorSpec

IMAGE = (TensorSpec(name="image", dtype="float32", shape=(1, 3, 4, 5)),)
TWO = (TensorSpec(name="a", dtype="float32", shape=(2, 3)), TensorSpec(name="b", dtype="int64", shape=(1, 4)))


def images(count: int = 10, dtype: str = "float32") -> np.ndarray:
    return np.arange(count * 60).reshape(count, 3, 4, 5).astype(dtype)


def saved(folder: Path, **arrays: np.ndarray) -> str:
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return str(path)


def error_of(specification: str, inputs: tuple[TensorSpec, ...] = IMAGE) -> EdgecError:
    with pytest.raises(EdgecError) as caught:
        list(load_data(specification, inputs).evaluation())
    assert caught.value.hint
    return caught.value


def test_samples_are_split_by_index_and_never_shared(tmp_path: Path) -> None:
    source = load_data(saved(tmp_path, x=images(), y=np.arange(10)), IMAGE)
    train = [int(sample.label) for sample in source.train() if sample.label is not None]
    evaluation = [int(sample.label) for sample in source.evaluation() if sample.label is not None]
    assert evaluation == [4, 9]
    assert train == [0, 1, 2, 3, 5, 6, 7, 8]
    calibration = list(source.calibration())
    assert len(calibration) == 8
    np.testing.assert_array_equal(calibration[4]["image"], images()[5:6])
    assert calibration[0]["image"].dtype == np.float32


def test_arrays_by_input_name_and_prefix(tmp_path: Path) -> None:
    path = saved(
        tmp_path,
        **{
            "train/a": np.zeros((6, 2, 3), np.float32),
            "train/b": np.zeros((6, 4), np.int64),
            "train/y": np.arange(6),
            "evaluation/a": np.ones((2, 2, 3), np.float32),
            "evaluation/b": np.ones((2, 1, 4), np.int64),
        },
    )
    source = load_data(path, TWO)
    assert len(list(source.train())) == 6
    evaluation = list(source.evaluation())
    assert [sample.label for sample in evaluation] == [None, None]
    assert evaluation[0].inputs["a"].shape == (2, 3)
    assert evaluation[0].inputs["b"].shape == (1, 4)
    assert len(list(source.calibration())) == 6


def test_calibration_takes_evenly_spaced_samples() -> None:
    chosen = split_indices(10_000, Split.CALIBRATION)
    assert len(chosen) == 256
    assert chosen[-1] > 9_900
    assert not set(chosen) & set(split_indices(10_000, Split.EVALUATION))


def test_equal_files_have_equal_digests(tmp_path: Path) -> None:
    first = load_data(saved(tmp_path, x=images()), IMAGE).sha256
    assert first == load_data(saved(tmp_path, x=images()), IMAGE).sha256
    assert first != load_data(saved(tmp_path, x=images() + 1), IMAGE).sha256


def test_fortran_order_and_foreign_byte_order_are_read(tmp_path: Path) -> None:
    stored = np.asfortranarray(images().astype(">f4"))
    first = next(iter(load_data(saved(tmp_path, x=stored), IMAGE).train()))
    np.testing.assert_array_equal(first.inputs["image"], images()[:1])


@pytest.mark.parametrize(
    ("array", "what", "hint"),
    [
        (images(dtype="uint8"), "is uint8, the model takes float32", "(x / 255).astype('float32')"),
        (images(dtype="float64"), "is float64", "x.astype('float32')"),
        (images().transpose(0, 2, 3, 1), "has the shape [10, 4, 5, 3]", "x.transpose(0, 3, 1, 2)"),
        (images()[0], "has the shape [3, 4, 5]", "x[None]"),
        (images()[:, :, :2], "has the shape [10, 3, 2, 5]", "resize"),
        (images().reshape(10, -1), "has the shape [10, 60]", "samples × [3, 4, 5]"),
    ],
)
def test_data_that_does_not_fit_is_told_what_it_looks_like(
    tmp_path: Path, array: np.ndarray, what: str, hint: str
) -> None:
    error = error_of(saved(tmp_path, x=array))
    assert error.code.code == "EC0705"
    assert what in error.what
    assert hint in error.hint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_found(tmp_path: Path, value: float) -> None:
    array = images()
    array[4, 1, 2, 3] = value
    error = error_of(saved(tmp_path, x=array))
    assert error.code.code == "EC0705"
    assert "[0, 1, 2, 3]" in error.what


def test_missing_and_superfluous_arrays_are_named(tmp_path: Path) -> None:
    assert "no array for the input b" in error_of(saved(tmp_path, a=np.zeros((2, 3), np.float32)), TWO).what
    assert "no array for the input image" in error_of(saved(tmp_path, picture=images())).what
    assert "z belongs to no input" in error_of(saved(tmp_path, x=images(), z=images())).what


def test_different_numbers_of_samples_are_refused(tmp_path: Path) -> None:
    error = error_of(saved(tmp_path, x=images(), y=np.arange(9)))
    assert error.details == ("image: 10", "y: 9")


def test_a_split_without_samples_says_so(tmp_path: Path) -> None:
    assert error_of(saved(tmp_path, x=images(3))).code.code == "EC0708"
    assert error_of(saved(tmp_path, x=images(0))).code.code == "EC0708"


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path(tmp_path / "owned").touch, ())

    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([Bomb()], dtype=object))
    assert error_of(str(path)).code.code == "EC0703"
    assert not (tmp_path / "owned").exists()


def npz(path: Path, header: bytes, body: bytes, declared: int | None = None) -> str:
    text = header + b" " * (-(len(header) + 11) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + body
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    if declared is not None:
        raw = bytearray(path.read_bytes())
        place = raw.index(b"PK\x01\x02") + 24
        raw[place : place + 4] = declared.to_bytes(4, "little")
        path.write_bytes(raw)
    return str(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 3, 4, 5)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3, 4, 5)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4, 5)}",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': 'many'}",
        b"{'descr': '<U7', 'fortran_order': False, 'shape': (1, 3, 4, 5)}",
        b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 3, 4, 5)}",
        b"{'descr': '<q9', 'fortran_order': False, 'shape': (1, 3, 4, 5)}",
        b"__import__('os')",
        b"[" * 9000,
        b"\xff\xfe",
    ],
)
def test_headers_that_lie_are_refused(tmp_path: Path, header: bytes) -> None:
    error = error_of(npz(tmp_path / "data.npz", header, bytes(240)))
    assert error.code.code == "EC0702"


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        for _ in range(64):
            member.write(bytes(2**20))
    raw = path.read_bytes()
    assert len(raw) < 2**17
    assert error_of(str(path)).code.code == "EC0702"
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 4, 5)}"
    assert error_of(npz(path, header, bytes(240), declared=2**32 - 2)).code.code == "EC0702"


def test_too_much_data_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgec.core import array_file

    with pytest.raises(EdgecError) as caught:
        array_file.ArrayFile(Path(saved(tmp_path, x=images())), largest_bytes=1000)
    assert caught.value.code.code == "EC0704"


def test_a_cut_or_altered_file_is_refused(tmp_path: Path) -> None:
    raw = Path(saved(tmp_path, x=images())).read_bytes()
    path = tmp_path / "bad.npz"
    altered = bytearray(raw)
    altered[len(raw) // 2] ^= 1
    for content in (b"", raw[:100], raw[: len(raw) // 2], raw[:-10], bytes(altered)):
        path.write_bytes(content)
        assert error_of(str(path)).code.code == "EC0702"


def test_other_specifications_are_refused(tmp_path: Path) -> None:
    assert error_of(str(tmp_path / "absent.npz")).code.code == "EC0701"
    (tmp_path / "data.csv").write_text("1,2")
    assert error_of(str(tmp_path / "data.csv")).code.code == "EC0701"
    assert error_of("nonsense").code.code == "EC0701"
    assert error_of(str(tmp_path)).code.code == "EC0701"


FUNCTIONS = """
import numpy as np
def pairs():
    for start in range(0, 10, 5):
        yield np.full((5, 3, 4, 5), start, np.float32), np.arange(start, start + 5)
def by_split(split):
    yield {"image": np.full((2, 3, 4, 5), len(split), np.float32)}, None
def broken():
    yield np.zeros((1, 3, 4, 5), np.float32), None
    raise KeyError("lost")
def single(): yield np.zeros((1, 3, 4, 5), np.float32)
def wrong(): yield np.zeros((1, 3, 4, 6), np.float32), None
number = 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"data_functions_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def test_a_function_yields_samples(module: str) -> None:
    source = load_data(f"{module}:pairs", IMAGE)
    assert [int(sample.label) for sample in source.evaluation() if sample.label is not None] == [4, 9]
    assert len(list(source.train())) == 8
    assert len(list(source.calibration())) == 8
    assert source.sha256 == load_data(f"{module}:pairs", IMAGE).sha256


def test_a_function_may_split_itself(module: str) -> None:
    source = load_data(f"{module}:by_split", IMAGE)
    assert next(iter(source.calibration()))["image"][0, 0, 0, 0] == len("calibration")
    assert next(iter(source.evaluation())).inputs["image"][0, 0, 0, 0] == len("evaluation")


@pytest.mark.parametrize(
    ("name", "code", "what"),
    [
        ("broken", "EC0707", "KeyError: 'lost'"),
        ("single", "EC0707", "not a pair"),
        ("wrong", "EC0705", "[1, 3, 4, 6]"),
        ("number", "EC0707", "no function"),
        ("absent", "EC0707", "AttributeError"),
    ],
)
def test_a_faulty_function_is_an_error(module: str, name: str, code: str, what: str) -> None:
    error = error_of(f"{module}:{name}")
    assert error.code.code == code
    assert what in error.what


def test_a_module_that_is_not_there_is_an_error() -> None:
    assert error_of("no_such_module_here:pairs").code.code == "EC0707"


def picture(path: Path, value: int) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 10, 3), value, np.uint8)).save(path)


def test_a_folder_of_images_by_class(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for number in range(5):
        picture(tmp_path / "cat" / f"{number}.png", 255)
        picture(tmp_path / "dog" / f"{number}.png", 0)
    source = load_data(str(tmp_path), IMAGE)
    evaluation = list(source.evaluation())
    assert [int(sample.label) for sample in evaluation if sample.label is not None] == [0, 1]
    np.testing.assert_array_equal(evaluation[0].inputs["image"], np.ones((1, 3, 4, 5), np.float32))
    normalised = load_data(f"{tmp_path}?mean=0.5&std=0.25,0.5,1", IMAGE)
    np.testing.assert_allclose(next(iter(normalised.train())).inputs["image"][0, :, 0, 0], [2, 1, 0.5])
    assert normalised.sha256 != source.sha256
    last = (TensorSpec(name="image", dtype="uint8", shape=(1, 4, 5, 3)),)
    assert next(iter(load_data(str(tmp_path), last).train())).inputs["image"].shape == (1, 4, 5, 3)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    for number in range(5):
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    error = error_of(str(tmp_path))
    assert error.code.code == "EC0702"
    assert error.where.endswith("cat/4.png")


@pytest.mark.parametrize("query", ["?scale=0", "?mean=x", "?mean=1,2", "?colour=1", "?scale=nan", "?std"])
def test_a_faulty_normalisation_is_refused(tmp_path: Path, query: str) -> None:
    pytest.importorskip("PIL")
    for number in range(5):
        picture(tmp_path / "cat" / f"{number}.png", 255)
    assert error_of(f"{tmp_path}{query}").code.code == "EC0701"


def test_without_pillow_the_error_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "1.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    error = error_of(str(tmp_path))
    assert error.code.code == "EC0706"
    assert int(error.code.status) == 3
    assert "pip install" in error.hint


def test_a_model_without_an_image_takes_no_folder(tmp_path: Path) -> None:
    assert error_of(str(tmp_path), TWO).code.code == "EC0705"
