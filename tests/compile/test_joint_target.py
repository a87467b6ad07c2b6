"""The programs of a batch of policy gradients: their sizes, and settings that are refused."""

import dataclasses
import importlib.util

import jax
import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.compile.joint_target import JointTarget, Policy
from codex_jax.compile.sampling_target import Sampling
from codex_jax.model import DecoderConfig
from codex_jax.sharding import MeshShape
from codex_jax.train.compute import Compute
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.policy_loss import PolicyBatch

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install -e '.[tpu]'"
)
TARGET = JointTarget(
    topology="v5e:2x2",
    slices=1,
    model=DecoderConfig(vocab_size=256, layers=2, width=128, heads=2, max_length=256),
    mesh=MeshShape(tensor=2),
    policy=Policy(prompts_per_batch=6),
    sampling=Sampling(batch_size=8, samples=4, max_prompt_tokens=100, max_new_tokens=60),
    compute=Compute(dtype="bfloat16"),
    optimizer=Optimizer(),
)


def test_a_batch_has_the_samples_of_its_prompts():
    step = TARGET.parts()["gradient step"]
    assert (step.batch_size, step.sequence_length, step.max_new_tokens) == (24, 256, 60)
    assert step.title == "gradient step of 24 rows of 256, remat none, bfloat16"
    assert TARGET.title == "policy gradients of 6 prompts × 4 samples"


def test_rows_take_a_prompt_and_its_sample_but_one_token():
    for prompt, new, expected in [(64, 65, 128), (64, 66, 256), (512, 512, 1024), (1, 1, 128)]:
        sizes = dataclasses.replace(TARGET.sampling, max_prompt_tokens=prompt, max_new_tokens=new)
        assert dataclasses.replace(TARGET, sampling=sizes).sequence_length == expected


def test_the_sampler_runs_until_the_last_row_is_full():
    calls = {"prefill": 6, "sampling": 3 * 60, "gradient step": 1, "handing over": 1}
    assert TARGET.calls == calls
    more = dataclasses.replace(TARGET, policy=Policy(prompts_per_batch=7))
    assert more.calls["sampling"] == 4 * 60  # the last rows run with half of them idle


def test_all_programs_are_on_one_mesh_with_one_model():
    for program in TARGET.parts().values():
        shared = (program.topology, program.slices, program.model, program.mesh)
        assert shared == (TARGET.topology, 1, TARGET.model, TARGET.mesh)


@needs_libtpu
def test_the_step_is_given_the_columns_of_a_policy_batch():
    lowered = TARGET.parts()["gradient step"].lower()
    _, batch = lowered.in_avals[0]
    assert isinstance(batch, PolicyBatch)
    assert {array.shape for array in batch} == {(24, 256)}
    floats = {name for name, x in batch._asdict().items() if x.dtype == np.float32}
    assert floats == {"advantages", "is_sampled", "logprobs"}


@needs_libtpu
def test_the_weights_that_are_handed_over_are_those_that_the_loop_takes():
    programs = TARGET.parts()
    written = jax.tree.map(lambda x: (x.shape, x.dtype), programs["handing over"].lower().out_info)
    for name in ("sampling", "prefill"):
        arguments = programs[name].lower().in_avals[0]
        taken = jax.tree.map(lambda x: (x.shape, x.dtype), arguments[0])
        assert taken == written, name


@pytest.mark.parametrize(
    ("part", "changes", "words"),
    [
        ("policy", {"prompts_per_batch": 0}, "Policy.prompts_per_batch is 0; set it to a"),
        ("sampling", {"samples": 1}, "Sampling.samples is 1; .* 2 or more"),
        ("sampling", {"batch_size": 0}, "Sampling.batch_size is 0; .* 1 or more"),
        ("sampling", {"max_new_tokens": -3}, "Sampling.max_new_tokens is -3"),
        ("mesh", {"context": 2}, "MeshShape.context is 2; set it to 1"),
        ("compute", {"z_loss": 1e-4}, "Compute.z_loss is set; set it to 0"),
    ],
)
def test_sizes_that_no_batch_has_are_refused(part, changes, words):
    def make():
        settings = dataclasses.replace(getattr(TARGET, part), **changes)
        return dataclasses.replace(TARGET, **{part: settings}).parts()

    with pytest.raises(InputError, match=words):
        make()
