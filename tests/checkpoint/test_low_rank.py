"""Low-rank checkpoints: hashes of a base, its paths, and the sum of stacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.checkpoint.card import Card
from codex_jax.checkpoint.low_rank import base_paths, describe_base, hash_params, merge

SUMS = {"params/a": 1, "params/b": 2, "rest/c": 3}


def card(**fields):
    return Card(model={}, **{"step": 7, "checksums": SUMS, **fields})


def test_a_hash_is_that_of_the_parameters():
    first = hash_params(card())
    assert hash_params(card(checksums=SUMS | {"rest/c": 4}, step=8)) == first
    assert hash_params(card(checksums=dict(reversed(SUMS.items())))) == first
    assert hash_params(card(checksums=SUMS | {"params/b": 4})) != first
    assert hash_params(card(low_rank={"base": {"hash": "x"}})) != first


def test_a_base_is_where_it_was_or_beside(tmp_path):
    base = describe_base(tmp_path / "base", card(), tmp_path / "run")
    assert (base["step"], base["hash"]) == (7, hash_params(card()))
    paths = base_paths(base, tmp_path / "elsewhere" / "run")
    assert paths[0] == str(tmp_path / "base")
    assert paths[1].endswith("elsewhere/run/../base")
    remote = describe_base("gs://bucket/base", card(), tmp_path / "run")
    assert base_paths(remote, tmp_path) == ["gs://bucket/base"]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_sum_is_that_of_every_layer(dtype):
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = ((2, 3, 4, 5), (2, 3, 4, 6), (2, 6, 5))
    weight, down, up = (
        jax.random.normal(key, shape) for key, shape in zip(keys, shapes, strict=True)
    )
    base = {"blocks": {"out": weight.astype(dtype)}, "rest": jnp.ones(3, dtype)}
    pairs = {"blocks": {"out": {"down": down, "up": up}}}
    targets = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, jnp.float32), base)
    merged = merge(base, pairs, 0.5, targets)
    for layer in range(2):
        product = np.tensordot(np.asarray(down[layer]), np.asarray(up[layer]), 1)
        expected = np.asarray(base["blocks"]["out"][layer], np.float32) + 0.5 * product
        np.testing.assert_allclose(merged["blocks"]["out"][layer], expected, rtol=1e-5, atol=1e-5)
    assert {leaf.dtype for leaf in jax.tree.leaves(merged)} == {jnp.float32.dtype}
    np.testing.assert_array_equal(merged["rest"], np.ones(3))
