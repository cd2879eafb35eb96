"""What a report says of an artefact that ran on a board."""

from __future__ import annotations

from edgec.core.metric import Mode, Value
from edgec.report.schema import Report, Verified


def assert_measured(report: Report, address: str) -> None:
    """It was verified there, and its latency measured there."""
    assert isinstance(report.verification, Verified)
    assert report.verification.where == "device"
    latency = report.metrics.latency_ms
    assert isinstance(latency, Value)
    assert latency.mode is Mode.MEASURED
    assert address in latency.source
    assert latency.low <= latency.value <= latency.high
