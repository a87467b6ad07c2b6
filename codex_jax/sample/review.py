"""`codex-jax sample review`: how well completions explain their prompts, for `evaluate select`."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import jax
import numpy as np

from codex_jax import InputError, files, progress, records
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.load import load_engine, read_card
from codex_jax.sample.engine.requests import PromptLogprobs, Request
from codex_jax.sample.engine.state import EngineShape
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

_SCORED_AT_A_TIME = 16  # texts
_BETWEEN = "\n\n\n"  # a completion and its prompt
_IS_REVIEWED = files.has_json_keys("task_id", "completion", lines=True)


def review(
    *,
    checkpoint_dir: str,
    tokenizer: str,
    problems: str,
    completions: str,
    output: str,
    step: int | None = None,
    dtype: str = "float32",
    mesh: MeshShape | None = None,
) -> int:
    """Scores completions by the prompt's log-probability after them, and writes both.

    The text is the completion, two blank lines, and the prompt (Coder-Reviewer, Zhang et al. 2022).
    `reviewer_logprob` is the mean over the prompt's tokens, in nats; `evaluate select` reads it. A
    completion that is too long keeps its end. A prompt that is longer than the model leaves its
    completions without a score.

    Args:
      checkpoint_dir: directory that train or import wrote.
      tokenizer: its tokenizer.json.
      problems: JSON Lines of problems; task_id and prompt are read.
      completions: JSON Lines of completions.
      output: JSON Lines to write: the completions with their scores.
      step: checkpoint to score with; the newest if None.
      dtype: of activations: float32 or bfloat16.
      mesh: devices along each mesh axis.

    Returns:
      The number of scored completions.

    Raises:
      InputError: unusable input.
    """
    files.claim_file(output, _IS_REVIEWED, "output", [problems, completions])
    bpe = Tokenizer.load(tokenizer)
    card = read_card(checkpoint_dir, step, tokenizer, bpe)
    prompts = {p.task_id: p.prompt for p in records.read_input(problems, records.Problem)}
    samples = records.read_input(completions, records.Completion)
    _check(samples, prompts, completions)
    begin_ids = read_ends(card, bpe).begin_ids
    texts = {
        pair: encode_review(bpe, *pair, begin_ids=begin_ids, most=card.model["max_length"])
        for pair in dict.fromkeys((s.completion, prompts[s.task_id]) for s in samples)
    }
    fitting = {pair: text for pair, text in texts.items() if text.tokens}
    scores: dict[tuple[str, str], float] = {}
    if fitting:
        shape = _plan_shape(fitting.values(), dtype)
        engine = load_engine(checkpoint_dir, card, shape, mesh or MeshShape(), bpe)
        scores = dict(zip(fitting, score(engine, list(fitting.values())), strict=True))
    rows = [_with_score(s, scores.get((s.completion, prompts[s.task_id]))) for s in samples]
    records.write_jsonl(output, rows)
    count = sum("reviewer_logprob" in row.extra for row in rows)
    print(f"{output}: {count} of {len(rows)} completions have a score")
    return count


def _plan_shape(texts: Collection["Text"], dtype: str) -> EngineShape:
    return plan(
        max_prompt_tokens=max(len(text.tokens) for text in texts),
        samples_per_prompt=1,
        rows=jax.local_device_count(),
        max_new_tokens=1,
        dtype=dtype,
    )


def _check(
    samples: Sequence[records.Completion], prompts: Mapping[str, str], completions: str
) -> None:
    if unknown := [s.task_id for s in samples if s.task_id not in prompts]:
        raise InputError(
            f"{completions}: {unknown[0]!r} is no problem; set problems to the file that was "
            "sampled"
        )


@dataclasses.dataclass(frozen=True)
class Text:
    """A completion's tokens and its prompt's, which are the last `scored`; none if too long."""

    tokens: tuple[int, ...]
    scored: int


def encode_review(
    bpe: Tokenizer, completion: str, prompt: str, *, begin_ids: Sequence[int], most: int
) -> Text:
    """Returns the text by which a completion is scored; its beginning is cut off where too long.

    Args:
      bpe: the model's tokenizer.
      completion: the completion.
      prompt: the prompt.
      begin_ids: tokens in front.
      most: tokens that the model takes.
    """
    target = bpe.encode(prompt)
    before = bpe.encode(completion.rstrip() + _BETWEEN)
    space = most - 1 - len(begin_ids) - len(target)  # an engine samples one token at least
    if space < 1 or not target:
        return Text((), 0)
    return Text((*begin_ids, *before[-space:], *target), len(target))


def score(engine: Engine, texts: Sequence[Text]) -> Iterator[float]:
    """Yields the mean log-probability of each text's scored tokens, in order."""
    with progress.bar(desc="reviewing", total=len(texts), unit="text") as bar:
        for start in range(0, len(texts), _SCORED_AT_A_TIME):
            batch = texts[start : start + _SCORED_AT_A_TIME]
            for number, text in enumerate(batch):
                engine.submit(Request(str(number), text.tokens, samples=(), echo=True))
            means = dict(_means(engine, batch))
            yield from (means[number] for number in range(len(batch)))
            bar.update(len(batch))


def _means(engine: Engine, batch: Sequence[Text]) -> Iterable[tuple[int, float]]:
    while not engine.idle:
        for output in engine.step():
            if isinstance(output, PromptLogprobs):
                number = int(output.request_id)
                yield number, float(np.mean(output.logprobs[-batch[number].scored :], dtype=float))


def _with_score(sample: records.Completion, logprob: float | None) -> records.Completion:
    extra = {name: value for name, value in sample.extra.items() if name != "reviewer_logprob"}
    if logprob is not None:
        extra["reviewer_logprob"] = logprob
    return dataclasses.replace(sample, extra=extra)
