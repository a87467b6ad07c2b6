"""SmolLM2-135M sampled by us, transformers and llama.cpp in turns: tokens by second.

Each round takes some HumanEval prompts, spread over the whole range of lengths, and both make
--n samples of --new tokens of each (end of text goes on). The matrix rate is measured between: the
model's own products, of as many rows as run, with nothing else done; it bounds tokens by second.
CPU by wall tells whether a machine was one's own: it is below two where others take its cores.

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
from codex_jax.sample.engine import engine, shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import Policy
from codex_jax.tokenizer import Tokenizer

POLICY = Policy(temperature=0.8, top_p=0.95)
UNSAID = 5  # a special token that the model doesn't say, in the place of end of text


def our_engine(options, text, longest):
    config = model.DecoderConfig.from_json(checkpoint.read_card(options.checkpoint).model)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    params = checkpoint.restore_params(options.checkpoint, shardings.params_shapes(config, mesh))
    shape = plan(
        longest=longest, samples=options.n, rows=options.rows, new=options.new, dtype=options.dtype
    )
    said = [text.token_bytes(n) for n in range(text.vocab_size)]
    return engine.Engine(config, params, shape, token_bytes=said, eos_id=UNSAID, mesh=mesh)


def ours(running, prompts, options):
    """Tokens made of every sample of the prompts."""
    requests = [
        Request(str(n), prompt, range(options.n), POLICY) for n, prompt in enumerate(prompts)
    ]
    return sum(len(sample.tokens) for sample in running.run(requests))


def theirs(torch, running, prompts, options):
    """The same by `generate`, --batch rows at a time, prompts of like length together."""
    some, made = max(1, options.batch // options.n), 0
    for first in range(0, len(prompts), some):
        batch = prompts[first : first + some]
        longest = max(map(len, batch))
        padded = [[0] * (longest - len(p)) + p for p in batch]
        seen = [[0] * (longest - len(p)) + [1] * len(p) for p in batch]
        with torch.no_grad():
            found = running.generate(
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
        made += (found.shape[1] - longest) * found.shape[0]
    return made


def continuous(torch, running, prompts, options):
    """The same by transformers' continuous batching."""
    from transformers import GenerationConfig

    wanted = GenerationConfig(
        do_sample=True,
        temperature=POLICY.temperature,
        top_p=POLICY.top_p,
        top_k=0,
        max_new_tokens=options.new,
        eos_token_id=-1,
        pad_token_id=0,
    )
    repeated = [prompt for prompt in prompts for _ in range(options.n)]
    with torch.no_grad():
        found = running.generate_batch(inputs=repeated, generation_config=wanted)
    return sum(len(output.generated_tokens) for output in found.values())


def matrices(config, params, rows):
    """A token a row, by the model's products alone; its matrices are the engine's."""
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


def measured(what, run, *args, repeat=1):
    """Tokens by second of the best of some runs."""
    rates = []
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        made = run(*args)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        rates.append((made / wall, made, cpu / wall))
    rate, made, busy = max(rates)
    print(f"{what}: {rate:.1f} tokens/s, {made} tokens, CPU by wall {busy:.2f}", flush=True)
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
        "--with", dest="beside", default="generate", help="generate,continuous,llama.cpp"
    )
    parser.add_argument("--gguf", default="", help="for llama.cpp")
    return parser.parse_args()


def llama(running, prompts, options):
    """The same by llama.cpp, from the file that the weights came from."""
    return running.sample(prompts, options.n, options.new, POLICY)


def load(options, longest):
    """What the others run with, by name."""
    beside = [name for name in options.beside.split(",") if name]
    loaded = load_torch(options, [name for name in beside if name != "llama.cpp"])
    if "llama.cpp" in beside:
        from sampling_llama_cpp import Llama

        sizes = {"rows": options.rows, "longest": longest, "new": options.new}
        loaded["llama.cpp"] = (llama, Llama(options.gguf, **sizes))
    return loaded


def load_torch(options, beside):
    """`generate` or `generate_batch`."""
    if not beside:
        return {}
    import torch
    import transformers

    kinds = {"generate": theirs, "continuous": continuous}
    loaded = {}
    for name in beside:
        found = transformers.AutoModelForCausalLM.from_pretrained(options.folder)
        loaded[name] = (kinds[name], torch, found.eval())
    return loaded


def main() -> None:
    options = parse()
    keep_freed_pages()  # as `codex-jax sample` does; PyTorch has the same memory
    text = Tokenizer.load(options.tokenizer)
    every = sorted(
        (text.encode(problem.prompt) for problem in read_jsonl(options.problems, Problem)), key=len
    )
    running = our_engine(options, text, len(every[-1]))
    products = matrices(running.config, running.params, options.rows)
    others = load(options, len(every[-1]))
    list(running.run([Request(str(n), [1] * n, [0], POLICY, new=2) for n in (64, 128, 256, 400)]))
    rates = {name: [] for name in ("matrices", "ours", *others)}
    stride = max(1, len(every) // options.prompts)
    for turn in range(options.first, options.first + options.rounds):
        some = every[turn * 7 % stride :: stride][: options.prompts]
        print(f"round {turn}: prompts of {sum(map(len, some)) / len(some):.0f} tokens", flush=True)
        rates["matrices"].append(measured("matrices", products, repeat=5))
        rates["ours"].append(measured("ours", ours, running, some, options))
        for name, (run, *fixed) in others.items():
            rates[name].append(measured(name, run, *fixed, some, options))
    middle = {name: float(np.median(found)) for name, found in rates.items()}
    for name, rate in middle.items():
        print(f"{name}: {rate:.1f} tokens/s; ours {middle['ours'] / rate:.2f} times that")
    print(f"rows busy: {running.occupancy:.1%}")


if __name__ == "__main__":
    main()
