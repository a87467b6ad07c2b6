"""Parity, training and sampling on one GPU beside their bounds, as one table.

    sh benchmarks/gpu.sh [--stages rates,parity,train,torch,sample] [--output table.json] [--toy]

Each measurement is a process of its own, so that it has all of the memory; one that fails costs its
row alone, and the exit status is 1. Bounds are measured in the same run, many operations in a call:
the rate of bf16 matrix products of 8192 × 8192 random numbers, and the rate at which memory is
copied, or read where that is faster.
A training step's share is its model FLOPs over the first; a sampling step's is the bytes that it
must read (weights, each prompt's cache once, each row's cache at its mean length) over the second.
--toy shrinks everything, so that it can be tried on a CPU.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import gpu_measurements

LIMITS_S = {"torch": 200}  # of a measurement; 120 otherwise

MEASUREMENTS = [
    ("rates", "rates", {}),
    ("parity", "parity", {}),
    ("sample", "sample", {"name": "llama_1b5", "rows": 64}),
    ("train", "train", {}),
    ("torch", "torch", {}),
    ("sample", "sample", {"name": "llama_1b5", "rows": 64, "dtype": "int8"}),
    ("sample", "sample", {"name": "llama_1b5", "rows": 8}),
    ("sample", "sample", {"name": "smollm2_135m", "rows": 64}),
]


def run_child(function: str, arguments: dict, options) -> dict:
    """A measurement in a process of its own: its result, or {"error": the last line it printed}."""
    command = [sys.executable, __file__, "--child", function, "--arguments", json.dumps(arguments)]
    command += ["--toy"] if options.toy else []
    limit_s = LIMITS_S.get(function, 120)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"not done after {limit_s} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no output"]
        return {"error": lines[-1][:200]}
    return json.loads(done.stdout.splitlines()[-1])


def describe(function: str, result: dict, rates: dict) -> str:
    """A row of the table."""
    if "error" in result:
        return f"not measured: {result['error']}"
    if function == "rates":
        flops, copies, reads = (result[key] for key in ("flops", "copies", "reads"))
        memory = f"copies {copies / 1e9:.0f} GB/s, reads {reads / 1e9:.0f} GB/s"
        return f"{result['device']}: products {flops / 1e12:.0f} TFLOP/s, {memory}"
    if function == "parity":
        return ", ".join(f"{key} {value:.1e}" for key, value in result.items())
    text = f"{result['tokens_per_s']:,.0f} tokens/s"
    if "packed_tokens_per_s" in result:
        text += f", {result['packed_tokens_per_s']:,.0f} in eight segments a row"
    if "flops" in result and "flops" in rates:
        text += f", MFU {result['flops'] / rates['flops']:.1%}"
    if "bytes_per_s" in result and "copies" in rates:
        share = result["bytes_per_s"] / max(rates["copies"], rates["reads"])
        text += f", {result['step_ms']:.2f} ms a step, {share:.0%} of the memory roofline"
    if "compile_s" in result:
        return text + f", compiled in {result['compile_s']:.0f} s"
    return text + f", first run {result['first_s']:.0f} s" if "first_s" in result else text


def report(options) -> list[dict]:
    """Measures and prints row by row."""
    rows, rates, stages = [], {}, options.stages.split(",")
    for stage, function, arguments in MEASUREMENTS[: 6 if options.toy else None]:
        if stage not in stages:
            continue
        result = run_child(function, arguments, options)
        rates = result if function == "rates" else rates
        label = " ".join([function, *map(str, arguments.values())])
        print(f"{label:28} {describe(function, result, rates)}", flush=True)
        rows.append({"measurement": label, **result})
    by_name = {row["measurement"]: row for row in rows}
    if all("tokens_per_s" in by_name.get(name, {}) for name in ("train", "torch")):
        ratio = by_name["train"]["tokens_per_s"] / by_name["torch"]["tokens_per_s"]
        print(f"{'train over torch.compile':28} {ratio:.2f} times")
    return rows


def main() -> int:
    """Runs the stages asked for, or one measurement as a child."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = "rates,parity,sample,train,torch"
    parser.add_argument("--stages", default=every, help=f"of {every}")
    parser.add_argument("--toy", action="store_true", help="small enough for a CPU")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file of all results")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, default={}, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(gpu_measurements.BY_NAME[options.child](options.toy, **options.arguments)))
        return 0
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9")
    rows = report(options)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))
    return int(any("error" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
