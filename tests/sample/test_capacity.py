import hypothesis
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from codex_jax import InputError
from codex_jax.sample.engine.capacity import bucket, plan
from codex_jax.sample.engine.prefix_attention import count_tiles


def test_known_sizes():
    shape = plan(max_prompt_tokens=65, samples_per_prompt=100, rows=64, max_new_tokens=9)
    assert (shape.max_prompt_tokens, shape.max_new_tokens, shape.rows) == (65, 9, 64)
    assert (shape.resident_prompts, shape.tile, shape.group) == (6, 25, 1)
    assert shape.output_slots == shape.rows + shape.queue == 64 + 256
    assert (shape.dtype, shape.weights_dtype, shape.kv_cache_dtype) == ("float32",) * 3


@settings(max_examples=50)
@hypothesis.given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 3000))
def test_the_queue_and_the_prompts_can_keep_every_row_busy(rows, samples, longest):
    for platform in ("cpu", "tpu"):
        shape = plan(
            max_prompt_tokens=longest,
            samples_per_prompt=samples,
            rows=rows,
            max_new_tokens=1,
            platform=platform,
        )
        assert shape.queue >= max(samples, 4 * rows)
        assert shape.resident_prompts * samples >= 2 * rows
        assert shape.max_prompt_tokens == longest
        assert shape.group >= 1
    assert shape.group == count_tiles(rows, shape.resident_prompts, shape.tile)


def test_buckets_are_64_times_a_power_of_two():
    assert [bucket(n) for n in (1, 64, 65, 128, 129)] == [64, 64, 128, 128, 256]


@pytest.mark.parametrize(
    ("dtypes", "message"),
    [
        ({"weights_dtype": "int4"}, "weights_dtype is 'int4'; set weights_dtype to one of float32"),
        ({"kv_cache_dtype": "float8"}, "set kv_cache_dtype to one of float32, bfloat16, int8"),
        ({"dtype": "int8"}, "dtype is 'int8'; set dtype to one of float32, bfloat16"),
    ],
)
def test_an_unknown_dtype_is_refused(dtypes, message):
    with pytest.raises(InputError, match=message):
        plan(max_prompt_tokens=8, samples_per_prompt=1, rows=1, max_new_tokens=1, **dtypes)
