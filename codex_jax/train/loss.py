"""Cross-entropy that never holds the logits of all tokens.

The unembedding and the softmax are one function with its own gradient: while a chunk's logits are
at hand, the forward pass also computes what the backward pass will want of them (the gradient of
the hidden states and of the table), so nothing is kept and nothing is computed twice.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def _chunk_terms(table, vocab_size, z_loss, hidden, targets, weights):
    """(Σ w·loss, gradient of logits) of one chunk; table is (V padded, D), hidden (C, D)."""
    logits = jnp.einsum("CD,VD->CV", hidden, table, preferred_element_type=jnp.float32)
    if table.shape[0] != vocab_size:
        logits = jnp.where(jnp.arange(table.shape[0]) < vocab_size, logits, -jnp.inf)
    log_z = jax.nn.logsumexp(logits, axis=-1)
    said = jnp.take_along_axis(logits, targets[:, None], axis=-1)[:, 0]
    loss = jnp.sum(weights * (log_z - said + z_loss * log_z**2))
    softmax = jnp.exp(logits - log_z[:, None]) * (1 + 2 * z_loss * log_z)[:, None]
    hit = jnp.arange(table.shape[0]) == targets[:, None]
    return loss, (softmax - hit) * weights[:, None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(4, 5, 6))
def cross_entropy_sum(
    hidden: Float[Array, "C D"],
    table: Float[Array, "V D"],
    targets: Int[Array, "C"],
    weights: Float[Array, "C"],
    vocab_size: int,
    chunks: int = 1,
    z_loss: float = 0.0,
) -> Float[Array, ""]:
    """Σ weight · (−log p(target) + z_loss · log²Z) over all tokens, in f32.

    Args:
      table: the unembedding; rows from vocab_size on are padding.
      chunks: pieces the tokens are cut into; logits of one piece exist at a time.
      z_loss: PaLM's auxiliary term (section 5), that keeps log Z near 0.
    """
    return _forward(hidden, table, targets, weights, vocab_size, chunks, z_loss)[0]


def _forward(hidden, table, targets, weights, vocab_size, chunks, z_loss):
    dtype = hidden.dtype

    def step(carry, chunk):
        loss, d_table = carry
        h, y, w = chunk
        more, d_logits = _chunk_terms(table.astype(dtype), vocab_size, z_loss, h, y, w)
        d_logits = d_logits.astype(dtype)
        d_hidden = jnp.einsum("CV,VD->CD", d_logits, table.astype(dtype))
        d_table += jnp.einsum("CV,CD->VD", d_logits, h, preferred_element_type=jnp.float32)
        return (loss + more, d_table), d_hidden

    start = (jnp.zeros((), jnp.float32), jnp.zeros(table.shape, jnp.float32))
    if chunks == 1:
        (loss, d_table), d_hidden = step(start, (hidden, targets, weights))
    else:
        cut = jax.tree.map(
            lambda x: x.reshape(chunks, -1, *x.shape[1:]), (hidden, targets, weights)
        )
        (loss, d_table), d_hidden = jax.lax.scan(step, start, cut)
    return loss, (d_hidden.reshape(hidden.shape), d_table.astype(table.dtype))


def _backward(vocab_size, chunks, z_loss, gradients, scale):
    d_hidden, d_table = gradients
    return (d_hidden * scale).astype(d_hidden.dtype), d_table * scale, None, None


cross_entropy_sum.defvjp(_forward, _backward)
