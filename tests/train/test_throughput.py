"""Rates of a step, and the learning rate that the step reports."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape, make_mesh
from codex_jax.train import throughput
from codex_jax.train.throughput import Throughput
from tests.train.counting import CountingBatches

CONFIG = DecoderConfig(vocab_size=64, layers=2, width=32, heads=4, max_length=32)


@dataclasses.dataclass
class Device:
    """A chip with a memory."""

    device_kind: str = "TPU v5 lite"

    def memory_stats(self):
        return {"peak_bytes_in_use": 3 * 2**30}


def test_on_a_cpu_there_is_no_peak():
    rates = Throughput(CONFIG, CountingBatches(), make_mesh(MeshShape())).rates(2.0, 100.0)
    count = jax.device_count()
    assert rates == {"tokens_per_second": 50.0, "tokens_per_second_per_chip": 50.0 / count}


def test_on_a_chip_use_of_the_peak_and_memory_are_known(monkeypatch):
    monkeypatch.setattr(throughput.jax, "local_devices", lambda: [Device()])
    mesh, batches = make_mesh(MeshShape()), CountingBatches()
    rates = Throughput(CONFIG, batches, mesh).rates(2.0, 100.0)
    flops = CONFIG.flops_per_token(32) * 16 * 32
    assert rates["mfu"] == pytest.approx(flops / 2.0 / (mesh.size * 197e12))
    assert rates["hbm_gib"] == 3.0
    assert rates["tokens_per_second_per_chip"] == 50.0 / mesh.size


def test_two_devices_of_a_chip_are_one_chip(monkeypatch):
    monkeypatch.setattr(throughput.jax, "local_devices", lambda: [Device("TPU7x")])
    mesh = make_mesh(MeshShape())
    rates = Throughput(CONFIG, CountingBatches(), mesh).rates(1.0, 10.0)
    assert rates["tokens_per_second_per_chip"] == 10.0 / (mesh.size / 2)


def test_a_skipped_step_leaves_the_learning_rate_where_it_is():
    from codex_jax.train.optimizer import Optimizer, learning_rate

    rate = learning_rate(Optimizer(learning_rate=1.0, warmup_steps=4), steps=10)
    assert [float(rate(jnp.int32(n))) for n in (0, 3)] == [0.25, 1.0]
