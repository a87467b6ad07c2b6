"""A decoder under training as functions of rows: their log probabilities, and greedy continuations.

They serve few examples, between steps: a continuation computes the whole row for each token.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from codex_jax import model as models
from codex_jax.model import DecoderConfig
from codex_jax.model.linear import product_in_f32
from codex_jax.records import Batch
from codex_jax.train.attention_choice import Attention, choose_attention
from codex_jax.train.batches import BatchShape, host_rows, on_global_batches
from codex_jax.train.compute import Compute


class RowModel:
    """Compiled functions of global batches, of which each process computes its share."""

    def __init__(self, shape: BatchShape, config: DecoderConfig, compute: Compute, mesh: Mesh):
        self._shape = shape
        self._mesh = mesh
        self._rows = host_rows(mesh, shape)
        self._options: dict[str, Any] = {
            "config": config,
            "dtype": jnp.dtype(compute.dtype),
            "attention": choose_attention(mesh),
        }
        self._compiled: dict[int, Callable] = {}

    def bind(self, params: Any) -> dict[str, Any]:
        """Returns the sizes of a batch, and `score` and `predict` by these parameters."""
        return {
            "batch_size": self._shape.batch_size,
            "sequence_length": self._shape.sequence_length,
            "score": functools.partial(self._run, params, 0),
            "predict": lambda batch, count: self._run(params, count, batch),
        }

    def _run(self, params: Any, count: int, batch: Batch) -> np.ndarray:
        """Scores a batch where `count` is 0, else continues it by so many tokens."""
        if count not in self._compiled:
            function: Callable = row_scores
            if count:
                function = functools.partial(continue_rows, count=count)
            everywhere = NamedSharding(self._mesh, PartitionSpec())
            compiled = jax.jit(
                functools.partial(function, **self._options), out_shardings=everywhere
            )
            self._compiled[count] = on_global_batches(compiled, self._mesh, self._shape)
        own_rows = Batch(*(np.asarray(x)[self._rows] for x in batch))
        return np.asarray(jax.device_get(self._compiled[count](params, own_rows)))


def _table(config: DecoderConfig, params: Any) -> Float[Array, "V D"]:
    return params["embedding"] if config.tied else params["unembedding"].T


def _logits(config: DecoderConfig, params: Any, hidden: Float[Array, "B D"]) -> Float[Array, "B V"]:
    table = _table(config, params).astype(hidden.dtype)
    logits = product_in_f32("BD,VD->BV", hidden, table)
    is_id = jnp.arange(table.shape[0]) < config.vocab_size  # the others fill up the table
    return jnp.where(is_id, logits, -jnp.inf)


def row_scores(
    params: Any, batch: Batch, *, config: DecoderConfig, dtype: Any, attention: Attention
) -> Float[Array, "B"]:
    """Returns Σ of loss weight · log probability of each row's targets, in nats."""
    ordered, attend = attention(batch)
    hidden, _ = models.forward(
        config, params, ordered.tokens, ordered.positions, attend, dtype=dtype
    )

    def add_column(total: Any, column: Any) -> tuple[Any, None]:
        states, targets, weights = column
        scores = jax.nn.log_softmax(_logits(config, params, states))
        return total + weights * jnp.take_along_axis(scores, targets[:, None], 1)[:, 0], None

    columns = (hidden, ordered.targets, ordered.loss_weights)
    start = jnp.zeros(hidden.shape[0], jnp.float32)
    return jax.lax.scan(add_column, start, tuple(x.swapaxes(0, 1) for x in columns))[0]


def continue_rows(
    params: Any,
    batch: Batch,
    *,
    count: int,
    config: DecoderConfig,
    dtype: Any,
    attention: Attention,
) -> Int[Array, "B T"]:
    """Returns the rows' tokens, with `count` likeliest ones after the token of loss weight 1."""
    rows = jnp.ones_like(batch.segment_ids)
    batch = batch._replace(segment_ids=rows, positions=jnp.cumsum(rows, 1) - 1)

    def add_token(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        tokens, mark = carry
        ordered, attend = attention(batch._replace(tokens=tokens, loss_weights=mark))
        hidden, _ = models.forward(
            config, params, ordered.tokens, ordered.positions, attend, dtype=dtype
        )
        last = jnp.einsum("BTD,BT->BD", hidden, ordered.loss_weights.astype(hidden.dtype))
        likeliest = _logits(config, params, last).argmax(-1).astype(tokens.dtype)
        mark = jnp.roll(mark, 1, axis=1).at[:, 0].set(0.0)  # a row that is full has none
        return jnp.where(mark > 0, likeliest[:, None], tokens), mark

    return jax.lax.fori_loop(0, count, add_token, (batch.tokens, batch.loss_weights))[0]
