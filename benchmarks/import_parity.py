"""Compares import and export with transformers: a table of families, in Markdown.

Each case is a small random model that transformers saves with a tokenizer of the family's layout:
import's logits of 48 tokens, the engine's greedy log-probabilities behind a prompt (both beyond the
window where there is one), token ids of lines of the standard library, added tokens, the ids that
begin and end a text, and transformers' own logits and token ids of the exported folder.

    python -m venv reference; reference/bin/pip install torch transformers
    python benchmarks/import_parity.py --reference=reference/bin/python

--tokenizers names a folder with real tokenizers (gpt2, codegen, gpt_neox, llama, qwen2, starcoder2,
each with tokenizer.json and tokenizer_config.json); others are trained here.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import sysconfig
import tempfile

import jax
import numpy as np
import tokenizers
from tokenizers import AddedToken, models, normalizers, pre_tokenizers, processors, trainers

from codex_jax import checkpoint, model, sharding
from codex_jax.convert.convert import import_weights
from codex_jax.convert.export import export_weights
from codex_jax.convert.gguf_tokenizer import SPLITTERS
from codex_jax.model.attention.core import packed_attention
from codex_jax.sample.engine import shardings
from codex_jax.sample.engine.capacity import plan
from codex_jax.sample.engine.engine import Engine
from codex_jax.sample.engine.requests import Request
from codex_jax.sample.sampling.params import SamplingParams
from codex_jax.tokenizer import Tokenizer

LLAMA = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
LLAMA |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
NEOX = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
NEOX |= {"num_attention_heads": 4, "max_position_embeddings": 128}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 = {"rope_theta": 500_000.0, "rope_scaling": LLAMA3}
LLAMA3["rope_scaling"]["original_max_position_embeddings"] = 16
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
GRANITE = {"embedding_multiplier": 12.0, "residual_multiplier": 0.22, "logits_scaling": 8.0}
QWEN_WINDOW = {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 0}
# case: (family, its fields, its tokenizer)
CASES = {
    "gpt2": ("gpt2", GPT, "gpt2"),
    "gpt2, untied, scores by layer": (
        "gpt2",
        GPT | {"tie_word_embeddings": False, "scale_attn_by_inverse_layer_idx": True},
        "gpt2",
    ),
    "gptj": ("gptj", GPT | {"rotary_dim": 4}, "gpt2"),
    "codegen": ("codegen", GPT | {"rotary_dim": 4}, "codegen"),
    "gpt_neox": ("gpt_neox", NEOX, "gpt_neox"),
    "llama": ("llama", LLAMA, "llama"),
    "llama, llama3 positions": ("llama", LLAMA | LLAMA3, "llama"),
    "llama, yarn, biases": (
        "llama",
        LLAMA | {"rope_scaling": YARN, "attention_bias": True, "mlp_bias": True},
        "llama",
    ),
    "mistral": ("mistral", LLAMA | {"sliding_window": None}, "llama"),
    "mistral, window 7": ("mistral", LLAMA | {"sliding_window": 7}, "llama"),
    "qwen2": ("qwen2", LLAMA, "qwen2"),
    "qwen2, window 9": ("qwen2", LLAMA | QWEN_WINDOW, "qwen2"),
    "qwen3": ("qwen3", LLAMA | {"head_dim": 16}, "qwen2"),
    "gemma": ("gemma", LLAMA | {"head_dim": 16}, "llama"),
    "granite": (
        "granite",
        LLAMA | GRANITE | {"attention_multiplier": 0.1, "tie_word_embeddings": True},
        "starcoder2",
    ),
    "starcoder2": ("starcoder2", LLAMA, "starcoder2"),
    "starcoder2, window 8": ("starcoder2", LLAMA | {"sliding_window": 8}, "starcoder2"),
}
_SPLITTERS = {"llama": "llama-bpe", "qwen2": "qwen2", "starcoder2": "starcoder"}
_RUNS = {
    "gpt_neox": [" " * n for n in range(24, 1, -1)],
    "codegen": [*(" " * n for n in range(31, 1, -1)), *("\t" * n for n in range(9, 1, -1))],
}


def read_lines(count):
    """Lines of the standard library, and some that are hard to split."""
    folder = pathlib.Path(sysconfig.get_path("stdlib"))
    texts = (path.read_text("utf-8", "replace") for path in sorted(folder.glob("*.py")))
    lines = [line for text in texts for line in text.split("\n")][::40][:count]
    hard = [
        "\t\t\tif x:\n" + "\t" * 14 + "y",
        " " * 77 + "z  ",
        "é 漢字 🙂 e\u0301 ﬁ",
        "12345 0x1f",
    ]
    return lines + hard


def train_tokenizer(name, lines, folder):
    """A tokenizer of the family's layout: its word-splitter, added tokens, and begin token."""
    engine = tokenizers.Tokenizer(models.BPE(ignore_merges=name == "llama"))
    splitter = SPLITTERS[_SPLITTERS.get(name, "gpt-2")]
    steps = json.dumps({"type": "Sequence", "pretokenizers": list(splitter.steps)})
    fields = json.loads(engine.to_str()) | {"pre_tokenizer": json.loads(steps)}
    if name in ("gpt2", "codegen", "gpt_neox"):  # as their own classes write it
        fields["pre_tokenizer"] = splitter.steps[0]
    engine = tokenizers.Tokenizer.from_str(json.dumps(fields | {"decoder": splitter.steps[-1]}))
    if name in ("qwen2", "gpt_neox"):
        engine.normalizer = normalizers.NFC()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|padding|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    engine.train_from_iterator(lines, trainer)
    runs = _RUNS.get(name, [])
    engine.add_tokens([AddedToken(run, normalized=True, special=False) for run in runs])
    if name == "llama":
        template = "<|im_start|>:0 $A:0"
        engine.post_processor = processors.TemplateProcessing(
            single=template, special_tokens=[("<|im_start|>", engine.token_to_id("<|im_start|>"))]
        )
    folder.mkdir(parents=True)
    engine.save(str(folder / "tokenizer.json"))
    names = {"gpt2": "GPT2Tokenizer", "codegen": "CodeGenTokenizer", "gpt_neox": "GPTNeoXTokenizer"}
    settings = {"tokenizer_class": names.get(name, "PreTrainedTokenizerFast")}
    settings |= {"eos_token": "<|im_end|>", "bos_token": "<|im_start|>", "add_prefix_space": False}
    settings["chat_template"] = "{% for message in messages %}{{ message.content }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def write_cases(options, folder, lines):
    """Writes cases.json, and the tokenizers that are missing."""
    cases = {}
    for name, (family, fields, tokenizer) in CASES.items():
        if options.families and family not in options.families:
            continue
        path = pathlib.Path(options.tokenizers or folder / "tokenizers") / tokenizer
        if not path.is_dir():
            path = folder / "tokenizers" / tokenizer
        if not path.is_dir():
            train_tokenizer(tokenizer, lines, path)
        engine = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
        size = max(engine.get_vocab(with_added_tokens=True).values()) + 9  # rows without a token
        ids = {"vocab_size": size, "bos_token_id": 1, "eos_token_id": 2}
        cases[name] = {"family": family, "fields": fields | ids, "tokenizer": str(path)}
        cases[name] |= {"eos_ids": [2, 5], "dtype": "bfloat16" if "llama" in name else "float32"}
    (folder / "cases.json").write_text(json.dumps(cases))
    (folder / "lines.json").write_text(json.dumps(lines))
    return cases


def run_reference(options, part, folder):
    """The answers of the other environment."""
    script = pathlib.Path(__file__).with_name("import_reference.py")
    subprocess.run([options.reference, script, part, folder], check=True)
    return json.loads((folder / f"{part}.json").read_text())


def measure_logits(config, params, saved):
    """The worst difference of logits, by the largest."""
    tokens = saved["tokens"]
    positions = np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape)
    attend = packed_attention(np.ones_like(tokens))
    hidden, _ = model.forward(config, params, tokens, positions, attend)
    logits = np.asarray(model.unembed(config, params, hidden))
    return np.abs(logits - saved["logits"]).max() / np.abs(saved["logits"]).max()


def measure_decoding(config, params, saved, token_bytes):
    """(greedy tokens that agree, the worst difference of their log-probabilities)."""
    greedy, logprobs = saved["greedy"].tolist(), saved["logprobs"]
    count = len(logprobs)
    prompt, expected = greedy[:-count], greedy[-count:]
    shape = plan(max_prompt_tokens=64, samples_per_prompt=1, rows=8, max_new_tokens=count)
    mesh = sharding.make_mesh(sharding.MeshShape(), jax.devices()[:1])
    shapes = shardings.params_shapes(config, mesh)
    params = jax.device_put(params, jax.tree.map(lambda s: s.sharding, shapes))
    engine = Engine(
        config, params, shape, token_bytes=token_bytes, eos_ids=[config.vocab_size - 1], mesh=mesh
    )
    request = Request("0", prompt, sampling_params=SamplingParams(temperature=0.0))
    (sample,) = engine.run([request])
    agree = int(np.argmin([*np.equal(sample.tokens, expected[: len(sample.tokens)]), False]))
    return agree, np.abs(sample.logprobs[:agree] - logprobs[:agree]).max(initial=0)


def measure_case(folder, case, lines):
    """A case's figures but those of its export, which is written."""
    settings = {"checkpoint_dir": str(folder / "ours"), "tokenizer": str(folder / "ours.json")}
    import_weights(
        source=str(folder / "theirs"),
        output=settings["checkpoint_dir"],
        tokenizer=settings["tokenizer"],
    )
    export_weights(**settings, output=str(folder / "exported"))
    card = checkpoint.read_card(folder / "ours")
    config = model.DecoderConfig.from_json(card.model)
    params = checkpoint.restore_params(folder / "ours", model.abstract_params(config)[0])
    text = Tokenizer.load(settings["tokenizer"])
    saved = np.load(folder / "logits.npz")
    token_bytes = [text.token_bytes(n) for n in range(config.vocab_size)]
    agree, decoding = measure_decoding(config, params, saved, token_bytes)
    answers = json.loads((folder / "tokenizer_answers.json").read_text())
    ids = text.encode_batch(lines)
    added = [token_bytes[int(n)].decode() == name for n, name in answers["added"].items()]
    ends = sorted({*case["eos_ids"], answers["eos"]}) == sorted(card.eos_ids)
    return {
        "logits": f"{measure_logits(config, params, saved):.1e}",
        "decoding": f"{decoding:.1e} ({agree} of {len(saved['logprobs'])})",
        "lines": sum(a != b for a, b in zip(ids, answers["ids"], strict=True)),
        "added": f"{sum(added)} of {len(added)}",
        "ends": "same" if ends and card.begin_ids == answers["begin"] else "differ",
    }


def main():
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", required=True, help="a Python with torch and transformers")
    parser.add_argument("--tokenizers", default="", help="a folder of real tokenizers")
    parser.add_argument("--families", nargs="*", default=[], help="families; all by default")
    parser.add_argument("--lines", type=int, default=1000, help="lines that are encoded")
    options = parser.parse_args()
    lines = read_lines(options.lines)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cases = write_cases(options, folder, lines)
        versions = run_reference(options, "make", folder)["versions"]
        rows = {name: measure_case(folder / name, case, lines) for name, case in cases.items()}
        exports = run_reference(options, "check", folder)
    print(f"Against {versions}; {len(lines)} lines.\n", file=sys.stderr)
    head = "case | logits | decoding | lines that differ | added tokens | begin and end | export"
    print(f"| {head} |\n|{'---|' * 7}")
    for name, row in rows.items():
        export = exports[name]
        same = ", ".join(export["differing"]) or "same"
        print(f"| {name} | {' | '.join(map(str, row.values()))} | {export['logits']:.1e}, {same} |")


if __name__ == "__main__":
    main()
