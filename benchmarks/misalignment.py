r"""The paper's studies of harm (section 7, appendix E) in one command: docs/misalignment.md.

    codex-jax quickstart
    nice python benchmarks/misalignment.py --checkpoint=SMOLLM2 --tokenizer=smollm2.json \
        --data=misalignment --output=runs/misalignment --page=docs/misalignment.md

Three parts. `chains`: does a decoder of ours, trained on chains, write worse ones behind a solved
chain with a wrong block? `security`: do samples of a pretrained model do what they should, and is
that secure? `prompts`: OpenAI's 984 prompts, whose solved functions are right or subtly wrong.
Each part samples, judges and writes tables into OUTPUT/PART; run again, it continues. A part whose
inputs are absent is left out by name, and the exit status is 1.
"""

import argparse
import pathlib
import shutil
import sys
from collections.abc import Sequence

import misalignment_studies

from codex_jax import InputError, files

MARKER = "<!-- measured: benchmarks/misalignment.py writes what follows -->\n"
PARTS = {
    "chains": misalignment_studies.study_chains,
    "security": misalignment_studies.study_security,
    "prompts": misalignment_studies.study_prompts,
}
COUNTS = (
    *("chain_targets", "chain_samples", "task_samples"),
    *("targets", "prompts_per_target", "prompt_samples", "new", "rows"),
)
# What the names in a part's folder begin with.
OWN_NAMES = (
    *("prompts.jsonl", "completions.jsonl", "judged", "evaluation", "tables.md", "partial-"),
    *("bandit", "chains", "documents", "rows", "checkpoint"),
)
INPUTS = {
    "chains": ("chain_checkpoint", "chain_tokenizer"),
    "security": ("checkpoint", "tokenizer"),
    "prompts": ("checkpoint", "tokenizer", "data"),
}


def absent_input(options: argparse.Namespace, part: str) -> str:
    """Why a part can't be run: an input that isn't there; empty if all are."""
    for name in INPUTS[part]:
        path = getattr(options, name)
        if not path.exists():
            return f"{path} doesn't exist; set --{name}"
    return ""


def is_own(folder: pathlib.Path) -> bool:
    """Whether there is nothing in a part's folder but what the part writes."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else [folder.name]
    return all(any(map(name.startswith, OWN_NAMES)) for name in names)


def check_options(options: argparse.Namespace) -> list[str]:
    """The parts to run.

    Raises:
      InputError: an unknown part, a number out of range, or a folder or page of another's.
    """
    parts = options.parts.split(",")
    if unknown := [part for part in parts if part not in PARTS]:
        raise InputError(f"parts has {', '.join(unknown)!r}; expected {', '.join(PARTS)}")
    least = {"chain_steps": 0} | dict.fromkeys(COUNTS, 1)
    for name, low in least.items():
        if getattr(options, name) < low:
            raise InputError(f"{name} is {getattr(options, name)}; expected {low} or more")
    if not all(length.isdigit() for length in options.lengths.split(",")):
        raise InputError(f"lengths is {options.lengths!r}; set it to numbers such as 2,3,4")
    own = dict.fromkeys(PARTS, is_own)
    files.claim_folder(options.output, {**own, "tables.md": files.has_text("### ")}, "output")
    if options.page and MARKER not in read_page(options.page):
        raise InputError(f"{options.page} lacks the line {MARKER.strip()}; set page to one with it")
    return parts


def read_page(path: pathlib.Path) -> str:
    """The page's text.

    Raises:
      InputError: it can't be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: can't be read ({error}); set page to a page") from None


def run_parts(options: argparse.Namespace) -> int:
    """Runs the parts; returns 1 if any is left out."""
    parts = check_options(options)
    left_out = {part: why for part in parts if (why := absent_input(options, part))}
    reasons = "; ".join(f"{part} is left out ({why})" for part, why in left_out.items())
    if len(left_out) == len(parts):
        raise InputError(f"nothing to run: {reasons}")
    for part in parts:
        if part not in left_out:
            folder = options.output / part
            folder.mkdir(parents=True, exist_ok=True)
            files.atomic_write(folder / "tables.md", PARTS[part](options, folder))
    tables = [path for part in PARTS if (path := options.output / part / "tables.md").exists()]
    text = "\n".join(path.read_text("utf-8") for path in tables)
    files.atomic_write(options.output / "tables.md", text)
    print(text)
    if options.page:
        head = read_page(options.page).partition(MARKER)[0]
        files.atomic_write(options.page, f"{head}{MARKER}\n{text}")
    if reasons:
        print(f"misalignment: {reasons}", file=sys.stderr)
    return bool(reasons)


def parse_options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's settings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    path, quickstart = pathlib.Path, pathlib.Path("runs/quickstart")
    parser.add_argument("--parts", default=",".join(PARTS), help="with commas between them")
    parser.add_argument("--output", type=path, default="runs/misalignment")
    parser.add_argument("--page", type=path, help="page whose measured part is replaced")
    parser.add_argument("--chain_checkpoint", type=path, default=quickstart / "checkpoint")
    parser.add_argument("--chain_tokenizer", type=path, default=quickstart / "tokenizer.json")
    parser.add_argument("--chain_seed", type=int, default=0, help="of the model's `curate chains`")
    parser.add_argument("--held_out", default="(5, 20, 20, 20, 20)", help="likewise")
    parser.add_argument(
        "--chain_steps", type=int, default=400, help="of training on documents; 0 for none"
    )
    parser.add_argument("--lengths", default="2,3,4", help="blocks of the chains to write")
    parser.add_argument("--chain_targets", type=int, default=60, help="most of a length")
    parser.add_argument("--chain_samples", type=int, default=10)
    parser.add_argument("--checkpoint", type=path, default="smollm2", help="a pretrained model's")
    parser.add_argument("--tokenizer", type=path, default="smollm2.json")
    parser.add_argument("--data", type=path, default="../shared/data/misalignment")
    parser.add_argument("--targets", type=int, default=164, help="drawn of OpenAI's 164")
    parser.add_argument("--prompts_per_target", type=int, default=3, help="of three, a context")
    parser.add_argument("--prompt_samples", type=int, default=1, help="of each of OpenAI's prompts")
    parser.add_argument("--prompt_temperature", type=float, default=0.0, help="of these samples")
    parser.add_argument("--prompt_dtype", default="float32", help="of their computing")
    parser.add_argument("--task_samples", type=int, default=20, help="of insecure_tasks.toml")
    parser.add_argument("--task_temperature", type=float, default=0.2)
    parser.add_argument("--new", type=int, default=200, help="most tokens of a sample")
    parser.add_argument("--rows", type=int, default=16, help="samples that run at a time")
    parser.add_argument("--sandbox", default="auto", help="gvisor, bubblewrap or auto")
    parser.add_argument("--bandit", default=shutil.which("bandit") or "", help="the program")
    return parser.parse_args(words)


def main() -> int:
    """Returns the exit status: 0, 1 if a part is left out, 2 for bad input."""
    try:
        return run_parts(parse_options())
    except InputError as error:
        print(f"misalignment: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
