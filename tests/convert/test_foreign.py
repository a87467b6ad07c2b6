"""Weights of others: found by the names of our tables, all read, and all of them numbers."""

import ml_dtypes
import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.convert.foreign import ForeignWeights


def weights(**tensors) -> ForeignWeights:
    return ForeignWeights("model", tensors.keys(), tensors.__getitem__)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (np.nan, np.float32),
        (np.inf, np.float16),
        (-np.inf, np.float64),
        (1e300, np.float64),  # which has no float32
        (np.nan, ml_dtypes.bfloat16),
    ],
)
def test_what_no_model_computes_with_is_refused_by_name_and_count(value, dtype):
    tensor = np.ones((3, 4), dtype)
    tensor[1, :2] = value
    with pytest.raises(InputError, match=r"^model: 2 of the 12 values of a\.weight are NaN or inf"):
        weights(**{"a.weight": tensor}).read_tensor("a.weight")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_the_largest_and_smallest_numbers_are_weights(dtype):
    info = ml_dtypes.finfo(np.float32 if dtype == np.float64 else dtype)
    tensor = np.array([info.max, info.min, info.smallest_subnormal, 0, -0.0], dtype)
    assert weights(a=tensor).read_tensor("a") is tensor


def test_a_mask_of_infinities_that_nothing_reads_is_harmless():
    mask = np.full((2, 2), -np.inf, np.float32)
    read = weights(**{"h.0.attn.masked_bias": mask, "wte.weight": np.eye(2)})
    read.read_tensor("wte.weight")
    read.check_unread()


def test_a_tensor_is_found_by_the_names_of_its_owners():
    tensor = np.eye(2)
    for name in ("a.weight", "transformer.a.weight"):
        assert weights(**{name: tensor}).read_tensor("a.weight") is tensor
    assert weights(**{"embed.weight": tensor}).read_tensor("model.embed.weight") is tensor
    with pytest.raises(InputError, match="model: no tensor b; expected one"):
        weights(a=tensor).read_tensor("b")


def test_a_head_is_harmless_only_where_it_equals_the_embedding():
    embedding = np.eye(2)
    tied = weights(**{"wte.weight": embedding, "lm_head.weight": embedding.copy()})
    tied.read_tensor("wte.weight")
    tied.check_unread()
    untied = weights(**{"wte.weight": embedding, "lm_head.weight": 2 * embedding})
    untied.read_tensor("wte.weight")
    with pytest.raises(InputError, match=r"its tensors lm_head\.weight are read by no row"):
        untied.check_unread()
