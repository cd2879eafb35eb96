"""What it costs to share a kernel: the time of a launch of threads that find nothing to do.

Usage: python benchmarks/fork_join.py [--threads 2] [--launches 100000]
The C runtime of the artefacts is compiled with a program that launches in a loop, as kernels follow one another.
The least work that threads share, in edgec/backends/tvm/schedules/sharing.py, is from here.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

_PROGRAM = r"""
#define _POSIX_C_SOURCE 200809L
#include <stdint.h>
#include <stdio.h>
#include <time.h>

extern int (*__TVMBackendParallelLaunch)(int (*)(int, void *, void *), void *, int);

static int nothing(int task, void *group, void *context)
{
    (void)task, (void)group, (void)context;
    return 0;
}

static double nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

int main(void)
{
    for (int round = 0; round < ROUNDS; ++round) {
        const double start = nanoseconds();
        for (int i = 0; i < LAUNCHES; ++i) {
            __TVMBackendParallelLaunch(nothing, NULL, 0);
        }
        printf("%.1f\n", (nanoseconds() - start) / LAUNCHES);
    }
    return 0;
}
"""
_ROUNDS = 9


def launch_nanoseconds(threads: int, launches: int) -> list[float]:
    """Nanoseconds of a launch, the mean of a loop of them, once a round."""
    runtime = resources.files("edgec.hw") / "runtime"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "launch.c").write_text(_PROGRAM, encoding="utf-8")
        for name in ("edgec.h", "edgec_runtime.c"):
            (folder / name).write_bytes((runtime / name).read_bytes())
        flags = ["-O2", f"-DEDGEC_THREADS={threads}", f"-DROUNDS={_ROUNDS}", f"-DLAUNCHES={launches}"]
        compiler = [sys.executable, "-m", "ziglang", "cc"]
        sources = ["launch.c", "edgec_runtime.c"]
        subprocess.run([*compiler, *flags, *sources, "-o", "launch", "-lpthread"], cwd=folder, check=True)
        printed = subprocess.run([folder / "launch"], capture_output=True, text=True, check=True).stdout
    return sorted(float(line) for line in printed.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--launches", type=int, default=100_000)
    arguments = parser.parse_args()
    times = launch_nanoseconds(arguments.threads, arguments.launches)
    print(f"{arguments.threads} threads: {times[len(times) // 2]:.0f} ns a launch [{times[0]:.0f}, {times[-1]:.0f}]")


if __name__ == "__main__":
    main()
