"""The verb `data`: corpus → seqio tasks → packed rows in TensorStore."""

import collections
import hashlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np

from codex_jax import InputError
from codex_jax.data.boundaries import loosen
from codex_jax.data.cache import ROWS_PER_FILE, Meta, Writer, read_meta, write_meta
from codex_jax.data.lazily import import_tasks
from codex_jax.data.pack import Piece, fill, pack, split_document
from codex_jax.data.sources import (
    Corpus,
    Tree,
    list_files,
    nothing_usable,
    read_corpus,
    repeats,
    state_of,
)
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer


def build(
    *,
    corpus: Corpus,
    tokenizer: pathlib.Path | str,
    output: pathlib.Path | str,
    sequence_length: int,
    boundary_rate: float = 0.1,
    seed: int = 0,
) -> Meta:
    """Packs a corpus into rows of tokens for training.

    Does nothing where `output` was already built from the same files and settings; a build that was
    killed leaves only a folder partial-NAME, and the next one begins anew.

    Args:
      corpus: named directory trees, {"name": path} or {"name": (path, weight)}.
      tokenizer: the JSON file that `tokenizer` wrote.
      output: the cache directory to write.
      sequence_length: tokens in a row.
      boundary_rate: share of the newline+indent tokens split in two, so prompts may end in between.
      seed: of the choice of those.

    Returns:
      The cache's page: fingerprint, counts for each source, fill rate.

    Raises:
      InputError: a directory or the tokenizer is missing or unusable, or no file is usable.
    """
    if sequence_length < 2:
        raise InputError(f"sequence_length is {sequence_length}; expected at least 2")
    if not 0 <= boundary_rate <= 1:
        raise InputError(f"boundary_rate is {boundary_rate}; expected 0 to 1")
    output, trees, ids = pathlib.Path(output), read_corpus(corpus), Tokenizer.load(tokenizer)
    parameters = {
        "sequence_length": sequence_length,
        "boundary_rate": boundary_rate,
        "seed": seed,
    }
    state = _state(parameters, ids, trees)
    if (done := _finished(output)) and done.state == state:
        print(f"data: {output} is up to date")
        return done
    partial = output.with_name("partial-" + output.name)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    meta = _Build(trees, ids, parameters).run(partial, state)
    shutil.rmtree(output, ignore_errors=True)
    partial.replace(output)
    print(describe(meta))
    return meta


def _state(parameters: dict[str, Any], tokenizer: Tokenizer, trees: dict[str, Tree]) -> str:
    page = json.dumps([parameters, tokenizer.hash, state_of(trees)], sort_keys=True)
    return hashlib.sha256(page.encode()).hexdigest()


def _finished(output: pathlib.Path) -> Meta | None:
    try:
        return read_meta(output)
    except InputError:
        return None


class _Build:
    """One run of the pipeline; holds the counts that end on the cache's page."""

    def __init__(self, trees: dict[str, Tree], tokenizer: Tokenizer, parameters: dict[str, Any]):
        self._trees = trees
        self._tokenizer = tokenizer
        self._parameters = parameters
        self._dropped = {name: collections.Counter() for name in trees}
        self._kept = {name: collections.Counter() for name in trees}
        self._ends_line = tokenizer.ends_line()
        self._halves = tokenizer.indent_halves()

    def run(self, directory: pathlib.Path, state: str) -> Meta:
        """Streams the corpus into `directory` and writes its page."""
        length = self._parameters["sequence_length"]
        writer = Writer(directory, length)
        rows = pack(self._pieces(length), sequence_length=length)
        while block := list(itertools.islice(rows, ROWS_PER_FILE)):
            writer.append(fill(block, length))
        if not writer.rows:
            dropped = sum(self._dropped.values(), collections.Counter())
            raise nothing_usable(self._trees, dropped)
        meta = Meta(
            fingerprint=self._fingerprint(writer.finish()),
            state=state,
            tokenizer_hash=self._tokenizer.hash,
            vocab_size=self._tokenizer.vocab_size,
            sequence_length=length,
            rows=writer.rows,
            tokens=writer.tokens,
            parameters=self._parameters,
            sources=self._counts(),
        )
        write_meta(directory, meta)
        return meta

    def _pieces(self, sequence_length: int) -> Iterator[Piece]:
        for name, path, ids in self._documents():
            for again in range(repeats(path, self._trees[name].weight)):
                loose = loosen(
                    ids, self._halves, self._parameters["boundary_rate"], self._rng(path, again)
                )
                self._kept[name].update(documents=1, tokens=len(loose) + 1)
                yield from split_document(
                    loose,
                    sequence_length=sequence_length,
                    eos_id=self._tokenizer.eos_id,
                    ends_line=self._ends_line,
                )

    def _documents(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Source, path and ids of each document, through its source's seqio Task."""
        tasks = import_tasks()
        total = sum(1 for tree in self._trees.values() for _ in list_files(tree))
        with bar(what="data", total=total, unit="file") as progress:
            for name, tree in self._trees.items():
                dropped = self._dropped[name]
                task = tasks.add_tree_task(f"codex_jax_{name}", tree, self._tokenizer, dropped)
                dataset = task.get_dataset(split="train", sequence_length=None, shuffle=False)
                for example in dataset.as_numpy_iterator():
                    self._kept[name]["files"] += 1
                    progress.update()
                    yield name, example["path"].decode(), example["targets"]
                progress.update(dropped.total())

    def _rng(self, path: str, again: int) -> np.random.Generator:
        key = hashlib.sha256(f"{self._parameters['seed']} {again} {path}".encode()).digest()
        return np.random.default_rng(int.from_bytes(key))

    def _counts(self) -> dict[str, dict[str, Any]]:
        return {
            name: {**self._kept[name], "dropped": dict(self._dropped[name])} for name in self._trees
        }

    def _fingerprint(self, content: str) -> str:
        page = json.dumps([content, self._tokenizer.hash, self._parameters], sort_keys=True)
        return hashlib.sha256(page.encode()).hexdigest()


def describe(meta: Meta) -> str:
    """A table of what the cache holds."""
    head = f"{'source':<20} {'files':>9} {'documents':>10} {'tokens':>13}  dropped"
    lines = [head]
    for name, counts in meta.sources.items():
        dropped = ", ".join(f"{n} {why}" for why, n in counts["dropped"].items()) or "none"
        kept = [counts.get(key, 0) for key in ("files", "documents", "tokens")]
        lines.append(f"{name:<20} {kept[0]:>9,} {kept[1]:>10,} {kept[2]:>13,}  {dropped}")
    lines.append(
        f"{meta.rows:,} rows of {meta.sequence_length}: {meta.tokens:,} tokens, "
        f"{meta.fill_rate:.1%} full; fingerprint {meta.fingerprint[:12]}"
    )
    return "\n".join(lines)
