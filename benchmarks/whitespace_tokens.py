"""Measures the tokens that whitespace tokens save on held-out Python, and exact decoding.

    python benchmarks/whitespace_tokens.py CORPUS [--vocab_size 16384]

Two tokenizers learn on nine of ten files of the corpus and are measured on the tenth: ours, and the
same BPE without tokens of more than one whitespace character, as GPT-3's was on code.
"""

import argparse

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import SourceTree
from codex_jax.data.stats import FileStats
from codex_jax.tokenizer import Tokenizer

_WITHOUT = r" ?\p{L}+| ?\p{N}{1,3}| ?[^\s\p{L}\p{N}]+|\s"


def main() -> None:
    """Learns both tokenizers, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus")
    parser.add_argument("--vocab_size", type=int, default=16384)
    settings = parser.parse_args()
    documents = Cleaner(Cleaning()).documents(SourceTree(path=settings.corpus), FileStats())
    texts = [document.text for document in documents]
    training = [text for number, text in enumerate(texts) if number % 10]
    test = texts[::10]
    tokenizer = Tokenizer.train(training, vocab_size=settings.vocab_size)
    saved = _count(tokenizer, test) / _count_without_runs(training, test, settings.vocab_size)
    exact = sum(tokenizer.decode(tokenizer.encode(text)) == text for text in texts)
    print(f"{len(test)} held-out files, {sum(map(len, test)) / 1e6:.2f} MB")
    print(f"tokens with runs / without: {saved:.3f}, so {1 - saved:.1%} saved")
    print(f"round trip exact: {exact} of {len(texts)} files")


def _count(tokenizer: Tokenizer, texts: list[str]) -> int:
    return sum(map(len, tokenizer.encode_batch(texts)))


def _count_without_runs(training: list[str], test: list[str], vocab_size: int) -> int:
    library = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    split = pre_tokenizers.Split(tokenizers.Regex(_WITHOUT), behavior="isolated")
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    library.pre_tokenizer = pre_tokenizers.Sequence([split, spelling])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(training, trainer)
    return sum(len(encoding.ids) for encoding in library.encode_batch_fast(test))


if __name__ == "__main__":
    main()
