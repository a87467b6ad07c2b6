"""Cross-entropy that never stores the logits of all tokens.

The unembedding and the softmax are one function with its own gradient: from a chunk's logits the
forward pass also computes their gradients by the hidden states and by the table, so no logits are
stored or recomputed. On a mesh every device splits its own tokens into chunks; the table is
gathered once, and its gradient is summed once.
"""

import functools

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from codex_jax import sharding


def _chunk_terms(
    table: Float[Array, "V D"],
    vocab_size: int,
    z_loss: float,
    hidden: Float[Array, "C D"],
    targets: Int[Array, "C"],
    weights: Float[Array, "C"],
) -> tuple[Float[Array, ""], Float[Array, "C V"]]:
    """(Σ w·loss, gradient of the logits) of a chunk."""
    logits = jnp.einsum("CD,VD->CV", hidden, table, preferred_element_type=jnp.float32)
    if table.shape[0] != vocab_size:
        logits = jnp.where(jnp.arange(table.shape[0]) < vocab_size, logits, -jnp.inf)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    target_logits = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    loss = jnp.sum(weights * (log_z - target_logits + z_loss * log_z**2))
    softmax = jnp.exp(logits - log_z[:, None]) * (1 + 2 * z_loss * log_z)[:, None]
    one_hot = jnp.arange(table.shape[0]) == targets[:, None]
    return loss, (softmax - one_hot) * weights[:, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6, 7))
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
    return _forward(hidden, table, targets, weights, vocab_size, chunks, z_loss, mesh)[0]


def _forward(hidden, table, targets, weights, vocab_size, chunks, z_loss, mesh):
    local = functools.partial(_local, vocab_size=vocab_size, chunks=chunks, z_loss=z_loss)
    if mesh is None or mesh.size == 1:  # one device gathers nothing, but would copy the table
        loss, *gradients = local(hidden, table.astype(hidden.dtype), targets, weights)
    else:
        loss, *gradients = _shard(local, mesh)(hidden, table.astype(hidden.dtype), targets, weights)
    d_hidden, d_table = gradients
    return loss, (d_hidden, d_table.astype(table.dtype))


def _shard(local, mesh: Mesh):
    """Maps `local` over devices: their own tokens, the full width, a split vocabulary."""
    rows, columns, (split,) = (
        sharding.LOGICAL_TO_MESH[axis] for axis in ("batch", "sequence", "embed")
    )
    others = tuple(axis for axis in (*rows, *columns) if axis != split)
    tokens, table = PartitionSpec(rows, columns), PartitionSpec(None, split)

    @functools.partial(
        jax.shard_map,
        mesh=mesh,
        in_specs=(tokens, table, tokens, tokens),
        out_specs=(PartitionSpec(), tokens, table),
        axis_names={split, *others},
        check_vma=False,
    )
    def sharded(hidden, table, targets, weights):
        table = jax.lax.all_gather(table, split, axis=1, tiled=True)
        loss, d_hidden, d_table = local(hidden, table, targets, weights)
        d_table = jax.lax.psum_scatter(d_table, split, scatter_dimension=1, tiled=True)
        return jax.lax.psum(loss, (split, *others)), d_hidden, jax.lax.psum(d_table, others)

    return sharded


def _local(hidden, table, targets, weights, *, vocab_size, chunks, z_loss):
    """(Σ w·loss, its gradients by hidden and, in f32, by table)."""

    def step(carry, chunk):
        loss, d_table = carry
        h, y, w = chunk
        chunk_loss, d_logits = _chunk_terms(table, vocab_size, z_loss, h, y, w)
        d_logits = d_logits.astype(h.dtype)
        d_hidden = jnp.einsum("CV,VD->CD", d_logits, table)
        d_table += jnp.einsum("CV,CD->VD", d_logits, h, preferred_element_type=jnp.float32)
        return (loss + chunk_loss, d_table), d_hidden

    chunked = [x.reshape(chunks, -1, *x.shape[2:]) for x in (hidden, targets, weights)]
    start = (jnp.zeros((), jnp.float32), jnp.zeros(table.shape, jnp.float32))
    (loss, d_table), d_hidden = jax.lax.scan(step, start, chunked)
    return loss, d_hidden.reshape(hidden.shape), d_table


def _backward(vocab_size, chunks, z_loss, mesh, gradients, scale):
    del vocab_size, chunks, z_loss, mesh
    d_hidden, d_table = gradients
    d_hidden, d_table = ((d * scale).astype(d.dtype) for d in (d_hidden, d_table))
    return d_hidden, d_table, None, None


cross_entropy_sum.defvjp(_forward, _backward)
