"""Sizes of a batch: their ranges, in a line each."""

import pytest

from codex_jax import InputError
from codex_jax.rl.rollout import Rollout, check_rollout

FAULTY = {
    "samples_per_prompt": 1,
    "prompts_per_batch": 0,
    "refills": -1,
    "updates_per_batch": 0,
    "max_new_tokens": 0,
    "shadow_share": 1.5,
    "clip": (0.2,),
    "stops": "def",
    "sampler_dtype": "int8",
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_number_out_of_its_range_is_named(name):
    with pytest.raises(InputError, match=rf"Rollout\.{name} is .*; set it to"):
        check_rollout(Rollout(**{name: FAULTY[name]}))


@pytest.mark.parametrize("clip", [(0.0, 0.2), (1.0, 0.2), (0.2, 0.0), (0.2, -1.0)])
def test_clips_that_clip_everything_are_refused(clip):
    with pytest.raises(InputError, match=r"Rollout\.clip"):
        check_rollout(Rollout(clip=clip))


def test_the_defaults_are_sound():
    check_rollout(Rollout())
    assert Rollout().clip == (0.2, 0.28)


def test_an_empty_stop_is_refused():
    with pytest.raises(InputError, match=r"Rollout\.stops is .*; set it to .* none empty"):
        check_rollout(Rollout(stops=("\ndef", "")))
