"""Text ↔ ids: byte-level BPE in which Python's indentation is one token.

GPT-2's scheme as in the Codex paper (section 3.2: tokens for runs of whitespace save about 30 % of
tokens on code), with two changes: a newline and the indentation after it are one token, and numbers
are cut to three digits. Ids 0..255 are the bytes (so id 0 is "!", an ordinary token); the special
tokens are the last ids, and no text ever encodes to them. `tokenizers` learns, `tiktoken` encodes,
eight times as fast.
"""

import base64
import functools
import hashlib
import json
import os
import pathlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tiktoken
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from codex_jax import InputError

END_OF_TEXT = "<|endoftext|>"
SPECIALS = (END_OF_TEXT, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_FORMAT = "codex_jax tokenizer 1"
_PLAIN = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)

# Whitespace first, cut to the longest runs that are tokens; then words, numbers, the rest.
_PATTERN = (
    r"\n{1,3}(?: {1,32}|\t{1,8})?| {2,32}|\t{1,8}"
    r"| ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s"
)
# GPT-2's, with quantifiers that don't back-track.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
WHITESPACE_RUNS = (
    *(" " * n for n in range(2, 33)),
    *("\t" * n for n in range(2, 9)),
    *("\n" * n for n in range(2, 4)),
    *("\n" + " " * n for n in range(1, 33)),
    *("\n" + "\t" * n for n in range(1, 9)),
    *("\n\n" + " " * n for n in (4, 8, 12)),
)


def _byte_table() -> list[str]:
    """GPT-2's printable stand-in for each byte value."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in printable)
    stand_in = {byte: chr(byte) for byte in printable}
    stand_in |= {byte: chr(256 + n) for n, byte in enumerate(others)}
    return [stand_in[byte] for byte in range(256)]


_STAND_INS = dict(enumerate(_byte_table()))
_NO_BYTE = dict.fromkeys(range(256), "\N{REPLACEMENT CHARACTER}")  # unless it stands for one
_BYTE_OF = _NO_BYTE | {ord(char): byte for byte, char in _STAND_INS.items()}


def _spell(token: bytes) -> str:
    return token.decode("latin-1").translate(_STAND_INS)


def _unspell(spelling: str) -> bytes:
    """Raises ValueError where a character stands for no byte."""
    return spelling.translate(_BYTE_OF).encode("latin-1")


class Tokenizer:
    """A vocabulary; make one by `train`, `load`, `read_gpt2` or `read_tiktoken`."""

    def __init__(
        self,
        ids: dict[bytes, int],
        *,
        pattern: str = _PATTERN,
        eos_id: int | None = None,
        specials: Mapping[str, int] | None = None,
    ):
        """A vocabulary of tokens, where the pair whose union has the lowest id is merged first.

        `eos_id` is the gap that <|endoftext|> fills, `specials` those of others of `SPECIALS`; what
        neither names gets the next ids.
        """
        given = dict(specials or {}) | ({} if eos_id is None else {END_OF_TEXT: eos_id})
        self._ids = ids
        self._pattern = pattern
        # It knows no special tokens, so no text can encode to one.
        self._engine = tiktoken.Encoding(
            "codex_jax", pat_str=pattern, mergeable_ranks=ids, special_tokens={}
        )
        self._bytes = [b""] * (max([*ids.values(), *given.values()]) + 1)
        for token, number in ids.items():
            self._bytes[number] = token
        self._specials = {name: given[name] for name in SPECIALS if name in given}
        for name in SPECIALS:
            if self._specials.setdefault(name, len(self._bytes)) == len(self._bytes):
                self._bytes.append(b"")
            self._bytes[self._specials[name]] = name.encode()

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> "Tokenizer":
        """Learns from `texts` (streamed; only their distinct words are kept).

        The same texts give the same tokenizer. A small corpus may yield fewer tokens than asked.

        Raises:
          InputError: `vocab_size` has no room beyond bytes, whitespace runs and special tokens.
        """
        smallest = 256 + len(WHITESPACE_RUNS) + len(SPECIALS)
        if vocab_size < smallest:
            raise InputError(f"vocab_size is {vocab_size}; expected at least {smallest}")
        engine = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
        split = pre_tokenizers.Split(tokenizers.Regex(_PATTERN), behavior="isolated")
        spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        engine.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        runs = [_spell(run.encode()) for run in WHITESPACE_RUNS]
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - len(SPECIALS),
            initial_alphabet=alphabet,
            special_tokens=[*sorted(alphabet), *runs],  # the first ids, in this order
            show_progress=False,
        )
        engine.train_from_iterator(texts, trainer)
        vocabulary = json.loads(engine.to_str())["model"]["vocab"]
        return cls({_unspell(spelling): number for spelling, number in vocabulary.items()})

    @classmethod
    def load(cls, path: pathlib.Path | str) -> "Tokenizer":
        """Reads what `save` wrote.

        Raises:
          InputError: the file is missing, isn't ours, or doesn't match the hash it carries.
        """
        path = pathlib.Path(path)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"{path}: no such tokenizer; make one by `tokenizer`") from None
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a tokenizer's JSON ({error})") from None
        if not isinstance(stored, dict) or stored.get("format") != _FORMAT:
            raise InputError(f"{path}: not a tokenizer of ours; expected format {_FORMAT!r}")
        expected = stored.pop("hash", None)
        if (found := _digest(stored)) != expected:
            raise InputError(f"{path}: hashes to {found[:12]}, the file says {expected}; altered")
        ids = {_unspell(spelling): number for spelling, number in stored["vocabulary"].items()}
        tokenizer = cls(ids, pattern=stored["pattern"], specials=stored["specials"])
        tokenizer.hash = expected
        return tokenizer

    @classmethod
    def read_gpt2(cls, vocabulary: pathlib.Path | str) -> "Tokenizer":
        """Reads GPT-2's vocab.json (encoder.json), whose ids are in the order of its merges.

        Raises:
          InputError: the file is missing or isn't of that form.
        """
        try:
            numbers = json.loads(pathlib.Path(vocabulary).read_text("utf-8"))
            eos_id = numbers.pop(END_OF_TEXT, None)
            ids = {_unspell(spelling): int(number) for spelling, number in numbers.items()}
            return cls(_complete(ids), pattern=_GPT2_PATTERN, eos_id=eos_id)
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{vocabulary}: not GPT-2's vocabulary ({error})") from None

    @classmethod
    def read_tiktoken(cls, path: pathlib.Path | str) -> "Tokenizer":
        """Reads a .tiktoken file that splits as GPT-2 does: r50k_base or Codex's own p50k_base.

        Raises:
          InputError: the file is missing or isn't of that form.
        """
        try:
            lines = pathlib.Path(path).read_text("ascii").split("\n")
            rows = (line.split() for line in lines if line)
            ids = {base64.b64decode(token, validate=True): int(rank) for token, rank in rows}
            gaps = set(range(len(ids))) - set(ids.values())
            return cls(_complete(ids), pattern=_GPT2_PATTERN, eos_id=min(gaps, default=None))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: not a .tiktoken file ({error})") from None

    def save(self, path: pathlib.Path | str) -> None:
        """Writes one JSON file, whole or not at all."""
        path = pathlib.Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"partial-{secrets.token_hex(4)}-{path.name}")
        content = {"hash": self.hash, **self._content()}
        partial.write_text(json.dumps(content, ensure_ascii=False, indent=0) + "\n", "utf-8")
        partial.replace(path)

    def export(self, folder: pathlib.Path | str) -> None:
        """Writes Hugging Face's tokenizer.json and tokenizer_config.json.

        Ours merges the pair whose union has the lowest id, whichever pair that is: theirs gets
        every such pair, in the order of the unions' ids.
        """
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        merges = [
            [_spell(token[:cut]), _spell(token[cut:])]
            for token, _ in sorted(self._ids.items(), key=lambda item: item[1])
            for cut in range(1, len(token))
            if token[:cut] in self._ids and token[cut:] in self._ids
        ]
        special = {n: token.decode() for n, token in enumerate(self._bytes) if self._is_special(n)}
        vocabulary = {_spell(token): number for token, number in self._ids.items()}
        split = {"type": "Split", "pattern": {"Regex": self._pattern}, "behavior": "Isolated"}
        spelling = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
        fields = {
            "version": "1.0",
            "added_tokens": [
                {"id": n, "content": name or f"<unused {n}>", "special": True} | _PLAIN
                for n, name in special.items()
            ],
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [split | {"invert": False}, spelling | {"use_regex": False}],
            },
            "decoder": spelling | {"use_regex": False},
            "model": {
                "type": "BPE",
                "ignore_merges": True,
                "vocab": vocabulary,
                "merges": merges,
            },
        }
        (folder / "tokenizer.json").write_text(json.dumps(fields, ensure_ascii=False), "utf-8")
        kind = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END_OF_TEXT}
        (folder / "tokenizer_config.json").write_text(json.dumps(kind, indent=1) + "\n", "utf-8")

    def _is_special(self, number: int) -> bool:
        return self._ids.get(self._bytes[number]) != number

    def _content(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "pattern": self._pattern,
            "specials": self._specials,
            "vocabulary": {_spell(token): number for token, number in self._ids.items()},
        }

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of its content, which checkpoints and data carry."""
        return _digest(self._content())

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return len(self._bytes)

    @property
    def eos_id(self) -> int:
        """Id of <|endoftext|>, which begins and ends every document."""
        return self._specials[END_OF_TEXT]

    def special_id(self, name: str) -> int:
        """Id of one of `SPECIALS`."""
        return self._specials[name]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; "<|endoftext|>" inside it is ordinary text.

        Raises:
          InputError: `text` holds a lone surrogate, which no UTF-8 file can.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for each text, on all cores, without Python's lock."""
        try:
            for text in texts:
                text.encode()
        except UnicodeEncodeError:
            raise InputError("text holds a lone surrogate; expected a UTF-8 string") from None
        if len(texts) == 1:
            return [self._engine.encode_ordinary(texts[0])]
        threads = os.cpu_count() or 1
        return self._engine.encode_ordinary_batch(list(texts), num_threads=threads)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that one id stands for (a special token's own name, for those).

        Raises:
          InputError: `token` isn't an id of this vocabulary.
        """
        if not 0 <= token < len(self._bytes):
            raise InputError(f"token id {token}; expected 0 ≤ id < {len(self._bytes)}")
        return self._bytes[token]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The exact bytes of `ids`, also where they aren't valid UTF-8."""
        return b"".join(self.token_bytes(int(token)) for token in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, with U+FFFD where their bytes aren't valid UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def ends_line(self) -> np.ndarray:
        """bool (V,): the token holds a newline."""
        return np.array([b"\n" in token for token in self._bytes])

    def indent_halves(self) -> np.ndarray:
        """int32 (V, 2): ids of the newlines and of the indentation of a newline+indent token.

        Rows of -1 for every other token.
        """
        return np.array(list(self._halves()), np.int32)

    def _halves(self) -> Iterator[tuple[int, int]]:
        for token in self._bytes:
            indent = token.lstrip(b"\n")
            newlines = token[: len(token) - len(indent)]
            both = newlines and indent and not indent.strip(b" \t")
            known = both and newlines in self._ids and indent in self._ids
            yield (self._ids[newlines], self._ids[indent]) if known else (-1, -1)


def _complete(ids: dict[bytes, int]) -> dict[bytes, int]:
    if missing := {bytes([byte]) for byte in range(256)} - ids.keys():
        raise ValueError(f"{len(missing)} bytes have no token")
    return ids


def _digest(content: dict[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
