"""Healed rows of the loop: they spell their prompts' tails before they sample freely.

A row whose stop state is one of a tail (sampling/token_healing.py) may sample the tokens alone that
the table leads on. Where the tail needs several tokens, drawing each from those would favor tokens
after which the tail is unlikely to go on. So each token but the first is accepted as probably as
the free model samples a token that spells the tail on; else the sample begins anew. This is
rejection sampling: exact, unless `_ATTEMPTS` in a row fail, after which the next is accepted. A
greedy sample takes the likeliest of the tokens each time.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int16, Key

from codex_jax.sample.engine.state import ActiveRows, HealingRows, SlotParams, State
from codex_jax.sample.sampling.token_healing import REFUSED_STATE

_ATTEMPTS = 128
_ATTEMPT_BITS = 20  # of a key's position, for the position within an attempt
_ACCEPTANCE = 1 << 30  # distinguishes this draw's key from those of tokens


def start(rows: HealingRows | None, starts: Bool[Array, "B"]) -> HealingRows | None:
    """The rows' progress, reset where a sample starts."""
    return rows and HealingRows(*(jnp.where(starts, 0, x) for x in rows))


def key_position(rows: ActiveRows) -> Int[Array, "B"]:
    """Numbers of the rows' draws, other ones in each attempt."""
    if rows.healing is None:
        return rows.length
    return rows.length + (rows.healing.attempt << _ATTEMPT_BITS)


def _is_spelling(rows: ActiveRows, row_params: SlotParams) -> Bool[Array, "B"]:
    """Rows that have not yet spelled all of their tails."""
    spelled = rows.stop_state - row_params.stop_state
    return (spelled >= 0) & (spelled < row_params.tail)


def constrain(
    rows: ActiveRows,
    row_params: SlotParams,
    stop_table: Int16[Array, "A V"],
    keys: Key[Array, "B"],
    raw: Float[Array, "B V"],
    adjusted: Float[Array, "B V"],
) -> tuple[Float[Array, "B V"], Float[Array, "B V"], Bool[Array, "B"]]:
    """(raw logits, adjusted logits, rows to begin anew); refused tokens have logits of -inf."""
    is_spelling = _is_spelling(rows, row_params)

    def apply():
        next_states = stop_table[rows.stop_state, : raw.shape[1]]
        refused = next_states == REFUSED_STATE
        refused &= is_spelling[:, None]
        masked = jnp.where(refused, -jnp.inf, adjusted)
        is_random = row_params.temperature > 0
        temperature = jnp.where(is_random, row_params.temperature, 1.0)[:, None]
        log_mass = jax.nn.logsumexp(masked / temperature, axis=-1) - jax.nn.logsumexp(
            adjusted / temperature, axis=-1
        )
        acceptance_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, _ACCEPTANCE)
        uniform = jax.vmap(jax.random.uniform)(acceptance_keys)
        is_later = is_spelling & is_random & (rows.stop_state > row_params.stop_state)
        restarts = is_later & (uniform >= jnp.exp(log_mass)) & (rows.healing.attempt < _ATTEMPTS)
        return jnp.where(refused, -jnp.inf, raw), masked, restarts

    def skip():
        return raw, adjusted, jnp.zeros_like(is_spelling)

    return jax.lax.cond(is_spelling.any(), apply, skip)


def count_visible(
    rows: ActiveRows,
    row_params: SlotParams,
    stop_state: Int[Array, "B"],
    restarts: Bool[Array, "B"],
) -> Int[Array, "B"]:
    """The number of a row's tokens, the new one included, that go beyond its prompt's tail."""
    length = rows.length + 1
    if rows.healing is None:
        return length
    spelled = stop_state - row_params.stop_state
    is_hidden = _is_spelling(rows, row_params) & (spelled > 0) & (spelled <= row_params.tail)
    return jnp.where(restarts, 0, length - rows.healing.hidden - is_hidden)


def restart(
    state: State,
    row_params: SlotParams,
    restarts: Bool[Array, "B"],
    visible: Int[Array, "B"],
) -> State:
    """The state after a step, in which some rows begin their samples anew."""
    rows = state.rows
    if rows.healing is None:
        return state
    hidden = jnp.where(rows.length > 0, rows.length - visible, 0)
    rows = rows._replace(
        length=jnp.where(restarts, 0, rows.length),
        token=jnp.where(restarts, state.prompts.last[row_params.prompt], rows.token),
        stop_state=jnp.where(restarts, row_params.stop_state, rows.stop_state),
        healing=HealingRows(
            hidden=jnp.where(restarts, 0, hidden),
            attempt=rows.healing.attempt + restarts,
        ),
    )
    return state._replace(rows=rows)
