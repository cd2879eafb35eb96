"""Predicted latency and energy of a Raspberry Pi and a Jetson Nano beside what others published.

    python benchmarks/literature_table.py

Only published numbers that had no part in the fit are listed, each with its engine. The energy beside the prediction is
the published latency times the published power of the board with all cores busy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from latency_data import read_networks

from edgec.core.target_files import load_target
from edgec.measure.prediction import deviation
from edgec.measure.prediction_rates import rates_of
from edgec.measure.prediction_work import Cost

NETWORKS = Path(__file__).with_name("ncnn_networks.csv")


@dataclass(frozen=True)
class Published:
    """A latency of all four cores in fp32, and the board's power if that was published."""

    target: str
    network: str
    latency_ms: float
    watts: float | None
    source: str


TVM = "TVM 0.5, tvm.apache.org benchmark page (2018)"
XNNPACK = "XNNPACK README, multi-threaded fp32"
GEERLING = "Raspberry Pi Dramble (J. Geerling)"
PUBLISHED = (
    Published("raspberry-pi-4", "mobilenet", 75, 6.4, f"{XNNPACK}; 6.4 W {GEERLING}"),
    Published("raspberry-pi-4", "mobilenet_v2", 44, 6.4, f"{XNNPACK}; 6.4 W {GEERLING}"),
    Published("raspberry-pi-3", "mobilenet", 115, 5.1, f"{XNNPACK}; 5.1 W {GEERLING}"),
    Published("raspberry-pi-3", "mobilenet_v2", 79, 5.1, f"{XNNPACK}; 5.1 W {GEERLING}"),
    Published("raspberry-pi-3", "resnet50", 725.8, 3.7, f"{TVM} on the slower Model B; 3.7 W {GEERLING}"),
    Published("raspberry-pi-3", "squeezenet", 94.1, 3.7, f"{TVM} on the slower Model B; 3.7 W {GEERLING}"),
    Published("raspberry-pi-3", "vgg16", 1760, 3.7, f"{TVM} on the slower Model B; 3.7 W {GEERLING}"),
    Published(
        "jetson-nano", "resnet50", 29.8, 10, "TensorRT fp16 on the graphics processor, torch2trt README; 10 W mode"
    ),
    Published(
        "jetson-nano", "squeezenet", 4.34, 10, "TensorRT fp16 on the graphics processor, torch2trt README; 10 W mode"
    ),
    Published("jetson-nano", "vgg16", 85.1, 10, "TensorRT fp16 on the graphics processor, torch2trt README; 10 W mode"),
)


def row(published: Published) -> str:
    """A line of the table: prediction with its interval of 90 % (the published engine's), publication, energies."""
    target = load_target(published.target)
    device = rates_of(target, 4)
    work = dict(zip(Cost, read_networks(NETWORKS)[published.network], strict=False))
    predicted = sum(amount * device.rates[cost].value for cost, amount in work.items()) / 1e3
    width = math.exp(device.interval * deviation([work], device))
    watts = target.power.busy_w.value if target.power else math.nan
    cells = [
        published.target,
        published.network,
        f"{predicted:.3g} ({predicted / width:.3g} to {predicted * width:.3g})",
    ]
    cells += [f"{published.latency_ms:g}", f"{predicted * watts:.3g}"]
    cells.append("" if published.watts is None else f"{published.latency_ms * published.watts:.3g}")
    return f"| {' | '.join([*cells, published.source])} |"


def main() -> None:
    print("| board | network | predicted ms | published ms | predicted mJ | published ms x W | source |")
    print("|---|---|---|---|---|---|---|")
    for published in PUBLISHED:
        print(row(published))


if __name__ == "__main__":
    main()
