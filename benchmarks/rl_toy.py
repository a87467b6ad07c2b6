"""Policy gradients and rejection rounds on chains: held-out pass@k before and after, by length.

The quickstart's decoder learns the training chains of one to five blocks. Both ways are measured
on the same held-out chains, on rewarded and on shadow cases.

    codex-jax quickstart
    nice python benchmarks/rl_toy.py --quickstart runs/quickstart --output runs/rl_toy
"""

import argparse
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence

from codex_jax.records import Completion, Problem, read_jsonl, write_jsonl
from codex_jax.rl.cases import split_cases


def run(*words: object) -> None:
    """Runs a command of codex-jax; ends with its status where it fails."""
    command = [sys.executable, "-m", "codex_jax", *map(str, words)]
    print("$ codex-jax", *words, flush=True)
    if status := subprocess.run(command, check=False).returncode:
        raise SystemExit(status)


def measure(options: argparse.Namespace, checkpoint: pathlib.Path, name: str) -> dict[str, dict]:
    """Samples and judges the held-out chains; returns pass@k by cases."""
    folder = options.output / name
    folder.mkdir(parents=True, exist_ok=True)
    problems = options.quickstart / "chains" / "chains-test.jsonl"
    shadow = options.output / "shadow.jsonl"
    write_jsonl(shadow, (split_cases(p, 0.25).shadow for p in read_jsonl(problems, Problem)))
    completions = folder / "completions.jsonl"
    run(
        *("sample", f"--checkpoint_dir={checkpoint}", f"--problems={problems}"),
        f"--tokenizer={options.quickstart / 'tokenizer.json'}",
        *(f"--output={completions}", f"--samples_per_problem={options.samples}"),
        *("--max_new_tokens=100", "--temperature=0.8", "--top_p=0.95"),
    )
    results: dict[str, dict] = {}
    for part, path in {"all cases": problems, "shadow cases": shadow}.items():
        output = folder / part.replace(" ", "_")
        run(
            *("evaluate", f"--problems={path}", f"--completions={completions}"),
            *(f"--output={output}", "--ks=(1,10)"),
        )
        results[part] = json.loads((output / "report.json").read_text("utf-8"))["pass_at_k"]
    return results


def learn_by_policy(options: argparse.Namespace, shared: Sequence[str]) -> dict[str, object]:
    """Runs the policy gradient; returns what was measured, and the tokens that it sampled."""
    folder = options.output / "policy"
    steps = [f"--steps={options.steps}"] if options.steps else []
    run("rl", "gin_configs/rl/chains.gin", *shared, f"--checkpoint_dir={folder}", *steps)
    lines = map(json.loads, (folder / "metrics.jsonl").read_text("utf-8").splitlines())
    tokens = sum(int(line.get("sampled_tokens", 0)) for line in lines)
    return {"sampled tokens": tokens, **measure(options, folder, "after")}


def learn_by_rounds(options: argparse.Namespace, shared: Sequence[str]) -> dict[str, object]:
    """Runs the rejection rounds; returns what was measured, and the tokens that they sampled."""
    folder = options.output / "rounds"
    held_out = options.quickstart / "chains" / "chains-test.jsonl"
    run(
        *("rl", "rounds", "gin_configs/rl/rounds.gin", *shared, f"--held_out={held_out}"),
        *(f"--output={folder}", f"--rounds={options.rounds}"),
    )
    samples = folder.glob("round-*/completions.jsonl")  # none of a round with all problems solved
    tokens = sum(sample.tokens or 0 for path in samples for sample in read_jsonl(path, Completion))
    last = folder / f"round-{options.rounds}" / "checkpoint"
    return {"sampled tokens": tokens, **measure(options, last, "after_rounds")}


def main() -> None:
    """Runs both ways, and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quickstart", type=pathlib.Path, default="runs/quickstart")
    parser.add_argument("--output", type=pathlib.Path, default="runs/rl_toy")
    parser.add_argument("--samples", type=int, default=20, help="of each held-out chain")
    parser.add_argument("--rounds", type=int, default=4, help="rejection rounds; 0 leaves them out")
    parser.add_argument(
        "--steps", type=int, default=0, help="of the policy gradient, if not its own"
    )
    options = parser.parse_args()
    start, chains = options.quickstart / "checkpoint", options.quickstart / "chains"
    shared = [
        f"--problems={chains / 'chains-train.jsonl'}",
        f"--init_from={start}",
        f"--tokenizer={options.quickstart / 'tokenizer.json'}",
    ]
    results: dict[str, dict] = {"before": measure(options, start, "before")}
    if options.rounds:
        results["rejection rounds"] = learn_by_rounds(options, shared)
    results["policy gradient"] = learn_by_policy(options, shared)
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
