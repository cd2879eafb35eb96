"""Bytes that travel, work on the device, and accuracy: the axes of SC2 for pictures of clothes of 64×64 pixels.

    python benchmarks/split_teacher.py --out out/split
    python benchmarks/split_rates.py out/split [--minutes 8]

Ways to have a picture classified by a server, each measured on the 10,000 test pictures: the picture as JPEG or WebP,
the features of the network's first layers as JPEG, a bottleneck of few int8 channels (BottleFit's CR+BQ), and a
bottleneck whose symbols are learnt and entropy-coded (Entropic Student). Bottlenecks are made by the pass
`insert-bottleneck`, and their bytes counted after edgec's own coder. Every cell is written when it is done, so a run
that was cut off goes on.

SC2: Matsubara, Yang, Levorato, Mandt, "SC2 Benchmark: Supervised Compression for Split Computing", TMLR 2023.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from PIL import Image
from pruning_cells import Images, Results, prepared

from edgec.core.data import DataSource, LabelledSample, Split
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.tensor import TensorSpec
from edgec.graph.bottleneck_note import BottleneckNote
from edgec.graph.cost import model_size
from edgec.graph.load import load_model
from edgec.graph.save import save_model
from edgec.split.entropy_coder import EntropyCoder
from edgec.split.frequency_tables import tables_from_counts
from edgec.split.two_parts import TwoParts, in_two, symbol_tables, with_open_batch

CUT = "relu_4"
"""Behind the second stage: 48 channels of 8×8, as BottleFit replaces ResNet's first two stages."""
TRAINED_PICTURES, VALIDATION_PICTURES = 16_000, 4_000
"""Both of the 60,000 training pictures; none is in both."""
QUALITIES = {"JPEG": (95, 75, 50, 25, 10, 5, 2), "WebP": (75, 50, 25, 10, 5, 1)}
FEATURE_QUALITIES = (95, 75, 50, 25, 10)
INT8_CHANNELS = (2, 1, 3)
BIT_PRICES = (0.3, 1.0, 0.1, 0.03)
TUNED_CHANNELS, TUNED_PRICES = (2,), (0.1,)
LAYER_EPOCHS, _PRICED_EPOCHS = 7, 3
"""Of the layers of every bottleneck; with learnt symbols, the last of them have the price."""
_TRAINING: dict[str, object] = {"cut": CUT, "matched": 3, "loss": "both", "temperature": 2.0}
_FROZEN: dict[str, object] = {"epochs": 1}
_TUNED: dict[str, object] = {"epochs": 2, "optimizer": "adamw", "learning_rate": 5e-4, "freeze_encoder": False}
_LEARNT_CHANNELS = 4
_TOGETHER = 100
_COUNTED = 500
_TILES = (6, 8)


class Pictures(DataSource):
    """Training pictures in memory."""

    def __init__(self, folder: Path, count: int) -> None:
        super().__init__(str(folder), (TensorSpec(name="x", dtype="float32", shape=(1, 1, 64, 64)),))
        arrays = np.load(folder / "pictures.npz")
        chosen = _trained_rows(len(arrays["train/y"]), count)
        self._images = Images(arrays["train/x"][chosen], arrays["train/y"][chosen])

    @property
    def sha256(self) -> str:
        """The pictures follow from the script that makes them and their number."""
        return f"split_teacher.py {len(self._images.labels)}"

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        for pixels, label in zip(self._images.pixels, self._images.labels, strict=True):
            yield LabelledSample({"x": pixels[None].astype(np.float32)}, label)


def _trained_rows(known: int, count: int) -> np.ndarray:
    return np.arange(count) * known // count


def validation_pictures(folder: Path) -> Images:
    """Pictures to choose a training by: of those that were not trained on."""
    arrays = np.load(folder / "pictures.npz")
    known = len(arrays["train/y"])
    left = np.setdiff1d(np.arange(known), _trained_rows(known, TRAINED_PICTURES))
    chosen = left[np.arange(VALIDATION_PICTURES) * len(left) // VALIDATION_PICTURES]
    return Images(arrays["train/x"][chosen], arrays["train/y"][chosen])


def test_pictures(folder: Path) -> Images:
    """The 10,000 test pictures, uint8."""
    arrays = np.load(folder / "pictures.npz")
    return Images(arrays["test/x"], arrays["test/y"])


def batched(model: ir.Model, samples: list[dict[str, np.ndarray]]) -> Callable[[np.ndarray], np.ndarray]:
    """A model of one input and output as a function of any number of samples."""
    session = onnxruntime.InferenceSession(ir.to_proto(with_open_batch(model, samples)).SerializeToString(), _options())
    name = session.get_inputs()[0].name
    if isinstance(session.get_inputs()[0].shape[0], int):
        raise SystemExit("the batch of the model could not be opened")

    def run(inputs: np.ndarray) -> np.ndarray:
        parts = [inputs[start : start + _TOGETHER] for start in range(0, len(inputs), _TOGETHER)]
        return np.concatenate([np.asarray(session.run(None, {name: part})[0]) for part in parts])

    return run


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return options


def parts_of(parts: TwoParts, pixels: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    """Head and tail as functions of batches."""
    names = [str(part.graph.inputs[0].name) for part in (parts.head, parts.tail)]
    pair = [{names[0]: picture[None].astype(np.float32)} for picture in pixels[:2]]
    head = batched(parts.head, pair)
    made = [{names[1]: head(sample[names[0]])} for sample in pair]
    return head, batched(parts.tail, made)


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    return float((scores.argmax(1) == labels).mean())


def coded(picture: np.ndarray, kind: str, quality: int) -> bytes:
    """A grey picture, uint8 [height, width], as a file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, quality=quality, **({"optimize": True} if kind == "JPEG" else {}))
    return file.getvalue()


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("L"))


def offload(model: ir.Model, images: Images, results: Results) -> None:
    """The picture itself travels, and the server runs the whole network."""
    run = batched(model, [{"x": picture[None].astype(np.float32)} for picture in images.pixels[:2]])
    results.put(
        "uncompressed",
        **_row(images.pixels[0].size, accuracy(run(images.pixels.astype(np.float32)), images.labels), 0, 0),
    )
    for kind, qualities in QUALITIES.items():
        for quality in qualities:
            if not results.lacks(f"{kind} {quality}", "accuracy"):
                continue
            files = [coded(picture[0], kind, quality) for picture in images.pixels]
            seen = np.stack([decoded(file) for file in files])[:, None].astype(np.float32)
            row = _row(np.mean([len(file) for file in files]), accuracy(run(seen), images.labels), 0, 0)
            results.put(f"{kind} {quality}", **row)


def feature_jpeg(model: ir.Model, images: Images, results: Results) -> None:
    """The channels of the network's own features travel as the tiles of one grey picture."""
    parts = in_two(model, [CUT])
    head, tail = parts_of(parts, images.pixels)
    features = head(images.pixels.astype(np.float32))
    top = features.max()
    levels = np.rint(features / top * 255).astype(np.uint8)
    rows, columns = _TILES
    count, _, height, width = levels.shape
    tiled = levels.reshape(count, rows, columns, height, width).transpose(0, 1, 3, 2, 4)
    size = model_size(parts.head)
    for quality in FEATURE_QUALITIES:
        if not results.lacks(f"feature JPEG {quality}", "accuracy"):
            continue
        files = [coded(picture.reshape(rows * height, columns * width), "JPEG", quality) for picture in tiled]
        seen = np.stack([decoded(file) for file in files]).reshape(count, rows, height, columns, width)
        back = seen.transpose(0, 1, 3, 2, 4).reshape(levels.shape).astype(np.float32) / 255 * top
        row = _row(np.mean([len(file) for file in files]), accuracy(tail(back), images.labels), size.macs, size.bytes)
        results.put(f"feature JPEG {quality}", **row)


def ways() -> dict[str, dict[str, object]]:
    """Options of `insert-bottleneck` for every bottleneck, those first that say most."""
    found: dict[str, dict[str, object]] = {}
    for suffix, tuning, prices, all_channels in (
        ("", _FROZEN, BIT_PRICES, INT8_CHANNELS),
        (", tuned", _TUNED, TUNED_PRICES, TUNED_CHANNELS),
    ):
        for price, channels in zip_longest(prices, all_channels):
            if price is not None:
                found[f"entropic{suffix} {price}"] = {
                    **tuning,
                    "coding": "learnt",
                    "channels": _LEARNT_CHANNELS,
                    "bit_price": price,
                    "distillation_epochs": LAYER_EPOCHS - _PRICED_EPOCHS,
                    "coding_epochs": _PRICED_EPOCHS,
                }
            if channels is not None:
                int8 = {"coding": "int8", "channels": channels, "distillation_epochs": LAYER_EPOCHS}
                found[f"CR+BQ{suffix} {channels}"] = {**tuning, **int8}
    return found


def bottlenecks(model: ir.Model, folder: Path, results: Results, until: float) -> None:
    """Train networks with a bottleneck, one after another while there is time, and measure them."""
    data = Pictures(folder, TRAINED_PICTURES)
    images = {"validation_": validation_pictures(folder), "": test_pictures(folder)}
    for name, options in ways().items():
        file = folder / f"{name.replace(' ', '-')}.onnx"
        if not file.exists():
            if time.monotonic() > until:
                return
            step = make_pass("insert-bottleneck", {**_TRAINING, **options})
            save_model(step.run(model.clone(), PassContext(data=data)).model, file)
        if results.lacks(name, "accuracy"):
            trained = load_model(file).model
            for part, some in images.items():
                results.put(name, **{f"{part}{key}": value for key, value in measured(trained, data, some).items()})
            results.put(name, epochs=LAYER_EPOCHS)
            print(name, results.cells[name], flush=True)


def measured(model: ir.Model, data: Pictures, images: Images) -> dict[str, float]:
    """Bytes and accuracy of a network with a bottleneck; int8 channels travel as they are, or entropy-coded."""
    note = BottleneckNote.read(model)
    if note is None:
        raise SystemExit("the network has no bottleneck")
    parts = in_two(model, [note.value])
    head, tail = parts_of(parts, images.pixels)
    latents = head(images.pixels.astype(np.float32))
    counted = [sample.inputs for _, sample in zip(range(_COUNTED), data.train(), strict=False)]
    if note.counts:
        tables = tables_from_counts(np.full(len(note.counts), note.lowest), note.counts, note.groups)
    else:
        tables = symbol_tables(parts, counted)
    coder = EntropyCoder(tables)
    payloads = [coder.encode(latent) for latent in latents]
    back = np.stack([coder.decode(payload, latents.shape[1:]) for payload in payloads])
    coded_bytes = float(np.mean([len(payload) for payload in payloads]))
    size = model_size(parts.head)
    row = _row(
        coded_bytes if note.counts else latents[0].size,
        accuracy(tail(back), images.labels),
        size.macs,
        size.bytes,
    )
    return {**row, "entropy_coded_bytes": coded_bytes}


def _row(sent: float, right: float, macs: int, weights: int) -> dict[str, float]:
    return {"bytes": float(sent), "accuracy": right, "encoder_macs": macs, "encoder_bytes": weights}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no training after so many")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "split-rates.json")
    options = parser.parse_args()
    until = time.monotonic() + 60 * options.minutes
    results, images = Results(options.out), test_pictures(options.folder)
    model = prepared(options.folder / "teacher.onnx")
    size = model_size(model)
    results.put("network", macs=size.macs, weight_bytes=size.bytes)
    results.put("recipe", trained=TRAINED_PICTURES, validation=VALIDATION_PICTURES)
    offload(model, images, results)
    feature_jpeg(model, images, results)
    bottlenecks(model, options.folder, results, until)


if __name__ == "__main__":
    main()
