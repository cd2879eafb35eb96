"""Runs a network with ONNX Runtime in an emulated Python; its instructions are counted from outside, between marks.

Usage: python arm_worker.py SITE MODEL.onnx INPUTS.npz PROFILE
A mark is a system call that nothing else makes (`getppid`). With a PROFILE that is not empty, ONNX Runtime writes the
times of its nodes there: then the readings of the clock around each node are the marks.
"""

from __future__ import annotations

import os
import sys

RUNS = 3


def main() -> None:
    site, model, inputs, profile = sys.argv[1:]
    sys.path.insert(0, site)
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.enable_profiling = bool(profile)
    options.profile_file_prefix = profile
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    with np.load(inputs) as arrays:
        feed = {name: arrays[name] for name in arrays.files}
    os.getppid()
    for _ in range(RUNS):
        session.run(None, feed)
        os.getppid()
    if profile:
        session.end_profiling()


if __name__ == "__main__":
    main()
