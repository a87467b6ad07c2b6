"""A corpus in shards, each cleaned and tokenized by itself, anywhere, in any order, once.

A shard is done once its manifest exists, so an interrupted build resumes. Duplicates are removed
later, across shards (`assemble`).
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import Entry, SourceTree, list_files
from codex_jax.data.dedup.minhash import digest, minhash
from codex_jax.data.documents import Document
from codex_jax.data.examples.encode import DocumentEncoder, EncodedExample
from codex_jax.data.examples.indent_split import split_indent_tokens
from codex_jax.data.examples.render import example_rng
from codex_jax.data.examples.row_cutter import token_byte_counts
from codex_jax.data.readers.files import read_files
from codex_jax.data.shards.shard_files import TokenizedDocument, TokenizedText, write_block
from codex_jax.data.stats import FileStats, add_count, to_counts
from codex_jax.files import atomic_write
from codex_jax.tokenizer import Tokenizer

_SHARD_BYTES, _SHARD_FILES = 8_000_000, 4000
_BLOCK_BYTES, _BLOCK_DOCUMENTS = 16_000_000, 8000  # held in a worker's memory


class Shard(NamedTuple):
    """Some files of a tree; `name` is made of its index in the corpus and a hash of its files."""

    name: str
    source: str
    entries: list[Entry]


@dataclasses.dataclass(frozen=True)
class BuildSpec:
    """The settings of a build that a worker needs."""

    trees: dict[str, SourceTree]
    tokenizer: str
    cleaning: Cleaning
    indent_split_rate: float
    seed: int
    folder: str
    sequence_length: int = 2048
    tasks: tuple[str, ...] = ()  # of seqio's registry, whose sources aren't trees

    @property
    def sources(self) -> list[str]:
        """Names of the trees, then of the tasks."""
        return [*self.trees, *self.tasks]


def plan_shards(trees: dict[str, SourceTree]) -> Iterator[Shard]:
    """Cuts the corpus into shards, in one order."""
    for number, (source, tree) in enumerate(trees.items()):
        for index, entries in enumerate(_groups(list_files(tree))):
            content = hashlib.sha256(repr(entries).encode()).hexdigest()[:8]
            yield Shard(f"{number:03}-{index:07}-{content}", source, entries)


def _groups(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    group: list[Entry] = []
    size = 0
    for entry in entries:
        group.append(entry)
        size += entry.size
        if size >= _SHARD_BYTES or len(group) >= _SHARD_FILES:
            yield group
            group, size = [], 0
    if group:
        yield group


class ShardBuilder:
    """Cleans and tokenizes shards."""

    def __init__(self, spec: BuildSpec):
        """Loads the tokenizer; duplicates aren't looked for within a shard."""
        cleaning = dataclasses.replace(spec.cleaning, exact_duplicates=False, near_duplicates=None)
        self._spec = spec
        self._folder = pathlib.Path(spec.folder)
        self._cleaner = Cleaner(cleaning)
        tokenizer = Tokenizer.load(spec.tokenizer)
        self._encoder = DocumentEncoder(tokenizer, spec.seed, spec.sequence_length)
        self._halves = tokenizer.indent_split_table()
        self._token_bytes = token_byte_counts(tokenizer)
        self._dtype = np.min_scalar_type(tokenizer.vocab_size)

    def build(self, shard: Shard) -> None:
        """Writes the shard's blocks, its list of dropped files, and last its manifest."""
        tree = self._spec.trees[shard.source]
        with dropped_path(self._folder, shard.name).open("w", encoding="utf-8") as log:
            stats = FileStats(shard.source, log)
            documents = self._cleaner.clean(read_files(tree, shard.entries), tree, stats)
            tokenized = (self._tokenize(document, tree, shard.source) for document in documents)
            blocks = self._write_blocks(shard.name, tokenized)
        self._write_manifest(shard.name, blocks, stats)

    def build_examples(
        self,
        name: str,
        examples: Iterable[EncodedExample],
        dropped: Iterable[tuple[str, str, str]] = (),
    ) -> None:
        """Writes encoded examples as the shard `name`.

        Args:
          name: The shard's.
          examples: In their order.
          dropped: Key, language and reason of those that were left out, to be counted.
        """
        source = self._spec.sources[int(name.partition("-")[0])]
        with dropped_path(self._folder, name).open("w", encoding="utf-8") as log:
            stats = FileStats(source, log)
            for example in dropped:
                stats.drop(*example)

        def tokenize() -> Iterator[TokenizedDocument]:
            sketch = np.zeros(0, np.uint32)
            for key, language, ids, weights in examples:
                text = self.to_text(EncodedExample(key, language, ids, weights))
                size = int(self._token_bytes[ids].sum())
                stats.accepted[language] += 1
                stats.bytes[language] += size
                yield TokenizedDocument(key, language, size, 0, sketch, [text])

        self._write_manifest(name, self._write_blocks(name, tokenize()), stats)

    def _write_blocks(self, name: str, documents: Iterable[TokenizedDocument]) -> int:
        blocks = 0
        for block in _blocks(documents):
            write_block(self._folder / f"{name}-{blocks:06}.npz", block, self._dtype)
            blocks += 1
        return blocks

    def _write_manifest(self, name: str, blocks: int, stats: FileStats) -> None:
        manifest = {"blocks": blocks, "counts": list(to_counts(stats))}
        atomic_write(manifest_path(self._folder, name), json.dumps(manifest))

    def _tokenize(self, document: Document, tree: SourceTree, source: str) -> TokenizedDocument:
        texts = self._encoder.encode(document, tree, source)
        text, near = document.text, self._spec.cleaning.near_duplicates is not None
        return TokenizedDocument(
            document.path,
            document.language,
            document.size,
            int.from_bytes(digest(text, document.language)[:8]),
            np.array(minhash(text).digest() if near else [], np.uint32),
            [self.to_text(example) for example in texts],
        )

    def to_text(self, example: EncodedExample) -> TokenizedText:
        """Splits some newline+indent tokens of an example."""
        rng = example_rng(self._spec.seed, "boundary " + example.key)
        ids, weights = split_indent_tokens(
            example.ids, example.weights, self._halves, self._spec.indent_split_rate, rng
        )
        uniform = bool((weights == 1).all())
        return TokenizedText(
            example.language, ids.astype(self._dtype), None if uniform else weights
        )


def _blocks(documents: Iterable[TokenizedDocument]) -> Iterator[list[TokenizedDocument]]:
    block: list[TokenizedDocument] = []
    size = 0
    for document in documents:
        block.append(document)
        size += sum(text.ids.nbytes for text in document.texts)
        if size >= _BLOCK_BYTES or len(block) >= _BLOCK_DOCUMENTS:
            yield block
            block, size = [], 0
    if block:
        yield block


def split_of(block: pathlib.Path) -> str:
    """Returns the split of a block of a task: the middle of NUMBER-SPLIT-BLOCK."""
    return block.name.split("-")[1]


def manifest_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of a finished shard's manifest."""
    return folder / f"{name}.json"


def dropped_path(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of the list of a shard's dropped files."""
    return folder / f"{name}.tsv"


def read_manifest(folder: pathlib.Path, name: str, stats: FileStats) -> list[pathlib.Path]:
    """Adds a finished shard's counts to `stats`; returns its blocks in their order."""
    manifest = json.loads(manifest_path(folder, name).read_text("utf-8"))
    for counts in manifest["counts"]:
        add_count(stats, *counts)
    return [folder / f"{name}-{number:06}.npz" for number in range(manifest["blocks"])]
