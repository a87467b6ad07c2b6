"""The tokenizer: text to token ids and back, by byte-level BPE."""

from codex_jax.tokenizer.bpe import END_OF_TEXT, SPECIALS, WHITESPACE_RUNS, Tokenizer

__all__ = ["END_OF_TEXT", "SPECIALS", "WHITESPACE_RUNS", "Tokenizer"]
