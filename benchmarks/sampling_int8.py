"""Measures int8's cost: log-probabilities of HumanEval's solutions, bytes stored, tokens/s.

    python benchmarks/sampling_int8.py runs/smollm2 runs/smollm2.json HumanEval.jsonl.gz

(sampling_smollm2.py says how to make the first two). Every variant scores the same text: each
problem's canonical solution after its prompt, teacher-forced by the engine's own prefill, whose
attention reads keys and values as the cache stores them. Differences are to f32, in nats a token.
pass@k is compared by `codex-jax sample --weights_dtype=int8 --kv_cache_dtype=int8` and `evaluate`.
"""

import argparse
import time

import jax
import numpy as np

from codex_jax import checkpoint, model, sharding
from codex_jax.records import Problem, read_jsonl
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.tokenizer import Tokenizer

VARIANTS = {
    "f32": {},
    "bf16": {"dtype": "bfloat16"},
    "int8 weights": {"weights_dtype": "int8"},
    "int8 cache": {"kv_cache_dtype": "int8"},
    "int8 both": {"weights_dtype": "int8", "kv_cache_dtype": "int8"},
    "int8 both, bf16": {"weights_dtype": "int8", "kv_cache_dtype": "int8", "dtype": "bfloat16"},
}


def start_engine(options, tokenizer: Tokenizer, longest: int, dtypes: dict[str, str]) -> Engine:
    config = model.DecoderConfig.from_json(checkpoint.read_card(options.checkpoint).model)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    params = checkpoint.restore_params(options.checkpoint, shardings.params_shapes(config, mesh))
    sizes = {"max_prompt_tokens": longest, "samples_per_prompt": 16}
    sizes |= {"rows": options.rows, "max_new_tokens": options.new}
    token_bytes = [tokenizer.token_bytes(n) for n in range(tokenizer.vocab_size)]
    shape = plan(**sizes, **dtypes)
    return Engine(
        config, params, shape, token_bytes=token_bytes, eos_ids=[tokenizer.eos_id], mesh=mesh
    )


def mib(tree) -> float:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) / 2**20


def score_solutions(engine: Engine, texts: list[tuple[list[int], list[int]]]) -> np.ndarray:
    """Log-probability of every token of every solution."""
    logprobs = []
    for number, (prompt, solution) in enumerate(texts):
        engine.submit(Request(str(number), prompt + solution, (), echo=True))
        (output,) = engine.step()
        logprobs.append(output.logprobs[len(prompt) - 1 :])
    return np.concatenate(logprobs)


def measure_rate(engine: Engine, prompts: list[list[int]]) -> float:
    """Tokens/s of 16 samples of each prompt, programs compiled before."""
    params = SamplingParams(temperature=0.8, top_p=0.95)

    def requests(seed):
        return [Request(str(n), p, range(16), params, seed) for n, p in enumerate(prompts)]

    list(engine.run([requests(0)[0]._replace(max_new_tokens=2), *requests(0)[1:2]]))
    began = time.perf_counter()
    tokens = sum(len(sample.tokens) for sample in engine.run(requests(1)))
    return tokens / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "tokenizer", "problems"):
        parser.add_argument(name)
    for name, default in {"score": 164, "time": 4, "rows": 64, "new": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--variants", default="f32,bf16,int8 weights,int8 cache,int8 both")
    options = parser.parse_args()
    tokenizer = Tokenizer.load(options.tokenizer)
    problems = list(read_jsonl(options.problems, Problem))
    texts = [(tokenizer.encode(p.prompt), tokenizer.encode(p.canonical_solution)) for p in problems]
    longest = max(len(prompt) + len(solution) for prompt, solution in texts)
    exact = None
    for name in options.variants.split(","):
        engine = start_engine(options, tokenizer, longest, VARIANTS[name])
        line = f"{name}: weights {mib(engine.params):.0f} MiB, "
        state = engine._executor.state
        line += f"caches {mib([state.prompts.cache, state.rows.cache]):.0f} MiB"
        if options.score:
            logprobs = score_solutions(engine, texts[: options.score])
            exact = logprobs if exact is None else exact
            difference = logprobs - exact
            line += (
                f"; {len(logprobs)} tokens, mean log-probability {logprobs.mean():.5f}, difference "
                f"mean {difference.mean():+.5f}, mean of sizes {np.abs(difference).mean():.5f}, "
                f"largest {np.abs(difference).max():.4f}"
            )
        if options.time:
            rate = measure_rate(engine, [prompt for prompt, _ in texts[: options.time]])
            line += f"; {rate:.0f} tokens/s"
        print(line, flush=True)
        del engine, state


if __name__ == "__main__":
    main()
