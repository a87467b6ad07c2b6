"""Compares what `import` makes of GGUF files with llama.cpp itself: a table, in Markdown.

Small random models of each architecture are written by llama.cpp's own Python writer, in float32
and quantized. Logits are behind each of 40 tokens; the worst difference is shown, by the largest
logit. Where weights are quantized, llama.cpp rounds activations too: so the same values are
compared in float32 as well. Lines are encoded by both.

    python -m venv reference; reference/bin/pip install cyllama numpy
    python -m benchmarks.gguf_parity --reference=reference/bin/python --files MODEL.gguf
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import gguf
import jax
import numpy as np
from tokenizers import pre_tokenizers

from benchmarks.import_parity import read_lines
from codex_jax import checkpoint, model
from codex_jax.convert import hf_params
from codex_jax.convert.convert import import_weights
from codex_jax.model.attention.core import packed_attention
from codex_jax.tokenizer import Tokenizer

TOKENS = 40
KINDS = {
    "F16": gguf.GGMLQuantizationType.F16,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
    "Q4_0": gguf.GGMLQuantizationType.Q4_0,
}
SHAPE = {"vocab_size": 320, "layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "mlp_size": 96}
SHAPE |= {"norm": "rmsnorm", "positions": "rotary", "activation": "swiglu", "bias": False}
LLAMA3 = {"rotary_scaling": "llama3", "rotary_factor": 8.0, "rotary_original_length": 16}
LLAMA3 |= {"rotary_fast": 4.0, "rotary_base": 500_000.0}
# case: (architecture, fields of the decoder, kind of its matrices)
CASES = {
    "llama": ("llama", {}, ""),
    "llama, llama3 positions": ("llama", LLAMA3, ""),
    "llama, untied": ("llama", {"tied": False}, ""),
    "qwen2": ("qwen2", {"qkv_bias": True}, ""),
    "qwen3": ("qwen3", {"qk_norm": True, "head_size": 32}, ""),
    **{f"llama, {kind}": ("llama", {"tied": False}, kind) for kind in KINDS},
}


def write_model(path, architecture, fields, kind):
    """Writes a small random model by llama.cpp's writer."""
    config = model.DecoderConfig(**SHAPE | fields, vocab_multiple=1, max_length=64, norm_eps=1e-5)
    params = jax.jit(model.init, static_argnums=0)(config, jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), 99))
    params = jax.tree.map(lambda x: x + jax.random.normal(next(keys), x.shape) / 9, params)
    tensors = hf_params.write_params(f"gguf:{architecture}", config, params)
    fields = {
        "block_count": config.layers,
        "embedding_length": config.width,
        "attention.head_count": config.heads,
        "attention.head_count_kv": config.kv_heads,
        "attention.key_length": config.head_size,
        "attention.value_length": config.head_size,
        "rope.dimension_count": config.head_size,
        "feed_forward_length": config.mlp_size,
        "context_length": config.max_length,
        "attention.layer_norm_rms_epsilon": config.norm_eps,
        "rope.freq_base": config.rotary_base,
    }
    write_file(path, architecture, fields, tensors, kind)


def write_file(path, architecture, fields, tensors, kind):
    """Writes a file with a byte-level tokenizer without merges."""
    writer = gguf.GGUFWriter(path, architecture)
    for name, value in fields.items():
        add = writer.add_uint32 if isinstance(value, int) else writer.add_float32
        add(f"{architecture}.{name}", value)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2" if architecture != "llama" else "llama-bpe")
    writer.add_token_list(["<|endoftext|>", *alphabet, "ĠĠ", *(f"<{n}>" for n in range(62))])
    writer.add_token_types([3] + [1] * 257 + [3] * 62)
    writer.add_token_merges(["Ġ Ġ"])
    writer.add_eos_token_id(0)
    for name, value in tensors.items():
        values = np.asarray(value, np.float32)
        if kind and values.ndim == 2:
            data = gguf.quantize(values, KINDS[kind])
            writer.add_tensor(name, data, raw_dtype=KINDS[kind])
        else:
            writer.add_tensor(name, values)
    finish(writer)


def finish(writer):
    """Writes the file and closes it."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def dequantize(source, path):
    """Writes a file with the same keys whose tensors are in float32."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(path, architecture)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in ("general.architecture", "general.file_type"):
            continue
        is_array = field.types[0] == gguf.GGUFValueType.ARRAY
        inner = field.types[-1] if is_array else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, np.asarray(values, np.float32))
    finish(writer)


def write_files(folder, sources):
    """Writes the files of all cases: their paths by name."""
    files = {}
    for name, case in CASES.items():
        files[name] = folder / f"{len(files)}.gguf"
        write_model(files[name], *case)
    files |= {source.name: source for source in sources}
    for name in [name for name in files if files[name] in sources or CASES[name][2]]:
        files[f"{name}, in float32"] = folder / f"{len(files)}.gguf"
        dequantize(files[name], files[f"{name}, in float32"])
    return files


def measure(folder, path, tokens, lines):
    """Our logits behind each token, and the token ids of lines."""
    import_weights(source=str(path), output=str(folder / "c"), tokenizer=str(folder / "t.json"))
    config = model.DecoderConfig.from_json(checkpoint.read_card(folder / "c").model)
    params = checkpoint.restore_params(folder / "c", model.abstract_params(config)[0])
    positions = np.arange(len(tokens))[None]
    attend = packed_attention(np.ones_like(positions))
    hidden, _ = model.forward(config, params, tokens[None], positions, attend)
    text = Tokenizer.load(folder / "t.json")
    return np.asarray(model.unembed(config, params, hidden))[0], text.encode_batch(lines)


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", required=True, help="a Python with cyllama")
    parser.add_argument("--files", nargs="*", default=[], type=pathlib.Path, help="other models")
    parser.add_argument("--lines", type=int, default=1000, help="lines that are encoded")
    options = parser.parse_args()
    lines = [line for line in read_lines(options.lines) if line]
    tokens = np.random.default_rng(0).integers(1, 257, TOKENS)
    with tempfile.TemporaryDirectory() as path:
        folder = pathlib.Path(path)
        files = write_files(folder, options.files)
        np.save(folder / "tokens.npy", tokens)
        (folder / "lines.json").write_text(json.dumps(lines))
        (folder / "files.json").write_text(json.dumps({n: str(p) for n, p in files.items()}))
        script = pathlib.Path(__file__).with_name("gguf_reference.py")
        # It says much on its outputs, all of it about its own progress.
        subprocess.run([options.reference, script, folder], check=True, capture_output=True)
        saved = np.load(folder / "logits.npz")
        ids = json.loads((folder / "ids.json").read_text())
        print("| file | logits | greedy tokens that agree | lines that differ |\n|---|---|---|---|")
        for index, (name, file) in enumerate(files.items()):
            (folder / f"ours{index}").mkdir()
            logits, ours = measure(folder / f"ours{index}", file, tokens, lines)
            logits = logits[:, : saved[name].shape[1]]
            worst = np.abs(logits - saved[name]).max() / np.abs(saved[name]).max()
            agree = int((logits.argmax(-1) == saved[name].argmax(-1)).sum())
            differ = sum(a != b for a, b in zip(ours, ids[name], strict=True))
            print(f"| {name} | {worst:.1e} | {agree} of {TOKENS} | {differ} of {len(lines)} |")


if __name__ == "__main__":
    main()
