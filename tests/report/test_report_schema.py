import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from report_samples import sample_layers, sample_metrics, sample_report

from edgec.core.errors import EdgecError, ExitStatus
from edgec.core.metric import Mode, Unavailable, Value
from edgec.report.files import SCHEMA_FILE, load_report, write_json
from edgec.report.json_schema import json_schema
from edgec.report.schema import Layer, Metrics, Report, fill_metrics, reconcile, with_shares

MODES = [Mode.MEASURED, Mode.SIMULATED, Mode.PREDICTED, None]
DESIGN_KEYS = [
    "latency_ms", "energy_mj", "peak_memory_bytes", "artifact_bytes", "accuracy", "accuracy_original", "instructions",
    "memory_accesses", "l1_misses", "last_level_misses",
    "luts", "flip_flops", "dsps", "block_ram_kbit", "fmax_mhz", "cycles", "initiation_interval", "payload_bytes",
]  # fmt: skip


def broken(tmp_path: Path, change: dict[str, object] | str | bytes) -> EdgecError:
    """The error for a sample report with some top-level keys replaced, or for other content."""
    file = tmp_path / "report.json"
    if isinstance(change, dict):
        document = json.loads(write_json(sample_report())) | change
        file.write_text(json.dumps(document))
    else:
        file.write_bytes(change.encode() if isinstance(change, str) else change)
    with pytest.raises(EdgecError) as caught:
        load_report(file)
    error = caught.value
    assert error.code.status is ExitStatus.USAGE
    assert error.hint
    assert str(file) in error.where
    return error


@pytest.mark.parametrize("mode", MODES)
def test_a_report_written_and_read_is_the_same(tmp_path: Path, mode: Mode | None) -> None:
    report = sample_report(mode)
    (tmp_path / "report.json").write_bytes(write_json(report))
    assert load_report(tmp_path / "report.json") == report
    assert load_report(tmp_path) == report


def test_every_metric_of_the_contract_is_present() -> None:
    document = json.loads(write_json(sample_report(None)))
    assert list(document) == [
        "schema", "edgec", "model", "target", "build", "assumptions", "passes", "verification", "metrics", "memory",
        "layers", "reconciliation", "fallbacks", "audit",
    ]  # fmt: skip
    assert document["schema"] == "edgec-report/1"
    assert list(document["metrics"]) == DESIGN_KEYS
    assert document["metrics"]["luts"] == {"unavailable": "not a metric of the backend tvm"}


def test_equal_reports_give_equal_bytes_whatever_the_order_of_options() -> None:
    first = sample_report()
    build = first.build.model_copy(update={"tools": dict(reversed(first.build.tools.items()))})
    second = first.model_copy(update={"build": build})
    assert list(first.build.tools) != list(second.build.tools)
    assert write_json(first) == write_json(second)
    assert write_json(first).endswith(b"}\n")


def test_the_schema_file_is_up_to_date() -> None:
    import edgec.report

    stored = (Path(edgec.report.__file__).parent / SCHEMA_FILE).read_bytes()
    assert stored == json_schema(), "run: python -m edgec.report.json_schema"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused(bad: float) -> None:
    record = sample_report().passes[0].model_copy(update={"stats": {"ratio": bad}})
    with pytest.raises(ValidationError, match=r"\$\.passes\[0\]\.stats\.ratio"):
        Report.model_validate(dict(sample_report()) | {"passes": (record,)})


def test_layers_that_do_not_add_up_are_refused() -> None:
    report = sample_report()
    assert report.reconciliation is not None
    wrong = report.reconciliation.model_copy(update={"between_layers_ms": 0.0})
    with pytest.raises(ValidationError, match="do not add up to the latency"):
        Report.model_validate(dict(report) | {"reconciliation": wrong})
    with pytest.raises(ValidationError, match="reconciliation is missing"):
        Report.model_validate(dict(report) | {"reconciliation": None})


def test_time_between_layers_beyond_the_overhead_needs_an_explanation() -> None:
    layers = sample_layers(Mode.MEASURED)
    total = Value(value=20, low=19, high=21, mode=Mode.MEASURED, source="whole inference")
    with pytest.raises(ValidationError, match="need an explanation"):
        reconcile(total, layers, overhead_ms=0.5)
    row = reconcile(total, layers, overhead_ms=0.5, explanation="copies")
    assert row is not None
    assert row.between_layers_ms == pytest.approx(20 - 10.86)


def test_a_false_share_is_refused() -> None:
    report = sample_report()
    layers = (report.layers[0].model_copy(update={"share": 0.9}), *report.layers[1:])
    with pytest.raises(ValidationError, match="is not its share"):
        Report.model_validate(dict(report) | {"layers": layers})


def test_a_misspelt_metric_is_refused() -> None:
    with pytest.raises(ValidationError, match="latency"):
        fill_metrics({"latency": Unavailable(unavailable="x")}, otherwise="y")


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(EdgecError) as caught:
            load_report(path)
        assert caught.value.code.code == "EC0801"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b'{"schema": NaN}', b"[" * 100_000, b'{"edgec": "\\ud800"}', b"1" * 5000],
    ids=["empty", "cut off", "not UTF-8", "NaN", "deep", "surrogate", "long number"],
)
def test_a_file_that_is_not_json(tmp_path: Path, content: bytes) -> None:
    assert broken(tmp_path, content).code.code == "EC0802"


def test_another_schema(tmp_path: Path) -> None:
    error = broken(tmp_path, {"schema": "edgec-report/2"})
    assert error.code.code == "EC0803"
    assert "edgec-report/2" in error.what


def test_every_place_that_breaks_the_schema_is_listed(tmp_path: Path) -> None:
    error = broken(tmp_path, {"edgec": 3, "surprise": 1, "layers": [{"name": "conv"}]})
    assert error.code.code == "EC0804"
    text = "\n".join(error.details)
    assert "$.edgec: 3 is not of type 'string'" in text
    assert "surprise" in text
    assert "$.layers[0]: 'macs' is a required property" in text


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b"{}", b'"report"'])
def test_json_that_is_no_report(tmp_path: Path, content: bytes) -> None:
    assert broken(tmp_path, content).code.code == "EC0804"


def test_a_report_with_contradicting_numbers(tmp_path: Path) -> None:
    document = json.loads(write_json(sample_report()))
    document["metrics"]["latency_ms"]["low"] = 1000.0
    assert broken(tmp_path, document).code.code == "EC0805"
    document = json.loads(write_json(sample_report()))
    document["layers"][0]["latency_ms"] = {"unavailable": "lost"}
    assert broken(tmp_path, document).code.code == "EC0805"


finite = st.just(0.0) | st.floats(1e-9, 1e12)
"""From a picosecond to decades in milliseconds: sums of what no meter can tell apart are not asked for."""
text = st.text(max_size=20)


@st.composite
def values(draw: st.DrawFn) -> Value:
    low, value, high = sorted(draw(st.tuples(finite, finite, finite)))
    return Value(value=value, low=low, high=high, mode=draw(st.sampled_from(Mode)), source=draw(text))


metrics = values() | st.builds(Unavailable, unavailable=text)
layers = st.lists(
    st.builds(
        Layer, name=text, op=text, nodes=st.tuples(text), macs=st.integers(0, 2**60), bytes=st.integers(0, 2**60),
        calls=st.integers(0, 9), latency_ms=metrics, energy_mj=metrics, share=st.none(),
    ),
    max_size=5,
).map(tuple)  # fmt: skip


@given(total=metrics, rows=layers, name=text, energy=metrics, notes=st.lists(text, max_size=3))
def test_any_report_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory,
    total: Value | Unavailable,
    rows: tuple[Layer, ...],
    name: str,
    energy: Value | Unavailable,
    notes: list[str],
) -> None:
    start = sample_report(None, model_name=name)
    totals = Metrics.model_validate(dict(sample_metrics(total)) | {"energy_mj": energy})
    report = Report.model_validate(
        dict(start)
        | {
            "metrics": totals,
            "layers": with_shares(total, rows),
            "reconciliation": reconcile(total, rows, explanation="any"),
            "assumptions": tuple(notes),
        }
    )
    file = tmp_path_factory.getbasetemp() / "round_trip.json"
    file.write_bytes(write_json(report))
    assert load_report(file) == report


CONTENT = write_json(sample_report())


@given(start=st.integers(0, len(CONTENT)), removed=st.integers(0, 400), inserted=st.binary(max_size=12))
def test_a_damaged_file_is_read_or_refused_with_a_hint(
    tmp_path_factory: pytest.TempPathFactory, start: int, removed: int, inserted: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "damaged.json"
    file.write_bytes(CONTENT[:start] + inserted + CONTENT[start + removed :])
    refused: EdgecError | None = None
    try:
        load_report(file)
    except EdgecError as error:
        refused = error
    assert refused is None or (refused.code.code.startswith("EC08") and refused.hint)


@pytest.mark.parametrize("key", sorted(json.loads(CONTENT)))
@pytest.mark.parametrize("junk", [None, 7, "x", [], {}, [None], {"a": {}}, -1e308, True], ids=repr)
def test_junk_under_any_key_is_refused_with_a_hint(tmp_path: Path, key: str, junk: object) -> None:
    allowed = [("assumptions", []), ("passes", []), ("fallbacks", []), ("edgec", "x"), ("audit", None)]
    if (key, junk) not in allowed:
        assert broken(tmp_path, {key: junk}).code.code in {"EC0803", "EC0804", "EC0805"}
