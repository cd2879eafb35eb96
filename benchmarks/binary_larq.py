"""The convolution of `binary_kernels.py` in Larq Compute Engine, by an interpreter that has it.

    pip install larq-compute-engine larq "tensorflow-cpu==2.15.*"     (in an environment of its own)
    python benchmarks/binary_larq.py

Writes benchmarks/results/binary-larq.json; `binary_kernels_page.py` makes a page of it. One thread. It quantises a
float picture, convolves, and gives floats, as Larq's interpreter does through Python; the median of repeated calls.
Larq's optimised kernels are for Arm; on x86 it says what a user gets there.
"""

from __future__ import annotations

import json
import statistics
import time
from importlib.metadata import version
from pathlib import Path

import larq
import larq_compute_engine as engine
import machine
import numpy as np
import tensorflow as tf
from larq_compute_engine.tflite.python.interpreter import Interpreter

OUT = Path(__file__).parent / "results" / "binary-larq.json"
CHANNELS, SIZE, ROUNDS = 256, 14, 30


def main() -> None:
    given = tf.keras.Input((SIZE, SIZE, CHANNELS), batch_size=1)
    layer = larq.layers.QuantConv2D(
        CHANNELS,
        3,
        padding="same",
        pad_values=1.0,
        use_bias=False,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
    )
    interpreter = Interpreter(engine.convert_keras_model(tf.keras.Model(given, layer(given))), num_threads=1)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (1, SIZE, SIZE, CHANNELS)).astype(np.float32)
    around = machine.observe()
    spent = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        interpreter.predict(signs)
        spent.append(1e6 * (time.perf_counter() - started))
    found = {
        "machine": around.as_json(),
        "larq_compute_engine": version("larq-compute-engine"),
        "whole_us": statistics.median(spent),
    }
    OUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
