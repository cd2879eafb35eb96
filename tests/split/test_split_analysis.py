"""Where to cut, by device, link and server."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from edgec.core.errors import EdgecError
from edgec.core.progress import Silent
from edgec.split.link import parse_link
from tests.models import residual_net

pytest.importorskip("tvm")


def test_every_cut_has_its_costs_and_the_best_depends_on_the_link(tmp_path: Path) -> None:
    from edgec.split_analysis import analyze_split

    path = tmp_path / "net.onnx"
    onnx.save(residual_net(size=64), path)
    links = [parse_link("100000"), parse_link("lora")]
    analysis = analyze_split(path, "raspberry-pi-3", "host", links, {}, Silent())
    first, last = analysis.cuts[0], analysis.cuts[-1]
    assert (first.head_macs, first.head_ms, first.payload_bytes) == (0, 0.0, 4 * 64 * 64 * 4)
    assert (last.values, last.tail_macs, last.link_ms["lora"]) == ((), 0, 0.0)
    heads = [cut.head_ms for cut in analysis.cuts]
    assert heads == sorted(heads)
    for cut in analysis.cuts:
        assert cut.head_macs + cut.tail_macs == last.head_macs
        assert cut.total_ms("lora") >= cut.head_ms + cut.tail_ms
    assert analysis.best["lora"] == len(analysis.cuts) - 1
    fast = analysis.cuts[analysis.best[links[0].name]]
    assert fast.total_ms(links[0].name) == min(cut.total_ms(links[0].name) for cut in analysis.cuts)


def test_a_radio_takes_energy_and_a_wire_is_not_known_to() -> None:
    wifi, wire = parse_link("wifi"), parse_link("10")
    energy = wifi.energy_mj(1_000_000, 0)
    assert energy is not None
    assert energy > 0
    assert wire.energy_mj(1_000_000, 0) is None
    assert wire.transfer_ms(1_250_000, 0) == pytest.approx(1001)


@pytest.mark.parametrize("text", ["fast", "-1", "0", "nan", "inf"])
def test_what_is_no_link_is_refused(text: str) -> None:
    with pytest.raises(EdgecError, match="EC1208"):
        parse_link(text)
