"""What the studies of split computing share: pictures that travel as files, as features, or through a bottleneck.

Every cell of a study is a way to have pictures classified by a server: the bytes that are sent for one, how many are
classified as they should be, and what the device holds and computes.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime
from PIL import Image
from pruning_cells import Images, Results

from edgec.core.data import DataSource, LabelledSample, Split
from edgec.core.passes import PassContext
from edgec.core.recipe import make_pass
from edgec.core.tensor import TensorSpec
from edgec.graph.bottleneck_note import BottleneckNote
from edgec.graph.cost import model_size
from edgec.graph.load import load_model
from edgec.graph.save import save_model
from edgec.split.entropy_coder import EntropyCoder
from edgec.split.frequency_tables import FrequencyTables, tables_from_counts
from edgec.split.two_parts import TwoParts, in_two, symbol_tables, with_open_batch

_TOGETHER = 100
_COUNTED = 500


class Pictures(DataSource):
    """Training pictures in memory.

    Args:
        origin: what makes them; with their number it says all of them.
        source: name of the input of the network.
        pixels: uint8 [pictures, channels, height, width].
        labels: one a picture; None for pictures that nobody has named.
    """

    def __init__(self, origin: str, source: str, pixels: np.ndarray, labels: np.ndarray | None = None) -> None:
        super().__init__(origin, (TensorSpec(name=source, dtype="float32", shape=(1, *pixels.shape[1:])),))
        self._source, self._pixels, self._labels = source, pixels, labels

    @property
    def sha256(self) -> str:
        """The pictures follow from what makes them and their number."""
        return f"{self.specification} {len(self._pixels)}"

    def _samples(self, split: Split) -> Iterator[LabelledSample]:
        for number, pixels in enumerate(self._pixels):
            label = None if self._labels is None else self._labels[number]
            yield LabelledSample({self._source: pixels[None].astype(np.float32)}, label)


@dataclass(frozen=True)
class Study:
    """A network, where it is cut, and pictures to judge by.

    Attributes:
        model: takes one picture of grey levels or colours from 0 to 255, as floats.
        cut: the value whose features travel, or that the decoder of a bottleneck makes.
        tiles: rows and columns in which the channels of the cut are laid out as one grey picture.
        qualities: of the files of pictures, by their kind.
        feature_qualities: of the features as JPEG.
        tested: pictures, uint8, and their classes.
        recipe: numbers of pictures, for the page.
        validation: others to choose a training by; None for none.
    """

    model: ir.Model
    cut: str
    tiles: tuple[int, int]
    qualities: Mapping[str, tuple[int, ...]]
    feature_qualities: tuple[int, ...]
    tested: Images
    recipe: Mapping[str, int]
    validation: Images | None = None


@dataclass(frozen=True)
class Bottlenecks:
    """Which bottlenecks a study has.

    Attributes:
        shared: options of `insert-bottleneck` that all of them have.
        prices: of bits, one for each bottleneck of learnt symbols.
        learnt_channels: of each of those.
        int8_channels: one number for each bottleneck of int8 channels.
        epochs: of the new layers of every bottleneck.
        priced_epochs: the last of them, in which learnt symbols have their price.
    """

    shared: Mapping[str, object]
    prices: tuple[float, ...]
    learnt_channels: int
    int8_channels: tuple[int, ...]
    epochs: int
    priced_epochs: int

    def ways(self, suffix: str = "") -> dict[str, dict[str, object]]:
        """The options of each by its name, the kinds in turn."""
        found: dict[str, dict[str, object]] = {}
        for price, channels in zip_longest(self.prices, self.int8_channels):
            if price is not None:
                found[f"entropic{suffix} {price}"] = {
                    **self.shared,
                    "coding": "learnt",
                    "channels": self.learnt_channels,
                    "bit_price": price,
                    "distillation_epochs": self.epochs - self.priced_epochs,
                    "coding_epochs": self.priced_epochs,
                }
            if channels is not None:
                int8 = {"coding": "int8", "channels": channels, "distillation_epochs": self.epochs}
                found[f"CR+BQ{suffix} {channels}"] = {**self.shared, **int8}
        return found


def batched(model: ir.Model, samples: list[dict[str, np.ndarray]]) -> Callable[[np.ndarray], np.ndarray]:
    """A model of one input and output as a function of any number of samples; bytes become floats."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(ir.to_proto(with_open_batch(model, samples)).SerializeToString(), options)
    name = session.get_inputs()[0].name
    if isinstance(session.get_inputs()[0].shape[0], int):
        raise SystemExit("the batch of the model could not be opened")

    def run(inputs: np.ndarray) -> np.ndarray:
        parts = (inputs[start : start + _TOGETHER] for start in range(0, len(inputs), _TOGETHER))
        numbers = (part.astype(np.float32) if part.dtype == np.uint8 else part for part in parts)
        return np.concatenate([np.asarray(session.run(None, {name: part})[0]) for part in numbers])

    return run


def whole(model: ir.Model, pixels: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """The uncut network as a function of batches; two pictures show it what they are."""
    name = str(model.graph.inputs[0].name)
    return batched(model, [{name: picture[None].astype(np.float32)} for picture in pixels[:2]])


def parts_of(parts: TwoParts, pixels: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    """Head and tail as functions of batches."""
    head = whole(parts.head, pixels)
    name = str(parts.tail.graph.inputs[0].name)
    return head, batched(parts.tail, [{name: head(picture[None])} for picture in pixels[:2]])


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    return float((scores.argmax(1) == labels).mean())


def coded(picture: np.ndarray, kind: str, quality: int) -> bytes:
    """A grey or coloured picture, uint8 [1 or 3, height, width], as a file."""
    file = io.BytesIO()
    pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    Image.fromarray(pixels).save(file, kind, quality=quality, **({"optimize": True} if kind == "JPEG" else {}))
    return file.getvalue()


def decoded(content: bytes, channels: int) -> np.ndarray:
    """What `coded` was given, nearly."""
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L" if channels == 1 else "RGB"))
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)


def offload(study: Study, results: Results) -> None:
    """The picture itself travels, and the server runs the whole network."""
    images = study.tested
    run = whole(study.model, images.pixels)
    if results.lacks("uncompressed", "accuracy"):
        results.put("uncompressed", **_row(images.pixels[0].size, accuracy(run(images.pixels), images.labels), 0, 0))
    for kind, qualities in study.qualities.items():
        for quality in qualities:
            if not results.lacks(f"{kind} {quality}", "accuracy"):
                continue
            files = [coded(picture, kind, quality) for picture in images.pixels]
            seen = np.stack([decoded(file, len(images.pixels[0])) for file in files])
            row = _row(np.mean([len(file) for file in files]), accuracy(run(seen), images.labels), 0, 0)
            results.put(f"{kind} {quality}", **row)


def feature_jpeg(study: Study, results: Results) -> None:
    """The channels of the network's own features travel as the tiles of one grey picture, between their extremes."""
    missing = [q for q in study.feature_qualities if results.lacks(f"feature JPEG {q}", "accuracy")]
    if not missing:
        return
    parts = in_two(study.model, [study.cut])
    head, tail = parts_of(parts, study.tested.pixels)
    features = head(study.tested.pixels)
    low, top = features.min(), features.max()
    levels = np.rint((features - low) / (top - low) * 255).astype(np.uint8)
    (rows, columns), (count, _, height, width) = study.tiles, levels.shape
    tiled = levels.reshape(count, rows, columns, height, width).transpose(0, 1, 3, 2, 4)
    size = model_size(parts.head)
    for quality in missing:
        files = [coded(picture.reshape(1, rows * height, columns * width), "JPEG", quality) for picture in tiled]
        seen = np.stack([decoded(file, 1) for file in files]).reshape(count, rows, height, columns, width)
        back = seen.transpose(0, 1, 3, 2, 4).reshape(levels.shape).astype(np.float32) / 255 * (top - low) + low
        right = accuracy(tail(back), study.tested.labels)
        results.put(f"feature JPEG {quality}", **_row(np.mean([len(f) for f in files]), right, size.macs, size.bytes))


def bottlenecks(
    study: Study,
    ways: Mapping[str, Mapping[str, object]],
    context: PassContext,
    folder: Path,
    results: Results,
    until: float,
) -> None:
    """Train networks with a bottleneck, one after another while there is time, and measure them."""
    for name, options in ways.items():
        if not results.lacks(name, "accuracy"):
            continue
        file = folder / f"{name.replace(' ', '-')}.onnx"
        if not file.exists():
            if time.monotonic() > until:
                return
            step = make_pass("insert-bottleneck", {"cut": study.cut, **options})
            save_model(step.run(study.model.clone(), context).model, file)
        trained = load_model(file).model
        if study.validation is not None:
            found = measured(trained, context, study.validation)
            results.put(name, **{f"validation_{key}": value for key, value in found.items()})
        epochs = sum(int(str(options.get(f"{stage}_epochs", 0))) for stage in ("distillation", "coding"))
        results.put(name, epochs=epochs, **measured(trained, context, study.tested))
        print(name, results.cells[name], flush=True)


def measured(model: ir.Model, context: PassContext, images: Images) -> dict[str, float]:
    """Bytes and accuracy of a network with a bottleneck; int8 channels travel as they are, or entropy-coded."""
    note = BottleneckNote.read(model)
    if note is None:
        raise SystemExit("the network has no bottleneck")
    parts = in_two(model, [note.value])
    head, tail = parts_of(parts, images.pixels)
    latents = head(images.pixels)
    if note.counts:
        tables = tables_from_counts(np.full(len(note.counts), note.lowest), note.counts, note.groups)
    else:
        tables = _seen_tables(parts, context)
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


def _seen_tables(parts: TwoParts, context: PassContext) -> FrequencyTables:
    """How often the symbols of some training pictures occur."""
    samples = [sample.inputs for sample in islice(context.data.train(), _COUNTED)] if context.data else []
    tables = symbol_tables(parts, samples)
    if tables is None:
        raise SystemExit("what travels cannot be entropy-coded")
    return tables


def _row(sent: np.floating | float, right: float, macs: int, weights: int) -> dict[str, float]:
    return {"bytes": float(sent), "accuracy": right, "encoder_macs": macs, "encoder_bytes": weights}


def arguments(description: str, results: str, repeat: str = "seed") -> argparse.Namespace:
    """What the script of a study is given.

    Args:
        description: the text of the script.
        results: name of the file of results; `{}` in it becomes the number of the repeat.
        repeat: what differs between repeats of the study: `seed` or `part`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with the pictures; trained networks are kept there")
    parser.add_argument("--minutes", type=float, default=1e6, help="begin no training after so many")
    parser.add_argument(f"--{repeat}", type=int, default=0, dest="repeat", help="which repeat of the study")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    given.out = given.out or Path(__file__).parent / "results" / results.format(given.repeat)
    return given


def run_study(
    study: Study, ways: Mapping[str, Mapping[str, object]], data: DataSource, given: argparse.Namespace
) -> None:
    """Every cell that is not there yet."""
    results, until, size = Results(given.out), time.monotonic() + 60 * given.minutes, model_size(study.model)
    trained = given.folder / given.out.stem
    trained.mkdir(exist_ok=True)
    results.put("network", macs=size.macs, weight_bytes=size.bytes)
    results.put("recipe", **study.recipe)
    offload(study, results)
    feature_jpeg(study, results)
    bottlenecks(study, ways, PassContext(data=data, seed=given.repeat), trained, results, until)
