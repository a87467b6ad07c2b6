"""A checkpoint of random weights with its tokenizer, and problems to learn from."""

import jax
import pytest

from codex_jax import checkpoint, model
from codex_jax.records import Problem, write_jsonl
from codex_jax.rl.judging import Sandbox
from codex_jax.rl.rollout import Rollout
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.tokenizer import Tokenizer

SMALL = Rollout(
    prompts_per_batch=2,
    samples_per_prompt=4,
    refills=0,
    max_new_tokens=8,
    stops=(),
    sampler_rows=8,
)


def make_problem(n, **fields):
    """A problem that f(x) = x + n solves; whatever is written behind its # solves it too."""
    defaults = {
        "task_id": f"t/{n}",
        "prompt": f"def f(x):\n    return x + {n}  #",
        "entry_point": "f",
        "test": "def check(candidate):\n"
        + "".join(f"    assert candidate({k}) == {k + n}\n" for k in range(4)),
        "canonical_solution": "\n",
    }
    return Problem(**defaults | fields)


def make_problems(count=6, **fields):
    return {f"t/{n}": make_problem(n, **fields) for n in range(count)}


@pytest.fixture(scope="session")
def checkpoint_of_random_weights(tmp_path_factory):
    """(checkpoint folder, tokenizer's path)."""
    folder = tmp_path_factory.mktemp("policy")
    bpe = Tokenizer.train(["def f(x):\n    return x + 1\n"] * 3, vocab_size=360)
    bpe.save(folder / "tokenizer.json")
    config = model.DecoderConfig(
        vocab_size=bpe.vocab_size, layers=1, width=32, heads=2, max_length=64
    )
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    with checkpoint.Checkpoints(folder / "checkpoint") as saved:
        card = checkpoint.Card(model=config.to_json(), tokenizer_hash=bpe.hash)
        saved.save(5, params, {"step": 5}, card)
    return str(folder / "checkpoint"), str(folder / "tokenizer.json")


@pytest.fixture
def settings(checkpoint_of_random_weights, sandbox_name, tmp_path):
    """Arguments of `learn` for a run of three small batches."""
    init_from, tokenizer = checkpoint_of_random_weights
    write_jsonl(tmp_path / "problems.jsonl", make_problems().values())
    return {
        "problems": str(tmp_path / "problems.jsonl"),
        "tokenizer": tokenizer,
        "init_from": init_from,
        "checkpoint_dir": str(tmp_path / "run"),
        "steps": 3,
        "rollout": SMALL,
        # Random weights hardly ever end a text: samples would all be cut, and masked.
        "sampling_params": SamplingParams(
            temperature=1.0, top_p=1.0, logit_bias={Tokenizer.load(tokenizer).eos_id: 4.0}
        ),
        "sandbox": Sandbox(backend=sandbox_name, workers=1),
        "rewards": ("tests.rl.own_rewards:count_vowels",),
    }
