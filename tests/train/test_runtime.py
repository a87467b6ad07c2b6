"""The cache of compiled programs, by setting."""

import jax
import pytest

from codex_jax import InputError
from codex_jax.train.runtime import Runtime


def test_the_cache_is_set_only_where_it_is_named(tmp_path):
    former = jax.config.jax_compilation_cache_dir
    try:
        Runtime().apply()
        assert jax.config.jax_compilation_cache_dir == former
        Runtime(compilation_cache_dir=str(tmp_path)).apply()
        assert jax.config.jax_compilation_cache_dir == str(tmp_path)
    finally:
        jax.config.update("jax_compilation_cache_dir", former)


def test_a_cache_that_cannot_be_written_is_refused():
    former = jax.config.jax_compilation_cache_dir
    with pytest.raises(InputError, match="in /proc; set compilation_cache_dir"):
        Runtime(compilation_cache_dir="/proc/x").apply()
    assert jax.config.jax_compilation_cache_dir == former
