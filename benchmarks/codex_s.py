"""The study of docs/codex_s.md: problems apart by package, what a GPU needs, and tables of samples.

    python benchmarks/codex_s.py split problems.jsonl FOLDER
    python benchmarks/codex_s.py pack FOLDER INPUT --humaneval HumanEval.jsonl.gz --weights X.whl
    sh benchmarks/codex_s_gpu.sh INPUT OUTPUT
    python benchmarks/codex_s.py judge FOLDER OUTPUT VERDICTS --humaneval HumanEval.jsonl.gz

`split` keeps 300 traced problems, with all of their packages, out of training. `pack` writes the
rows, the requests and the weights in pieces. `judge` runs the samples in the sandbox: pass@k at
each temperature beside the untrained model's, paired by problem, and the best temperature by k.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import sys
import tarfile

STAGES = ("base", "problems", "problems_1", "problems_12", "codex_s")
TEMPERATURES = (0.2, 0.8, 0.0, 0.4, 0.6, 1.0)  # in the order of their worth, should time end
BENCHMARKS = ("HumanEval", "held out")
HELD_OUT = 300
MOST_PROMPT = 4000  # characters of a prompt held out: about 1,000 tokens
PIECE = 47_000_000  # bytes


def read_lines(path: pathlib.Path) -> list[dict]:
    """The records of a JSON Lines file, perhaps gzipped."""
    from codex_jax.records import open_text

    with open_text(path) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def write_lines(path: pathlib.Path, records: list[dict]) -> None:
    """Writes records as JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")


def normalize(package: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", package).lower()


def split_problems(options: argparse.Namespace) -> None:
    """Writes train.jsonl and held_out.jsonl, which share no package."""
    problems = read_lines(options.problems)
    traced = [p for p in problems if p["route"] == "traces" and len(p["prompt"]) <= MOST_PROMPT]
    counts = collections.Counter(normalize(problem["package"]) for problem in traced)
    others = collections.Counter(normalize(p["package"]) for p in problems)
    packages: set[str] = set()
    for package in sorted(counts, key=lambda name: others[name] / counts[name]):
        if sum(counts[name] for name in packages) < HELD_OUT:
            packages.add(package)
    held_out = [problem for problem in traced if normalize(problem["package"]) in packages]
    random.Random(0).shuffle(held_out)
    train = [p for p in problems if normalize(p["package"]) not in packages]
    options.folder.mkdir(parents=True, exist_ok=True)
    write_lines(options.folder / "held_out.jsonl", held_out[:HELD_OUT])
    write_lines(options.folder / "train.jsonl", train)
    print(f"{len(train)} to train on; {len(held_out[:HELD_OUT])} of {len(packages)} packages not")


def make_requests(problems: list[dict], samples: int) -> list[dict]:
    """Requests in OpenAI's Batch format, "TEMPERATURE|TASK_ID", of all temperatures."""
    return [
        {
            "custom_id": f"{temperature}|{problem['task_id']}",
            "url": "/v1/completions",
            "body": {
                "prompt": problem["prompt"],
                "temperature": temperature,
                "n": samples if temperature else 1,
            },
        }
        for temperature in TEMPERATURES
        for problem in problems
    ]


def make_docstring_requests(problems: list[dict]) -> list[dict]:
    """Requests for docstrings: the program without its own, and opening quotes."""
    from codex_jax.problem_texts import to_docstring_text

    requests = []
    for problem in problems:
        text = to_docstring_text(
            problem["prompt"], problem["canonical_solution"], problem["entry_point"]
        )
        for temperature, samples in ((0.0, 1), (0.8, 5)):
            body = {"temperature": temperature, "n": samples, "stop": ['"""'], "max_tokens": 200}
            if text and len(text.context) <= MOST_PROMPT:
                name = f"{temperature}|{problem['task_id']}"
                body["prompt"] = text.context
                requests.append({"custom_id": name, "url": "/v1/completions", "body": body})
    return requests


def cut_file(path: pathlib.Path, folder: pathlib.Path, name: str) -> None:
    """Writes a file in pieces."""
    content = path.read_bytes()
    for number, start in enumerate(range(0, len(content), PIECE)):
        (folder / f"{name}.part{number}").write_bytes(content[start : start + PIECE])


def pack_input(options: argparse.Namespace) -> None:
    """Fills the folder that codex_s_gpu.sh reads."""
    from codex_s_gpu import compact_rows

    options.input.mkdir(parents=True, exist_ok=True)
    cut_file(options.weights, options.input, options.weights.name)
    humaneval = read_lines(options.humaneval)
    held_out = read_lines(options.folder / "held_out.jsonl")
    files = {"requests.jsonl": make_requests(humaneval, 20) + make_requests(held_out, 10)}
    files["few_requests.jsonl"] = files["requests.jsonl"][: 2 * len(humaneval)]
    undocumented = read_lines(options.undocumented) if options.undocumented else []
    files["documented.jsonl"] = humaneval + undocumented
    files["docstring_requests.jsonl"] = make_docstring_requests(humaneval + undocumented)
    for name, records in files.items():
        write_lines(options.folder / name, records)
    with tarfile.open(options.input / "small.tar", "w") as archive:
        for name in files:
            archive.add(options.folder / name, name)
    for name in ("codex_s", "codex_d"):
        if (options.folder / name).exists():
            with tarfile.open(options.input / f"{name}.tar", "w") as archive:
                archive.add(options.folder / name, f"rows/{name}")
    if (options.folder / "middle").exists():
        compact_rows(options.folder / "middle", options.input / "middle.npz.xz")


def judge_samples(options: argparse.Namespace) -> None:
    """Judges the samples of the models, and writes tables.md beside the verdicts."""
    import codex_s_judge

    problems = read_lines(options.humaneval) + read_lines(options.folder / "held_out.jsonl")
    codex_s_judge.judge_samples(options, problems)


def main() -> None:
    """Runs a step of the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    steps = parser.add_subparsers(required=True)
    split = steps.add_parser("split", help="keep traced problems, by package, out of training")
    split.add_argument("problems", type=pathlib.Path)
    split.add_argument("folder", type=pathlib.Path)
    split.set_defaults(run=split_problems)
    pack = steps.add_parser("pack", help="fill the folder that codex_s_gpu.sh reads")
    pack.add_argument("folder", type=pathlib.Path)
    pack.add_argument("input", type=pathlib.Path)
    pack.add_argument("--humaneval", type=pathlib.Path, required=True)
    pack.add_argument("--weights", type=pathlib.Path, required=True, help="GGUF, or a wheel of it")
    pack.add_argument("--undocumented", type=pathlib.Path, help="problems without docstrings")
    pack.set_defaults(run=pack_input)
    judge = steps.add_parser("judge", help="judge what codex_s_gpu.sh wrote")
    judge.add_argument("folder", type=pathlib.Path)
    judge.add_argument("archives", type=pathlib.Path, help="OUTPUT of codex_s_gpu.sh")
    judge.add_argument("verdicts", type=pathlib.Path, help="where verdicts and tables go")
    judge.add_argument("--humaneval", type=pathlib.Path, required=True)
    judge.add_argument("--workers", type=int, default=2)
    judge.add_argument("--samples", type=int, default=20, help="of a problem, the first ones")
    judge.add_argument("--temperatures", type=float, nargs="+", default=TEMPERATURES)
    judge.add_argument(
        "--stages", nargs="+", default=STAGES, help="models, the untrained one first"
    )
    judge.add_argument(
        "--benchmarks", nargs="+", default=BENCHMARKS, choices=BENCHMARKS, help="what to judge"
    )
    judge.set_defaults(run=judge_samples)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    sys.exit(main())
