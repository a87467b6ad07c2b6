"""A small run of `learn` as a program of its own: python -m tests.rl.run_once SETTINGS_AS_JSON."""

import json
import sys

import jax


def main(text: str) -> None:
    """Runs; with several processes it joins them first."""
    settings = json.loads(text)
    processes, process, address = settings.pop("join", (1, 0, ""))
    if processes > 1:
        jax.distributed.initialize(address, processes, process)
    from codex_jax.rl.judging import Sandbox
    from codex_jax.rl.policy import learn
    from codex_jax.sample.sampling.params import SamplingParams
    from codex_jax.tokenizer import Tokenizer
    from codex_jax.train.optimizer import Optimizer
    from tests.rl.conftest import SMALL

    eos = Tokenizer.load(settings["tokenizer"]).eos_id
    learn(
        rollout=SMALL,
        rewards=("tests.rl.own_rewards:count_vowels",),
        sandbox=Sandbox(backend=settings.pop("backend"), workers=1),
        sampling_params=SamplingParams(temperature=1.0, top_p=1.0, logit_bias={eos: 4.0}),
        optimizer=Optimizer(learning_rate=1e-2, warmup_steps=1, schedule="constant"),
        **settings,
    )


if __name__ == "__main__":
    main(sys.argv[1])
