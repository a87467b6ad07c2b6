"""The loop beside its memory roofline on an accelerator, and beside transformers' at n = 100.

A Llama-like model of random weights (1B-class, unless sized otherwise) in bf16. A step has to read
all weights once, each resident prompt's cache once, and each row's own cache; divided by the rate
at which the device copies memory (measured here), that is the roofline.

    pip install torch transformers 'jax[cuda12]' -e .
    python benchmarks/sampling_gpu.py

--layers, --width and --vocab make it small enough to be tried on a CPU.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from codex_jax import model, sharding
from codex_jax.sample.engine import engine, shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import Policy

POLICY = Policy(temperature=0.8, top_p=0.95)


def bandwidth(megabytes: int = 512) -> float:
    """Bytes by second that a copy reads and writes."""
    x = jnp.zeros(megabytes << 18, jnp.float32)
    copy = jax.jit(lambda x: x + 1)
    x = jax.block_until_ready(copy(x))
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        x = jax.block_until_ready(copy(x))
        times.append(time.perf_counter() - begin)
    return 2 * x.nbytes / min(times)


def start(config, params, mesh, *, rows, samples, options):
    shape = plan(
        longest=options.prompt, samples=samples, rows=rows, new=options.new, dtype="bfloat16"
    )
    said = [b"x"] * config.vocab_size
    eos = config.vocab_size - 1
    return engine.Engine(config, params, shape, token_bytes=said, eos_id=eos, mesh=mesh)


def requests(config, rows, samples, options):
    rng = np.random.default_rng(0)
    for n in range(-(-rows // samples)):
        tokens = rng.integers(0, config.vocab_size - 1, options.prompt).tolist()
        yield Request(str(n), tokens, range(samples), POLICY)


def bytes_read(config, running, rows, samples, options) -> int:
    """Of an average step."""
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(running.params))
    a_token = 2 * config.layers * config.kv_heads * config.head_size * 2
    prompts = -(-rows // samples)
    return weights + a_token * (prompts * options.prompt + rows * options.new // 2)


def rate(config, running, rows, samples, options) -> float:
    """Tokens by second; the second of two runs, so that nothing is compiled."""
    for _ in range(2):
        asked = list(requests(config, rows, samples, options))
        begin = time.perf_counter()
        made = sum(len(sample.tokens) for sample in running.run(asked))
        seconds = time.perf_counter() - begin
    return made / seconds


def theirs(config, options) -> float:
    """Tokens by second of transformers' generate, n samples of one prompt."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    words = transformers.LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        intermediate_size=config.mlp_size,
        tie_word_embeddings=True,
    )
    loaded = transformers.LlamaForCausalLM(words).to(device, torch.bfloat16).eval()
    prompt = torch.randint(0, config.vocab_size - 1, (1, options.prompt), device=device)
    sizes = {"max_new_tokens": options.new, "min_new_tokens": options.new}
    for _ in range(2):
        begin = time.perf_counter()
        with torch.no_grad():
            made = loaded.generate(
                prompt,
                do_sample=True,
                temperature=POLICY.temperature,
                top_p=POLICY.top_p,
                top_k=0,
                num_return_sequences=options.n,
                pad_token_id=0,
                **sizes,
            )
        seconds = time.perf_counter() - begin
    return (made.shape[1] - options.prompt) * made.shape[0] / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = {"layers": 22, "width": 2048, "heads": 32, "kv": 8, "vocab": 49152}
    for name, default in (sizes | {"prompt": 200, "new": 256, "n": 100}).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--rows", default="1,8,64")
    options = parser.parse_args()
    config = model.DecoderConfig(
        vocab_size=options.vocab,
        layers=options.layers,
        width=options.width,
        heads=options.heads,
        kv_heads=options.kv,
        norm="rmsnorm",
        positions="rotary",
        activation="swiglu",
        bias=False,
        max_length=2048,
    )
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    places = jax.tree.map(lambda s: s.sharding, shardings.params_shapes(config, mesh))
    born = jax.jit(model.init, static_argnums=0, out_shardings=places)
    params = born(config, jax.random.key(0))
    memory = bandwidth()
    print(f"{jax.devices()[0].device_kind}: copies {memory / 1e9:.0f} GB/s", flush=True)
    for rows in map(int, options.rows.split(",")):
        running = start(config, params, mesh, rows=rows, samples=rows, options=options)
        found = rate(config, running, rows, rows, options)
        bound = memory / bytes_read(config, running, rows, rows, options) * rows
        print(f"{rows} rows: {found:.0f} tokens/s, {found / bound:.0%} of the roofline", flush=True)
        del running
    running = start(config, params, mesh, rows=options.n, samples=options.n, options=options)
    found = rate(config, running, options.n, options.n, options)
    del running, params
    beside = theirs(config, options)
    print(
        f"n = {options.n}: ours {found:.0f}, transformers {beside:.0f}: {found / beside:.1f} times"
    )


if __name__ == "__main__":
    main()
