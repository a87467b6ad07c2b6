"""Vocabularies of foreign checkpoints as our tokenizer."""

from collections.abc import Iterable
from typing import Any

from codex_jax import InputError
from codex_jax.tokenizer import SPECIALS, Tokenizer
from codex_jax.tokenizer.byte_alphabet import unspell

END_OF_TEXT, PREFIX, MIDDLE, SUFFIX = SPECIALS

_GPT2_WORDS = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+"
_GPT2_SPACES = r"|\s+(?!\S)|\s+"

# Patterns that split text into words before it is merged, by GGUF's names. SmolLM and StarCoder
# split off every digit first; a run of spaces before a digit then stays a word.
PATTERNS = {
    "gpt-2": _GPT2_WORDS + r"| ?\p{N}+| ?[^\s\p{L}\p{N}]+" + _GPT2_SPACES,
    "smollm": _GPT2_WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})" + _GPT2_SPACES,
    "starcoder": _GPT2_WORDS + r"|\p{N}| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})" + _GPT2_SPACES,
    "qwen2": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
# Pre-tokenizers of tokenizer.json without a regex of their own, by their types.
_PATTERN_NAMES = {("Digits", "ByteLevel"): "smollm", ("ByteLevel",): "gpt-2"}
# Foreign names of our special tokens; the first one in the vocabulary counts.
_SPECIAL_NAMES = {
    END_OF_TEXT: (END_OF_TEXT, "<|end_of_text|>", "</s>"),
    PREFIX: (PREFIX, "<fim_prefix>", "<fim-prefix>"),
    MIDDLE: (MIDDLE, "<fim_middle>", "<fim-middle>"),
    SUFFIX: (SUFFIX, "<fim_suffix>", "<fim-suffix>"),
}


def make_tokenizer(spellings: Iterable[str], special: set[int], pattern: str) -> Tokenizer:
    """Our tokenizer of a byte-level vocabulary; its merges are in the order of ids.

    Args:
      spellings: of the tokens in GPT-2's byte alphabet, in the order of ids.
      special: ids of special tokens.
      pattern: splits text into words.

    Raises:
      InputError: a spelling outside the byte alphabet.
    """
    ids: dict[bytes, int] = {}
    special_ids: dict[str, int] = {}
    for number, spelling in enumerate(spellings):
        if number in special:
            special_ids[spelling] = number
        else:
            ids[_to_bytes(number, spelling)] = number
    specials = {
        name: special_ids[foreign_name]
        for name, foreign_names in _SPECIAL_NAMES.items()
        for foreign_name in reversed(foreign_names)
        if foreign_name in special_ids
    }
    return Tokenizer(ids, pattern=pattern, specials=specials)


def _to_bytes(number: int, spelling: str) -> bytes:
    try:
        return unspell(spelling)
    except ValueError:
        raise InputError(
            f"token {number} is {spelling!r}; expected GPT-2's byte alphabet"
        ) from None


def read_pattern(vocabulary: dict[str, Any]) -> str:
    """The pattern by which a tokenizer.json splits text into words.

    Raises:
      InputError: a pre-tokenizer that none of our patterns equals.
    """
    pre_tokenizer = vocabulary.get("pre_tokenizer") or {}
    steps = pre_tokenizer.get("pretokenizers", [pre_tokenizer])
    types = tuple(step.get("type") for step in steps)
    if types == ("Split", "ByteLevel") and "Regex" in steps[0].get("pattern", {}):
        return steps[0]["pattern"]["Regex"]
    if types not in _PATTERN_NAMES:
        raise InputError(
            f"tokenizer.json splits words by {str(pre_tokenizer)[:120]}; no pattern of ours does"
        )
    return PATTERNS[_PATTERN_NAMES[types]]
