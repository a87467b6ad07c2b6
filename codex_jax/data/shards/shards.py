"""A corpus in parts, each cleaned and tokenized by itself, anywhere, in any order, once.

A part is finished when its page lies in the folder: a build that was killed goes on from there.
Duplicates are no matter of one part: `assemble` looks for them when all are there.
"""

import collections
import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Document, Tally
from codex_jax.data.corpus import Entry, Tree, list_files, repeats
from codex_jax.data.dedup.minhash import digest, sketch
from codex_jax.data.examples.indent_split import loosen
from codex_jax.data.examples.render import Example, render, stateless
from codex_jax.data.readers.files import read_files
from codex_jax.data.shards.shard_files import Text, Tokenized, write_block
from codex_jax.tokenizer import Tokenizer

_PART_BYTES, _PART_FILES = 8_000_000, 4000
_BLOCK_BYTES, _BLOCK_DOCUMENTS = 16_000_000, 8000  # what a worker holds
_COUNTERS = ("kept", "bytes", "replaced", "licences", "tasks_hit", "names_hit")


class Part(NamedTuple):
    """Some files of one tree; `name` tells its place in the corpus, and what is in it."""

    name: str
    source: str
    entries: list[Entry]


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker needs to know of a build."""

    trees: dict[str, Tree]
    tokenizer: str
    cleaning: Cleaning
    boundary_rate: float
    seed: int
    folder: str


def parts_of(trees: dict[str, Tree]) -> Iterator[Part]:
    """The corpus cut into parts, in one order."""
    for number, (source, tree) in enumerate(trees.items()):
        for place, entries in enumerate(_shares(list_files(tree))):
            content = hashlib.sha256(repr(entries).encode()).hexdigest()[:8]
            yield Part(f"{number:03}-{place:07}-{content}", source, entries)


def _shares(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    share: list[Entry] = []
    size = 0
    for entry in entries:
        share.append(entry)
        size += entry.size
        if size >= _PART_BYTES or len(share) >= _PART_FILES:
            yield share
            share, size = [], 0
    if share:
        yield share


class Maker:
    """Makes parts."""

    def __init__(self, job: Job):
        alone = dataclasses.replace(job.cleaning, exact_duplicates=False, near_duplicates=None)
        self._job = job
        self._folder = pathlib.Path(job.folder)
        self._cleaner = Cleaner(alone)
        self._tokenizer = Tokenizer.load(job.tokenizer)
        self._halves = self._tokenizer.indent_split_table()
        self._dtype = np.min_scalar_type(self._tokenizer.vocab_size)

    def make(self, part: Part) -> None:
        """Writes the part's blocks, its list of dropped files, and last its page."""
        tree = self._job.trees[part.source]
        with dropped_of(self._folder, part.name).open("w", encoding="utf-8") as log:
            tally = Tally(part.source, log)
            documents = self._cleaner.clean(read_files(tree, part.entries), tree, tally)
            tokenized = (self._tokenized(document, tree) for document in documents)
            blocks = 0
            for block in _blocks(tokenized):
                write_block(self._folder / f"{part.name}-{blocks:06}.npz", block, self._dtype)
                blocks += 1
        _write_page(page_of(self._folder, part.name), {"blocks": blocks, **_counted(tally)})

    def _tokenized(self, document: Document, tree: Tree) -> Tokenized:
        text, near = document.text, self._job.cleaning.near_duplicates is not None
        return Tokenized(
            document.path,
            document.language,
            document.size,
            int.from_bytes(digest(text)[:8]),
            np.array(sketch(text).digest() if near else [], np.uint32),
            list(self._texts(document, tree)),
        )

    def _texts(self, document: Document, tree: Tree) -> Iterator[Text]:
        for again in range(repeats(document.path, tree.rate(document.language))):
            for example in render(document, tree, f"{document.path}#{again}", self._job.seed):
                yield self._encoded(example)

    def _encoded(self, example: Example) -> Text:
        found = [self._ids(part.text, part.special) for part in example.parts]
        ids = np.concatenate([np.zeros(0, self._dtype), *found])
        each = [part.weight for part in example.parts]
        weights = np.repeat(np.array(each, np.float32), list(map(len, found)))
        rng = stateless(self._job.seed, "boundary " + example.key)
        ids, weights = loosen(ids, weights, self._halves, self._job.boundary_rate, rng)
        return Text(example.language, ids, None if (weights == 1).all() else weights)

    def _ids(self, text: str, special: bool) -> np.ndarray:
        ids = [self._tokenizer.special_id(text)] if special else self._tokenizer.encode(text)
        return np.array(ids, self._dtype)


def _blocks(documents: Iterable[Tokenized]) -> Iterator[list[Tokenized]]:
    block: list[Tokenized] = []
    size = 0
    for document in documents:
        block.append(document)
        size += sum(text.ids.nbytes for text in document.texts)
        if size >= _BLOCK_BYTES or len(block) >= _BLOCK_DOCUMENTS:
            yield block
            block, size = [], 0
    if block:
        yield block


def page_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where a finished part's page lies."""
    return folder / f"{name}.json"


def dropped_of(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Where the list of a part's dropped files lies."""
    return folder / f"{name}.tsv"


def _write_page(path: pathlib.Path, page: dict[str, Any]) -> None:
    partial = path.with_name("partial-" + path.name)
    partial.write_text(json.dumps(page), "utf-8")
    partial.replace(path)


def _counted(tally: Tally) -> dict[str, Any]:
    dropped = [[*key, count] for key, count in tally.dropped.items()]
    return {"dropped": dropped} | {name: getattr(tally, name) for name in _COUNTERS}


def read_page(folder: pathlib.Path, name: str, tally: Tally) -> list[pathlib.Path]:
    """Adds a finished part's counts to `tally`; returns its blocks in their order."""
    page = json.loads(page_of(folder, name).read_text("utf-8"))
    for counter in _COUNTERS:
        getattr(tally, counter).update(collections.Counter(page[counter]))
    for language, reason, count in page["dropped"]:
        tally.dropped[language, reason] += count
    return [folder / f"{name}-{number:06}.npz" for number in range(page["blocks"])]
