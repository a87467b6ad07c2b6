"""The tokenizer: text to token ids and back, by byte-level BPE."""

from codex_jax.tokenizer.bpe import SPECIALS, Tokenizer
from codex_jax.tokenizer.formats import END_OF_TEXT
from codex_jax.tokenizer.whitespace import WHITESPACE_RUNS

__all__ = ["END_OF_TEXT", "SPECIALS", "WHITESPACE_RUNS", "Tokenizer"]
