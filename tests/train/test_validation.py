"""Sums of the validation rows are the loss of a batch, whatever its parts."""

import math

import jax
import numpy as np
import pytest

from codex_jax import sharding
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.state import init_sharded
from codex_jax.train.step import loss_sum
from codex_jax.train.validation import Evaluator, Validation, batch_sums
from tests.train.counting import CountingBatches

CONFIG = DecoderConfig(vocab_size=64, layers=1, width=32, heads=4, max_length=32)


class TwoTasks(CountingBatches):
    """Two Tasks of two batches each; every id is two bytes of text."""

    tasks = ("even", "odd")
    token_bytes = np.full(64, 2, np.int32)

    def task_batches(self, task, rows=None):
        for step in (0, 2):
            yield next(self.batches(step + self.tasks.index(task), rows))


@pytest.fixture(scope="module")
def params():
    import optax

    mesh = sharding.make_mesh(MeshShape())
    return init_sharded(CONFIG, optax.sgd(0.1), mesh, seed=0).params


@pytest.mark.parametrize("microbatches", [1, 4])
def test_sums_are_those_of_the_loss(params, microbatches):
    batch = TwoTasks().batch(0)
    sums = batch_sums(
        params,
        jax.tree.map(jax.numpy.asarray, batch),
        config=CONFIG,
        token_bytes=TwoTasks.token_bytes,
        microbatches=microbatches,
    )
    loss = loss_sum(CONFIG, params, jax.tree.map(jax.numpy.asarray, batch))
    weight = batch.loss_weights.sum()
    np.testing.assert_allclose(sums, [loss, weight, 2 * weight], rtol=1e-5)


def test_metrics_by_task_and_of_all(params):
    mesh = sharding.make_mesh(MeshShape())
    evaluator = Evaluator(TwoTasks(), CONFIG, Compute(), mesh, Validation(batches=1))
    metrics = evaluator.evaluate(params)
    assert set(metrics) == {
        f"validation/{task}{name}"
        for task in ("", "even/", "odd/")
        for name in ("loss", "bits_per_byte")
    }
    assert metrics["validation/loss"] == pytest.approx(math.log(64), rel=0.1)
    assert metrics["validation/bits_per_byte"] == pytest.approx(
        metrics["validation/loss"] / math.log(2) / 2
    )
