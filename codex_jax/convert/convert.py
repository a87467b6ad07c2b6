"""`codex-jax import` and `export`: checkpoints of others to ours and back, tokenizer included."""

import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from codex_jax import InputError, checkpoint, files, model, progress
from codex_jax.convert import hf_params
from codex_jax.tokenizer import SPECIALS, Tokenizer

END_OF_TEXT, PREFIX, MIDDLE, SUFFIX = SPECIALS

_GPT2_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+"
_GPT2_SPACES = r"|\s+(?!\S)|\s+"

# How a vocabulary's text is cut into words before it is merged, by what GGUF calls it. SmolLM and
# StarCoder first set every digit apart; a run of spaces before a digit then stays whole.
_PATTERNS = {
    "gpt-2": _GPT2_WORDS + r"| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + _GPT2_SPACES,
    "smollm": _GPT2_WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})" + _GPT2_SPACES,
    "starcoder": _GPT2_WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})" + _GPT2_SPACES,
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
# What others call our special tokens; the first that is there counts.
_SPECIALS = {
    END_OF_TEXT: (END_OF_TEXT, "<|end_of_text|>", "</s>"),
    PREFIX: (PREFIX, "<fim_prefix>", "<fim-prefix>"),
    MIDDLE: (MIDDLE, "<fim_middle>", "<fim-middle>"),
    SUFFIX: (SUFFIX, "<fim_suffix>", "<fim-suffix>"),
}


_WEIGHTS = "model.safetensors"
_METADATA = {"format": "pt", "generator": "codex-jax export"}


def _is_exported(path: pathlib.Path) -> bool:
    """Tells whether the weights in a file's folder carry the mark of `export`."""
    return files.has_text(_METADATA["generator"])(path.with_name(_WEIGHTS))


_EXPORTED = dict.fromkeys(
    (_WEIGHTS, "config.json", "tokenizer.json", "tokenizer_config.json"), _is_exported
)


class Source(NamedTuple):
    """A foreign checkpoint, opened: weights are read one at a time."""

    family: str
    config: dict[str, Any]
    get: Callable[[str], np.ndarray]
    tokens: list[str]  # GPT-2's spelling, in the order of ids
    special: set[int]
    pattern: str  # that cuts text into words


def import_weights(*, source: str, output: str, tokenizer: str = "tokenizer.json") -> None:
    """Makes a checkpoint of ours, and its tokenizer, of another's weights.

    Families: GPT-2, Llama-like (Llama, SmolLM2, Qwen2, Qwen2.5-Coder), StarCoder2, GPT-NeoX
    (Pythia), GPT-J, CodeGen; from Hugging Face folders, and Llama-like from GGUF (dequantised).

    Args:
      source: A folder with config.json, tokenizer.json and *.safetensors, or one .gguf file.
      output: Directory of the checkpoint.
      tokenizer: Where the tokenizer goes (tokenizer.json).
    """
    files.claim_folder(output, checkpoint.OWN_FILES, "output")
    files.claim_file(tokenizer, files.has_json_keys("format", "hash", "vocabulary"), "tokenizer")
    path = pathlib.Path(source)
    opened = _open_gguf(path) if path.suffix == ".gguf" else _open_folder(path)
    config = hf_params.read_config(opened.family, opened.config)
    text = make_tokenizer(opened)
    with progress.bar(desc="import", unit="tensor") as bar:

        def get(name: str) -> np.ndarray:
            bar.update()
            return opened.get(name)

        params = hf_params.read_params(opened.family, config, get)
    text.save(tokenizer)
    card = checkpoint.Card(
        model=config.to_json(), tokenizer_hash=text.hash, run={"imported": path.name}
    )
    saved = checkpoint.Checkpoints(output)
    saved.save(0, params, {"imported": np.int32(1)}, card)
    saved.finish()
    saved.close()


def export_weights(
    *,
    checkpoint_dir: str,
    output: str,
    family: str = "llama",
    tokenizer: str = "",
    step: int | None = None,
) -> None:
    """Writes a checkpoint of ours as a Hugging Face folder: its config, weights and tokenizer.

    Args:
      checkpoint_dir: Directory that train or import wrote.
      output: Folder to write.
      tokenizer: The checkpoint's tokenizer (tokenizer.json), to be written too where it is given.
      family: "gpt2" (layer norm, learned positions), "llama", "qwen2", "starcoder2", "gpt_neox",
        "gptj" or "codegen".
      step: Checkpoint to export; the newest, unless given.
    """
    from safetensors.numpy import save_file

    folder = pathlib.Path(output)
    files.claim_folder(folder, _EXPORTED, "output")
    known = sorted(name for name in hf_params.FAMILIES if ":" not in name)
    if family not in known:
        raise InputError(f"family is {family!r}; expected one of {', '.join(known)}")
    card = checkpoint.read_card(checkpoint_dir, step=step)
    config = model.DecoderConfig.from_json(card.model)
    words = hf_params.write_config(family, config)
    shapes, _ = model.abstract_params(config)
    params = checkpoint.restore_params(checkpoint_dir, shapes, step=card.step)
    text = Tokenizer.load(tokenizer) if tokenizer else None
    if text and card.tokenizer_hash != text.hash:
        raise InputError(
            f"{tokenizer} hashes to {text.hash[:12]}, the checkpoint was trained with "
            f"{card.tokenizer_hash[:12]}; set tokenizer to that one"
        )
    folder.mkdir(parents=True, exist_ok=True)
    params = hf_params.write_params(family, config, params)
    save_file(params, folder / _WEIGHTS, _METADATA)
    if text:
        text.export(folder)
        words |= {"eos_token_id": text.eos_id, "bos_token_id": text.eos_id}
    page = json.dumps({"model_type": family, **words}, indent=1)
    (folder / "config.json").write_text(page + "\n", "utf-8")


def make_tokenizer(opened: Source) -> Tokenizer:
    """Their vocabulary as our tokenizer; merges are in the order of ids."""
    byte_of = {character: byte for byte, character in enumerate(_stand_ins())}
    ids, special = {}, {}
    for number, spelling in enumerate(opened.tokens):
        if number in opened.special:
            special[spelling] = number
        else:
            ids[bytes(byte_of[character] for character in spelling)] = number
    named = {
        name: special[spelling]
        for name, spellings in _SPECIALS.items()
        for spelling in reversed(spellings)
        if spelling in special
    }
    return Tokenizer(ids, pattern=opened.pattern, specials=named)


def _stand_ins() -> list[str]:
    """GPT-2's printable character for each byte."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def _open_folder(folder: pathlib.Path) -> Source:
    from safetensors import safe_open

    config = _json(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise InputError(f"{folder}: no *.safetensors in it; expected a Hugging Face folder")
    opened = [safe_open(file, framework="numpy") for file in files]
    where = {name: file for file in opened for name in file.keys()}  # noqa: SIM118

    def get(name: str) -> np.ndarray:
        older = "embed_out.weight" if name == "lm_head.weight" else name
        for spelling in (name, f"transformer.{name}", older):
            if spelling in where:
                return where[spelling].get_tensor(spelling)
        raise InputError(f"{folder}: no tensor {name}")

    vocabulary = _json(folder / "tokenizer.json")
    added = {token["id"]: token["content"] for token in vocabulary.get("added_tokens", [])}
    numbered = {n: spelling for spelling, n in vocabulary["model"]["vocab"].items()} | added
    if gaps := set(range(len(numbered))) - numbered.keys():
        raise InputError(f"{folder}/tokenizer.json: no token has the id {min(gaps)}")
    tokens = [numbered[n] for n in range(len(numbered))]
    family = config.get("model_type", "")
    pattern = _pattern(vocabulary)
    config.setdefault(
        "tie_word_embeddings", not {"lm_head.weight", "embed_out.weight"} & where.keys()
    )
    rope = config.get("rope_parameters") or {}
    for name in ("rope_theta", "rotary_emb_base"):
        config.setdefault(name, rope.get("rope_theta"))
    config.setdefault("rotary_pct", rope.get("partial_rotary_factor"))
    return Source(family, config, get, tokens, set(added), pattern)


def _pattern(vocabulary: dict[str, Any]) -> str:
    """How a tokenizer.json cuts text into words: by a regex of its own, or by GPT-2's."""
    pre = vocabulary.get("pre_tokenizer") or {}
    steps = pre.get("pretokenizers", [pre])
    kinds = [step.get("type") for step in steps]
    if kinds == ["Split", "ByteLevel"] and "Regex" in steps[0].get("pattern", {}):
        return steps[0]["pattern"]["Regex"]
    known = {("Digits", "ByteLevel"): "smollm", ("ByteLevel",): "gpt-2"}
    if tuple(kinds) not in known:
        raise InputError(
            f"tokenizer.json splits words by {str(pre)[:120]}; no pattern of ours does"
        )
    return _PATTERNS[known[tuple(kinds)]]


def _open_gguf(path: pathlib.Path) -> Source:
    import gguf

    if not path.is_file():
        raise InputError(f"{path}: no such file; expected a .gguf")
    reader = gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in reader.fields.items()}
    family = str(fields["general.architecture"])
    tensors = {tensor.name: tensor for tensor in reader.tensors}

    def get(name: str) -> np.ndarray:
        if name not in tensors:
            raise InputError(f"{path}: no tensor {name}")
        return gguf.dequantize(tensors[name].data, tensors[name].tensor_type)

    config = {name.removeprefix(f"{family}."): value for name, value in fields.items()}
    tokens = fields["tokenizer.ggml.tokens"]
    config |= {"vocab_size": len(tokens), "tied": "output.weight" not in tensors}
    kinds = fields["tokenizer.ggml.token_type"]
    special = {n for n, kind in enumerate(kinds) if kind != gguf.TokenType.NORMAL}
    splitting = fields.get("tokenizer.ggml.pre", "gpt-2")
    if splitting not in _PATTERNS:
        raise InputError(f"{path}: its tokenizer splits by {splitting!r}; no pattern of ours does")
    return Source(f"gguf:{family}", config, get, tokens, special, _PATTERNS[splitting])


def _json(path: pathlib.Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}; expected a Hugging Face folder") from None
