"""The verb `data`: corpus → seqio tasks → packed rows in TensorStore."""

import collections
import dataclasses
import hashlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from codex_jax import InputError
from codex_jax.data import report
from codex_jax.data.boundaries import loosen
from codex_jax.data.cache import ROWS_PER_FILE, Meta, Writer, read_meta, write_meta
from codex_jax.data.clean import Cleaner, Cleaning, Tally
from codex_jax.data.lazily import import_tasks
from codex_jax.data.pack import Piece, fill, pack, split_document
from codex_jax.data.render import stateless
from codex_jax.data.sources import (
    Corpus,
    Tree,
    nothing_usable,
    read_corpus,
    state_of,
)
from codex_jax.tokenizer import Tokenizer

DROPPED = "dropped.tsv"  # in the cache: source, path and reason of each file left out


def build(
    *,
    corpus: Corpus,
    tokenizer: pathlib.Path | str,
    output: pathlib.Path | str,
    sequence_length: int,
    boundary_rate: float = 0.1,
    cleaning: Cleaning = Cleaning(),
    seqio_tasks: Sequence[str] = (),
    task_modules: Sequence[str] = (),
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
      cleaning: filters, duplicates, licences, secrets, problems to keep out.
      seqio_tasks: Tasks of your own to pack as well, by name, as they are.
      task_modules: Python modules that register them.
      seed: of the choice of boundaries and of infilling's cuts.

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
        "cleaning": json.loads(json.dumps(dataclasses.asdict(cleaning))),
        "seqio_tasks": list(seqio_tasks),
        "task_modules": list(task_modules),
        "seed": seed,
    }
    state = _state(parameters, ids, trees)
    if (done := _finished(output)) and done.state == state:
        print(f"data: {output} is up to date")
        return done
    partial = output.with_name("partial-" + output.name)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    meta = _Build(trees, ids, parameters, cleaning).run(partial, state)
    shutil.rmtree(output, ignore_errors=True)
    partial.replace(output)
    print(report.describe(meta))
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

    def __init__(
        self,
        trees: dict[str, Tree],
        tokenizer: Tokenizer,
        parameters: dict[str, Any],
        cleaning: Cleaning,
    ):
        self._trees = trees
        self._tokenizer = tokenizer
        self._parameters = parameters
        self._cleaning = cleaning
        names = [*trees, *parameters["seqio_tasks"]]
        self._tallies = {name: Tally(name) for name in names}
        self._tokens = {name: collections.Counter() for name in names}  # by language
        self._documents = collections.Counter()
        self._ends_line = tokenizer.ends_line()
        self._halves = tokenizer.indent_halves()

    def run(self, directory: pathlib.Path, state: str) -> Meta:
        """Streams the corpus into `directory` and writes its page."""
        length = self._parameters["sequence_length"]
        writer = Writer(directory, length)
        rows = pack(self._pieces(length), sequence_length=length)
        with (directory / DROPPED).open("w", encoding="utf-8") as log:
            for tally in self._tallies.values():
                tally.log = log
            while block := list(itertools.islice(rows, ROWS_PER_FILE)):
                writer.append(fill(block, length))
        if not writer.rows:
            reasons = (tally.reasons() for tally in self._tallies.values())
            dropped = sum(reasons, collections.Counter())
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
        rate, seed = self._parameters["boundary_rate"], self._parameters["seed"]
        for name, example in self._examples(seed):
            rng = stateless(seed, "boundary " + example["key"].decode())
            ids, weights = loosen(example["targets"], example["weights"], self._halves, rate, rng)
            self._tokens[name][example["language"].decode()] += len(ids) + 1
            self._documents[name] += 1
            yield from split_document(
                ids,
                sequence_length=sequence_length,
                eos_id=self._tokenizer.eos_id,
                ends_line=self._ends_line,
                weights=weights,
            )

    def _examples(self, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
        """Source and fields of each example, through its source's seqio Task."""
        tasks = import_tasks()
        cleaner = Cleaner(self._cleaning)
        for name, tree in self._trees.items():
            task = tasks.add_tree_task(
                f"data {name}",
                tree,
                self._tokenizer,
                cleaner=cleaner,
                tally=self._tallies[name],
                seed=seed,
            )
            dataset = task.get_dataset(split="train", sequence_length=None, shuffle=False)
            yield from ((name, example) for example in dataset.as_numpy_iterator())
        for name in self._parameters["seqio_tasks"]:
            modules = self._parameters["task_modules"]
            for example in tasks.read_registered(name, modules, self._tokenizer):
                self._tallies[name].kept["unknown"] += 1
                yield name, example

    def _counts(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "files": tally.kept.total(),
                "documents": self._documents[name],
                "tokens": self._tokens[name].total(),
                "dropped": dict(tally.reasons()),
                "languages": report.languages(tally, self._tokens[name]),
                "replaced": dict(tally.replaced),
                "licences": dict(tally.licences),
                "contaminated": dict(tally.tasks_hit),
                "names": dict(tally.names_hit),
            }
            for name, tally in self._tallies.items()
        }

    def _fingerprint(self, content: str) -> str:
        page = json.dumps([content, self._tokenizer.hash, self._parameters], sort_keys=True)
        return hashlib.sha256(page.encode()).hexdigest()
