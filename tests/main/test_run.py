"""The steps that main adds around a call, and previews."""

import jax
import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.main import dry_run
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.lora import Lora
from codex_jax.train.optimizer import Optimizer


def test_a_pod_s_hosts_find_each_other_first(configure, toy, monkeypatch):
    seen = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda **_: seen.append(len(toy.CALLS)))
    configure().call()
    assert not seen
    monkeypatch.setenv("CODEX_JAX_DISTRIBUTED", "1")
    configure().call()
    assert seen == [1]


def test_library_logs_before_an_error_are_hidden(configure):
    import absl.logging

    configure().call()
    assert absl.logging.get_verbosity() == absl.logging.FATAL
    absl.logging.set_verbosity(absl.logging.WARNING)


class Batches:
    sequence_length, batch_size = 32, 8
    fingerprint, tokenizer_hash, seed = "rows", "tokenizer", 0

    def __init__(self, vocab_size):
        self.vocab_size = vocab_size

    def batches(self, start, rows=None):  # noqa: ARG002
        raise AssertionError("a preview reads no rows")


def preview(**changes):
    settings = {
        "batches": Batches(100),
        "model": DecoderConfig(vocab_size=100, layers=2, width=16, heads=2, max_length=32),
        "mesh": MeshShape(fsdp=4, tensor=2),
        "compute": Compute(),
        "optimizer": Optimizer(warmup_steps=2),
        "lora": Lora(),
        "steps": 10,
        "checkpoint_dir": "unused",
    }
    text = dry_run.train(**settings | changes)
    return {line[:17].strip(): line[18:] for line in text.splitlines()}


def test_preview_of_training():
    from codex_jax import model

    rows = preview()
    config = DecoderConfig(vocab_size=100, layers=2, width=16, heads=2, max_length=32)
    params = model.init(config, jax.random.key(0))
    assert rows["parameters"] == f"{sum(np.size(leaf) for leaf in jax.tree.leaves(params)):,}"
    assert rows["mesh"] == "replica 1 × fsdp 4 × tensor 2 × context 1 (8 cpu devices)"
    assert rows["tokens per step"] == "256 (8 rows of 32)"
    assert rows["tokens in all"] == "2,560 in 10 steps"


def test_a_device_of_many_holds_less():
    def mib(**changes):
        wide = DecoderConfig(vocab_size=128, layers=2, width=256, heads=2, max_length=32)
        rows = preview(model=wide, batches=Batches(128), **changes)
        return float(rows["state per device"].split()[0])

    replicated = mib(mesh=MeshShape(fsdp=1, replica=8))
    # 2 × (12·256² + …) weights, with two moments, four bytes each.
    assert replicated == pytest.approx(3 * 4 * 2 * 12 * 256**2 / 2**20, rel=0.05)
    assert mib(mesh=MeshShape(fsdp=8)) == pytest.approx(replicated / 8, rel=0.1)


def test_preview_refuses_what_training_would():
    with pytest.raises(InputError, match="batch_size 8 is not a multiple of 24"):
        preview(compute=Compute(microbatches=3), mesh=MeshShape(fsdp=8))
