"""`codex-jax rl rounds`: rejection rounds over files: sample, judge, keep, train, measure.

A round has a folder. Each step continues what an interrupted run left, so the same command goes on
wherever it was; a finished round has a report.json and isn't touched again.
"""

import dataclasses
import hashlib
import json
import math
import pathlib
import types
from collections.abc import Mapping, Sequence
from typing import Any

from codex_jax import InputError, files, ranges, records
from codex_jax.evaluate.evaluate import evaluate
from codex_jax.evaluate.problems import formats
from codex_jax.model import DecoderConfig
from codex_jax.records import Completion, Problem, Verdict
from codex_jax.rl.cases import Cases, split_cases
from codex_jax.rl.judging import Sandbox, check_sandbox
from codex_jax.rl.keep import Keep, keep_samples
from codex_jax.rl.kept_rows import KeptRows
from codex_jax.sample.completions_file import differences
from codex_jax.sample.engine.load import read_card
from codex_jax.sample.generate import generate
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.stop_strings import PAPER_STOPS
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer
from codex_jax.train.compute import Compute
from codex_jax.train.initialization import Source
from codex_jax.train.job import make_job
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.setting_ranges import check_ranges
from codex_jax.train.stability import Stability

_KS = (1, 10, 100)
_PROBLEM_FILES = ("problems", "held_out")
_IS_REPORT = files.has_json_keys("round", "pass_at_k", "shadow_pass_at_k")
_OWN_FILES = {
    "settings.json": files.has_json_keys("problems", "held_out", "keep"),
    "cases": lambda path: path.is_dir() and all(map(_is_of_cases, path.iterdir())),
    "round-*": lambda path: path.is_dir(),
}
_KEEP_RANGES = {
    "samples_per_problem": ranges.integer(1),
    "easy_rate": ranges.real(0, 1),
    "easy_weight": ranges.real(0, 1),
    "unsolved_factor": ranges.real(1, 100),
}
_MOST_WEIGHT = 1e6  # of a program, in f32 beside programs of weight 1
_OPTIMIZER = Optimizer(learning_rate=1e-4, warmup_steps=5, weight_decay=0.0)
_RANGES = {
    name: ranges.integer(1)
    for name in (
        *("rounds", "samples_per_problem", "held_out_samples", "batch_size", "sequence_length"),
        *("max_new_tokens", "sampler_rows"),
    )
} | {"shadow_share": ranges.real(0, 1), "seed": ranges.integer(0, 2**32 - 1)}


def run_rounds(
    *,
    problems: str,
    held_out: str,
    tokenizer: str,
    init_from: str,
    output: str,
    rounds: int = 3,
    steps: int | Sequence[int] = 200,
    samples_per_problem: int = 8,
    held_out_samples: int = 100,
    sampling_params: SamplingParams = SamplingParams(temperature=0.8, top_p=0.95),
    max_new_tokens: int = 300,
    stops: Sequence[str] = PAPER_STOPS,
    sampler_rows: int = 64,
    keep: Keep = Keep(),
    accumulate: bool = False,
    train_from_last: bool = False,
    batch_size: int = 8,
    sequence_length: int = 512,
    optimizer: Optimizer = _OPTIMIZER,
    compute: Compute = Compute(),
    sandbox: Sandbox = Sandbox(),
    shadow_share: float = 0.25,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Improves a model in rounds of its own right programs; returns a report of each round.

    Args:
      problems: JSON Lines of problems to learn from, each with two cases or more.
      held_out: JSON Lines of problems to measure with.
      tokenizer: The tokenizer.json that the model was trained with.
      init_from: Folder of the first checkpoint.
      output: Folder of the rounds.
      rounds: Number of rounds.
      steps: Optimizer steps of a round, or of each in turn; rounds beyond these have the last's.
      samples_per_problem: Samples of each problem in a round.
      held_out_samples: Samples of each held-out problem after a round.
      sampling_params: Temperature and filters.
      max_new_tokens: Most tokens of a sample.
      stops: Strings before which a completion ends.
      sampler_rows: Samples that run at a time.
      keep: Rules by which samples are kept.
      accumulate: Keep the programs of the rounds before, and sample only problems that have none.
      train_from_last: Train from the round before's weights, rather than the first.
      batch_size: Rows of a train step.
      sequence_length: Tokens of a row.
      optimizer: The optimizer and its schedule.
      compute: Precision and memory savers of training.
      sandbox: Limits of the programs, and where they run.
      shadow_share: Share of a problem's cases that no sample is kept by.
      seed: Changes every sample and the order of the rows.

    Raises:
      InputError: unusable input, no working sandbox, or too few samples are right.
    """
    return _start(types.SimpleNamespace(**locals()))


def _start(settings: Any) -> list[dict[str, Any]]:
    """Checks the settings, and runs what isn't finished of the rounds."""
    ranges.check("rl.rounds", settings, _RANGES)
    ranges.check("Keep", settings.keep, _KEEP_RANGES)
    for steps in _each_steps(settings) or [0]:
        ranges.check("rl.rounds", {"steps": steps}, {"steps": ranges.integer(1)})
    check_sandbox(settings.sandbox)
    _check_factor(settings)
    folder = pathlib.Path(settings.output)
    files.claim_folder(folder, _OWN_FILES, "output")
    bpe = Tokenizer.load(settings.tokenizer)
    card = read_card(settings.init_from, None, settings.tokenizer, bpe)
    _check_training(settings, bpe)
    problems = _read_problems(settings)
    origin = {f"content of {name}": _hash(tasks) for name, tasks in problems.items()}
    cases = {name: _split(tasks, settings.shadow_share) for name, tasks in problems.items()}
    _check_manifest(settings, origin | {"step of init_from": card.step}, folder / "settings.json")
    _write_cases(cases, folder / "cases")
    reports = [_measure(settings, folder, 0, settings.init_from)]
    reports += [_run_round(settings, folder, n) for n in range(1, settings.rounds + 1)]
    for report in reports:
        estimates = report["pass_at_k"], report["shadow_pass_at_k"]
        shares = (f"{name} {value['mean']:.3f}" for name, value in _present(estimates[0]))
        shadow = (f"{name} {value['mean']:.3f}" for name, value in _present(estimates[1]))
        print(f"round {report['round']}: {', '.join(shares)}; shadow cases: {', '.join(shadow)}")
    return reports


def _check_training(settings: Any, tokenizer: Tokenizer) -> None:
    """Checks what training after the first samples would refuse; a folder's settings don't change.

    Raises:
      InputError: the first setting that doesn't fit.
    """
    check_ranges({name: getattr(settings, name) for name in ("seed", "optimizer", "compute")})
    sizes = {name: getattr(settings, name) for name in ("batch_size", "sequence_length", "seed")}
    origin = {"tokenizer_hash": tokenizer.hash, "fingerprint": ""}
    rows: Any = types.SimpleNamespace(**sizes, **origin, vocab_size=tokenizer.vocab_size)
    source = Source(settings.init_from, None)
    model = DecoderConfig.from_json(source.card.model)
    configs = (settings.optimizer, MeshShape(), settings.compute, Stability())
    for steps in _each_steps(settings):
        make_job(rows, model, source, *configs, {"steps": steps, "seed": settings.seed})


def _check_factor(settings: Any) -> None:
    """Checks the factor by which programs of problems that rounds before didn't solve weigh more.

    Raises:
      InputError: unsolved_factor without accumulate, or weights beyond _MOST_WEIGHT.
    """
    factor = settings.keep.unsolved_factor
    if (settings.rounds - 1) * math.log(factor) > math.log(_MOST_WEIGHT):
        raise InputError(
            f"Keep.unsolved_factor is {factor:g}, which in {settings.rounds} rounds makes weights "
            f"above {_MOST_WEIGHT:g}; set it, or rounds, lower"
        )
    if factor != 1 and not settings.accumulate:
        raise InputError(
            f"Keep.unsolved_factor is {factor:g}, which weighs what former rounds didn't solve; "
            "set accumulate, so that rounds know of it, or leave the factor at 1"
        )


def _each_steps(settings: Any) -> list[Any]:
    """Returns the optimizer steps of round 1 and on; rounds beyond the list have its last."""
    steps = settings.steps
    return list(steps) if isinstance(steps, Sequence) else [steps]


def _present(estimates: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(f"pass@{k}", value) for k, value in estimates.items() if value]


def _check_manifest(settings: Any, origin: Mapping[str, Any], path: pathlib.Path) -> None:
    """Refuses other settings or input than those that a folder's rounds were begun with.

    Raises:
      InputError: the first one that differs.
    """
    ignored = ("output", "rounds", "sandbox")
    values = {**{k: v for k, v in vars(settings).items() if k not in ignored}, **origin}
    manifest = json.loads(json.dumps(values, default=dataclasses.asdict))
    text = path.read_text("utf-8") if path.exists() else ""
    former = json.loads(text) if text else manifest
    for name, before, value in differences(former, manifest):
        raise InputError(
            f"{path.parent} has rounds with another {name} ({before!r:.60}, set now: "
            f"{value!r:.60}); set output to another folder, or {name} as it was"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    files.atomic_write(path, json.dumps(manifest, indent=1) + "\n")


def _read_problems(settings: Any) -> dict[str, dict[str, Problem]]:
    """Reads the problems and the held-out ones.

    Raises:
      InputError: unusable problems, or a prompt that both have.
    """
    both = {name: formats.load_problems(getattr(settings, name)) for name in _PROBLEM_FILES}
    prompts = {problem.prompt: task_id for task_id, problem in both["problems"].items()}
    for task_id, problem in both["held_out"].items():
        if problem.prompt in prompts:
            raise InputError(
                f"{task_id} of held_out has the prompt of {prompts[problem.prompt]} of problems; "
                "set held_out to problems that aren't learned from"
            )
    return both


def _hash(problems: Mapping[str, Problem]) -> str:
    text = "".join(map(records.to_line, problems.values()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _split(problems: Mapping[str, Problem], shadow_share: float) -> list[Cases]:
    return [split_cases(problem, shadow_share) for problem in problems.values()]


def _write_cases(cases: Mapping[str, Sequence[Cases]], folder: pathlib.Path) -> None:
    """Writes problems and held-out problems, with their rewarded and with their shadow cases."""
    folder.mkdir(exist_ok=True)
    for name, parts in cases.items():
        records.write_jsonl(folder / f"{name}.jsonl", (each.rewarded for each in parts))
        records.write_jsonl(folder / f"{name}-shadow.jsonl", (each.shadow for each in parts))


def _is_of_cases(path: pathlib.Path) -> bool:
    return path.name.startswith((*_PROBLEM_FILES, "partial-"))


def _checkpoint(settings: Any, folder: pathlib.Path, number: int) -> str:
    return str(folder / f"round-{number}" / "checkpoint") if number else settings.init_from


def _read_report(folder: pathlib.Path) -> dict[str, Any] | None:
    """Returns the report of a finished round; None where there is none, or a torn one."""
    path = folder / "report.json"
    return json.loads(path.read_text("utf-8")) if path.exists() and _IS_REPORT(path) else None


def _run_round(settings: Any, folder: pathlib.Path, number: int) -> dict[str, Any]:
    """Samples, judges, keeps and trains, and measures the result."""
    here = folder / f"round-{number}"
    if (report := _read_report(here)) is not None:
        return report
    here.mkdir(parents=True, exist_ok=True)
    last = _checkpoint(settings, folder, number - 1)
    tasks = formats.load_problems(str(folder / "cases" / "problems.jsonl"))
    before = _read_kept(folder, number - 1) if settings.accumulate else []
    samples, kept = _sample_right(settings, last, here, _without(tasks, before), number)
    examples = [*before, *kept]
    records.write_jsonl(here / "kept.jsonl", examples)
    start = last if settings.train_from_last else settings.init_from
    rows = _make_rows(settings, tasks, examples)
    train(
        batches=rows,
        checkpoint_dir=str(here / "checkpoint"),
        init_from=start,
        steps=_each_steps(settings)[:number][-1],  # its own, or those of the last with its own
        optimizer=settings.optimizer,
        compute=settings.compute,
        seed=settings.seed,
    )
    counts = {
        "kept": len(examples),
        "too_long": rows.too_long,
        "rows": rows.rows,
        "samples": samples,
    }
    return _measure(settings, folder, number, str(here / "checkpoint"), counts)


def _read_kept(folder: pathlib.Path, number: int) -> list[Completion]:
    """Returns the programs that a round trained on; none of round 0, which didn't train."""
    path = folder / f"round-{number}" / "kept.jsonl"
    return list(records.read_jsonl(path, Completion)) if number else []


def _without(tasks: Mapping[str, Problem], examples: Sequence[Completion]) -> dict[str, Problem]:
    """Returns the problems that none of the programs is of."""
    solved = {example.task_id for example in examples}
    return {task_id: problem for task_id, problem in tasks.items() if task_id not in solved}


def _sample_right(
    settings: Any, checkpoint: str, here: pathlib.Path, tasks: dict[str, Problem], number: int
) -> tuple[int, list[Completion]]:
    """Samples and judges programs of problems; returns how many, and those to train on."""
    if not tasks:
        return 0, []
    problems, completions = here / "problems.jsonl", here / "completions.jsonl"
    records.write_jsonl(problems, tasks.values())
    _sample(settings, checkpoint, str(problems), completions, settings.samples_per_problem, number)
    _judge(settings, problems, completions, here / "evaluation")
    samples = list(records.read_jsonl(completions, Completion))
    verdicts = list(records.read_jsonl(here / "evaluation" / "verdicts.jsonl", Verdict))
    kept = keep_samples(tasks, samples, verdicts, settings.keep, rounds_before=number - 1)
    return len(samples), kept


def _make_rows(
    settings: Any, tasks: Mapping[str, Problem], examples: Sequence[Completion]
) -> KeptRows:
    bpe = Tokenizer.load(settings.tokenizer)
    ends = read_ends(read_card(settings.init_from, None, settings.tokenizer, bpe), bpe)
    sizes = {name: getattr(settings, name) for name in ("batch_size", "sequence_length", "seed")}
    return KeptRows(tasks, examples, bpe, ends, **sizes)


def _sample(
    settings: Any, checkpoint: str, problems: str, output: pathlib.Path, samples: int, number: int
) -> None:
    generate(
        checkpoint_dir=checkpoint,
        tokenizer=settings.tokenizer,
        problems=problems,
        output=str(output),
        sampling_params=settings.sampling_params,
        samples_per_problem=samples,
        max_new_tokens=settings.max_new_tokens,
        stops=settings.stops,
        seed=(settings.seed + number) % 2**32,
        batch_size=settings.sampler_rows,
    )


def _judge(
    settings: Any, problems: pathlib.Path, completions: pathlib.Path, output: pathlib.Path
) -> dict[str, Any]:
    sandbox: Sandbox = settings.sandbox
    return evaluate(
        problems=str(problems),
        completions=str(completions),
        output=str(output),
        sandbox=sandbox.backend,
        ks=_KS,
        timeout_s=sandbox.timeout_s,
        memory_mb=sandbox.memory_mb,
        workers=sandbox.workers,
        packages=sandbox.packages,
    )


def _measure(
    settings: Any,
    folder: pathlib.Path,
    number: int,
    checkpoint: str,
    counts: Mapping[str, int] = types.MappingProxyType({}),
) -> dict[str, Any]:
    """Samples held-out problems; writes pass@k on their rewarded and their shadow cases."""
    here = folder / f"round-{number}"
    if (former := _read_report(here)) is not None:
        return former
    here.mkdir(parents=True, exist_ok=True)
    problems, shadow = (folder / "cases" / f"held_out{s}.jsonl" for s in ("", "-shadow"))
    completions = here / "held_out.jsonl"
    _sample(settings, checkpoint, str(problems), completions, settings.held_out_samples, 0)
    parts = {"pass_at_k": problems, "shadow_pass_at_k": shadow}
    report: dict[str, Any] = {"round": number, **counts}
    for name, path in parts.items():
        report[name] = _judge(settings, path, completions, here / name)["pass_at_k"]
    files.atomic_write(here / "report.json", json.dumps(report, indent=1) + "\n")
    return report
