"""What int8 costs and saves: log-probabilities of HumanEval's solutions, bytes held, tokens/s.

    python benchmarks/sampling_int8.py runs/smollm2 runs/smollm2.json HumanEval.jsonl.gz

(the first two are made as sampling_smollm2.py says). Every kind scores the same text: each
problem's canonical solution after its prompt, teacher-forced by the engine's own prefill, whose
attention reads keys and values as the cache keeps them. Differences are to f32, in nats a token.
pass@k is compared by `codex-jax sample --weights=int8 --cache=int8` and `evaluate`.
"""

import argparse
import time

import jax
import numpy as np

from codex_jax import checkpoint, model, sharding
from codex_jax.records import Problem, read_jsonl
from codex_jax.sample.engine import engine, shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import Policy
from codex_jax.tokenizer import Tokenizer

KINDS = {
    "f32": {},
    "bf16": {"dtype": "bfloat16"},
    "int8 weights": {"weights": "int8"},
    "int8 cache": {"cache": "int8"},
    "int8 both": {"weights": "int8", "cache": "int8"},
    "int8 both, bf16": {"weights": "int8", "cache": "int8", "dtype": "bfloat16"},
}


def started(options, text: Tokenizer, longest: int, kinds: dict[str, str]) -> engine.Engine:
    config = model.DecoderConfig.from_json(checkpoint.read_card(options.checkpoint).model)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    params = checkpoint.restore_params(options.checkpoint, shardings.params_shapes(config, mesh))
    sizes = {"longest": longest, "samples": 16, "rows": options.rows, "new": options.new}
    said = [text.token_bytes(n) for n in range(text.vocab_size)]
    shape = plan(**sizes, **kinds)
    return engine.Engine(config, params, shape, token_bytes=said, eos_id=text.eos_id, mesh=mesh)


def mib(tree) -> float:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree)) / 2**20


def scored(running: engine.Engine, texts: list[tuple[list[int], list[int]]]) -> np.ndarray:
    """Log-probability of every token of every solution."""
    found = []
    for number, (prompt, solution) in enumerate(texts):
        running.submit(Request(str(number), prompt + solution, (), echo=True))
        (told,) = running.step()
        found.append(told.logprobs[len(prompt) - 1 :])
    return np.concatenate(found)


def timed(running: engine.Engine, prompts: list[list[int]]) -> float:
    """Tokens/s of 16 samples of each prompt, programs compiled before."""
    policy = Policy(temperature=0.8, top_p=0.95)

    def asked(seed):
        return [Request(str(n), p, range(16), policy, seed) for n, p in enumerate(prompts)]

    list(running.run([asked(0)[0]._replace(new=2), *asked(0)[1:2]]))
    began = time.perf_counter()
    tokens = sum(len(sample.tokens) for sample in running.run(asked(1)))
    return tokens / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "tokenizer", "problems"):
        parser.add_argument(name)
    for name, default in {"score": 164, "time": 4, "rows": 64, "new": 64}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--kinds", default="f32,bf16,int8 weights,int8 cache,int8 both")
    options = parser.parse_args()
    text = Tokenizer.load(options.tokenizer)
    problems = list(read_jsonl(options.problems, Problem))
    texts = [(text.encode(p.prompt), text.encode(p.canonical_solution)) for p in problems]
    longest = max(len(prompt) + len(solution) for prompt, solution in texts)
    exact = None
    for name in options.kinds.split(","):
        running = started(options, text, longest, KINDS[name])
        line = f"{name}: weights {mib(running.params):.0f} MiB, "
        state = running._state
        line += f"caches {mib([state.prompts.cache, state.rows.cache]):.0f} MiB"
        if options.score:
            found = scored(running, texts[: options.score])
            exact = found if exact is None else exact
            away = found - exact
            line += (
                f"; {len(found)} tokens, mean log-probability {found.mean():.5f}, difference "
                f"mean {away.mean():+.5f}, mean of sizes {np.abs(away).mean():.5f}, "
                f"largest {np.abs(away).max():.4f}"
            )
        if options.time:
            line += (
                f"; {timed(running, [prompt for prompt, _ in texts[: options.time]]):.0f} tokens/s"
            )
        print(line, flush=True)
        del running, state


if __name__ == "__main__":
    main()
