"""A training step beside transformers' GPT-2 of the same shape under PyTorch's AdamW, in one run.

    pip install -e . && python -m venv torch && torch/bin/pip install torch==2.13.0 transformers
    python benchmarks/train_step.py --torch torch/bin/python
    python benchmarks/train_step.py --torch torch/bin/python --device gpu

Each side is a process of its own; they alternate, step by step, on the same random tokens, for
every batch size. What compiles or warms up isn't timed. By default the 85M decoder, rows of
512, f32, on the CPU, theirs eager (--compile for torch.compile); with --device=gpu the 300M one,
rows of 2048, bf16 products over f32 weights, theirs torch.compile, and both sides also as a part
of the rate at which their own library multiplies matrices of 8192 there. Batches that don't fit
the memory are left out. CPU seconds are shown too, for machines that others use as well.
"""

import argparse
import ast
import json
import pathlib
import statistics
import subprocess
import sys
import time

_VOCABULARY = 50_257
_CLOCKS = ("seconds", "cpu")
_DEVICES = {
    "cpu": {"model": "85m", "length": 512, "dtype": "float32", "batches": [2, 4]},
    "gpu": {"model": "300m", "length": 2048, "dtype": "bfloat16", "batches": [4, 8, 16, 24, 32]},
}


def rows(batch: int, length: int):
    """Draws a random batch: tokens and their successors."""
    import numpy as np

    drawn = np.random.default_rng(batch).integers(0, _VOCABULARY, (batch, length + 1))
    return drawn[:, :-1], drawn[:, 1:]


def timed_step(side, batch: int) -> dict[str, float]:
    """A step's loss, and its seconds by the wall and of the processor."""
    begin, cpu = time.perf_counter(), time.process_time()
    loss = side.run_step(batch)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    return {"loss": loss, "seconds": seconds, "cpu": cpu}


def timed_product(side) -> dict[str, float]:
    """Seconds of ten products of 8192 × 8192 matrices, after a first one."""
    multiply = side.product()
    multiply()
    begin = time.perf_counter()
    for _ in range(10):
        multiply()
    return {"seconds": time.perf_counter() - begin}


def decoder_config(name: str):
    """The decoder that gin_configs describe."""
    from codex_jax.main import gin_files
    from codex_jax.model import DecoderConfig

    lines = gin_files.find_config(f"model/{name}.gin").read_text().splitlines()
    pairs = (line.split(" = ") for line in lines if line.startswith("DecoderConfig."))
    fields = {key.removeprefix("DecoderConfig."): ast.literal_eval(value) for key, value in pairs}
    return DecoderConfig(vocab_size=_VOCABULARY, **fields)


class Ours:
    """The jitted step that `train` runs."""

    def __init__(self, options):
        import jax

        from codex_jax import model, sharding
        from codex_jax.host_runtime import keep_freed_pages
        from codex_jax.train import optimizer, state
        from codex_jax.train.compute import Compute, jit_step

        keep_freed_pages()  # as `codex-jax train` does
        self.jax, self.options = jax, options
        config = decoder_config(options.model)
        mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
        axes = model.abstract_params(config)[1]
        tx = optimizer.make(optimizer.Optimizer(), steps=1000, axes=axes)
        compute = Compute(dtype=options.dtype, loss_chunks=options.loss_chunks, remat=options.remat)
        self.state = state.init_sharded(config, tx, mesh, seed=0)
        self.step = jit_step(config, tx, compute, mesh)

    def run_step(self, batch: int) -> float:
        import numpy as np

        from codex_jax.records import Batch
        from codex_jax.train.step_loop import limit_memory

        tokens, targets = (x.astype(np.int32) for x in rows(batch, self.options.length))
        positions = np.tile(np.arange(self.options.length, dtype=np.int32), (batch, 1))
        segment_ids = np.ones_like(tokens)
        packed = Batch(tokens, targets, segment_ids, positions, np.ones(tokens.shape, np.float32))
        self.state, metrics = self.step(self.state, packed)
        loss = float(self.jax.block_until_ready((self.state, metrics))[1]["loss"])
        limit_memory(metrics)  # as `codex-jax train` does
        return loss

    def product(self):
        a = self.jax.numpy.ones((8192, 8192), self.options.dtype)
        multiply = self.jax.jit(lambda a: a @ a)
        return lambda: self.jax.block_until_ready(multiply(a))


class Theirs:
    """transformers' GPT-2: SDPA attention, no dropout, fused AdamW."""

    def __init__(self, options):
        import torch
        from transformers import GPT2Config, GPT2LMHeadModel

        self.torch, self.options = torch, options
        shape = json.loads(options.shape)
        self.device = "cuda" if options.device == "gpu" else "cpu"
        config = GPT2Config(
            vocab_size=_VOCABULARY,
            n_positions=shape["max_length"],
            n_embd=shape["width"],
            n_layer=shape["layers"],
            n_head=shape["heads"],
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            use_cache=False,
            attn_implementation="sdpa",
        )
        torch.set_float32_matmul_precision("high")
        self.model = GPT2LMHeadModel(config).to(self.device).train()
        self.loss = torch.compile(self._loss) if options.compile else self._loss
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=6e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True
        )

    def _loss(self, tokens, targets):
        logits = self.model(input_ids=tokens).logits
        return self.torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def run_step(self, batch: int) -> float:
        torch, half = self.torch, self.options.dtype == "bfloat16"
        tokens, targets = (
            torch.from_numpy(x).to(self.device) for x in rows(batch, self.options.length)
        )
        with torch.autocast(self.device, torch.bfloat16, enabled=half):
            loss = self.loss(tokens, targets)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def product(self):
        dtype = getattr(self.torch, self.options.dtype)
        a = self.torch.ones(8192, 8192, dtype=dtype, device=self.device)
        return lambda: float((a @ a)[0, 0])


def serve(side) -> None:
    """Answers each line of standard input, a batch size or "product", by a line of JSON."""
    for line in sys.stdin:
        try:
            product = line.strip() == "product"
            answer = timed_product(side) if product else timed_step(side, int(line))
        except Exception as error:  # both libraries have classes of their own for no memory
            if "memory" not in str(error).lower() and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            answer = {"full": True}
        print(json.dumps(answer), flush=True)


class Side:
    """A side's process, asked step by step."""

    def __init__(self, name: str, python: str, shape: dict):
        command = [python, __file__, *sys.argv[1:], "--side", name, "--shape", json.dumps(shape)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def ask(self, what) -> dict:
        print(what, file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise SystemExit(f"a side ended with status {self.process.wait()}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def run_rounds(group: dict[str, Side], batch: int, options) -> dict[str, list[dict]]:
    """Runs rounds in alternation; returns the answers of the sides whose memory the batch fits."""
    for _ in range(options.warmup):
        group = {name: side for name, side in group.items() if "full" not in side.ask(batch)}
    answers = {name: [] for name in group}
    for _ in range(options.rounds):
        for name, side in group.items():
            answers[name].append(side.ask(batch))
    return answers


def measure(batch: int, options, config) -> dict[str, float]:
    """Median tokens a second of each side at this batch.

    On the CPU they alternate step by step; on a GPU they run one after the other, each with all
    its memory.
    """
    pythons = {"ours": sys.executable, "torch": str(pathlib.Path(options.torch).absolute())}
    groups = [[name] for name in pythons] if options.device == "gpu" else [list(pythons)]
    rates = {}
    for names in groups:
        group = {name: Side(name, pythons[name], config.to_json()) for name in names}
        for name, answers in run_rounds(group, batch, options).items():
            rates[name] = print_rounds(name, batch, answers, options)
            if options.device == "gpu":
                peak = 2 * 8192**3 * 10 / group[name].ask("product")["seconds"]
                mfu = rates[name] * config.flops_per_token(options.length) / peak
                print(f"{name}: matrices {peak / 1e12:.1f} TFLOP/s, the step {mfu:.1%} of it")
        for side in group.values():
            side.close()
    return rates


def print_rounds(name: str, batch: int, answers: list[dict], options) -> float:
    """Prints a side's rounds; returns its median rate."""
    seconds = [round(answer["seconds"], 3) for answer in answers]
    middle, cpu = (statistics.median(answer[key] for answer in answers) for key in _CLOCKS)
    tokens = batch * options.length
    loss = answers[-1]["loss"]
    print(f"batch {batch} {name}: s {seconds}, loss {loss:.3f}, {tokens / cpu:.1f} tokens/CPU s")
    return tokens / middle


def report(options, config) -> None:
    best = {"ours": 0.0, "torch": 0.0}
    for batch in options.batches:
        rates = measure(batch, options, config)
        listed = ", ".join(f"{name} {rate:.1f}" for name, rate in rates.items())
        both = f", ratio {rates['ours'] / rates['torch']:.3f}" if len(rates) == 2 else ""
        print(f"batch {batch}: tokens/s {listed or 'none, it does not fit'}{both}", flush=True)
        best = {name: max(rate, rates.get(name, 0.0)) for name, rate in best.items()}
    if all(best.values()):
        print(f"best of each: {best}; ours over theirs {best['ours'] / best['torch']:.3f}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", required=True, help="a Python that has torch and transformers")
    parser.add_argument("--device", choices=_DEVICES, default="cpu")
    parser.add_argument("--model")
    parser.add_argument("--length", type=int)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"))
    parser.add_argument("--batches", type=lambda text: [int(n) for n in text.split(",")])
    parser.add_argument("--compile", action="store_true", help="theirs by torch.compile")
    for name, default in {"rounds": 5, "warmup": 2, "loss-chunks": 1}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--remat", default="none")
    parser.add_argument("--side", choices=("ours", "torch"), help=argparse.SUPPRESS)
    parser.add_argument("--shape", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name, default in _DEVICES[options.device].items():
        if getattr(options, name) is None:
            setattr(options, name, default)
    options.compile |= options.device == "gpu"
    return options


def main() -> None:
    options = parsed()
    if options.side:
        serve({"ours": Ours, "torch": Theirs}[options.side](options))
    else:
        report(options, decoder_config(options.model))


if __name__ == "__main__":
    main()
