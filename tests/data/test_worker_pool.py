"""Worker processes build shards; one that dies is one line."""

import pytest

from codex_jax.data.build import build


def test_a_worker_that_dies_is_one_line(tree, tokenizer_file, tmp_path, monkeypatch):
    from codex_jax import InputError
    from codex_jax.data.shards import worker_pool

    monkeypatch.setattr(worker_pool.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match=r"a worker died \(status 1\) at the settings"):
        build(
            corpus={"tree": tree},
            tokenizer=tokenizer_file,
            output=tmp_path / "c",
            sequence_length=64,
            workers=2,
        )
