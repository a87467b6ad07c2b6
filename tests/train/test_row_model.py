"""Scores of rows are the loss's parts; continuations are the likeliest tokens, one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codex_jax import model as models
from codex_jax import sharding
from codex_jax.model import DecoderConfig
from codex_jax.model.attention.core import packed_attention
from codex_jax.records import Batch
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.row_model import RowModel
from codex_jax.train.state import init_sharded
from codex_jax.train.step import loss_sum
from tests.train.counting import CountingBatches

CONFIG = DecoderConfig(vocab_size=64, layers=1, width=32, heads=4, max_length=32)


@pytest.fixture(scope="module", params=[MeshShape(), MeshShape(context=2)], ids=["fsdp", "context"])
def bound(request):
    mesh = sharding.make_mesh(request.param)
    params = init_sharded(CONFIG, optax.sgd(0.1), mesh, seed=0).params
    batches = CountingBatches()
    return params, RowModel(batches, CONFIG, Compute(), mesh).bind(params), batches


def test_scores_are_the_rows_losses(bound):
    params, functions, batches = bound
    batch = batches.batch(0)
    scores = functions["score"](batch)
    assert scores.shape == (batches.batch_size,)
    params = jax.tree.map(jnp.asarray, jax.device_get(params))
    for row in range(2):
        alone = Batch(*(jnp.asarray(x[row : row + 1]) for x in batch))
        assert -scores[row] == pytest.approx(float(loss_sum(CONFIG, params, alone)), rel=1e-4)
    assert (functions["batch_size"], functions["sequence_length"]) == (
        batches.batch_size,
        batches.sequence_length,
    )


def likeliest(params, tokens):
    row = jnp.array([tokens])
    segments, positions = jnp.ones_like(row), jnp.arange(row.shape[1])[None]
    hidden, _ = models.forward(CONFIG, params, row, positions, packed_attention(segments))
    table = params["embedding"] if CONFIG.tied else params["unembedding"].T
    return int((np.asarray(hidden)[0, -1] @ np.asarray(table).T)[: CONFIG.vocab_size].argmax())


def test_continuations_are_greedy_and_end_with_the_row(bound):
    params, functions, batches = bound
    size, length = batches.batch_size, batches.sequence_length
    zeros = np.zeros((size, length), np.int32)
    batch = Batch(zeros.copy(), zeros, zeros, zeros, np.zeros((size, length), np.float32))
    prompts = {0: [1, 2, 3], 1: [5], 2: list(range(length - 1)), 3: list(range(length))}
    for row, prompt in prompts.items():
        batch.tokens[row, : len(prompt)] = prompt
        batch.loss_weights[row, len(prompt) - 1] = 1
    tokens = functions["predict"](batch, 3)
    params = jax.tree.map(jnp.asarray, jax.device_get(params))
    for row, prompt in prompts.items():
        expected = list(prompt)
        while len(expected) < min(len(prompt) + 3, length):
            expected.append(likeliest(params, expected))
        assert tokens[row, : len(expected)].tolist() == expected
    assert not tokens[4:].any()
