"""Our own vocabularies: the pair whose union has the lowest id is merged first, by tiktoken."""

import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tiktoken

from codex_jax.tokenizer import formats
from codex_jax.tokenizer.byte_alphabet import unspell
from codex_jax.tokenizer.formats import SPECIALS


class RankedVocabulary:
    """A vocabulary with the special tokens `SPECIALS`; those without an id get the next ones.

    Attributes:
      ids: of the tokens that text encodes to.
      tokens: the bytes of each id, and the names of special tokens.
      specials: ids of `SPECIALS`.
      special_ids: the same ids, which no text has.
      settings: empty; an imported vocabulary has its tokenizer_config.json.
    """

    settings: Mapping[str, Any] = {}

    def __init__(self, ids: dict[bytes, int], pattern: str, specials: Mapping[str, int]):
        self.ids, self._pattern = ids, pattern
        # tiktoken gets no special tokens, so no text can encode to one.
        self._engine = tiktoken.Encoding(
            "codex_jax", pat_str=pattern, mergeable_ranks=ids, special_tokens={}
        )
        self.tokens = [b""] * (max([*ids.values(), *specials.values()]) + 1)
        for token, number in ids.items():
            self.tokens[number] = token
        self.specials = {name: specials[name] for name in SPECIALS if name in specials}
        for name in SPECIALS:
            if self.specials.setdefault(name, len(self.tokens)) == len(self.tokens):
                self.tokens.append(b"")
            self.tokens[self.specials[name]] = name.encode()
        self.special_ids = frozenset(self.specials.values())
        self._names = re.compile(f"({'|'.join(map(re.escape, self.specials))})")

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> "RankedVocabulary":
        """The vocabulary of a file's fields."""
        ids = {unspell(spelling): number for spelling, number in content["vocabulary"].items()}
        return cls(ids, content["pattern"], content["specials"])

    def content(self) -> dict[str, Any]:
        """A file's fields."""
        return formats.to_content(self.ids, self._pattern, self.specials)

    def encode_batch(self, texts: Sequence[str], *, specials: bool) -> list[list[int]]:
        """Ids of each text; names of special tokens are them if `specials`, else ordinary text."""
        if specials:
            return [self._encode_specials(text) for text in texts]
        if len(texts) == 1:
            return [self._engine.encode_ordinary(texts[0])]
        threads = os.cpu_count() or 1
        return self._engine.encode_ordinary_batch(list(texts), num_threads=threads)

    def _encode_specials(self, text: str) -> list[int]:
        ids: list[int] = []
        for n, piece in enumerate(self._names.split(text)):
            is_name = n % 2  # the pattern's group is between the pieces
            ids += [self.specials[piece]] if is_name else self._engine.encode_ordinary(piece)
        return ids

    def export(self, folder: pathlib.Path, begin_ids: Sequence[int]) -> None:
        """Writes Hugging Face's files, which put `begin_ids` in front of every text."""
        content = formats.to_hugging_face(self.ids, self._pattern, self.tokens, begin_ids)
        formats.write_hugging_face(folder, content, formats.OUR_SETTINGS)
