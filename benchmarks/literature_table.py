"""Predicted latency and energy of a Raspberry Pi and a Jetson Nano beside what others published.

    python benchmarks/literature_table.py            prints the table
    python benchmarks/literature_table.py --write    writes it into docs/guides/latency-and-energy.md

Only published numbers that had no part in the fit are listed, each with its engine. The energy beside the prediction is
the published latency times the power of the board with all cores busy, published elsewhere: nobody measured both at
once. What keeps a row from being like for like stands in its last column.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from latency_data import read_networks

from edgec.core.target_files import load_target
from edgec.measure.prediction import deviation
from edgec.measure.prediction_rates import rates_of
from edgec.measure.prediction_work import Cost

NETWORKS = Path(__file__).with_name("ncnn_networks.csv")
GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "latency-and-energy.md"
BEGIN, END = "<!-- literature_table.py begins -->", "<!-- literature_table.py ends -->"


@dataclass(frozen=True)
class Published:
    """A latency, the power that it is multiplied by, whose they are, and what differs from what is predicted."""

    target: str
    network: str
    latency_ms: float
    watts: float
    source: str
    unlike: str


SLOWER = "no: measured on the Model B, 1.2 GHz, predicted for the B+, 1.4 GHz"
GRAPHICS = "no: graphics processor in fp16 against four cores in fp32; 10 W is the mode's budget, no measurement"
TENSORRT = "TensorRT, torch2trt README"
TVM = "TVM 0.5, tvm.apache.org benchmark page (2018)"
NEWER_FIRMWARE = "but for the engine and the clock: 1.5 GHz then, 1.8 GHz predicted"
NARROW = "but for the engine, on a 32-bit operating system"
XNNPACK = "XNNPACK README (2022), multi-threaded fp32"
GEERLING = "Raspberry Pi Dramble (J. Geerling)"
PUBLISHED = (
    Published("raspberry-pi-4", "mobilenet", 77, 6.4, f"{XNNPACK}, ARM64; 6.4 W {GEERLING}", NEWER_FIRMWARE),
    Published("raspberry-pi-4", "mobilenet_v2", 46, 6.4, f"{XNNPACK}, ARM64; 6.4 W {GEERLING}", NEWER_FIRMWARE),
    Published("raspberry-pi-3", "mobilenet", 114, 5.1, f"{XNNPACK}; 5.1 W {GEERLING}", NARROW),
    Published("raspberry-pi-3", "mobilenet_v2", 79, 5.1, f"{XNNPACK}; 5.1 W {GEERLING}", NARROW),
    Published("raspberry-pi-3", "resnet50", 725.8, 3.7, f"{TVM}; 3.7 W {GEERLING}", SLOWER),
    Published("raspberry-pi-3", "squeezenet", 94.1, 3.7, f"{TVM}; 3.7 W {GEERLING}", SLOWER),
    Published("raspberry-pi-3", "vgg16", 1760, 3.7, f"{TVM}; 3.7 W {GEERLING}", SLOWER),
    Published("jetson-nano-cpu", "resnet50", 29.8, 10, TENSORRT, GRAPHICS),
    Published("jetson-nano-cpu", "squeezenet", 4.34, 10, TENSORRT, GRAPHICS),
    Published("jetson-nano-cpu", "vgg16", 85.1, 10, TENSORRT, GRAPHICS),
)


def row(published: Published) -> str:
    """A line of the table: prediction with its interval of 90 % (the published engine's), publication, energies."""
    target = load_target(published.target)
    device = rates_of(target, 4)
    amounts = read_networks(NETWORKS)[published.network]
    work = {cost: amounts[cost] for cost in Cost}
    predicted = sum(amount * device.rates[cost].value for cost, amount in work.items()) / 1e3
    width = math.exp(device.interval * deviation([work], device))
    watts = target.power.busy_w.value if target.power else math.nan
    cells = [
        published.target,
        published.network,
        f"{predicted:.3g} ({predicted / width:.3g} to {predicted * width:.3g})",
    ]
    cells += [f"{published.latency_ms:g}", f"{predicted * watts:.3g}", f"{published.latency_ms * published.watts:.3g}"]
    return f"| {' | '.join([*cells, published.source, published.unlike])} |"


def table() -> str:
    """All rows."""
    head = ("board", "network", "predicted ms", "published ms", "predicted mJ", "published ms x W", "source")
    lines = [f"| {' | '.join([*head, 'like for like'])} |", "|---" * (len(head) + 1) + "|"]
    return "\n".join([*lines, *(row(published) for published in PUBLISHED)]) + "\n"


def with_table(text: str) -> str:
    """The guide with the table between its marks."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        GUIDE.write_text(with_table(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
    print(table())


if __name__ == "__main__":
    main()
