"""`codex-jax sample`: problems in, completions out, resumable at any moment."""

import dataclasses
from collections.abc import Iterator, Sequence

from codex_jax import InputError, checkpoint, model, progress
from codex_jax.records import Completion, Problem, read_jsonl
from codex_jax.sample import placement
from codex_jax.sample.engine import Engine, plan
from codex_jax.sample.job import CompletionsFile
from codex_jax.sample.policy import Policy
from codex_jax.sample.requests import Request, Sample
from codex_jax.sample.state import Shape
from codex_jax.sample.stops import PAPER_STOPS
from codex_jax.sample.text import whole_text
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import SPECIALS, Tokenizer

_, PREFIX, MIDDLE, SUFFIX = SPECIALS


def generate(
    *,
    checkpoint_dir: str,
    tokenizer: str,
    problems: str,
    output: str = "completions.jsonl",
    policy: Policy | None = None,
    samples_per_problem: int = 20,
    max_new_tokens: int = 300,
    stops: Sequence[str] = PAPER_STOPS,
    seed: int = 0,
    batch_size: int = 64,
    step: int | None = None,
    dtype: str = "float32",
    mesh: MeshShape | None = None,
    begin: bool = True,
) -> int:
    """Samples completions of every problem; returns how many samples the output holds.

    Run again after an interruption, it continues: a sample depends on checkpoint, prompt, seed,
    its index and the policy alone, so the finished file is the one an undisturbed run writes, up
    to the order of its lines.

    Args:
      checkpoint_dir: Directory that train wrote.
      tokenizer: The tokenizer the model was trained with (tokenizer.json).
      problems: JSON Lines of task_id, prompt and, to ask for what stands between, suffix; or .gz.
      output: JSON Lines of completions, appended to; beside it stands its .job.json.
      policy: Temperature, top-k, min-p and top-p.
      samples_per_problem: Samples of each prompt (n).
      max_new_tokens: Most tokens of a sample.
      stops: Strings before which a completion ends.
      seed: Changes every sample.
      batch_size: Samples that run at a time.
      step: Checkpoint to sample from; the newest, unless given.
      dtype: Of activations and cache: "float32" or "bfloat16".
      mesh: Devices; every device a replica, unless given.
      begin: Begin a prompt with end of text, as our documents begin; foreign models mostly don't.
    """
    policy = policy or Policy()
    text = Tokenizer.load(tokenizer)
    asked = list(read_jsonl(problems, Problem))
    _check(asked, problems, samples_per_problem, max_new_tokens, batch_size)
    card = _card(checkpoint_dir, step, tokenizer, text)
    whole = Request("", (), range(samples_per_problem), policy, seed, max_new_tokens, stops)
    every = _requests(asked, text, whole, begin)
    shape = plan(
        longest=_longest(every, card.model, max_new_tokens),
        samples=samples_per_problem,
        rows=batch_size,
        new=max_new_tokens,
        dtype=dtype,
    )
    manifest = _manifest(card, policy, max_new_tokens, stops, seed, dtype, begin)
    with CompletionsFile(output, manifest) as file:
        if left := list(_left(every, file.done)):
            engine = load_engine(checkpoint_dir, card, shape, mesh or MeshShape(), text)
            _write(left, file, engine, text, len(asked) * samples_per_problem)
        return len(file.done)


def _card(checkpoint_dir: str, step: int | None, path: str, text: Tokenizer) -> checkpoint.Card:
    """The checkpoint's card, held against the tokenizer."""
    card = checkpoint.read_card(checkpoint_dir, step=step)
    if card.tokenizer_hash != text.hash:
        raise InputError(
            f"{path} hashes to {text.hash[:12]}, the checkpoint was trained with "
            f"{card.tokenizer_hash[:12]}; turn tokenizer or checkpoint_dir"
        )
    return card


def _manifest(card: checkpoint.Card, policy: Policy, new: int, stops, seed: int, dtype: str, begin):
    """What the samples depend on, besides their problems."""
    return {
        "model": card.model,
        "step": card.step,
        "tokenizer": card.tokenizer_hash,
        "policy": dataclasses.asdict(policy),
        "max_new_tokens": new,
        "stops": list(stops),
        "seed": seed,
        "dtype": dtype,
        "begin": begin,
    }


def load_engine(
    checkpoint_dir: str, card: checkpoint.Card, shape: Shape, mesh: MeshShape, text: Tokenizer
) -> Engine:
    """The checkpoint's model on the devices, ready to run."""
    config = model.DecoderConfig.from_json(card.model)
    devices = placement.make_mesh(mesh, config, shape.rows)
    shapes = placement.params_shapes(config, devices)
    params = checkpoint.restore_params(checkpoint_dir, shapes, step=card.step)
    said = [text.token_bytes(token) for token in range(text.vocab_size)]
    return Engine(config, params, shape, token_bytes=said, eos_id=text.eos_id, mesh=devices)


def _write(left: list[Request], file, engine: Engine, text: Tokenizer, total: int) -> None:
    """Samples to the file, as they finish."""
    tokens, stops = 0, left[0].stops
    with progress.bar(what="sampling", total=total, unit="sample", done=len(file.done)) as bar:
        for samples in engine.batches(left):
            for sample in samples:
                file.append(completion(sample, text, stops))
                tokens += len(sample.tokens)
            file.flush()
            bar.update(len(samples))
            rate = tokens / max(bar.format_dict["elapsed"], 1e-9)
            bar.set_postfix_str(f"{rate:.0f} tokens/s, rows {engine.occupancy:.0%} busy")


def completion(sample: Sample, text: Tokenizer, stops: Sequence[str]) -> Completion:
    """A sample as text, without what ended it."""
    ids = sample.tokens.tolist()
    total = float(sample.logprobs.astype("float64").sum())
    return Completion(
        task_id=sample.name,
        completion=whole_text(ids, text.token_bytes, eos_id=text.eos_id, stops=stops),
        sample_index=sample.index,
        mean_logprob=total / len(ids),
        sum_logprob=total,
        tokens=len(ids),
        finish_reason=sample.reason,
    )


def _requests(asked: list[Problem], text: Tokenizer, whole: Request, begin: bool) -> list[Request]:
    """Prompts as tokens; an empty one is end of text alone."""
    requests = []
    for problem in asked:
        ids = _prompt(problem, text)
        ids = [text.eos_id, *ids] if begin or not ids else ids
        requests.append(whole._replace(name=problem.task_id, tokens=ids))
    return requests


def _prompt(problem: Problem, text: Tokenizer) -> list[int]:
    """A prompt's tokens; with a suffix, those that ask for what stands between (PSM)."""
    ids, suffix = text.encode(problem.prompt), problem.extra.get("suffix")
    if suffix is None:
        return ids
    if not isinstance(suffix, str):
        found = type(suffix).__name__
        raise InputError(f"{problem.task_id}: suffix must be a string, found {found}")
    before, between, after = (text.special_id(name) for name in (PREFIX, MIDDLE, SUFFIX))
    return [before, *ids, after, *text.encode(suffix), between]


def _left(requests: list[Request], done: set[tuple[str, int]]) -> Iterator[Request]:
    """What is still to be sampled."""
    for request in requests:
        left = [index for index in request.samples if (request.name, index) not in done]
        if left:
            yield request._replace(samples=left)


def _check(asked: list[Problem], path: str, n: int, new: int, rows: int) -> None:
    names = {"samples_per_problem": n, "max_new_tokens": new, "batch_size": rows}
    for name, value in names.items():
        if value < 1:
            raise InputError(f"{name} is {value}; expected 1 or more")
    if not asked:
        raise InputError(f"{path}: no problems in it; expected JSON Lines with task_id and prompt")
    seen = set()
    for problem in asked:
        if problem.task_id in seen:
            raise InputError(f"{path}: task_id {problem.task_id} occurs twice; make them differ")
        seen.add(problem.task_id)


def _longest(requests: list[Request], config: dict, new: int) -> int:
    """Tokens of the longest prompt; the sizes compiled rest on it, not on what is left."""
    limit, vocabulary = config["max_length"], config["vocab_size"]
    longest = max(requests, key=lambda request: len(request.tokens))
    if len(longest.tokens) + new > limit:
        raise InputError(
            f"{longest.name}: prompt of {len(longest.tokens)} tokens and max_new_tokens = {new} "
            f"exceed the model's max_length {limit}; turn max_new_tokens down"
        )
    for request in requests:
        if max(request.tokens) >= vocabulary:
            raise InputError(
                f"{request.name}: token {max(request.tokens)} of its prompt is none of the model's "
                f"{vocabulary}; this model knows no infilling (leave suffix out)"
            )
    return len(longest.tokens)
