"""Text ↔ ids: byte-level BPE, GPT-2's scheme with the whitespace runs of `whitespace`.

Ids 0..255 are the bytes (so id 0 is "!", an ordinary token). The special tokens are the last ids,
and no text ever encodes to them. `tokenizers` learns; `tiktoken` encodes, eight times as fast.
"""

import functools
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tiktoken
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from codex_jax import InputError, files
from codex_jax.tokenizer import formats, whitespace
from codex_jax.tokenizer.byte_alphabet import spell, unspell
from codex_jax.tokenizer.formats import END_OF_TEXT
from codex_jax.tokenizer.whitespace import PATTERN, WHITESPACE_RUNS

SPECIALS = (END_OF_TEXT, "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")

# GPT-2's, with quantifiers that don't back-track.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"


class Tokenizer:
    """A vocabulary; make one by `train`, `load`, `read_gpt2` or `read_tiktoken`."""

    def __init__(
        self,
        ids: dict[bytes, int],
        *,
        pattern: str = PATTERN,
        eos_id: int | None = None,
        specials: Mapping[str, int] | None = None,
    ):
        """A vocabulary of tokens, in which the pair whose union has the lowest id is merged first.

        Args:
          ids: of the tokens.
          pattern: splits text into words before it is merged.
          eos_id: id of <|endoftext|>.
          specials: ids of others of `SPECIALS`; those without one get the next ids.
        """
        special_ids = dict(specials or {}) | ({} if eos_id is None else {END_OF_TEXT: eos_id})
        self._ids = ids
        self._pattern = pattern
        # tiktoken gets no special tokens, so no text can encode to one.
        self._engine = tiktoken.Encoding(
            "codex_jax", pat_str=pattern, mergeable_ranks=ids, special_tokens={}
        )
        self._tokens = [b""] * (max([*ids.values(), *special_ids.values()]) + 1)
        for token, number in ids.items():
            self._tokens[number] = token
        self._specials = {name: special_ids[name] for name in SPECIALS if name in special_ids}
        for name in SPECIALS:
            if self._specials.setdefault(name, len(self._tokens)) == len(self._tokens):
                self._tokens.append(b"")
            self._tokens[self._specials[name]] = name.encode()

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> "Tokenizer":
        """Learns from `texts`, which are streamed; only their distinct words are stored.

        The same texts give the same tokenizer. A small corpus may yield fewer than `vocab_size`
        tokens.

        Raises:
          InputError: `vocab_size` has no space beyond bytes, whitespace runs and special tokens.
        """
        smallest = 256 + len(WHITESPACE_RUNS) + len(SPECIALS)
        if vocab_size < smallest:
            raise InputError(f"vocab_size is {vocab_size}; expected at least {smallest}")
        engine = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
        split = pre_tokenizers.Split(tokenizers.Regex(PATTERN), behavior="isolated")
        byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        engine.pre_tokenizer = pre_tokenizers.Sequence([split, byte_level])
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        runs = [spell(run.encode()) for run in WHITESPACE_RUNS]
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - len(SPECIALS),
            initial_alphabet=alphabet,
            special_tokens=[*sorted(alphabet), *runs],  # the first ids, in this order
            show_progress=False,
        )
        engine.train_from_iterator(texts, trainer)
        vocabulary = json.loads(engine.to_str())["model"]["vocab"]
        return cls({unspell(spelling): number for spelling, number in vocabulary.items()})

    @classmethod
    def load(cls, path: pathlib.Path | str) -> "Tokenizer":
        """Reads a file of `save`.

        Raises:
          InputError: the file is missing, of another format, or differs from its hash.
        """
        content, ids = formats.read_content(pathlib.Path(path))
        tokenizer = cls(ids, pattern=content["pattern"], specials=content["specials"])
        tokenizer.hash = content["hash"]
        return tokenizer

    @classmethod
    def read_gpt2(cls, vocabulary: pathlib.Path | str) -> "Tokenizer":
        """Reads GPT-2's vocab.json (encoder.json).

        Raises:
          InputError: the file is missing or of another form.
        """
        ids, eos_id = formats.read_gpt2(pathlib.Path(vocabulary))
        return cls(ids, pattern=_GPT2_PATTERN, eos_id=eos_id)

    @classmethod
    def read_tiktoken(cls, path: pathlib.Path | str) -> "Tokenizer":
        """Reads a .tiktoken file that splits as GPT-2 does: r50k_base or Codex's own p50k_base.

        Raises:
          InputError: the file is missing or of another form.
        """
        ids, eos_id = formats.read_tiktoken(pathlib.Path(path))
        return cls(ids, pattern=_GPT2_PATTERN, eos_id=eos_id)

    def save(self, path: pathlib.Path | str) -> None:
        """Writes a JSON file, completely or not at all."""
        content = {"hash": self.hash, **self._content()}
        files.atomic_write(path, json.dumps(content, ensure_ascii=False, indent=0) + "\n")

    def export(self, folder: pathlib.Path | str) -> None:
        """Writes Hugging Face's tokenizer.json and tokenizer_config.json."""
        formats.write_hugging_face(pathlib.Path(folder), self._ids, self._pattern, self._tokens)

    def _content(self) -> dict:
        return formats.to_content(self._ids, self._pattern, self._specials)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the content, which checkpoints and data carry."""
        return formats.digest(self._content())

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return len(self._tokens)

    @property
    def eos_id(self) -> int:
        """Id of <|endoftext|>, which begins and ends every document."""
        return self._specials[END_OF_TEXT]

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of tokens that no text has."""
        return frozenset(self._specials.values())

    def special_id(self, name: str) -> int:
        """Id of one of `SPECIALS`."""
        return self._specials[name]

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; "<|endoftext|>" inside it is ordinary text.

        Raises:
          InputError: `text` has a lone surrogate, which UTF-8 can't encode.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Encodes each text, on all cores, without Python's lock."""
        try:
            for text in texts:
                text.encode()
        except UnicodeEncodeError:
            raise InputError("text has a lone surrogate; expected a UTF-8 string") from None
        if len(texts) == 1:
            return [self._engine.encode_ordinary(texts[0])]
        threads = os.cpu_count() or 1
        return self._engine.encode_ordinary_batch(list(texts), num_threads=threads)

    def token_bytes(self, token: int) -> bytes:
        """Bytes of an id; the name of a special token.

        Raises:
          InputError: `token` isn't an id of this vocabulary.
        """
        if not 0 <= token < len(self._tokens):
            raise InputError(f"token id {token}; expected 0 ≤ id < {len(self._tokens)}")
        return self._tokens[token]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The exact bytes of `ids`, even if they aren't valid UTF-8."""
        return b"".join(self.token_bytes(int(token)) for token in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, with U+FFFD for bytes that aren't valid UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def newline_mask(self) -> np.ndarray:
        """Bool (V,): True for tokens with a newline."""
        return whitespace.newline_mask(self._tokens)

    def indent_split_table(self) -> np.ndarray:
        """int32 (V, 2): ids of the newlines and of the indentation of each newline+indent token.

        Rows of other tokens are -1.
        """
        return whitespace.indent_split_table(self._tokens, self._ids)
