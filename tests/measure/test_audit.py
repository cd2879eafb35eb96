"""The audit's numbers: counts, tests, choice of examples, and pictures that other software can read."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.measure.audit import MOST_EXAMPLES, audit_answers, audit_errors, outcome, ranks_classes, sample_error
from edgec.measure.audit_records import Change
from edgec.measure.significance import corrected, paired_p_value, share_with_interval
from edgec.measure.thumbnail import LONGEST_SIDE, thumbnail


def no_picture(_: int) -> None:
    return None


def scores(place: int, size: int = 4, height: float = 1.0) -> np.ndarray:
    row = np.zeros((1, size), np.float32)
    row[0, place] = height
    return row


@pytest.mark.parametrize(("lost", "gained"), [(0, 0), (1, 0), (5, 0), (10, 2), (7, 7), (40, 22), (900, 1100)])
def test_the_paired_test_is_the_exact_binomial_test(lost: int, gained: int) -> None:
    whole = lost + gained
    tail = sum(math.comb(whole, count) for count in range(min(lost, gained) + 1))
    assert paired_p_value(lost, gained) == pytest.approx(min(1.0, 2 * tail / 2**whole), rel=1e-9)
    assert paired_p_value(lost, gained) == paired_p_value(gained, lost)


def test_the_correction_is_holms() -> None:
    assert corrected([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert corrected([0.9, 0.8]) == pytest.approx((1.0, 1.0))
    assert corrected([]) == ()


@given(st.integers(1, 20_000), st.data())
def test_the_interval_holds_its_share(whole: int, data: st.DataObject) -> None:
    part = data.draw(st.integers(0, whole))
    value = share_with_interval(part, whole, "test")
    assert 0 <= value.low <= value.value <= value.high <= 1
    assert value.high - value.low > 0


def test_the_interval_is_wilsons() -> None:
    value = share_with_interval(10, 10, "test")
    assert (value.low, value.high) == (pytest.approx(0.7225, abs=1e-4), 1.0)
    value = share_with_interval(81, 263, "test")
    assert (value.low, value.high) == (pytest.approx(0.2553, abs=1e-4), pytest.approx(0.3662, abs=1e-4))


def test_lost_answers_come_first_and_the_surest_of_them_at_the_top() -> None:
    outcomes = [
        outcome(0, 3, scores(1), scores(2)),  # wrong either way
        outcome(1, 2, scores(1), scores(2)),  # gained
        outcome(2, 1, scores(1, height=2.0), scores(2)),  # lost
        outcome(3, 1, scores(1, height=9.0), scores(2)),  # lost, and it was sure
        outcome(4, 1, scores(1), scores(1)),
    ]
    audit = audit_answers(outcomes, no_picture, "test")
    assert [(each.index, each.change) for each in audit.examples] == [
        (3, Change.LOST),
        (2, Change.LOST),
        (0, Change.STILL_WRONG),
        (1, Change.GAINED),
    ]
    assert (audit.changed, audit.lost, audit.gained, audit.agreement.value) == (4, 2, 1, 0.2)
    assert audit.examples[0].before.score == 9.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=80))
def test_classes_add_up_to_the_whole(answers: list[tuple[int, int, int]]) -> None:
    outcomes = [outcome(i, label, scores(a), scores(b)) for i, (label, a, b) in enumerate(answers)]
    audit = audit_answers(outcomes, no_picture, "test")
    assert sum(row.samples for row in audit.by_class) == len(answers) == audit.samples
    assert sum(row.lost for row in audit.by_class) == audit.lost
    assert sum(row.gained for row in audit.by_class) == audit.gained
    assert sum(row.before * row.samples for row in audit.by_class) == pytest.approx(sum(x == y for x, y, _ in answers))
    assert sum(row.after * row.samples for row in audit.by_class) == pytest.approx(sum(x == z for x, _, z in answers))
    changes = [row.after - row.before for row in audit.by_class]
    assert changes == sorted(changes)
    assert len(audit.examples) == min(audit.changed, MOST_EXAMPLES)


def test_without_labels_classes_are_the_originals_answers() -> None:
    outcomes = [outcome(i, None, scores(i % 2), scores(0)) for i in range(10)]
    audit = audit_answers(outcomes, no_picture, "test")
    assert not audit.labelled
    assert [(row.label, row.after, row.p_value) for row in audit.by_class] == [(1, 0.0, None), (0, 1.0, None)]


def test_scores_that_are_not_finite_do_not_break_the_audit() -> None:
    broken = np.array([[np.nan, np.inf, 0.0]], np.float32)
    audit = audit_answers([outcome(0, 2, scores(2, 3), broken)], no_picture, "test")
    assert audit.examples[0].after.score is None
    errors = audit_errors([sample_error(0, {"y": scores(2, 3)}, {"y": broken})], no_picture)
    assert math.isfinite(errors.max_relative_error)


def test_what_ranks_classes() -> None:
    assert ranks_classes(np.zeros((1, 10), np.float32))
    assert ranks_classes(np.zeros((1, 10, 1, 1), np.float32))
    assert not ranks_classes(np.zeros((1, 1), np.float32))
    assert not ranks_classes(np.zeros((1, 3, 8, 8), np.float32))
    assert not ranks_classes(np.zeros((1, 10), np.int64))


def decoded(picture: str) -> np.ndarray:
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the pictures back")
    pixels: np.ndarray = np.asarray(image.open(io.BytesIO(base64.b64decode(picture))))
    return pixels


def test_pictures_are_read_back_by_other_software() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (12, 9, 3)).astype(np.float32)
    colours.flat[0], colours.flat[-1] = 0, 255
    for values in (colours, colours.transpose(2, 0, 1), colours[None], colours.transpose(2, 0, 1)[None]):
        picture = thumbnail(values / 50 - 3)
        assert picture is not None
        assert np.array_equal(decoded(picture), colours)


def test_large_pictures_are_shrunk_by_averaging() -> None:
    values = np.zeros((1, 1, 256, 200))
    values[..., :128, :] = np.arange(200) % 2 * 2
    picture = thumbnail(values)
    assert picture is not None
    pixels = decoded(picture)
    assert pixels.shape == (LONGEST_SIDE, 50)
    assert set(pixels[:32].flat) == {255}
    assert set(pixels[32:].flat) == {0}


@pytest.mark.parametrize("shape", [(1, 80), (1, 4, 16, 16), (2, 3, 16, 16), (1, 3, 4, 4), (1, 1, 8, 4000), (3, 16)])
def test_what_is_no_picture_has_none(shape: tuple[int, ...]) -> None:
    assert thumbnail(np.zeros(shape, np.float32)) is None


def test_a_constant_picture_is_black() -> None:
    picture = thumbnail(np.full((1, 1, 8, 8), 7.0))
    assert picture is not None
    assert not decoded(picture).any()
