"""Compares the loop with its memory roofline on an accelerator, and with transformers at n = 100.

The model is Llama-like with random weights (1B-class by default) in bf16. A step has to read
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
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams

PARAMS = SamplingParams(temperature=0.8, top_p=0.95)


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


def start_engine(config, params, mesh, *, rows, samples, options):
    shape = plan(
        max_prompt_tokens=options.prompt,
        samples_per_prompt=samples,
        rows=rows,
        max_new_tokens=options.new,
        dtype="bfloat16",
    )
    token_bytes = [b"x"] * config.vocab_size
    eos = config.vocab_size - 1
    return Engine(config, params, shape, token_bytes=token_bytes, eos_id=eos, mesh=mesh)


def requests(config, rows, samples, options):
    rng = np.random.default_rng(0)
    for n in range(-(-rows // samples)):
        tokens = rng.integers(0, config.vocab_size - 1, options.prompt).tolist()
        yield Request(str(n), tokens, range(samples), PARAMS)


def bytes_read(config, engine, rows, samples, options) -> int:
    """Bytes that an average step reads."""
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(engine.params))
    a_token = 2 * config.layers * config.kv_heads * config.head_size * 2
    prompts = -(-rows // samples)
    return weights + a_token * (prompts * options.prompt + rows * options.new // 2)


def measure_rate(config, engine, rows, samples, options) -> float:
    """Tokens by second; the second of two runs, so that nothing is compiled."""
    for _ in range(2):
        batch = list(requests(config, rows, samples, options))
        begin = time.perf_counter()
        tokens = sum(len(sample.tokens) for sample in engine.run(batch))
        seconds = time.perf_counter() - begin
    return tokens / seconds


def measure_transformers(config, options) -> float:
    """Tokens by second of transformers' generate, n samples of one prompt."""
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    llama_config = transformers.LlamaConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.width,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        num_key_value_heads=config.kv_heads,
        intermediate_size=config.mlp_size,
        tie_word_embeddings=True,
    )
    loaded = transformers.LlamaForCausalLM(llama_config).to(device, torch.bfloat16).eval()
    prompt = torch.randint(0, config.vocab_size - 1, (1, options.prompt), device=device)
    sizes = {"max_new_tokens": options.new, "min_new_tokens": options.new}
    for _ in range(2):
        begin = time.perf_counter()
        with torch.no_grad():
            output = loaded.generate(
                prompt,
                do_sample=True,
                temperature=PARAMS.temperature,
                top_p=PARAMS.top_p,
                top_k=0,
                num_return_sequences=options.n,
                pad_token_id=0,
                **sizes,
            )
        seconds = time.perf_counter() - begin
    return (output.shape[1] - options.prompt) * output.shape[0] / seconds


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
    param_shardings = jax.tree.map(lambda s: s.sharding, shardings.params_shapes(config, mesh))
    init = jax.jit(model.init, static_argnums=0, out_shardings=param_shardings)
    params = init(config, jax.random.key(0))
    memory = bandwidth()
    print(f"{jax.devices()[0].device_kind}: copies {memory / 1e9:.0f} GB/s", flush=True)
    for rows in map(int, options.rows.split(",")):
        engine = start_engine(config, params, mesh, rows=rows, samples=rows, options=options)
        rate = measure_rate(config, engine, rows, rows, options)
        bound = memory / bytes_read(config, engine, rows, rows, options) * rows
        print(f"{rows} rows: {rate:.0f} tokens/s, {rate / bound:.0%} of the roofline", flush=True)
        del engine
    engine = start_engine(config, params, mesh, rows=options.n, samples=options.n, options=options)
    rate = measure_rate(config, engine, options.n, options.n, options)
    del engine, params
    transformers_rate = measure_transformers(config, options)
    print(
        f"n = {options.n}: {rate:.0f}, transformers {transformers_rate:.0f}: "
        f"{rate / transformers_rate:.1f} times"
    )


if __name__ == "__main__":
    main()
