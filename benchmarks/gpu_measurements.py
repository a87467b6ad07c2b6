"""What gpu.py measures, each a function of its own: bounds, parity, training, torch, sampling."""

import ast
import pathlib
import statistics
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]
LENGTH = {False: 2048, True: 128}  # tokens of a training row
PROMPT, NEW = {False: 200, True: 20}, {False: 256, True: 8}
_TOY = {"layers": 2, "width": 128, "heads": 2}
_TRAIN_BATCH = 16


def decoder_config(name: str, vocab_size: int, toy: bool):
    """The decoder of gin_configs/model/NAME.gin; gin itself isn't needed."""
    from codex_jax.model import DecoderConfig

    lines = (ROOT / "gin_configs" / "model" / f"{name}.gin").read_text().splitlines()
    pairs = (line.split(" = ") for line in lines if line.startswith("DecoderConfig."))
    fields = {key.removeprefix("DecoderConfig."): ast.literal_eval(value) for key, value in pairs}
    if toy:
        sizes = _TOY | {key: 1 for key in ("kv_heads",) if key in fields}
        fields |= sizes | {key: 256 for key in ("mlp_size",) if key in fields}
    return DecoderConfig(vocab_size=300 if toy else vocab_size, **fields)


def seconds_of(run: Callable[[], object], repeats: int) -> list[float]:
    """Wall times of `run`, which waits for its result, after a first call."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times


def median_seconds(run: Callable[[], object], repeats: int = 10) -> float:
    """The median of `seconds_of`."""
    return statistics.median(seconds_of(run, repeats))


def measure_rates(toy: bool) -> dict[str, float | str]:
    """The device's name, FLOP/s of matrix products, and bytes/s of copying and of reading.

    Each is 20 in one call, every one of the result before, and the best of five calls: a call at a
    time would add its launch, and a median the others' load, to a bound.
    """
    import jax
    import jax.numpy as jnp

    size, times = 256 if toy else 8192, 20
    a, b = (jax.random.normal(jax.random.key(n), (size, size), jnp.bfloat16) for n in (0, 1))
    x = jnp.ones((1 if toy else 512) << 20)

    def repeat(body: Callable, first: jax.Array, other: jax.Array) -> float:
        """Seconds of `body`, which maps a result and another array to the next result."""
        loop = jax.jit(lambda y, z: jax.lax.fori_loop(0, times, lambda _, y: body(y, z), y))
        return min(seconds_of(lambda: loop(first, other).block_until_ready(), 5)) / times

    zero = jnp.float32(0)
    return {
        "device": jax.devices()[0].device_kind,
        "flops": 2 * size**3 / repeat(jnp.matmul, a, b * size**-0.5),
        "copies": 2 * x.nbytes / repeat(lambda x, _: x * 1.0001 + 0.5, x, zero),
        "reads": x.nbytes / repeat(lambda top, x: jnp.max(x + top), zero, x),
    }


def measure_parity(_toy: bool) -> dict[str, float]:
    """Loss and gradients beside the CPU's f32, and the share of equal greedy tokens in f32."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from codex_jax import model, sharding
    from codex_jax.train.attention_choice import choose_attention
    from codex_jax.train.step import loss_sum

    sizes = {"layers": 2, "width": 256, "heads": 4, "max_length": 512}
    config = model.DecoderConfig(vocab_size=1024, **sizes)
    batch = jax.device_get(training_rows(config.vocab_size, 2, 256, segments=2))
    cpu, device = jax.devices("cpu")[0], jax.devices()[0]
    with jax.default_device(cpu):
        params = jax.device_get(jax.jit(model.init, static_argnums=0)(config, jax.random.key(0)))

    def run(device, dtype):
        attention = choose_attention(sharding.make_mesh(sharding.MeshShape(), [device]))
        precision = "float32" if dtype == "float32" else "default"
        with jax.default_matmul_precision(precision):
            step = jax.jit(
                jax.value_and_grad(
                    lambda params, batch: loss_sum(
                        config, params, batch, dtype=jnp.dtype(dtype), attention=attention
                    )
                )
            )
            loss, grads = jax.device_get(step(*jax.device_put((params, batch), device)))
        return float(loss), np.concatenate([leaf.ravel() for leaf in jax.tree.leaves(grads)])

    expected_loss, expected = run(cpu, "float32")
    result = {}
    for dtype in ("float32", "bfloat16"):
        loss, grads = run(device, dtype)
        error = np.linalg.norm(grads - expected) / np.linalg.norm(expected)
        result |= {f"{dtype} loss": abs(loss / expected_loss - 1), f"{dtype} gradients": error}
    with jax.default_matmul_precision("float32"):
        tokens = [greedy_tokens(config, params, each) for each in (cpu, device)]
    return {key: float(value) for key, value in result.items()} | {
        "greedy tokens": sum(a == b for a, b in zip(*tokens, strict=True)) / len(tokens[0])
    }


def make_engine(config, params, device, *, rows, samples, prompt, new, **dtypes):
    """An engine on one device, its vocabulary without meaning."""
    from codex_jax import sharding
    from codex_jax.sample.engine.capacity import plan
    from codex_jax.sample.engine.engine import Engine

    sizes = {"max_prompt_tokens": prompt, "samples_per_prompt": samples, "max_new_tokens": new}
    shape = plan(rows=rows, platform=device.platform, **sizes, **dtypes)
    mesh = sharding.make_mesh(sharding.MeshShape(), [device])
    eos_ids = [config.vocab_size - 1]
    token_bytes = [b"x"] * config.vocab_size
    return Engine(config, params, shape, token_bytes=token_bytes, eos_ids=eos_ids, mesh=mesh)


def requests(config, *, rows: int, samples: int, prompt: int, temperature: float) -> Iterator:
    """Random prompts, `samples` samples of each, enough to fill the rows once."""
    import numpy as np

    from codex_jax.sample.engine.requests import Request
    from codex_jax.sample.sampling.params import SamplingParams

    policy = SamplingParams(temperature=temperature, top_p=0.95 if temperature else 1.0)
    drawn = np.random.default_rng(0)
    for number in range(-(-rows // samples)):
        tokens = drawn.integers(0, config.vocab_size - 1, prompt).tolist()
        yield Request(str(number), tokens, range(samples), policy)


def greedy_tokens(config, params, device) -> list[int]:
    """Greedy tokens of eight random prompts in f32."""
    import jax

    with jax.default_device(device):
        sizes = {"rows": 8, "samples": 1, "prompt": 32}
        engine = make_engine(config, jax.device_put(params, device), device, new=32, **sizes)
        done = sorted(engine.run(requests(config, temperature=0.0, **sizes)))
    return [int(token) for sample in done for token in sample.tokens]


def training_rows(vocab_size: int, batch: int, length: int, segments: int):
    """Rows of random tokens, each in so many segments of equal length."""
    import jax
    import numpy as np

    from codex_jax.records import Batch

    shape = batch, length + 1
    ids = np.random.default_rng(0).integers(0, vocab_size, shape).astype(np.int32)
    index = np.broadcast_to(np.arange(length, dtype=np.int32), (batch, length))
    size = length // segments
    weights = np.ones((batch, length), np.float32)
    rows = Batch(ids[:, :-1], ids[:, 1:], index // size + 1, index % size, weights)
    return jax.device_put(rows)


def measure_train(toy: bool, batch: int = _TRAIN_BATCH) -> dict[str, float]:
    """The 300M decoder's step as `train` compiles it: bf16 products over f32 weights.

    Rows are one segment each, as torch's are; `packed_tokens_per_s` is of rows of eight. FLOPs are
    those of rows of one segment.
    """
    import jax

    from codex_jax import model, sharding
    from codex_jax.train import optimizer, state
    from codex_jax.train.compute import Compute, jit_step

    config, T = decoder_config("300m", 50_257, toy), LENGTH[toy]
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    tx = optimizer.make(optimizer.Optimizer(), steps=1000, axes=model.abstract_params(config)[1])
    step = jit_step(config, tx, Compute(dtype="bfloat16", loss_chunks=8), mesh)
    carried = state.init_sharded(config, tx, mesh, seed=0)
    whole, packed = (training_rows(config.vocab_size, batch, T, n) for n in (1, 8))

    def run(rows, steps: int = 4):
        nonlocal carried
        for _ in range(steps):
            carried, metrics = step(carried, rows)
        return float(metrics["loss"])

    start = time.perf_counter()
    run(whole, 1)
    compile_s = time.perf_counter() - start
    repeats = 2 if toy else 4
    seconds, packed_s = (
        median_seconds(lambda rows=rows: run(rows), repeats) / 4 for rows in (whole, packed)
    )
    return {
        "tokens_per_s": batch * T / seconds,
        "packed_tokens_per_s": batch * T / packed_s,
        "flops": batch * T * config.flops_per_token(T) / seconds,
        "compile_s": compile_s,
    }


def measure_torch(toy: bool, batch: int = _TRAIN_BATCH) -> dict[str, float]:
    """A GPT-2 of the same shape by transformers: torch.compile, SDPA, autocast, fused AdamW."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    shape, T = decoder_config("300m", 50_257, toy), LENGTH[toy]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    config = GPT2Config(
        vocab_size=shape.vocab_size,
        n_positions=shape.max_length,
        n_embd=shape.width,
        n_layer=shape.layers,
        n_head=shape.heads,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0),
        use_cache=False,
        attn_implementation="sdpa",
    )
    torch.set_float32_matmul_precision("high")
    decoder = GPT2LMHeadModel(config).to(device).train()
    adamw = torch.optim.AdamW(decoder.parameters(), lr=6e-4, fused=device == "cuda")
    ids = torch.randint(0, shape.vocab_size, (batch, T + 1), device=device)
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()

    def loss_of(inputs, targets):
        logits = decoder(input_ids=inputs).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    compiled = loss_of if toy else torch.compile(loss_of)

    def run(steps: int = 4):
        for _ in range(steps):
            with torch.autocast(device, torch.bfloat16):
                loss = compiled(inputs, targets)
            loss.backward()
            adamw.step()
            adamw.zero_grad(set_to_none=True)
        return loss.item()

    start = time.perf_counter()
    run(1)
    compile_s = time.perf_counter() - start
    seconds = median_seconds(run, 2 if toy else 4) / 4
    return {"tokens_per_s": batch * T / seconds, "compile_s": compile_s}


def measure_sample(toy: bool, name: str, rows: int, dtype: str = "bfloat16") -> dict[str, float]:
    """Steps of `rows` samples of one prompt, beside the bytes that a step must read."""
    import jax

    from codex_jax import model, sharding
    from codex_jax.sample.engine import shardings

    config, device = decoder_config(name, 49_152, toy), jax.devices()[0]
    mesh = sharding.make_mesh(sharding.MeshShape(), [device])
    layout = jax.tree.map(lambda shape: shape.sharding, shardings.params_shapes(config, mesh))
    params = jax.jit(model.init, static_argnums=0, out_shardings=layout)(config, jax.random.key(0))
    sizes = {"rows": rows, "samples": rows, "prompt": PROMPT[toy]}
    dtypes = {"dtype": "bfloat16", "weights_dtype": dtype, "kv_cache_dtype": dtype}
    start = time.perf_counter()
    engine = make_engine(config, params, device, new=NEW[toy], **sizes, **dtypes)
    del params

    def run():
        return sum(len(s.tokens) for s in engine.run(requests(config, temperature=0.8, **sizes)))

    tokens = run()
    first_s = time.perf_counter() - start
    seconds = median_seconds(run, 3)
    weights = sum(leaf.nbytes for leaf in jax.tree.leaves(engine.params))
    values = 2 * config.layers * config.kv_heads
    position = values * (config.head_size + 4 if dtype == "int8" else 2 * config.head_size)
    needed = weights + position * (PROMPT[toy] + rows * NEW[toy] // 2)
    step_s = seconds / (tokens / rows)
    return {
        "tokens_per_s": tokens / seconds,
        "step_ms": 1e3 * step_s,
        "bytes_per_s": needed / step_s,
        "first_s": first_s,
    }


BY_NAME: dict[str, Callable[..., dict]] = {
    "rates": measure_rates,
    "parity": measure_parity,
    "train": measure_train,
    "torch": measure_torch,
    "sample": measure_sample,
}
