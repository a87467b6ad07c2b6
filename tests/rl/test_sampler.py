"""The sampler on the trainer's weights: new weights without a compilation or an old prompt."""

import jax
import numpy as np
import pytest

from codex_jax import InputError, checkpoint, model, sharding
from codex_jax.model import DecoderConfig
from codex_jax.rl.prompts import Prompt
from codex_jax.rl.sampler import Sampler, SamplerSettings, check_sizes
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.sample.sampling.text_ends import read_ends
from codex_jax.sharding import MeshShape
from codex_jax.tokenizer import Tokenizer

SETTINGS = SamplerSettings(4, 8, 12, (), SamplingParams(temperature=1.0, top_p=1.0), "float32")


@pytest.fixture(scope="module")
def policy(checkpoint_of_random_weights):
    """(config, params of two models, tokenizer, card)."""
    folder, path = checkpoint_of_random_weights
    card = checkpoint.read_card(folder)
    config = DecoderConfig.from_json(card.model)
    init = jax.jit(model.init, static_argnums=0)
    return config, [init(config, jax.random.key(n)) for n in (0, 1)], Tokenizer.load(path), card


def make_sampler(policy, params, devices=1):
    config, _, bpe, card = policy
    mesh = sharding.make_mesh(MeshShape(), jax.devices()[:devices])
    placed = jax.device_put(params, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))
    return Sampler(config, placed, mesh, bpe, read_ends(card, bpe), SETTINGS, longest_prompt=9)


def tokens_of(groups):
    return [sample.tokens.tolist() for group in groups for sample in group.samples]


@pytest.fixture(scope="module")
def prompts(policy):
    texts = ["def f(x):", "    return", "x"]
    return [Prompt(f"t/{n}", text, policy[2].encode(text)) for n, text in enumerate(texts)]


def test_new_weights_sample_as_an_engine_of_their_own(policy, prompts):
    first, second = policy[1]
    sampler, reference = make_sampler(policy, first), make_sampler(policy, second)
    before = sampler.sample(prompts, 7)
    sampler.replace_params(jax.tree.map(lambda x: x + 0, second))
    after = sampler.sample(prompts, 7)
    assert tokens_of(after) == tokens_of(reference.sample(prompts, 7)) != tokens_of(before)
    for group, prompt in zip(after, prompts, strict=True):
        assert group.prompt is prompt
        assert [sample.sample_index for sample in group.samples] == [0, 1, 2, 3]
        assert len(group.texts) == 4
    assert tokens_of(sampler.sample(prompts, 8)) != tokens_of(after)


def test_weights_may_be_donated_after_they_are_taken(policy, prompts):
    first, second = policy[1]
    sampler = make_sampler(policy, first)
    step = jax.jit(lambda params: jax.tree.map(lambda x: x * 1, params), donate_argnums=0)
    params = jax.tree.map(lambda x: x + 0, second)
    outputs = []
    for _ in range(3):
        sampler.replace_params(params)
        outputs.append(tokens_of(sampler.sample(prompts, 7)))
        params = step(params)
    assert outputs[0] == outputs[1] == outputs[2]


def test_log_probabilities_are_the_models(policy, prompts):
    config, (first, _), *_ = policy
    (group, *_) = make_sampler(policy, first).sample(prompts, 3)
    sample = group.samples[0]
    text = np.array([*group.prompt.tokens, *sample.tokens], np.int32)[None]
    from codex_jax.model.attention.core import packed_attention

    positions = np.arange(text.shape[1], dtype=np.int32)[None]
    attend = packed_attention(jax.numpy.ones_like(text))
    hidden, _ = model.forward(
        config, first, jax.numpy.asarray(text), jax.numpy.asarray(positions), attend
    )
    logprobs = jax.nn.log_softmax(model.unembed(config, first, hidden[0]))
    start = len(group.prompt.tokens) - 1
    expected = logprobs[np.arange(start, text.shape[1] - 1), sample.tokens]
    np.testing.assert_allclose(sample.logprobs, expected, atol=1e-4)


FAULTY = {
    "rows": (MeshShape(fsdp=8), 12, "sampler_rows is 12; set it to a multiple of the 8"),
    "tensor": (MeshShape(fsdp=2, tensor=4), 8, "MeshShape.tensor is 4; set it to a divisor"),
    "context": (MeshShape(fsdp=4, context=2), 8, "MeshShape.context is 2; set it to 1"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_sizes_that_do_not_divide_are_refused(policy, name):
    shape, rows, message = FAULTY[name]
    with pytest.raises(InputError, match=message):
        check_sizes(policy[0], sharding.make_mesh(shape), rows)
