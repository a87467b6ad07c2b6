"""Attention: known answers, and that a cache changes nothing."""

import jax
import jax.numpy as jnp
import numpy as np

from codex_jax.model.attention import core


def rotated(x, positions):
    return core.rotary(x, *core.rotary_angles(positions, x.shape[-1], base=10_000.0))


def test_rotary_keeps_lengths_and_depends_on_distance_alone():
    x = jax.random.normal(jax.random.key(0), (1, 1, 2, 8))

    def score(first, second):
        at = [jnp.array([[p]]) for p in (first, second)]
        q, k = (rotated(x, p) for p in at)
        return jnp.sum(q[..., 0, :] * k[..., 1, :])

    turned = rotated(x, jnp.array([[7]]))
    np.testing.assert_allclose(jnp.linalg.norm(turned), jnp.linalg.norm(x), rtol=1e-6)
    np.testing.assert_allclose(score(3, 5), score(13, 15), rtol=1e-4)
    assert abs(score(3, 5) - score(3, 9)) > 1e-3


def test_one_cpu_computes_angles_once_for_all_heads(monkeypatch):
    x, positions = jnp.ones((2, 16, 4, 8), jnp.bfloat16), jnp.tile(jnp.arange(16), (2, 1))

    def rotate_twice(x, positions):
        angles = core.rotary_angles(positions, 8, base=10_000.0, magnitude=1.5)
        return [core.rotary(y, *angles) for y in (x, -x)]

    expected = rotate_twice(x, positions)  # of several devices
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    compiled = jax.jit(rotate_twice).lower(x, positions).compile()
    assert compiled.as_text().count(" cosine(") == 1
    for result, reference in zip(compiled(x, positions), expected, strict=True):
        np.testing.assert_allclose(result.astype(jnp.float32), reference.astype(jnp.float32))


def test_packed_mask_sees_earlier_tokens_of_its_own_segment():
    mask = core.packed_mask(jnp.array([[1, 1, 2, 2]]))[0]
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    np.testing.assert_array_equal(mask, np.array(expected, bool))


def test_equal_scores_give_the_mean_of_visible_values():
    q = jnp.zeros((1, 2, 2, 4))
    v = jnp.arange(8.0).reshape(1, 2, 1, 4)
    out = core.dot_product(q, jnp.ones((1, 2, 1, 4)), v, jnp.tri(2, dtype=bool)[None])
    np.testing.assert_allclose(out[0, 0, 0], v[0, 0, 0])
    np.testing.assert_allclose(out[0, 1, 1], v[0, :, 0].mean(0))


def test_shared_key_heads_equal_repeated_ones():
    keys = jax.random.split(jax.random.key(1), 3)
    q = jax.random.normal(keys[0], (2, 5, 6, 8))
    k, v = (jax.random.normal(key, (2, 5, 2, 8)) for key in keys[1:])
    mask = jnp.broadcast_to(jnp.tri(5, dtype=bool), (2, 5, 5))
    repeated = core.dot_product(q, jnp.repeat(k, 3, axis=2), jnp.repeat(v, 3, axis=2), mask)
    np.testing.assert_allclose(core.dot_product(q, k, v, mask), repeated, atol=1e-5)
