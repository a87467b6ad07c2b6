"""Continuing: all that decides a batch or a step is compared; some settings change by name."""

import dataclasses
import shutil

import pytest

from codex_jax import InputError, checkpoint
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.resume import CHANGEABLE, split_names
from tests.train.counting import CountingBatches
from tests.train.test_loop import CONFIG, losses, run

FLAT = Optimizer(learning_rate=1e-2, warmup_steps=2, schedule="constant")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 10 steps, with a checkpoint at 5 and 10."""
    folder = tmp_path_factory.mktemp("trained")
    run(folder, steps=10, optimizer=FLAT)
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def batches(**fields):
    each = CountingBatches()
    for name, value in fields.items():
        setattr(each, name, value)
    return each


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batches": batches(seed=1)}, "run.batches.seed: 0, 1"),
        ({"batches": batches(fingerprint="other")}, "data_fingerprint: 'counting', 'other'"),
        ({"batches": batches(tokenizer_hash="other")}, "tokenizer_hash: 'none', 'other'"),
        ({"batches": CountingBatches(batch_size=32)}, "run.batch_size: 16, 32"),
        ({"seed": 7}, "run.seed: 0, 7"),
        ({"compute": Compute(microbatches=2)}, "run.compute.microbatches: 1, 2"),
        ({"compute": Compute(dtype="bfloat16")}, "run.compute.dtype: 'float32', 'bfloat16'"),
        ({"compute": Compute(z_loss=1e-4)}, "run.compute.z_loss: 0.0, 0.0001"),
        ({"optimizer": dataclasses.replace(FLAT, beta2=0.99)}, "run.optimizer.beta2: 0.95, 0.99"),
        ({"optimizer": dataclasses.replace(FLAT, warmup_steps=3)}, "warmup_steps: 2, 3"),
        ({"model": dataclasses.replace(CONFIG, norm_eps=1e-6)}, "model.norm_eps: 1e-05, 1e-06"),
    ],
)
def test_what_decides_a_step_is_compared(copy, changed, message):
    with pytest.raises(InputError) as caught:
        run(copy, **{"steps": 10, "optimizer": FLAT} | changed)
    assert message in str(caught.value)
    assert "resume_with" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"loss_chunks": 2}, {"remat": "full"}, {"overlap": False}])
def test_what_only_saves_memory_may_change(copy, options):
    assert run(copy, steps=10, optimizer=FLAT, compute=Compute(**options)) == {}


def test_a_finished_run_is_extended_and_the_change_is_on_the_card(copy, tmp_path):
    with pytest.raises(InputError, match=r"run.steps: 10, 14; to .* resume_with to steps"):
        run(copy, steps=14, optimizer=FLAT)
    run(copy, steps=14, optimizer=FLAT, resume_with="steps")
    run(tmp_path / "straight", steps=14, optimizer=FLAT)
    assert losses(copy) == losses(tmp_path / "straight")
    assert checkpoint.read_card(copy).changes == [{"step": 10, "steps": [10, 14]}]
    assert run(copy, steps=14, optimizer=FLAT, resume_with="steps") == {}  # the same command again


def test_a_learning_rate_changes_from_here_on(copy):
    before = losses(copy)
    slow = dataclasses.replace(FLAT, learning_rate=1e-4)
    run(copy, steps=12, optimizer=slow, resume_with=["learning_rate", "steps"])
    change = {"step": 10, "steps": [10, 12], "learning_rate": [1e-2, 1e-4]}
    assert checkpoint.read_card(copy).changes == [change]
    assert {step: loss for step, loss in losses(copy).items() if step < 10} == before
    with pytest.raises(InputError, match=r"learning_rate: 0.0001, 0.01; to change it from here on"):
        run(copy, steps=12, optimizer=FLAT)


def test_changes_add_up(copy):
    run(copy, steps=12, optimizer=FLAT, resume_with="steps")
    run(copy, steps=13, optimizer=FLAT, resume_with="steps")
    steps = [change["steps"] for change in checkpoint.read_card(copy).changes]
    assert steps == [[10, 12], [12, 13]]


def test_a_cosine_run_is_not_extended_but_begun_anew_from_its_weights(tmp_path):
    cosine = dataclasses.replace(FLAT, schedule="cosine")
    run(tmp_path / "old", steps=5, optimizer=cosine)
    with pytest.raises(InputError, match=r"cosine schedule depend on it; set init_from to .*old"):
        run(tmp_path / "old", steps=9, optimizer=cosine, resume_with="steps")
    run(tmp_path / "new", steps=5, optimizer=cosine, init_from=str(tmp_path / "old"))
    assert losses(tmp_path / "new")[0] < losses(tmp_path / "old")[0]


def test_a_wsd_run_is_extended(tmp_path):
    wsd = dataclasses.replace(FLAT, schedule="wsd")
    run(tmp_path, steps=5, optimizer=wsd)
    run(tmp_path, steps=8, optimizer=wsd, resume_with="steps")
    assert max(losses(tmp_path)) == 7


def test_fewer_steps_than_are_done_are_refused(copy):
    with pytest.raises(InputError, match="steps is 8; step 10 is reached already"):
        run(copy, steps=8, optimizer=FLAT, resume_with="steps")


@pytest.mark.parametrize("names", ["seed", ["steps", "batch_size"], "beta1", "steps, model"])
def test_other_settings_never_change_within_a_run(tmp_path, names):
    with pytest.raises(InputError, match=r"which can't change within a run; set it to names of"):
        run(tmp_path / "run", resume_with=names)
    assert not (tmp_path / "run").exists()


def test_names():
    with pytest.raises(InputError, match="resume_with is 'steps,', which has an empty entry"):
        split_names("steps,")
    assert split_names("") == split_names([]) == []
    assert split_names(" steps,learning_rate ") == ["steps", "learning_rate"]
    assert split_names(tuple(CHANGEABLE)) == list(CHANGEABLE)
