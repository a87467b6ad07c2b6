import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.load import load_engine, read_card
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer


def test_a_loaded_engine_samples_alike_whatever_prompt_was_compiled_first(trained):
    bpe = Tokenizer.load(trained["tokenizer"])
    card = read_card(trained["checkpoint_dir"], 5, trained["tokenizer"], bpe)
    assert card.step == 5
    shape = plan(max_prompt_tokens=70, samples_per_prompt=1, rows=8, max_new_tokens=6)
    request = Request("a", bpe.encode("def f(x):"), sampling_params=SamplingParams(temperature=0.0))
    samples = []
    for prompt_tokens in (1, 70):
        engine = load_engine(
            trained["checkpoint_dir"], card, shape, MeshShape(), bpe, prompt_tokens=prompt_tokens
        )
        samples.append(next(engine.run([request])))
    np.testing.assert_array_equal(samples[0].tokens, samples[1].tokens)
    np.testing.assert_array_equal(samples[0].logprobs, samples[1].logprobs)


def test_another_tokenizer_is_refused(trained, tmp_path):
    other = Tokenizer.train(["something else\n"] * 3, vocab_size=400)
    with pytest.raises(InputError, match=r"other\.json has hash .*; set tokenizer to the file"):
        read_card(trained["checkpoint_dir"], None, str(tmp_path / "other.json"), other)
