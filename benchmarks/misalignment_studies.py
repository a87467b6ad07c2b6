"""The parts of benchmarks/misalignment.py: each samples, judges, and returns tables in Markdown."""

import argparse
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import insecure_code
import misalignment_chains
import misalignment_prompts

from codex_jax import InputError
from codex_jax.evaluate.metrics.pass_at_k import estimate
from codex_jax.evaluate.metrics.selection import paired_bootstrap
from codex_jax.evaluate.verdicts import Cause
from codex_jax.main import cli
from codex_jax.records import Completion, Problem, Verdict, read_jsonl, write_jsonl

UNITS = "percent, with 95 % intervals"
DOCUMENTS = 6000
ROW = 448  # tokens: the longest document
CONTEXTS = ("none", "good", "bad")
Counts = dict[str, tuple[int, int]]  # (samples, passed) by problem


def run(*words: object) -> None:
    """Runs a command of codex-jax; ends with its status where it fails."""
    print("$ codex-jax", *words, flush=True)
    if status := cli.main([str(word) for word in words]):
        raise SystemExit(status)


def sample(
    folder: pathlib.Path, prompts: Iterable[Problem], model: Sequence[str], **settings: object
) -> list[Completion]:
    """Completions of the prompts by a model: its checkpoint and tokenizer."""
    write_jsonl(folder / "prompts.jsonl", prompts)
    output = folder / "completions.jsonl"
    run(
        *("sample", f"--problems={folder / 'prompts.jsonl'}", f"--output={output}"),
        *(f"--checkpoint_dir={model[0]}", f"--tokenizer={model[1]}"),
        *(f"--{name}={value}" for name, value in settings.items()),
    )
    return list(read_jsonl(output, Completion))


def judge(
    folder: pathlib.Path, problems: Iterable[Problem], completions: pathlib.Path, *words: str
) -> dict[tuple[str, int], bool]:
    """Whether a completion passed, by (task_id, sample index), but for problems left out."""
    write_jsonl(folder / "judged.jsonl", problems)
    run(
        *("evaluate", f"--problems={folder / 'judged.jsonl'}", f"--completions={completions}"),
        *(f"--output={folder / 'evaluation'}", "--ks=(1,)", *words),
    )
    rows = read_jsonl(folder / "evaluation" / "verdicts.jsonl", Verdict)
    judged = (row for row in rows if row.cause != Cause.LEFT_OUT)
    return {(row.task_id, row.sample_index): row.passed for row in judged}


def count_arms(
    passed: dict[tuple[str, int], bool], split: Callable[[str], Sequence[str]]
) -> dict[str, Counts]:
    """(samples, passed) by arm and problem; `split` makes them of a task_id."""
    arms: dict[str, Counts] = {}
    for (task_id, _), is_right in passed.items():
        arm, problem = split(task_id)
        samples, right = arms.setdefault(arm, {}).get(problem, (0, 0))
        arms[arm][problem] = (samples + 1, right + is_right)
    return arms


def rate(counts: Counts) -> str:
    """pass@1 in percent with its 95 % interval."""
    value = estimate(counts, [1])[1]
    if value is None:
        return "–"
    return f"{100 * value.mean:.1f} ({100 * value.low:.1f} to {100 * value.high:.1f})"


def gap(first: Counts, second: Counts) -> str:
    """Second less first in points, with its 95 % interval, paired by problem; bold if not 0."""
    row = paired_bootstrap(first, second)
    text = f"{100 * row['difference']:+.1f} ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
    return text if row["low"] <= 0 <= row["high"] else f"**{text}**"


def to_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def measure(
    options: argparse.Namespace,
    folder: pathlib.Path,
    pairs: Sequence[tuple[Problem, Problem]],
    model: Sequence[str],
    **settings: object,
) -> tuple[list[Completion], dict[tuple[str, int], bool]]:
    """Samples of (to sample, to judge) problems, and which of them passed."""
    samples = sample(folder, (prompt for prompt, _ in pairs), model, **settings)
    problems, completions = (problem for _, problem in pairs), folder / "completions.jsonl"
    return samples, judge(folder, problems, completions, f"--sandbox={options.sandbox}")


def train_on_documents(
    options: argparse.Namespace, folder: pathlib.Path, training: Sequence[Problem]
) -> pathlib.Path:
    """The checkpoint of the chains' model, trained further on documents of four chains.

    With 0 steps it is the model's own.
    """
    if not options.chain_steps:
        return options.chain_checkpoint
    documents, rows, checkpoint = (folder / name for name in ("documents", "rows", "checkpoint"))
    documents.mkdir(exist_ok=True)
    misalignment_chains.write_documents(documents, training, DOCUMENTS, options.chain_seed)
    run(
        *("data", "build", f"--corpus={ {'documents': str(documents)}!r}", f"--output={rows}"),
        *(f"--tokenizer={options.chain_tokenizer}", f"--sequence_length={ROW}"),
        "--validation_share=0",
    )
    run(
        *("train", f"--init_from={options.chain_checkpoint}", f"--rows={rows}"),
        *(f"--checkpoint_dir={checkpoint}", f"--steps={options.chain_steps}"),
        *("--batch_size=4", "--gin.BatchReader.seed=0", "--learning_rate=2e-3"),
        *("--warmup_steps=20", "--save_every=50", "--keep_latest=1"),
    )
    return checkpoint


def study_chains(options: argparse.Namespace, folder: pathlib.Path) -> str:
    """Chains behind three solved chains."""
    run(
        *("curate", "chains", f"--output={folder / 'chains'}", f"--seed={options.chain_seed}"),
        f"--held_out={options.held_out}",
    )
    lengths = [int(length) for length in options.lengths.split(",")]
    targets = list(read_jsonl(folder / "chains" / "chains-test.jsonl", Problem))
    groups = [[t for t in targets if t.extra["blocks"] == length] for length in lengths]
    targets = [target for group in groups for target in group[: options.chain_targets]]
    if not targets:
        raise InputError(f"no chain of {lengths} blocks is held out; set held_out or lengths")
    training = list(read_jsonl(folder / "chains" / "chains-train.jsonl", Problem))
    checkpoint = train_on_documents(options, folder, training)
    pairs = misalignment_chains.make_problems(targets, options.chain_seed)
    settings = {"samples_per_problem": options.chain_samples, "max_new_tokens": 120}
    model = (str(checkpoint), options.chain_tokenizer)
    samples, passed = measure(options, folder, pairs, model, **settings)
    arms = count_arms(passed, lambda task_id: task_id.split("/", 1))
    wrong = {prompt.task_id: prompt.extra["wrong_line"] for prompt, _ in pairs}
    rows = []
    for arm in misalignment_chains.ARMS:
        by_length = [
            rate({k: v for k, v in arms[arm].items() if k.split("/")[1] == str(length)})
            for length in lengths
        ]
        difference = "" if arm == "right" else gap(arms["right"], arms[arm])
        own = [row for row in samples if row.task_id.startswith(f"{arm}/")]
        ideal = [misalignment_chains.imitator_rate(arm, length) for length in lengths]
        share = f"{100 * sum(ideal) / len(ideal):.1f}"
        cells = [arm, rate(arms[arm]), difference, share, share_copied(own, wrong)]
        rows.append([*cells, *by_length])
    header = ["solved chains before", "pass@1", "gap to right", "a perfect imitator's", "copied"]
    header += [f"{length} blocks" for length in lengths]
    count = f"{len(targets)} held-out chains, {options.chain_samples} samples each at T = 0.8"
    return f"### Chains\n\n{count}; {UNITS}.\n\n{to_table(header, rows)}"


def share_copied(samples: Sequence[Completion], wrong: Mapping[str, str]) -> str:
    """Percentage of the samples with the wrong line of their context; empty if there is none."""
    copies = [wrong[row.task_id] in row.completion for row in samples if wrong[row.task_id]]
    return f"{100 * sum(copies) / len(copies):.1f}" if copies else ""


def study_prompts(options: argparse.Namespace, folder: pathlib.Path) -> str:
    """OpenAI's prompts."""
    contexts = misalignment_prompts.read_contexts(options.data)
    pairs = misalignment_prompts.make_problems(
        contexts, targets=options.targets, prompts_per_target=options.prompts_per_target
    )
    samples, temperature = options.prompt_samples, options.prompt_temperature
    settings = {
        "samples_per_problem": samples,
        "temperature": temperature,
        "dtype": options.prompt_dtype,
    }
    settings |= {"max_new_tokens": options.new, "batch_size": options.rows}
    _, passed = measure(options, folder, pairs, (options.checkpoint, options.tokenizer), **settings)
    arms = count_arms(passed, lambda t: ("/".join(t.split("/")[:3]), t.split("/")[3]))
    rows, effects = [], []
    for newlines in ("doubled", "collapsed"):
        for instruction in ("plain", "instruction"):
            none, good, bad = (arms[f"{name}/{instruction}/{newlines}"] for name in CONTEXTS)
            rates = map(rate, (none, good, bad))
            rows.append([newlines, instruction, *rates, gap(good, bad), gap(none, bad)])
        names = (f"{name}/{{}}/{newlines}" for name in CONTEXTS)
        pairs_of_arms = [(arms[n.format("plain")], arms[n.format("instruction")]) for n in names]
        effects.append([newlines, *(gap(*pair) for pair in pairs_of_arms)])
    header = ["newlines", "instruction", *CONTEXTS, "bad less good", "bad less none"]
    targets = len(arms["none/plain/doubled"])
    count = f"{targets} of 164 targets, {len(pairs)} prompts, {samples} × each"
    count += f" at T = {temperature:g}"
    effect = to_table(["the instruction's effect", *CONTEXTS], effects)
    return f"### OpenAI's prompts\n\n{count}; {UNITS}.\n\n{to_table(header, rows)}\n{effect}"


def study_security(options: argparse.Namespace, folder: pathlib.Path) -> str:
    """Own tasks by outcome, and settings of RSA and AES."""
    tasks, settings = insecure_code.read_tasks()
    absent = {t["name"]: a for t in tasks if (a := insecure_code.missing_packages(t))}
    tasks = [task for task in tasks if task["name"] not in absent]
    samples = sample(
        folder,
        (Problem(task_id=row["name"], prompt=row["prompt"]) for row in (*tasks, *settings)),
        (options.checkpoint, options.tokenizer),
        samples_per_problem=options.task_samples,
        temperature=options.task_temperature,
        max_new_tokens=options.new,
        batch_size=options.rows,
    )
    groups: dict[str, list[Completion]] = {}
    for row in samples:
        groups.setdefault(row.task_id, []).append(row)
    outcomes = judge_tasks(folder, tasks, groups, f"--sandbox={options.sandbox}")
    flagged, note = flag(options.bandit, folder / "bandit", tasks, groups)
    left_out = "".join(f"; {name} left out ({', '.join(a)} absent)" for name, a in absent.items())
    parts = [
        f"{describe(outcomes)}, T = {options.task_temperature}{left_out}. {note}",
        to_table(
            ["task", "weakness", "n", "functional", "secure", "both", "bandit"],
            [
                [t["name"], t["cwe"], *outcomes[t["name"]].values(), flagged.get(t["name"], "")]
                for t in tasks
                if t["name"] in outcomes
            ],
        ),
        "Samples by the size of their RSA keys and the mode of AES:",
        to_table(["prompt", *insecure_code.CLASSES], count_settings(settings, groups)),
    ]
    return "### Insecure code\n\n" + "\n\n".join(part.strip() for part in parts) + "\n"


def judge_tasks(
    folder: pathlib.Path,
    tasks: Sequence[dict[str, Any]],
    groups: Mapping[str, list[Completion]],
    *words: str,
) -> dict[str, dict[str, int]]:
    """Samples by task and outcome."""
    copies = folder / "judged-completions.jsonl"
    own = (row for task in tasks for row in groups[task["name"]])
    write_jsonl(copies, insecure_code.judged_completions(own))
    packages = tuple({name: None for task in tasks for name in task.get("packages", ())})
    problems = [p for task in tasks for p in insecure_code.judged_problems(task)]
    passed = judge(folder, problems, copies, f"--packages={packages!r}", *words)
    return insecure_code.count_outcomes(passed)


def describe(outcomes: Mapping[str, Mapping[str, int]]) -> str:
    """pass@1 over the tasks, functional alone and with security."""
    rates = (
        rate({name: (row["samples"], row[key]) for name, row in outcomes.items()})
        for key in ("functional", "both")
    )
    return "pass@1 in percent: functional {}, functional and secure {}".format(*rates)


def flag(
    bandit: str,
    folder: pathlib.Path,
    tasks: Sequence[dict[str, Any]],
    groups: Mapping[str, list[Completion]],
) -> tuple[dict[str, int], str]:
    """Counts of the samples that bandit flags, by task, and a sentence about the references."""
    if not bandit:
        return {}, "bandit isn't installed: left out."
    programs = {
        f"{task['name']}/{number}": task["prompt"] + text
        for task in tasks
        for number, text in [
            *((version, task[version]) for version in ("secure", "insecure")),
            *((row.sample_index, row.completion) for row in groups[task["name"]]),
        ]
    }
    names = insecure_code.run_bandit(programs, folder, bandit)
    good, bad = (
        sum(name.endswith(f"/{version}") for name in names) for version in ("secure", "insecure")
    )
    counts = {
        task["name"]: sum(f"{task['name']}/{r.sample_index}" in names for r in groups[task["name"]])
        for task in tasks
    }
    total = len(tasks)
    return counts, f"bandit flags {bad} of {total} insecure references, {good} of {total} secure."


def count_settings(
    settings: Sequence[dict[str, str]], groups: Mapping[str, list[Completion]]
) -> list[list[object]]:
    """Rows of the prompts for RSA and AES: how many samples are of each class."""
    rows: list[list[object]] = []
    for setting in settings:
        samples = groups[setting["name"]]
        classes = [insecure_code.classify(setting["prompt"] + row.completion) for row in samples]
        rows.append([setting["name"], *map(classes.count, insecure_code.CLASSES)])
    return rows
