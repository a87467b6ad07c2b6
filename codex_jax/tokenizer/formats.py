"""Tokenizer files: ours, GPT-2's, tiktoken's; and Hugging Face's."""

import base64
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from codex_jax import InputError
from codex_jax.files import parse_json
from codex_jax.tokenizer.byte_alphabet import spell, unspell

END_OF_TEXT = "<|endoftext|>"
SPECIALS = (END_OF_TEXT, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
LIBRARY_FORMAT = "codex_jax tokenizer 2"  # an imported tokenizer.json

_FORMAT = "codex_jax tokenizer 1"
OUR_SETTINGS = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": END_OF_TEXT,
    "eos_token": END_OF_TEXT,
    "clean_up_tokenization_spaces": False,
}
_ADDED_TOKEN = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)


class Vocabulary(NamedTuple):
    """Tokens and their ids, and the id of <|endoftext|> if it has one among them."""

    ids: dict[bytes, int]
    eos_id: int | None


def to_content(
    ids: Mapping[bytes, int], pattern: str, specials: Mapping[str, int]
) -> dict[str, Any]:
    """The fields of our file, without its hash."""
    vocabulary = {spell(token): number for token, number in ids.items()}
    return {"format": _FORMAT, "pattern": pattern, "specials": specials, "vocabulary": vocabulary}


def digest(content: dict[str, Any]) -> str:
    """SHA-256 of a file's fields, as hexadecimal digits."""
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def to_library_content(
    text: str, settings: Mapping[str, Any], specials: Mapping[str, int], vocab_size: int
) -> dict[str, Any]:
    """The fields of our file of an imported tokenizer.json, without its hash."""
    fields = {"tokenizer": text, "settings": dict(settings), "specials": dict(specials)}
    return {"format": LIBRARY_FORMAT, "vocab_size": vocab_size} | fields


def read_content(path: pathlib.Path) -> dict[str, Any]:
    """The fields of our file, its hash among them.

    Raises:
      InputError: the file is missing, of another format, or differs from its hash.
    """
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such tokenizer; make one by `tokenizer`") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a tokenizer's JSON ({error})") from None
    if not isinstance(content, dict) or content.get("format") not in (
        _FORMAT,
        LIBRARY_FORMAT,
    ):
        raise InputError(f"{path}: not a tokenizer of ours; expected format {_FORMAT!r}")
    expected = content.pop("hash", None)
    if (actual := digest(content)) != expected:
        raise InputError(f"{path}: hashes to {actual[:12]}, the file says {expected}; altered")
    return content | {"hash": expected}


def read_gpt2(path: pathlib.Path) -> Vocabulary:
    """Reads GPT-2's vocab.json (encoder.json), whose ids are in the order of its merges.

    Raises:
      InputError: the file is missing or of another form.
    """
    try:
        numbers = parse_json(path.read_text("utf-8"))
        eos_id = numbers.pop(END_OF_TEXT, None)
        ids = {unspell(spelling): int(number) for spelling, number in numbers.items()}
        return Vocabulary(_check_complete(ids), eos_id)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: not GPT-2's vocabulary ({error})") from None


def read_tiktoken(path: pathlib.Path) -> Vocabulary:
    """Reads a .tiktoken file; the first gap in its ids is <|endoftext|>'s.

    Raises:
      InputError: the file is missing or of another form.
    """
    try:
        lines = path.read_text("ascii").split("\n")
        rows = (line.split() for line in lines if line)
        ids = {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}
        gaps = set(range(len(ids))) - set(ids.values())
        return Vocabulary(_check_complete(ids), min(gaps, default=None))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not a .tiktoken file ({error})") from None


def _check_complete(ids: dict[bytes, int]) -> dict[bytes, int]:
    if missing := {bytes([byte]) for byte in range(256)} - ids.keys():
        raise ValueError(f"{len(missing)} bytes have no token")
    return ids


def to_hugging_face(
    ids: Mapping[bytes, int], pattern: str, tokens: Sequence[bytes], begin_ids: Sequence[int] = ()
) -> str:
    """A tokenizer.json of our vocabulary, which puts `begin_ids` in front of a text.

    Our encoder merges the pair whose union has the lowest id, whichever pair that is; the file
    lists every such pair, in the order of the unions' ids.
    """
    special = {n: token.decode() for n, token in enumerate(tokens) if ids.get(token) != n}
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    byte_level |= {"use_regex": False}
    fields = {
        "version": "1.0",
        "added_tokens": [
            {"id": n, "content": name or f"<unused {n}>", "special": True} | _ADDED_TOKEN
            for n, name in special.items()
        ],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [split | {"invert": False}, byte_level],
        },
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "ignore_merges": True,
            "vocab": {spell(token): number for token, number in ids.items()},
            "merges": _merges(ids),
        },
    }
    names = [tokens[n].decode() for n in begin_ids]
    if names:
        fields["post_processor"] = _begin_template(dict(zip(names, begin_ids, strict=True)))
    return json.dumps(fields, ensure_ascii=False)


def _begin_template(begin: Mapping[str, int]) -> dict[str, Any]:
    """The step of a tokenizer.json that puts special tokens in front of each text."""
    front = [{"SpecialToken": {"id": name, "type_id": 0}} for name in begin]
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [*front, first],
        "pair": [*front, first, second],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in begin.items()
        },
    }


def write_hugging_face(folder: pathlib.Path, text: str, settings: Mapping[str, Any]) -> None:
    """Writes tokenizer.json and tokenizer_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(text, "utf-8")
    config = json.dumps(settings, indent=1, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(config + "\n", "utf-8")


def _merges(ids: Mapping[bytes, int]) -> list[list[str]]:
    return [
        [spell(token[:cut]), spell(token[cut:])]
        for token, _ in sorted(ids.items(), key=lambda item: item[1])
        for cut in range(1, len(token))
        if token[:cut] in ids and token[cut:] in ids
    ]
