"""Text ↔ ids: byte-level BPE, GPT-2's scheme with the whitespace runs of `whitespace`.

Ids 0..255 are the bytes (so id 0 is "!", an ordinary token). The special tokens are the last ids,
and no text ever encodes to them. `tokenizers` learns; `tiktoken` encodes, eight times as fast. An
imported vocabulary is encoded by `tokenizers`, as its own model was trained.
"""

import functools
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from codex_jax import InputError, files
from codex_jax.tokenizer import formats, whitespace
from codex_jax.tokenizer.byte_alphabet import spell, unspell
from codex_jax.tokenizer.formats import END_OF_TEXT, SPECIALS
from codex_jax.tokenizer.library import LibraryVocabulary
from codex_jax.tokenizer.ranked import RankedVocabulary
from codex_jax.tokenizer.whitespace import PATTERN, WHITESPACE_RUNS

# GPT-2's, with quantifiers that don't back-track.
_GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"

_LARGEST_SIZE = 2**20  # the library takes memory for all at once


class Tokenizer:
    """A vocabulary; make one by `train`, `load`, or one of the readers of foreign files."""

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
        self._vocabulary: RankedVocabulary | LibraryVocabulary = RankedVocabulary(
            ids, pattern, special_ids
        )

    @classmethod
    def train(cls, texts: Iterable[str], *, vocab_size: int) -> "Tokenizer":
        """Learns from `texts`, which are streamed; only their distinct words are stored.

        The same texts give the same tokenizer. A small corpus may yield fewer than `vocab_size`
        tokens.

        Raises:
          InputError: `vocab_size` has no space beyond bytes, whitespace runs and special tokens,
            or is beyond what the library has memory for.
        """
        smallest = 256 + len(WHITESPACE_RUNS) + len(SPECIALS)
        if not smallest <= vocab_size <= _LARGEST_SIZE:
            raise InputError(
                f"vocab_size is {vocab_size}; set it to {smallest} or more and at most "
                f"{_LARGEST_SIZE:,}"
            )
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
        content = formats.read_content(pathlib.Path(path))
        digest = content.pop("hash")
        is_imported = content["format"] == formats.LIBRARY_FORMAT
        read = LibraryVocabulary if is_imported else RankedVocabulary.from_content
        tokenizer = cls._wrap(read(content))
        tokenizer.hash = digest
        return tokenizer

    @classmethod
    def read_hugging_face(
        cls,
        text: str,
        *,
        settings: Mapping[str, Any],
        specials: Mapping[str, int],
        vocab_size: int,
    ) -> "Tokenizer":
        """Reads a tokenizer.json, which then encodes exactly as its own library does.

        Args:
          text: of the file.
          settings: its tokenizer_config.json.
          specials: ids of those of `SPECIALS` that it has.
          vocab_size: the model's, in which ids without a token are empty.

        Raises:
          InputError: a file that the library can't read, or whose tokens aren't bytes.
        """
        content = formats.to_library_content(text, settings, specials, vocab_size)
        return cls._wrap(LibraryVocabulary(content))

    @classmethod
    def _wrap(cls, vocabulary: RankedVocabulary | LibraryVocabulary) -> "Tokenizer":
        tokenizer = cls.__new__(cls)
        tokenizer._vocabulary = vocabulary
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
        content = {"hash": self.hash, **self._vocabulary.content()}
        files.atomic_write(path, json.dumps(content, ensure_ascii=False, indent=0) + "\n")

    def export(self, folder: pathlib.Path | str, *, begin_ids: Sequence[int] = ()) -> None:
        """Writes Hugging Face's tokenizer.json and tokenizer_config.json.

        Args:
          folder: to write.
          begin_ids: tokens that the file puts in front of a text; an imported one has its own.
        """
        self._vocabulary.export(pathlib.Path(folder), begin_ids)

    @functools.cached_property
    def hash(self) -> str:
        """SHA-256 of the content, which checkpoints and data carry."""
        return formats.digest(self._vocabulary.content())

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return len(self._vocabulary.tokens)

    @property
    def eos_id(self) -> int:
        """Id of <|endoftext|>, which begins and ends every document."""
        return self._vocabulary.specials[END_OF_TEXT]

    @property
    def settings(self) -> Mapping[str, Any]:
        """An imported tokenizer's tokenizer_config.json: chat_template, bos_token, and so on."""
        return self._vocabulary.settings

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of tokens that no text has."""
        return self._vocabulary.special_ids

    def special_id(self, name: str) -> int:
        """Id of one of `SPECIALS`.

        Raises:
          InputError: an imported tokenizer without it.
        """
        try:
            return self._vocabulary.specials[name]
        except KeyError:
            raise InputError(f"this tokenizer has no token {name}; leave suffix out") from None

    def encode(self, text: str, *, specials: bool = False) -> list[int]:
        """Ids of `text`; "<|endoftext|>" inside it is ordinary text.

        Args:
          text: any.
          specials: Names of special tokens are these tokens, as in a chat template's text.

        Raises:
          InputError: `text` has a lone surrogate, which UTF-8 can't encode.
        """
        return self.encode_batch([text], specials=specials)[0]

    def encode_batch(self, texts: Sequence[str], *, specials: bool = False) -> list[list[int]]:
        """Encodes each text, on all cores, without Python's lock."""
        try:
            for text in texts:
                text.encode()
        except UnicodeEncodeError:
            raise InputError("text has a lone surrogate; expected a UTF-8 string") from None
        return self._vocabulary.encode_batch(texts, specials=specials)

    def token_bytes(self, token: int) -> bytes:
        """Bytes of an id; the name of a special token.

        Raises:
          InputError: `token` isn't an id of this vocabulary.
        """
        if not 0 <= token < len(self._vocabulary.tokens):
            raise InputError(f"token id {token}; expected 0 ≤ id < {len(self._vocabulary.tokens)}")
        return self._vocabulary.tokens[token]

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The exact bytes of `ids`, even if they aren't valid UTF-8."""
        return b"".join(self.token_bytes(int(token)) for token in ids)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of `ids`, with U+FFFD for bytes that aren't valid UTF-8."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def newline_mask(self) -> np.ndarray:
        """Bool (V,): True for tokens with a newline."""
        return whitespace.newline_mask(self._vocabulary.tokens)

    def indent_split_table(self) -> np.ndarray:
        """int32 (V, 2): ids of the newlines and of the indentation of each newline+indent token.

        Rows of other tokens are -1.
        """
        return whitespace.indent_split_table(self._vocabulary.tokens, self._vocabulary.ids)
