import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgec.report import formatting


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0"), (7, "7"), (9_999, "9,999"), (10_000, "10.0 k"), (71_488_768, "71.5 M"), (1.2e9, "1.20 G"),
        (3.4e12, "3.40 T"), (0.5, "0.500"),
    ],
)  # fmt: skip
def test_counts(value: float, shown: str) -> None:
    assert formatting.count(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0 B"), (812, "812 B"), (1024, "1.00 KiB"), (16_608_416, "15.8 MiB"), (2**31, "2.00 GiB")],
)
def test_sizes(value: float, shown: str) -> None:
    assert formatting.size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0 ms"), (0.842, "842 µs"), (12.34, "12.3 ms"), (999.4, "999 ms"), (4210, "4.21 s")]
)
def test_durations(value: float, shown: str) -> None:
    assert formatting.milliseconds(value) == shown


def test_changes() -> None:
    assert formatting.change_of(100, 88) == "−12.0 %"
    assert formatting.change_of(100, 112.5) == "+12.5 %"
    assert formatting.change_of(5, 5) == "="
    assert formatting.change_of(100_000, 99_999) == "−<0.1 %"
    assert formatting.change_of(0, 5) == "new"
    assert formatting.scientific(3.14e-7) == "3.1e-7"
    assert formatting.scientific(0) == "0"


def test_control_characters_of_a_name_are_shown_and_not_obeyed() -> None:
    assert formatting.printable("a\x1b[31mb\nc\u202ed") == "a\\x1b[31mb\\nc\\u202ed"
    assert formatting.printable("a\u2028b") == "a\\u2028b"
    assert formatting.printable("größe/層") == "größe/層"


def test_a_long_name_keeps_both_ends() -> None:
    short = formatting.shortened("backbone/stage3/block11/depthwise/conv", 20)
    assert short == "backbone/…thwise/conv"[:9] + "…" + "pthwise/conv"[-10:]
    assert len(short) == 20
    assert formatting.shortened("conv", 20) == "conv"


def number(cell: str) -> float:
    return float(cell.replace(",", "").replace("−", "-"))


@given(
    st.lists(st.floats(min_value=-1e9, max_value=1e9, allow_nan=False), min_size=1, max_size=40),
    st.sampled_from([formatting.milliseconds_column, formatting.count_column, formatting.size_column]),
)
def test_printed_cells_add_up_to_the_printed_total(values: list[float], column_of: object) -> None:
    assert callable(column_of)
    column = column_of(values)
    total = number(column.total)
    assert math.fsum(map(number, column.cells)) == pytest.approx(total, rel=1e-9, abs=1e-6)


@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=40).filter(lambda found: sum(found) > 0))
def test_printed_shares_add_up_to_one_hundred(values: list[float]) -> None:
    column = formatting.share_column(values)
    assert column.total == "100.0"
    assert math.fsum(map(number, column.cells)) == pytest.approx(100)
