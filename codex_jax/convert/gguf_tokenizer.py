"""Tokenizers of GGUF files, written as the tokenizer.json of the model they come from."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.convert.tokenizers import ForeignTokenizer

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
_CODE_WORDS = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+")


def _byte_level(*, splits: bool) -> dict[str, Any]:
    fields = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return fields | {"use_regex": splits}


def _split(pattern: str) -> dict[str, Any]:
    fields = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    return fields | {"invert": False}


_DIGITS = {"type": "Digits", "individual_digits": True}


class WordSplitter(NamedTuple):
    """Steps of the pre-tokenizer that a tokenizer.ggml.pre names.

    Attributes:
      steps: of the tokenizer.json's pre-tokenizer.
      normalizer: of its text.
      ignore_merges: a word that is a token is not merged.
      has_begin: a text has a begin token where tokenizer.ggml.add_bos_token is missing.
    """

    steps: tuple[dict[str, Any], ...]
    normalizer: dict[str, Any] | None = None
    ignore_merges: bool = False
    has_begin: bool = False


_GPT2 = WordSplitter((_byte_level(splits=True),))
_DIGIT_WORDS = WordSplitter((_DIGITS, _byte_level(splits=True)))
_QWEN2_WORDS = WordSplitter((_split(_QWEN2), _byte_level(splits=False)), {"type": "NFC"})
_LLAMA3_WORDS = WordSplitter(
    (_split(_LLAMA3), _byte_level(splits=False)), ignore_merges=True, has_begin=True
)
SPLITTERS = {
    "gpt-2": _GPT2,
    "smollm": _DIGIT_WORDS,
    "starcoder": _DIGIT_WORDS,
    "refact": _DIGIT_WORDS,
    "qwen2": _QWEN2_WORDS,
    "deepseek-r1-qwen": _QWEN2_WORDS,
    "llama-bpe": _LLAMA3_WORDS,
    "llama3": _LLAMA3_WORDS,
    "llama-v3": _LLAMA3_WORDS,
    "deepseek-coder": WordSplitter(
        (*map(_split, _CODE_WORDS), _DIGITS, _byte_level(splits=False)), has_begin=True
    ),
}
_NORMAL, _USER_DEFINED, _UNUSED, _BYTE = 1, 4, 5, 6  # GGUF's types of tokens
_IDS = {f"{name}_token": f"{name}_token_id" for name in ("bos", "eos")} | {
    "pad_token": "padding_token_id",
    "unk_token": "unknown_token_id",
}
_ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")


def read_tokenizer(path: Any, fields: Mapping[str, Any]) -> ForeignTokenizer:
    """The tokenizer of a file's keys.

    Raises:
      InputError: a tokenizer that isn't byte-level BPE, or whose word-splitter has another name.
    """
    keys = {name.removeprefix("tokenizer.ggml."): value for name, value in fields.items()}
    if keys.get("model") != "gpt2" or "pre" not in keys:
        raise InputError(
            f"{path}: its tokenizer is {keys.get('model')!r} and has no name of its word-splitter "
            "(tokenizer.ggml.pre); expected byte-level BPE"
        )
    if keys["pre"] not in SPLITTERS:
        raise InputError(
            f"{path}: its tokenizer splits words by {keys['pre']!r} (tokenizer.ggml.pre); expected "
            f"one of {', '.join(SPLITTERS)}: import the model's Hugging Face folder"
        )
    splitter = SPLITTERS[keys["pre"]]
    tokens, types = keys["tokens"], keys["token_type"]
    if "merges" not in keys and any(
        len(token) > 1 and token_type == _NORMAL
        for token, token_type in zip(tokens, types, strict=True)
    ):
        raise InputError(f"{path}: no key tokenizer.ggml.merges; import another file")
    text = json.dumps(_to_json(splitter, tokens, types, keys.get("merges", [])), ensure_ascii=False)
    return ForeignTokenizer(text, _settings(keys, fields, splitter))


def read_eos_ids(fields: Mapping[str, Any]) -> list[int]:
    """The ids that end a text, of a document, a turn and a message."""
    ids = [int(fields[key]) for name in _ENDS if (key := f"tokenizer.ggml.{name}") in fields]
    return list(dict.fromkeys(ids))


def _to_json(
    splitter: WordSplitter, tokens: list[str], types: list[int], merges: list[str]
) -> dict[str, Any]:
    """A tokenizer.json, in which added tokens have their ids in the vocabulary too."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    added = [
        {"id": n, "content": token, "special": int(token_type) != _USER_DEFINED} | flags
        for n, (token, token_type) in enumerate(zip(tokens, types, strict=True))
        if int(token_type) not in (_NORMAL, _UNUSED, _BYTE)
    ]
    vocabulary = {
        token: n
        for n, (token, token_type) in enumerate(zip(tokens, types, strict=True))
        if int(token_type) != _UNUSED
    }
    model = {"type": "BPE", "ignore_merges": splitter.ignore_merges, "vocab": vocabulary}
    return {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": splitter.normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": list(splitter.steps)},
        "decoder": _byte_level(splits=False),
        "model": model | {"merges": [merge.split(" ") for merge in merges]},
    }


def _settings(
    keys: Mapping[str, Any], fields: Mapping[str, Any], splitter: WordSplitter
) -> dict[str, Any]:
    """A tokenizer_config.json of the keys."""
    settings: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
    settings["clean_up_tokenization_spaces"] = False
    settings |= {name: keys["tokens"][keys[key]] for name, key in _IDS.items() if key in keys}
    has_begin = splitter.has_begin and "bos_token_id" in keys
    settings["add_bos_token"] = bool(keys.get("add_bos_token", has_begin))
    if template := fields.get("tokenizer.chat_template"):
        settings["chat_template"] = template
    return settings
