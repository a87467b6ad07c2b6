"""A checkpoint of random weights with its tokenizer, and problems to sample."""

import json

import jax
import pytest

from codex_jax import checkpoint, model
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.tokenizer import Tokenizer

PROBLEMS = [{"task_id": f"t/{n}", "prompt": f"def f{n}(x):\n" + "    # é\n" * n} for n in range(6)]


def write_problems(path, problems=PROBLEMS):
    path.write_text("".join(json.dumps(p) + "\n" for p in problems))
    return str(path)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Arguments of `generate` for a checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("trained")
    bpe = Tokenizer.train(["def f(x):\n    return x\n"] * 3, vocab_size=400)
    bpe.save(folder / "tokenizer.json")
    config = model.DecoderConfig(
        vocab_size=bpe.vocab_size, layers=1, width=32, heads=2, max_length=256
    )
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    saved = checkpoint.Checkpoints(folder / "checkpoint")
    card = checkpoint.Card(model=config.to_json(), tokenizer_hash=bpe.hash)
    saved.save(5, params, {"step": 5}, card)
    saved.finish()
    saved.close()
    return {
        "checkpoint_dir": str(folder / "checkpoint"),
        "tokenizer": str(folder / "tokenizer.json"),
        "problems": write_problems(folder / "problems.jsonl"),
        "sampling_params": SamplingParams(temperature=1.0),
        "samples_per_problem": 3,
        "max_new_tokens": 20,
        "batch_size": 8,
    }
