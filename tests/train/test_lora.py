"""LoRA: begins as the base, trains a small tree alone, resumes, merges wherever it is read."""

import dataclasses
import json
import pathlib
import shutil
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, sharding
from codex_jax.checkpoint import Retention
from codex_jax.model import DecoderConfig, abstract_params
from codex_jax.records import Batch
from codex_jax.sharding import MeshShape
from codex_jax.train import optimizer as optimizers
from codex_jax.train import state as states
from codex_jax.train.compute import Compute, jit_step
from codex_jax.train.job import Job
from codex_jax.train.lora import Lora, attach, init_trained, trained_params
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.resume import check_resumable
from codex_jax.train.step import loss_sum
from codex_jax.train.validation import Validation
from tests.train.counting import CountingBatches
from tests.train.test_early_stopping import Validated
from tests.train.test_loop import CONFIG, losses, run

LORA = Lora(lora_rank=4, lora_alpha=8.0)
GATED = DecoderConfig(
    vocab_size=64, layers=2, width=32, heads=4, kv_heads=2, mlp_size=64, norm="rmsnorm",
    positions="rotary", activation="swiglu", bias=False, max_length=32,
)  # fmt: skip


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run of 10 steps on counting rows."""
    folder = tmp_path_factory.mktemp("source")
    run(folder, steps=10, save_every=10)
    return folder


class Shifted(CountingBatches):
    """Counts by two: something new to learn."""

    fingerprint = "shifted"

    def batch(self, step):
        batch = super().batch(step)
        return batch._replace(targets=(batch.targets + 1) % 64)


def tune(directory, source, **options):
    settings = {"model": None, "init_from": str(source), "lora": LORA, "batches": Shifted()}
    return run(directory, **settings | options)


def params_of(folder, step=None, config=CONFIG):
    return checkpoint.restore_params(folder, abstract_params(config)[0], step=step)


def loss_of(params, batch):
    total = loss_sum(CONFIG, params, jax.tree.map(jnp.asarray, batch))
    return float(total) / batch.loss_weights.sum()


@pytest.mark.parametrize("config", [CONFIG, GATED])
def test_every_matrix_of_the_blocks_gets_a_pair_sharded_as_it_is(config):
    shapes, axes = trained_params(config, LORA)
    full_shapes, full_axes = abstract_params(config)
    for group, pairs in shapes["blocks"].items():
        for name, pair in pairs.items():
            matrix = full_shapes["blocks"][group][name].shape
            down, up = pair["down"].shape, pair["up"].shape
            assert (*down[:-1], *up[2:]) == matrix
            assert down[-1] == up[1] == 4
            logical = axes["blocks"][group][name]
            together = (*logical["down"][:-1], *logical["up"][2:])
            assert together == full_axes["blocks"][group][name]
    names = {name for pairs in shapes["blocks"].values() for name in pairs}
    assert names == {"q", "k", "v", "out", "up", "down"} | ({"gate"} if config.is_gated else set())


@pytest.mark.parametrize("targets", [",", "q,", "q,,v", ("q", ""), [""]])
def test_an_empty_target_is_refused(targets):
    with pytest.raises(InputError, match=r"lora_targets is .*, which has an empty entry; set"):
        trained_params(CONFIG, dataclasses.replace(LORA, lora_targets=targets))


def test_targets_choose_matrices_and_unknown_ones_are_refused():
    shapes, _ = trained_params(CONFIG, dataclasses.replace(LORA, lora_targets="q, v"))
    assert {g: set(pairs) for g, pairs in shapes["blocks"].items()} == {"attention": {"q", "v"}}
    with pytest.raises(InputError, match=r"names 'gate'; this model has k, out, q, v, down, up"):
        trained_params(CONFIG, dataclasses.replace(LORA, lora_targets=("gate",)))


def test_the_optimizer_holds_nothing_of_the_weights():
    axes = trained_params(CONFIG, LORA)[1]
    tx = optimizers.make(Optimizer(warmup_steps=1), steps=4, axes=axes)
    state = states.init_sharded(CONFIG, tx, sharding.make_mesh(MeshShape()), seed=0, lora=LORA)
    small = sum(leaf.size for leaf in jax.tree.leaves(state.params))
    assert small < sum(leaf.size for leaf in jax.tree.leaves(abstract_params(CONFIG)[0])) / 3
    assert sum(leaf.size for leaf in jax.tree.leaves(state.optimizer)) < 2 * small + 10


def test_step_0_computes_what_the_base_does(source):
    base = params_of(source)
    adapters = init_trained(CONFIG, LORA, jax.random.key(3))
    batch = Shifted().batch(0)
    assert loss_of(attach(base, adapters, LORA.scale), batch) == loss_of(base, batch)


def test_it_learns_and_readers_get_the_sum(source, tmp_path):
    last = tune(tmp_path / "run", source, steps=40)
    assert last["loss"] < 0.9 * losses(tmp_path / "run")[0]
    merged, base = params_of(tmp_path / "run"), params_of(source)
    assert loss_of(merged, Shifted().batch(99)) < 0.9 * loss_of(base, Shifted().batch(99))
    np.testing.assert_array_equal(merged["embedding"], base["embedding"])
    assert (merged["blocks"]["mlp"]["up"] != base["blocks"]["mlp"]["up"]).any()
    sizes = [sum(p.stat().st_size for p in (tmp_path / "run" / "40").rglob("d/*"))]
    sizes.append(sum(p.stat().st_size for p in (source / "10").rglob("d/*")))
    assert sizes[0] < sizes[1] / 2


def test_the_sum_scores_as_the_pair_does(source, tmp_path):
    """`validation/loss` during the run is that of the merged parameters after it."""
    batches = Validated()
    settings = {"batches": batches, "validation": Validation(every=5, batches=None)}
    last = tune(tmp_path / "run", source, steps=10, **settings)
    held_out = next(batches.validation.task_batches("backwards"))
    expected = loss_of(params_of(tmp_path / "run"), held_out)
    assert last["validation/loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_resumed_run_is_the_undisturbed_one_bit_for_bit(source, tmp_path, dtype):
    compute = Compute(dtype=dtype, param_dtype=dtype)
    settings = {"steps": 8, "save_every": 4, "log_every": 1, "compute": compute}
    tune(tmp_path / "straight", source, **settings)
    tune(tmp_path / "cut", source, **settings)
    shutil.rmtree(tmp_path / "cut" / "8")  # as if killed after step 4
    tune(tmp_path / "cut", source, **settings)
    assert losses(tmp_path / "cut") == losses(tmp_path / "straight")
    pairs = (params_of(tmp_path / name) for name in ("straight", "cut"))
    jax.tree.map(np.testing.assert_array_equal, *pairs)


@pytest.mark.parametrize(
    "options",
    [
        {"mesh": MeshShape(fsdp=8)},
        {"mesh": MeshShape(fsdp=2, tensor=4)},
        {"compute": Compute(microbatches=2)},
        {"compute": Compute(remat="full", loss_chunks=4)},
    ],
    ids=["fsdp", "fsdp and tensor", "microbatches", "remat"],
)
def test_meshes_and_parts_compute_the_same(source, tmp_path, options):
    settings = {"steps": 6, "log_every": 1}
    tune(tmp_path / "plain", source, **settings)
    tune(tmp_path / "other", source, **settings, **options)
    expected = pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert losses(tmp_path / "other") == expected
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-2, atol=2e-3),
        params_of(tmp_path / "plain"),
        params_of(tmp_path / "other"),
    )


def test_no_gradient_of_the_weights_is_computed():
    """A step's FLOPs are at most three quarters of a full one's."""
    config = dataclasses.replace(GATED, width=128, mlp_size=512, vocab_size=512)

    def flops(lora):
        mesh = sharding.make_mesh(MeshShape(), jax.devices()[:1])
        axes = trained_params(config, lora)[1]
        tx = optimizers.make(Optimizer(warmup_steps=1), steps=4, axes=axes)
        row = jax.ShapeDtypeStruct((4, 32), jnp.int32)
        batch = Batch(row, row, row, row, jax.ShapeDtypeStruct((4, 32), jnp.float32))
        arguments = [states.abstract_state(config, tx, mesh, lora=lora), batch]
        arguments += [states.abstract_params(config, mesh)] * bool(lora.lora_rank)
        step = jit_step(config, tx, Compute(), mesh, lora=lora)
        return step.lower(*arguments).compile().cost_analysis()["flops"]

    assert flops(Lora(lora_rank=1)) < 0.75 * flops(Lora())


def test_lora_can_begin_with_lora_and_full_training_too(source, tmp_path):
    tune(tmp_path / "first", source, steps=5)
    first = params_of(tmp_path / "first")
    tune(tmp_path / "second", tmp_path / "first", steps=5, batches=CountingBatches())
    tune(tmp_path / "full", tmp_path / "first", steps=5, lora=Lora())
    assert checkpoint.read_card(tmp_path / "full").low_rank == {}
    second = params_of(tmp_path / "second")
    np.testing.assert_array_equal(first["embedding"], second["embedding"])


def test_the_best_of_a_lora_run_stays(source, tmp_path, capsys):
    settings = {"batches": Validated(), "validation": Validation(every=5)}
    retention = Retention(keep_best=1, keep_latest=1)
    tune(tmp_path / "run", source, steps=10, **settings, retention=retention)
    assert "the lowest validation loss" in capsys.readouterr().out
    assert checkpoint.read_card(tmp_path / "run").validation_losses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init_from": "", "model": CONFIG}, "lora_rank is 4, init_from isn't set; set it to"),
        ({"optimizer": Optimizer(algorithm="muon", warmup_steps=1)}, "LoRA's matrices are too"),
        ({"lora": Lora(lora_rank=2, lora_targets="gate")}, "lora_targets names 'gate'"),
        ({"lora": Lora(lora_rank=-1)}, "Lora.lora_rank is -1; set it to"),
        ({"lora": Lora(lora_rank=10**5)}, "lora_rank is 100000; no matrix of this model has"),
        (
            {"lora": Lora(lora_rank=2, lora_targets=",")},
            "lora_targets is ',', which has an",
        ),
        (
            {"lora": Lora(lora_rank=2, lora_targets=" ")},
            "lora_targets is ' ', which has an",
        ),
        ({"lora": Lora(lora_rank=2, lora_targets=("",))}, "which has an empty entry"),
        ({"lora": Lora(lora_targets="q")}, "lora_targets is set, lora_rank is 0; set lora_rank"),
        ({"lora": Lora(lora_alpha=1.0)}, "lora_alpha or lora_targets is set, lora_rank is 0"),
        ({"lora": Lora(lora_rank=1, lora_alpha=0.0)}, "Lora.lora_alpha is 0.0; set it to"),
    ],
)
def test_settings_that_do_not_fit_are_refused(source, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        tune(tmp_path / "run", source, steps=5, **options)
    assert not pathlib.Path(tmp_path / "run" / "5").exists()


def test_another_rank_is_another_run(source, tmp_path):
    tune(tmp_path / "run", source, steps=5)
    with pytest.raises(InputError, match=r"run.lora.rank: 4, 8.*set another checkpoint_dir"):
        tune(tmp_path / "run", source, steps=5, lora=Lora(lora_rank=8, lora_alpha=8.0))
    with pytest.raises(InputError, match=r"run.lora.rank: 4, None"):
        tune(tmp_path / "run", source, steps=5, lora=Lora())


@pytest.mark.parametrize(("steps", "resume_with"), [(4, ()), (8, ("steps",))])
def test_a_run_whose_base_is_gone_says_so(source, tmp_path, steps, resume_with):
    base, options = shutil.copytree(source, tmp_path / "base"), {"steps": 4}
    options["optimizer"] = Optimizer(warmup_steps=1, schedule="constant")
    tune(tmp_path / "run", base, **options)
    shutil.rmtree(base)
    message = rf"step 4 holds updates of {base} step 10, which isn't there; put that base back at"
    with pytest.raises(InputError, match=message):
        tune(tmp_path / "run", base, **options | {"steps": steps}, resume_with=resume_with)
    card = checkpoint.read_card(tmp_path / "run")
    with pytest.raises(InputError, match=message):  # of a dry run
        check_resumable(mock.Mock(Job, card=card), str(tmp_path / "run"), ())


def test_a_moved_base_is_found_beside_and_a_missing_or_changed_one_refused(source, tmp_path):
    shutil.copytree(source, tmp_path / "here" / "base")
    tune(tmp_path / "here" / "run", tmp_path / "here" / "base", steps=5)
    expected = params_of(tmp_path / "here" / "run")
    (tmp_path / "here").rename(tmp_path / "there")
    moved = tmp_path / "there" / "run"
    jax.tree.map(np.testing.assert_array_equal, params_of(moved), expected)
    shutil.rmtree(tmp_path / "there" / "base")
    message = rf"step 5 holds updates .*; put that base back at .* or {moved.parent}/base$"
    with pytest.raises(InputError, match=message):
        params_of(moved)
    run(tmp_path / "there" / "base", steps=10, save_every=10, seed=1)
    with pytest.raises(InputError, match=r"where another checkpoint is by now; put the first"):
        params_of(moved)


def test_the_flags_are_lora_s(source, configured):
    line = f"codex-jax train --rows=rows --init_from={source} --checkpoint_dir=x --lora_rank=4"
    line += " --batch_size=8 --gin.BatchReader.seed=0"
    arguments = configured(f"{line} --steps=2 --lora_targets=q,v").root.arguments
    lora = arguments["lora"].make({})
    assert (lora.lora_rank, lora.names) == (4, ["q", "v"])
    assert Lora(lora_targets="v,q,q").names == ["q", "v"]
    assert json.dumps(lora.settings())
