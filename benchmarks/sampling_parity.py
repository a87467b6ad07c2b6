"""Whether imported models say what transformers' say: logits, greedy tokens, log-probabilities, χ².

Every family is a small model of theirs with random weights, saved by transformers and imported by
`codex-jax import`; SmolLM2-135M is itself. Prompts are HumanEval's.

    pip install torch transformers -e '.[weights]'
    python benchmarks/sampling_parity.py runs/smollm2 runs/smollm2.json runs/smollm2-hf \
        HumanEval.jsonl.gz

(the first three are made as sampling_smollm2.py says). --greedy limits the prompts that are
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
from codex_jax.sample.engine import engine, shardings
from codex_jax.sample.engine.capacity import bucket, plan
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import Policy
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
    """One of theirs, scaled so that its logits are far from uniform; its folder but a tokenizer."""
    torch.manual_seed(0)
    names = {"bos_token_id": 0, "eos_token_id": 0}
    config = getattr(transformers, f"{family}Config")(
        vocab_size=vocab_size, **FAMILIES[family], **names
    )
    kind = "LMHeadModel" if family == "GPT2" else "ForCausalLM"
    theirs = getattr(transformers, family + kind)(config)
    with torch.no_grad():
        for weight in theirs.parameters():
            weight.mul_(3.0) if weight.ndim > 1 else weight.add_(0.1 * torch.randn(weight.shape))
    theirs.save_pretrained(folder)
    return theirs.eval()


def restored(folder):
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


def compare_logits(name, config, params, theirs, prompts, torch):
    ours, worst = logits_of(config), 0.0
    for prompt in prompts:
        found = ours(params, prompt)
        with torch.no_grad():
            wanted = theirs(torch.tensor([prompt])).logits[0].numpy()[:, : found.shape[1]]
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    print(f"{name}: logits of {len(prompts)} prompts within {worst:.1e} of the largest", flush=True)


def start(config, params, mesh, text, prompts, *, samples, rows, new):
    shape = plan(longest=max(map(len, prompts)), samples=samples, rows=rows, new=new)
    said = [text.token_bytes(n) for n in range(text.vocab_size)]
    return engine.Engine(config, params, shape, token_bytes=said, eos_id=text.eos_id, mesh=mesh)


def compare_greedy(config, params, mesh, theirs, text, prompts, options, torch):
    """Our greedy tokens beside what their logits say at each place of our text, teacher-forced.

    A difference counts as a tie where their two logits are closer than the parity of all logits.
    """
    running = start(config, params, mesh, text, prompts, samples=1, rows=32, new=options.new)
    policy = Policy(temperature=0)
    requests = [Request(str(n), p, [0], policy) for n, p in enumerate(prompts)]
    tokens = ties = wrong = 0
    gap = 0.0
    for sample in running.run(requests):
        prompt, said = prompts[int(sample.name)], sample.tokens.tolist()
        with torch.no_grad():
            logits = theirs(torch.tensor([prompt + said[:-1]])).logits[0, len(prompt) - 1 :]
        logprobs = torch.log_softmax(logits.double(), -1).numpy()
        ours = logprobs[np.arange(len(said)), said]
        gap = max(gap, float(np.abs(ours - sample.logprobs).max()))
        missing = logprobs.max(axis=-1) - ours
        close = 1e-4 * np.abs(logits.numpy()).max()
        tokens += len(said)
        ties += int(((missing > 0) & (missing <= close)).sum())
        wrong += int((missing > close).sum())
    print(
        f"greedy: {tokens} tokens of {len(prompts)} prompts, {wrong} other than theirs, "
        f"{ties} ties; "
        f"log-probabilities within {gap:.1e} of a teacher-forced pass of theirs",
        flush=True,
    )


def draw(config, params, mesh, text, prompts, options):
    """First tokens against the exact softmax; mean log-probability against a whole pass."""
    running = start(config, params, mesh, text, prompts, samples=options.drawn, rows=64, new=8)
    ours = logits_of(config)
    policy = Policy(temperature=0.8, top_p=1.0)
    for n, prompt in enumerate(prompts):
        made = list(
            running.run([Request(str(n), prompt, range(options.drawn), policy, seed=n, new=1)])
        )
        scaled = ours(params, prompt)[-1].astype("d") / policy.temperature
        p = np.exp(scaled - np.logaddexp.reduce(scaled))
        counts = np.bincount([s.tokens[0] for s in made], minlength=len(p))
        often = p * options.drawn >= 5
        observed = np.append(counts[often], counts[~often].sum())
        expected = np.append(p[often], p[~often].sum()) * options.drawn
        found = stats.chisquare(observed, expected * observed.sum() / expected.sum())
        print(f"χ² of {options.drawn} draws over {len(observed)} cells: p = {found.pvalue:.3f}")
    some = [Request(f"s{n}", p, range(8), policy, seed=1) for n, p in enumerate(prompts)]
    told, exact = [], []
    for sample in running.run(some):
        prompt, said = prompts[int(sample.name[1:])], sample.tokens.tolist()
        whole = ours(params, prompt + said[:-1])[len(prompt) - 1 :].astype("d")
        logprobs = whole - np.logaddexp.reduce(whole, axis=-1, keepdims=True)
        told.extend(sample.logprobs)
        exact.extend(logprobs[np.arange(len(said)), said])
    print(f"mean log-probability of samples {np.mean(told):.6f}, in one pass {np.mean(exact):.6f}")


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

    text = Tokenizer.load(options.tokenizer)
    prompts = [text.encode(problem.prompt) for problem in read_jsonl(options.problems, Problem)]
    for family in filter(None, options.families.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            theirs = random_model(transformers, torch, family, text.vocab_size, root / "theirs")
            text.export(root / "theirs")
            import_weights(
                source=str(root / "theirs"), output=str(root / "c"), tokenizer=str(root / "t.json")
            )
            config, params, _ = restored(root / "c")
            compare_logits(family, config, params, theirs, prompts[: options.prompts], torch)
    config, params, mesh = restored(options.checkpoint)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(options.folder).eval()
    compare_logits("SmolLM2", config, params, theirs, prompts[: options.prompts], torch)
    compare_greedy(config, params, mesh, theirs, text, prompts[: options.greedy], options, torch)
    draw(config, params, mesh, text, prompts[:3], options)


if __name__ == "__main__":
    main()
