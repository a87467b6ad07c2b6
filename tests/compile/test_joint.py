"""The sum over a batch's programs, from estimates with known numbers."""

import dataclasses

import pytest

from codex_jax.compile import joint
from codex_jax.compile.estimate import Estimate
from codex_jax.compile.joint import JointEstimate
from codex_jax.compile.report import row
from tests.compile.test_joint_target import TARGET

GIB = 1 << 30
PARTS = {
    "prefill": Estimate(fits=True, arguments=2 * GIB, temporaries=1 * GIB, seconds=0.5),
    "sampling": Estimate(fits=True, arguments=5 * GIB, outputs=3 * GIB, aliased=3 * GIB),
    "gradient step": Estimate(
        fits=True, arguments=4 * GIB, temporaries=6 * GIB, outputs=3 * GIB, aliased=3 * GIB
    ),
    "handing over": Estimate(fits=True, arguments=1 * GIB, outputs=2 * GIB),
}


@pytest.fixture
def estimate_batch(monkeypatch):
    """The estimate of the batch, with changes of its parts; nothing is compiled for the report."""
    monkeypatch.setattr(joint.report, "page", lambda program, _: program.title)

    def make(**changes):
        parts = {
            name: dataclasses.replace(part, **changes.get(name.replace(" ", "_"), {}))
            for name, part in PARTS.items()
        }
        return JointEstimate(TARGET, TARGET.parts(), parts)

    return make


def test_trainer_and_sampler_are_in_memory_beside_the_largest_program(estimate_batch):
    assert estimate_batch().hbm == (4 + 5 + 6) * GIB
    assert (
        estimate_batch(handing_over={"outputs": 7 * GIB}).hbm == 15 * GIB
    )  # in the old ones' memory
    assert estimate_batch(handing_over={"temporaries": 7 * GIB}).hbm == (4 + 5 + 7) * GIB
    assert estimate_batch(sampling={"temporaries": 6.5 * GIB}).hbm == (4 + 5 + 6.5) * GIB
    assert (
        estimate_batch(prefill={"arguments": 9 * GIB}).hbm == 15 * GIB
    )  # the sampler's own weights


def test_what_fits_alone_may_not_fit_together(estimate_batch):
    assert estimate_batch().fits
    assert not estimate_batch(sampling={"arguments": 6 * GIB}).fits  # 16 of 15.75
    too_large = estimate_batch(gradient_step={"fits": False, "failure": "Ran out of memory."})
    assert not too_large.fits
    assert too_large.failures == {"gradient step": "Ran out of memory."}


def test_the_seconds_of_a_batch_are_those_of_all_calls(estimate_batch):
    gathered = {"all-gather": (1, 200_000_000_000, 50_000_000_000)}  # a second, a quarter hidden
    result = estimate_batch(
        sampling={"seconds": 0.001, "kernels": 2, "kernel_seconds": 0.002},
        gradient_step={"seconds": 4.0},
        handing_over={"collectives": gathered},
    )
    assert result.seconds == pytest.approx(
        {"prefill": 6 * 0.5, "sampling": 180 * 0.003, "gradient step": 4.0, "handing over": 0.75}
    )


def test_the_page_shows_the_sum_and_every_program(estimate_batch):
    page = joint.page(estimate_batch(gradient_step={"seconds": 1.0}))
    first, *rest = page.split("\n\n")
    assert rest == [program.title for program in TARGET.parts().values()]
    lines = first.splitlines()
    assert lines[0].endswith("6 prompts × 4 samples, on v5e:2x2, fsdp 2 × tensor 2")
    needed = "15.0 of 15.75 GiB: trainer 4.0, sampler 5.0, and 6.0 for the gradient step"
    assert lines[1] == row("HBM a device", needed)
    assert lines[2] == row("a batch", "4.000 s, samples at their longest, without judging")
    assert lines[3] == row("prefill", "3.000 s in 6 calls, 75.00%")
    assert "does not fit" not in page


def test_a_batch_that_does_not_fit_names_program_and_settings(estimate_batch):
    failure = {"fits": False, "failure": "Used 20G of 15.75G hbm."}
    lines = joint.page(estimate_batch(handing_over=failure)).split("\n\n")[0].splitlines()
    assert lines[1] == row("does not fit", "handing over: Used 20G of 15.75G hbm.")
    assert lines[2].endswith("Compute.remat, Compute.loss_chunks or the mesh")
    together = joint.page(estimate_batch(sampling={"arguments": 7 * GIB}))
    assert "17.0 of 15.75 GiB" in together
    assert "change Sampling.batch_size" in together
