"""Bad steps: undone on the device, in no checkpoint; the run stops or passes over them."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from codex_jax import InputError, checkpoint
from codex_jax.model import abstract_params
from codex_jax.train.metrics import Judge
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.stability import Stability, guard, skipped_steps
from tests.train.counting import CountingBatches
from tests.train.test_loop import CONFIG, losses, run

PARAMS = {"a": jnp.arange(4.0), "b": jnp.ones((2, 3))}


def gradients(value):
    return jax.tree.map(lambda p: jnp.full_like(p, value), PARAMS)


def steps_of(tx, values, losses=None):
    """The parameters and the optimizer's state after gradients of these values."""
    params, state = PARAMS, tx.init(PARAMS)
    for number, value in enumerate(values):
        loss = losses[number] if losses else 1.0
        updates, state = tx.update(gradients(value), state, params, value=loss)
        params = optax.apply_updates(params, updates)
    return params, state


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_step_changes_nothing_but_the_count(bad):
    tx = guard(optax.adam(0.1))
    params, state = steps_of(tx, [1.0, bad, 2.0, bad])
    expected, plain = steps_of(guard(optax.adam(0.1)), [1.0, 2.0])
    assert_same(params, expected)
    assert_same(state.inner, plain.inner)
    assert (int(skipped_steps(state)), int(skipped_steps(plain))) == (2, 0)


def test_a_loss_that_is_not_finite_and_an_update_that_is_not_are_bad_too():
    params, state = steps_of(guard(optax.adam(0.1)), [1.0], losses=[np.nan])
    assert_same(params, PARAMS)
    params, state = steps_of(guard(optax.sgd(3e38)), [1e10])
    assert_same(params, PARAMS)
    assert int(skipped_steps(state)) == 1


def test_a_good_run_is_the_plain_optimizers():
    values = [0.5, -1.0, 3.0]
    params, _ = steps_of(guard(optax.adam(0.1)), values)
    plain, state = PARAMS, optax.adam(0.1).init(PARAMS)
    for value in values:
        updates, state = optax.adam(0.1).update(gradients(value), state)
        plain = optax.apply_updates(plain, updates)
    assert_same(params, plain)
    assert int(skipped_steps(state)) == 0  # of an optimizer without a guard


def test_spikes_are_steps_far_above_the_mean():
    tx = guard(optax.sgd(0.1), spike_factor=5.0)
    _, state = steps_of(tx, [1.0] * 10 + [100.0])
    assert int(state.skipped) == 0  # the mean isn't known yet
    _, state = steps_of(tx, [1.0] * 25 + [4.9, 100.0, 6.0, 1.0])
    assert int(state.skipped) == 2


class PoisonedBatches(CountingBatches):
    """Counting rows, some batches of which make the loss infinite."""

    def __init__(self, *bad):
        super().__init__()
        self.bad = bad

    def batch(self, step):
        batch = super().batch(step)
        weights = np.full_like(batch.loss_weights, np.inf)
        return batch._replace(loss_weights=weights) if step in self.bad else batch


def finite(folder, step):
    params = checkpoint.restore_params(folder, abstract_params(CONFIG)[0], step=step)
    return all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize(("bad", "newest"), [(7, 5), (9, 5), (10, 10), (11, 10)])
def test_a_stopped_run_has_good_checkpoints_alone_and_goes_on(tmp_path, bad, newest):
    message = rf"loss of step {bad} is .*isn't finite and in no checkpoint; run again with"
    with pytest.raises(InputError, match=message) as caught:
        run(tmp_path, batches=PoisonedBatches(bad))
    assert "\n" not in str(caught.value)
    assert checkpoint.latest_step(tmp_path) == newest
    assert finite(tmp_path, newest)
    skip = {"stability": Stability(on_nonfinite="skip")}
    with pytest.raises(InputError, match="set resume_with to on_nonfinite; else"):
        run(tmp_path, batches=PoisonedBatches(bad), **skip)
    last = run(tmp_path, batches=PoisonedBatches(bad), **skip, resume_with="on_nonfinite")
    assert np.isfinite(last["loss"]) or bad == 11
    (change,) = checkpoint.read_card(tmp_path).changes
    assert change == {"step": newest, "on_nonfinite": ["stop", "skip"]}
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert {line["step"]: line["skipped"] for line in lines if line["skipped"]} == {bad: 1}


def test_skipping_equals_a_run_without_that_batch(tmp_path):
    run(tmp_path / "a", batches=PoisonedBatches(3), stability=Stability(on_nonfinite="skip"))
    run(tmp_path / "b")
    assert losses(tmp_path / "a")[3] != losses(tmp_path / "b")[3]
    assert losses(tmp_path / "a")[2] == losses(tmp_path / "b")[2]
    assert finite(tmp_path / "a", None)


def test_a_learning_rate_far_too_high_stops_before_any_save(tmp_path):
    wild = Optimizer(learning_rate=1e30, warmup_steps=1, clip_norm=0.0)
    with pytest.raises(InputError, match="resume_with=learning_rate"):
        run(tmp_path, optimizer=wild)
    assert not checkpoint.has_steps(tmp_path)


def line(step, loss=1.0, norm=1.0, skipped=0):
    return {"step": step, "loss": loss, "grad_norm": norm, "skipped": skipped}


def test_too_many_skips_in_a_row_end_the_run():
    judge = Judge(Stability(on_nonfinite="skip", most_skips=2))
    for number in range(2):
        judge.check(line(number, loss=np.nan, skipped=1))
    judge.check(line(2))
    for number in (3, 4):
        judge.check(line(number, loss=np.nan, skipped=1))
    with pytest.raises(InputError, match="3 steps in a row were skipped, the last of them 5"):
        judge.check(line(5, norm=np.inf, skipped=1))


def test_a_spike_that_was_skipped_does_not_stop_the_run():
    Judge(Stability(spike_factor=4.0)).check(line(1, norm=90.0, skipped=1))
    with pytest.raises(InputError, match="its update isn't finite"):
        Judge(Stability()).check(line(1, skipped=1))
