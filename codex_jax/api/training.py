"""Training from source files: a tokenizer, rows of tokens, a decoder."""

import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from codex_jax import InputError
from codex_jax.api import arguments

if TYPE_CHECKING:
    from codex_jax.data.packing.batches import BatchReader
    from codex_jax.data.packing.row_store import RowsInfo
    from codex_jax.model import DecoderConfig
    from codex_jax.tokenizer import Tokenizer
    from codex_jax.train.optimizer import Optimizer


def train_tokenizer(
    corpus: Mapping[str, Any],
    output: pathlib.Path | str,
    *,
    vocab_size: int = 16384,
    **settings: Any,
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

    own = {"corpus": corpus, "output": output, "vocab_size": vocab_size}
    arguments.check_path("output", output)
    learn_tokenizer(**arguments.fit_settings(learn_tokenizer, own | settings))
    return Tokenizer.load(output)


def build_rows(
    corpus: Mapping[str, Any],
    tokenizer: pathlib.Path | str,
    output: pathlib.Path | str,
    *,
    sequence_length: int = 2048,
    **settings: Any,
) -> "RowsInfo":
    """Packs named source trees into rows of tokens.

    Args:
      corpus: Name → folder, as for `codex-jax data build`.
      tokenizer: The tokenizer's JSON file.
      output: The folder of rows to write.
      sequence_length: Tokens in a row.
      settings: Further settings of `codex-jax data build`.

    Returns:
      The description of the rows: fingerprint, counts, fill rate.

    Example:
      >>> info = cj.build_rows({"mine": "sources"}, "tokenizer.json", "rows", sequence_length=64)
      >>> info.sequence_length
      64
    """
    from codex_jax.data.build import build

    own: dict[str, Any] = {"corpus": corpus, "tokenizer": tokenizer, "output": output}
    for name in ("tokenizer", "output"):
        arguments.check_path(name, own[name])
    own["sequence_length"] = sequence_length
    info = build(**arguments.fit_settings(build, own | settings, taken=["explain"]))
    assert info is not None  # None only with `explain`
    return info


def read_rows(folder: pathlib.Path | str, *, batch_size: int = 8, seed: int = 0) -> "BatchReader":
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

    arguments.check_path("folder", folder)
    size, seed = (
        arguments.fit(*pair, int) for pair in (("batch_size", batch_size), ("seed", seed))
    )
    return BatchReader(folder, batch_size=size, seed=seed)


def train_decoder(
    rows: "BatchReader",
    checkpoint: pathlib.Path | str,
    *,
    steps: int,
    decoder: "Mapping[str, Any] | DecoderConfig | None" = None,
    optimizer: "Mapping[str, Any] | Optimizer | None" = None,
    **settings: Any,
) -> dict[str, float]:
    """Trains a decoder on packed rows; continues from the newest checkpoint in the folder.

    Args:
      rows: The rows, as `read_rows` opens them.
      checkpoint: Folder for the checkpoints and metrics.jsonl.
      steps: Optimizer steps of the complete run.
      decoder: Fields of DecoderConfig; `vocab_size` comes from the rows. None with `init_from`, the
        folder of a checkpoint whose model and weights training begins with.
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
    from codex_jax.data.packing.batches import BatchReader
    from codex_jax.model import DecoderConfig
    from codex_jax.train.loop import train
    from codex_jax.train.optimizer import Optimizer

    if not isinstance(rows, BatchReader):
        raise InputError(f"rows is {rows!r:.60}; set it to what cj.read_rows returns")
    arguments.check_path("checkpoint", checkpoint)
    if isinstance(decoder, Mapping):
        fields = {"vocab_size": rows.vocab_size, **decoder}
        decoder = DecoderConfig(**arguments.fit_settings(DecoderConfig, fields))
    if optimizer is None or isinstance(optimizer, Mapping):
        optimizer = Optimizer(**arguments.fit_settings(Optimizer, optimizer or {}))
    own: dict[str, Any] = {"model": decoder, "steps": steps, "optimizer": optimizer}
    own |= {"checkpoint_dir": str(checkpoint)}
    own |= arguments.fit_settings(train, own | settings, taken=["batches", "operative_config"])
    return train(batches=rows, **own)  # type: ignore[arg-type]  # train only reads its properties
