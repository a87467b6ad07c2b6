"""A step's collectives, by operation, against the recorded ones.

Recorded with the version below; XLA may choose others in another, so there it is skipped. A
difference means that sharding changed: look, and record anew what you meant.
"""

import jax
import pytest

from codex_jax import sharding
from codex_jax.compile import hlo
from codex_jax.records import Batch
from codex_jax.train import state
from codex_jax.train.compute import Compute, jit_step
from tests.train.test_step import CONFIG, make_tx

RECORDED_WITH = "0.10.2"

GOLDENS = [
    ({"fsdp": 8}, {"all-gather": 27, "all-reduce": 5, "all-to-all": 2, "reduce-scatter": 1}),
    (
        {"fsdp": 2, "tensor": 4},
        {"all-gather": 30, "all-reduce": 20, "collective-permute": 4, "reduce-scatter": 1},
    ),
    ({"replica": 8, "fsdp": 1}, {"all-gather": 1, "all-reduce": 3, "reduce-scatter": 1}),
    (
        {"fsdp": 2, "context": 4},
        {"all-gather": 32, "all-reduce": 11, "collective-permute": 80, "reduce-scatter": 1},
    ),
]


def collectives(shape: dict[str, int]) -> dict[str, int]:
    mesh = sharding.make_mesh(sharding.MeshShape(**shape))
    tx = make_tx()
    placed = sharding.batch_sharding(mesh)
    row = jax.ShapeDtypeStruct((16, 32), "int32", sharding=placed)
    weight = jax.ShapeDtypeStruct((16, 32), "float32", sharding=placed)
    step = jit_step(CONFIG, tx, Compute(), mesh)
    lowered = step.lower(state.abstract_state(CONFIG, tx, mesh), Batch(row, row, row, row, weight))
    collectives = hlo.read(lowered.compile().as_text()).collectives
    return {operation: times for operation, (times, _, _) in collectives.items()}


@pytest.mark.skipif(jax.__version__ != RECORDED_WITH, reason=f"recorded with jax {RECORDED_WITH}")
@pytest.mark.parametrize(("shape", "expected"), GOLDENS, ids=str)
def test_collectives_are_those_recorded(shape, expected):
    assert collectives(shape) == expected
