"""Run every benchmark for which the machine has what it needs; what is skipped is listed with its reason.

Usage: python benchmarks/run_all.py [FOLDER_OF_ONNX] [--out FOLDER] [--rounds 12] [--threads 1,2] [--docs]
The networks are those of the folder, of the folder that EDGEC_MODELS names, and well-known architectures with seeded
weights if torch, torchvision and timm are installed. Results are JSON files; `--docs` renders them into docs/.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import arm_counts
import arm_root
import peers
import performance_page

_HERE = Path(__file__).parent
_ARM_TARGETS = ("raspberry-pi-4", "jetson-nano-cpu")


def collect(folder: Path | None, out: Path, skipped: list[str]) -> list[Path]:
    """The networks to run, by name."""
    folders = [Path(given) for given in (folder, os.environ.get("EDGEC_MODELS")) if given]
    lacking = [package for package in ("torch", "torchvision", "timm") if find_spec(package) is None]
    if folder is not None:
        pass  # Who names a folder wants its networks only.
    elif lacking:
        skipped.append(f"networks with seeded weights: not installed: {', '.join(lacking)}")
    else:
        made = out / "networks"
        if not any(made.glob("*.onnx")):
            subprocess.run([sys.executable, str(_HERE / "networks.py"), str(made)], check=True)
        folders.append(made)
    if not folders:
        skipped.append("networks of yours: name a folder, or set EDGEC_MODELS")
    found = {path.stem: path for each in folders for path in each.glob("*.onnx")}
    return [found[name] for name in sorted(found)]


def run_peers(models: list[Path], threads: int, rounds: int, out: Path, skipped: list[str]) -> None:
    """Other engines on this machine."""
    if threads > len(os.sched_getaffinity(0)):
        skipped.append(f"{threads} threads: this machine has fewer cores")
        return
    shapes = tomllib.loads((_HERE / "shapes.toml").read_text(encoding="utf-8"))
    results = peers.measure(models, threads, rounds, shapes)
    _write(out / f"peers-{threads}.json", results)
    print(
        f"\n{performance_page.threads(results)}\n\n{performance_page.ratios(results)}\n\n{performance_page.left_out(results)}"
    )


def run_arm(models: list[Path], root: Path, out: Path, skipped: list[str]) -> None:
    """Instructions on Arm, against ONNX Runtime."""
    try:
        arm_root.prepare(root)
    except arm_root.MissingError as reason:
        skipped.append(f"instructions on Arm: {reason}")
        return
    shapes = tomllib.loads((_HERE / "shapes.toml").read_text(encoding="utf-8"))
    for target in _ARM_TARGETS:
        networks = {}
        for model in models:
            try:
                counts = arm_counts.compare(model, target, shapes.get(model.stem, []), root)
            except (RuntimeError, subprocess.TimeoutExpired) as reason:
                skipped.append(f"instructions of {model.stem} on {target}: {reason}")
                continue
            networks[model.stem] = counts.as_json()
        result = {"target": target, "networks": networks}
        _write(out / f"arm-{target}.json", result)
        print(f"\n{performance_page.arm([result])}", flush=True)


def _write(path: Path, results: dict[str, object]) -> None:
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks"))
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--without-arm", action="store_true", help="do not count instructions in an emulator")
    parser.add_argument("--arm-root", type=Path, default=arm_counts.ROOT)
    parser.add_argument("--docs", action="store_true", help="render the results into docs/")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    skipped: list[str] = []
    models = collect(arguments.folder, arguments.out, skipped)
    if models:
        for threads in map(int, arguments.threads.split(",")):
            run_peers(models, threads, arguments.rounds, arguments.out, skipped)
        if not arguments.without_arm:
            run_arm(models, arguments.arm_root.resolve(), arguments.out, skipped)
        if arguments.docs:
            performance_page.write(arguments.out)
    for reason in skipped:
        print(f"skipped: {reason}", file=sys.stderr)
    if not models:
        sys.exit("no networks to run")


if __name__ == "__main__":
    main()
