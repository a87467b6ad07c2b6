"""The Python interface: `import codex_jax as cj`.

From source files to a checkpoint, from a prompt to verdicts, each step a call. The examples of this
module's functions are one session; a test runs it. The rooms behind them (`codex_jax.data`,
`train`, `sample`, `evaluate`) have every other setting.
"""

import contextlib
import dataclasses
import io
import pathlib
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from codex_jax import InputError
from codex_jax.records import Completion, Problem, Verdict, read_jsonl, write_jsonl

if TYPE_CHECKING:
    from codex_jax.data.packing.batches import BatchReader
    from codex_jax.data.packing.row_store import Meta
    from codex_jax.evaluate.metrics.pass_at_k import Estimate
    from codex_jax.model import DecoderConfig
    from codex_jax.sample.engine.engine import Engine
    from codex_jax.tokenizer import Tokenizer
    from codex_jax.train.optimizer import Optimizer

PathLike = pathlib.Path | str


def train_tokenizer(
    corpus: Mapping[str, Any], output: PathLike, *, vocab_size: int = 16384, **settings: Any
) -> "Tokenizer":
    """Learns a byte-level BPE tokenizer from named source trees.

    Args:
      corpus: Name → folder, as for `codex-jax tokenizer`.
      output: The JSON file to write.
      vocab_size: Number of ids, special tokens included.
      settings: Further settings of `codex-jax tokenizer`.

    Example:
      >>> import codex_jax as cj
      >>> tokenizer = cj.train_tokenizer({"mine": "sources"}, "tokenizer.json", vocab_size=400)
      >>> tokenizer.vocab_size <= 400
      True
    """
    from codex_jax.data.train_tokenizer import learn_tokenizer
    from codex_jax.tokenizer import Tokenizer

    learn_tokenizer(corpus=corpus, output=output, vocab_size=vocab_size, **settings)
    return Tokenizer.load(output)


def build_rows(
    corpus: Mapping[str, Any],
    tokenizer: PathLike,
    output: PathLike,
    *,
    sequence_length: int = 2048,
    **settings: Any,
) -> "Meta":
    """Packs named source trees into rows of tokens.

    Args:
      corpus: Name → folder, as for `codex-jax data build`.
      tokenizer: The tokenizer's JSON file.
      output: The folder of rows to write.
      sequence_length: Tokens in a row.
      settings: Further settings of `codex-jax data build`.

    Returns:
      The rows' metadata: fingerprint, counts, fill rate.

    Example:
      >>> meta = cj.build_rows({"mine": "sources"}, "tokenizer.json", "rows", sequence_length=64)
      >>> meta.sequence_length
      64
    """
    from codex_jax.data.build import build

    meta = build(
        corpus=corpus,
        tokenizer=tokenizer,
        output=output,
        sequence_length=sequence_length,
        **settings,
    )
    assert meta is not None  # None only with `explain`
    return meta


def read_rows(folder: PathLike, *, batch_size: int = 8, seed: int = 0) -> "BatchReader":
    """Opens a folder of packed rows; batch n depends on the rows, `seed` and n alone.

    Args:
      folder: The folder that `build_rows` wrote.
      batch_size: Rows in a batch (B).
      seed: Seed of the rows' order.

    Example:
      >>> rows = cj.read_rows("rows", batch_size=8)
      >>> rows.batch(0).tokens.shape
      (8, 64)
    """
    from codex_jax.data.packing.batches import BatchReader

    return BatchReader(folder, batch_size=batch_size, seed=seed)


def train_decoder(
    rows: "BatchReader",
    checkpoint: PathLike,
    *,
    steps: int,
    decoder: "Mapping[str, Any] | DecoderConfig",
    optimizer: "Mapping[str, Any] | Optimizer | None" = None,
    **settings: Any,
) -> dict[str, float]:
    """Trains a decoder on packed rows; continues from the newest checkpoint in the folder.

    Args:
      rows: The rows, as `read_rows` opens them.
      checkpoint: Folder for the checkpoints and metrics.jsonl.
      steps: Optimizer steps of the complete run.
      decoder: Fields of DecoderConfig; `vocab_size` comes from the rows.
      optimizer: Fields of Optimizer.
      settings: Further settings of `codex-jax train`.

    Returns:
      The metrics of the last step.

    Example:
      >>> metrics = cj.train_decoder(
      ...     rows,
      ...     "checkpoint",
      ...     steps=2,
      ...     decoder={"layers": 1, "width": 32, "heads": 2, "max_length": 256},
      ...     optimizer={"warmup_steps": 1},
      ... )
      >>> metrics["loss"] > 0
      True
    """
    from codex_jax.model import DecoderConfig
    from codex_jax.train.loop import train
    from codex_jax.train.optimizer import Optimizer

    if isinstance(decoder, Mapping):
        decoder = DecoderConfig(**{"vocab_size": rows.vocab_size, **decoder})
    if not isinstance(optimizer, Optimizer):
        optimizer = Optimizer(**(optimizer or {}))
    return train(
        batches=rows,  # type: ignore[arg-type]  # its properties are read-only, as train reads them
        model=decoder,
        checkpoint_dir=str(checkpoint),
        steps=steps,
        optimizer=optimizer,
        **settings,
    )


@dataclasses.dataclass(frozen=True)
class Model:
    """A checkpoint on the devices, ready to complete prompts; `load` makes it."""

    engine: "Engine"
    tokenizer: "Tokenizer"

    def complete(
        self,
        prompt: str,
        n: int = 1,
        *,
        max_new_tokens: int | None = None,
        stops: Sequence[str] = (),
        seed: int = 0,
        **sampling: Any,
    ) -> list[str]:
        """Samples `n` completions of a prompt.

        Args:
          prompt: The text to continue.
          n: Number of completions.
          max_new_tokens: Most tokens of a completion; by default what `load` made room for.
          stops: Strings before which a completion ends.
          seed: Changes every completion; the same seed gives the same ones.
          sampling: Fields of the sampling parameters: temperature, top_p, top_k, min_p, ...

        Raises:
          InputError: a prompt that is too long, or a parameter out of its range.

        Example:
          >>> texts = model.complete("def f(x):", n=3, temperature=0.8)
          >>> len(texts)
          3
          >>> texts == model.complete("def f(x):", n=3, temperature=0.8)
          True
        """
        from codex_jax.sample.engine.requests import Request
        from codex_jax.sample.generate import completion
        from codex_jax.sample.sampling.detokenizer import prompt_tokens
        from codex_jax.sample.sampling.params import Policy

        tokens = prompt_tokens(self.tokenizer, prompt, None, begin=True)
        request = Request(
            "prompt", tokens, range(n), Policy(**sampling), seed, max_new_tokens, tuple(stops)
        )
        samples = [sample for batch in self.engine.batches([request]) for sample in batch]
        samples.sort(key=lambda sample: sample.index)
        return [completion(sample, self.tokenizer, stops).completion for sample in samples]


def load(
    checkpoint: PathLike,
    tokenizer: PathLike,
    *,
    step: int | None = None,
    batch_size: int = 8,
    max_new_tokens: int = 128,
    dtype: str = "float32",
) -> Model:
    """Loads a checkpoint onto the devices and compiles its sampling loop.

    Args:
      checkpoint: Folder that `codex-jax train` or `import` wrote.
      tokenizer: The tokenizer that it was trained with (tokenizer.json).
      step: Step to load; by default the newest.
      batch_size: Completions that are sampled at a time.
      max_new_tokens: Most tokens of a completion; prompts may fill the rest of the context.
      dtype: Dtype of weights and activations, "float32" or "bfloat16".

    Raises:
      InputError: no checkpoint in the folder, or another tokenizer.

    Example:
      >>> model = cj.load("checkpoint", tokenizer="tokenizer.json", max_new_tokens=16)
      >>> isinstance(model.complete("def f(x):")[0], str)
      True
    """
    from codex_jax.sample.engine.capacity import plan
    from codex_jax.sample.generate import load_engine, read_card
    from codex_jax.sharding import MeshShape
    from codex_jax.tokenizer import Tokenizer

    vocabulary = Tokenizer.load(tokenizer)
    card = read_card(str(checkpoint), step, str(tokenizer), vocabulary)
    context = card.model["max_length"]
    if not 1 <= max_new_tokens < context:
        raise InputError(f"max_new_tokens is {max_new_tokens}; expected 1 to {context - 1}")
    shape = plan(
        longest=context - max_new_tokens,
        samples=1,
        rows=batch_size,
        new=max_new_tokens,
        dtype=dtype,
    )
    return Model(load_engine(str(checkpoint), card, shape, MeshShape(), vocabulary), vocabulary)


def judge(
    problem: Problem | Mapping[str, Any], completions: Iterable[str], **settings: Any
) -> list[Verdict]:
    """Runs completions of a problem in the sandbox; returns their verdicts in order.

    Args:
      problem: A Problem, or its fields: task_id, prompt, entry_point, test.
      completions: The texts that follow the prompt.
      settings: Further settings of `codex-jax evaluate`: timeout_s, memory_mb, workers, ...

    Raises:
      InputError: a problem that can't be judged, or no sandbox works here.

    Example:
      >>> problem = {
      ...     "task_id": "double",
      ...     "prompt": "def double(x):",
      ...     "entry_point": "double",
      ...     "test": "def check(candidate): assert candidate(2) == 4",
      ... }
      >>> verdicts = cj.judge(problem, [" return 2 * x", " return x"])
      >>> [verdict.verdict for verdict in verdicts]
      ['passed', 'failed']
    """
    from codex_jax.evaluate.evaluate import evaluate

    record = problem if isinstance(problem, Problem) else Problem(**problem)
    samples = [
        Completion(task_id=record.task_id, completion=text, sample_index=index)
        for index, text in enumerate(completions)
    ]
    if not samples:
        return []
    with tempfile.TemporaryDirectory(prefix="codex-jax-judge-") as folder:
        path = pathlib.Path(folder)
        write_jsonl(path / "problems.jsonl", [record])
        write_jsonl(path / "completions.jsonl", samples)
        with contextlib.redirect_stdout(io.StringIO()):  # the table of pass@k
            evaluate(
                problems=str(path / "problems.jsonl"),
                completions=str(path / "completions.jsonl"),
                output=folder,
                **settings,
            )
        verdicts = list(read_jsonl(path / "verdicts.jsonl", Verdict))
    return sorted(verdicts, key=lambda verdict: verdict.sample_index)


def pass_at_k(
    verdicts: Iterable[Verdict], ks: Sequence[int] = (1, 10, 100)
) -> "dict[int, Estimate | None]":
    """Estimates pass@k without bias (Chen et al. 2021, section 2.1) from verdicts.

    Args:
      verdicts: Verdicts of any number of problems, as `judge` or verdicts.jsonl has them.
      ks: The k of pass@k.

    Returns:
      k → mean over problems with a 95 % interval; None if no problem has k samples.

    Example:
      >>> estimates = cj.pass_at_k(verdicts, ks=(1, 10))
      >>> estimates[1].mean, estimates[10]
      (0.5, None)
    """
    from codex_jax.evaluate.metrics.pass_at_k import estimate
    from codex_jax.evaluate.metrics.summary import counted

    return estimate(counted(verdicts), ks)
