"""Cross-entropy that never stores the logits of all tokens.

The unembedding and the softmax are one function with its own gradient: from a chunk's logits the
forward pass also computes their gradients by the hidden states and by the table, so no logits are
stored or recomputed. On a mesh every device splits its own tokens into chunks; the table is
gathered once, and its gradient is summed once.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from codex_jax import sharding
from codex_jax.model.linear import product, product_in_f32, sum_outer

# (table, a chunk's hidden states, its columns …) → (sums, gradient of the logits).
Terms = Callable[..., tuple[Float[Array, "S"], Float[Array, "C V"]]]


def chunk_logits(
    table: Float[Array, "V D"], vocab_size: int, hidden: Float[Array, "C D"]
) -> tuple[Float[Array, "C V"], Float[Array, "C"]]:
    """(logits in f32, their log Z) of a chunk; padding ids have −inf."""
    logits = product_in_f32("CD,VD->CV", hidden, table)
    if table.shape[0] != vocab_size:
        logits = jnp.where(jnp.arange(table.shape[0]) < vocab_size, logits, -jnp.inf)
    return logits, jax.nn.logsumexp(logits, axis=-1)


def _chunk_terms(
    table: Float[Array, "V D"],
    hidden: Float[Array, "C D"],
    targets: Int[Array, "C"],
    weights: Float[Array, "C"],
    *,
    vocab_size: int,
    z_loss: float,
) -> tuple[Float[Array, "1"], Float[Array, "C V"]]:
    """(Σ w·loss, gradient of the logits) of a chunk."""
    logits, log_z = chunk_logits(table, vocab_size, hidden)
    target_logits = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    loss = jnp.sum(weights * (log_z - target_logits + z_loss * log_z**2))
    softmax = jnp.exp(logits - log_z[:, None]) * (1 + 2 * z_loss * log_z)[:, None]
    one_hot = jnp.arange(table.shape[0]) == targets[:, None]
    return loss[None], (softmax - one_hot) * weights[:, None]


def cross_entropy_sum(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    targets: Int[Array, "B T"],
    weights: Float[Array, "B T"],
    vocab_size: int,
    chunks: int = 1,
    z_loss: float = 0.0,
    mesh: Mesh | None = None,
) -> Float[Array, ""]:
    """Σ weight · (−log p(target) + z_loss · log²Z) over all tokens, in f32.

    Args:
      hidden: states after the final norm.
      table: the unembedding; rows from vocab_size on are padding.
      targets: ids of the next tokens.
      weights: of the tokens; 0 on padding.
      vocab_size: number of ids.
      chunks: number of chunks of a device's tokens; logits of one chunk are in memory at a time.
      z_loss: weight of PaLM's auxiliary term (section 5), which keeps log Z near 0.
      mesh: devices over which the arrays are sharded by the sharding table; None on one device.
    """
    terms = functools.partial(_chunk_terms, vocab_size=vocab_size, z_loss=z_loss)
    return sum_terms(hidden, table, (targets, weights), terms, chunks, mesh)[0]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4, 5))
def sum_terms(
    hidden: Float[Array, "B T D"],
    table: Float[Array, "V D"],
    columns: tuple[Any, ...],
    terms: Terms,
    chunks: int,
    mesh: Mesh | None,
) -> Float[Array, "S"]:
    """Computes sums over all tokens, of which the first has gradients by hidden and by table.

    Args:
      hidden: States after the final norm.
      table: The unembedding.
      columns: Arrays (B, T) that `terms` takes besides.
      terms: Computes a chunk's sums and the gradient of its logits.
      chunks: Number of chunks of a device's tokens.
      mesh: Devices over which the arrays are sharded; None on one device.
    """
    return _forward(hidden, table, columns, terms, chunks, mesh)[0]


def _forward(hidden, table, columns, terms, chunks, mesh):
    """(sums, the first one's gradients by hidden and by table)."""
    local = functools.partial(_local, terms=terms, chunks=chunks)
    if mesh is None or mesh.size == 1:  # one device gathers nothing, but would copy the table
        sums, d_hidden, d_table = local(hidden, table.astype(hidden.dtype), *columns)
    else:
        sharded = _shard(local, mesh, len(columns))
        sums, d_hidden, d_table = sharded(hidden, table.astype(hidden.dtype), *columns)
    return sums, (d_hidden, d_table.astype(table.dtype))


def _shard(local, mesh: Mesh, columns: int):
    """Maps `local` over devices: their own tokens, the full width, a split vocabulary."""
    rows, sequence, (split,) = (
        sharding.LOGICAL_TO_MESH[axis] for axis in ("batch", "sequence", "embed")
    )
    others = tuple(axis for axis in (*rows, *sequence) if axis != split)
    tokens, table = PartitionSpec(rows, sequence), PartitionSpec(None, split)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(tokens, table, *[tokens] * columns),
        out_specs=(PartitionSpec(), tokens, table),
        axis_names={split, *others},
        check_vma=False,
    )
    def sharded(hidden, table, *columns):
        table = jax.lax.all_gather(table, split, axis=1, tiled=True)
        sums, d_hidden, d_table = local(hidden, table, *columns)
        d_table = jax.lax.psum_scatter(d_table, split, scatter_dimension=1, tiled=True)
        return jax.lax.psum(sums, (split, *others)), d_hidden, jax.lax.psum(d_table, others)

    return sharded


def _local(hidden, table, *columns, terms: Terms, chunks: int):
    """(sums, the first one's gradient by hidden and, in f32, by table)."""
    chunked = [x.reshape(chunks, -1, *x.shape[2:]) for x in (hidden, *columns)]
    sums = jax.eval_shape(terms, table, *(x[0] for x in chunked))[0]

    def step(carry, chunk):
        sums, d_table = carry
        h, *rest = chunk
        chunk_sums, d_logits = terms(table, h, *rest)
        d_logits = d_logits.astype(h.dtype)
        d_hidden = product("CV,VD->CD", d_logits, table)
        d_table += sum_outer(d_logits, h)
        return (sums + chunk_sums, d_table), d_hidden

    start = (jnp.zeros(sums.shape, jnp.float32), jnp.zeros(table.shape, jnp.float32))
    (sums, d_table), d_hidden = jax.lax.scan(step, start, chunked)
    return sums, d_hidden.reshape(hidden.shape), d_table


def _backward(terms, chunks, mesh, gradients, scales):
    del terms, chunks, mesh
    d_hidden, d_table = ((d * scales[0]).astype(d.dtype) for d in gradients)
    return d_hidden, d_table, None


sum_terms.defvjp(_forward, _backward)
