"""Finished parts → rows: duplicates left out, the rest packed in the order of the corpus."""

import collections
import hashlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

from codex_jax.data import stats
from codex_jax.data.cleaning.cleaner import Tally
from codex_jax.data.corpus import nothing_usable
from codex_jax.data.dedup.corpus_dedup import KINDS, Sieve
from codex_jax.data.examples.indent_split import loosen
from codex_jax.data.examples.render import stateless
from codex_jax.data.packing.pack import Piece, fill, pack, split_document
from codex_jax.data.packing.row_store import DROPPED, ROWS_PER_FILE, Meta, Writer, write_meta
from codex_jax.data.seqio_tasks.lazy_import import import_tasks
from codex_jax.data.shards.shard_files import Text, Tokenized, read_block, read_keys
from codex_jax.data.shards.shards import Job, dropped_of, read_page
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer


class Assembly:
    """Parts on disk become a cache; holds the counts that end on its page."""

    def __init__(self, job: Job, tokenizer: Tokenizer, parameters: dict[str, Any]):
        self._job = job
        self._parts = pathlib.Path(job.folder)
        self._tokenizer = tokenizer
        self._parameters = parameters
        sources = [*job.trees, *parameters["seqio_tasks"]]
        self._tallies = {name: Tally(name) for name in sources}
        self._tokens = {name: collections.Counter() for name in sources}  # by language
        self._documents = collections.Counter()
        self._ends_line = tokenizer.newline_mask()
        self._halves = tokenizer.indent_split_table()

    def run(self, names: list[str], directory: pathlib.Path, state: str) -> Meta:
        """Writes the cache of the parts `names` into `directory`, and its page."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        length = self._parameters["sequence_length"]
        writer = Writer(directory, length)
        with (directory / DROPPED).open("w", encoding="utf-8") as log:
            blocks = self._gather(names, log)
            rows = pack(self._pieces(blocks, length), sequence_length=length)
            while block := list(itertools.islice(rows, ROWS_PER_FILE)):
                writer.append(fill(block, length))
        if not writer.rows:
            reasons = (tally.reasons() for tally in self._tallies.values())
            raise nothing_usable(self._job.trees, sum(reasons, collections.Counter()))
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

    def _gather(self, names: list[str], log) -> dict[str, list[pathlib.Path]]:
        """Blocks by source; the parts' counts and lists of dropped files are taken over."""
        sources = list(self._job.trees)
        blocks = {source: [] for source in sources}
        for name in names:
            source = sources[int(name.partition("-")[0])]
            tally = self._tallies[source]
            tally.log = log
            blocks[source] += read_page(self._parts, name, tally)
            with dropped_of(self._parts, name).open(encoding="utf-8") as part:
                shutil.copyfileobj(part, log)
        return blocks

    def _pieces(self, blocks: dict[str, list[pathlib.Path]], length: int) -> Iterator[Piece]:
        for source, text in self._texts(blocks):
            self._tokens[source][text.language] += len(text.ids) + 1
            self._documents[source] += 1
            yield from split_document(
                text.ids,
                sequence_length=length,
                eos_id=self._tokenizer.eos_id,
                ends_line=self._ends_line,
                weights=text.weights,
            )

    def _texts(self, blocks: dict[str, list[pathlib.Path]]) -> Iterator[tuple[str, Text]]:
        """Every source's texts: those of the trees, then those of Tasks of the user's own."""
        kinds = {kind: self._kinds(kind, blocks) for kind in self._tree_kinds()}
        paths = [(source, path) for source, found in blocks.items() for path in found]
        for source, path in bar(paths, desc="pack", unit="block"):
            for document in read_block(path):
                kind = KINDS[next(kinds[self._job.trees[source].kind])]
                if kind:
                    self._drop(source, document, kind)
                else:
                    yield from ((source, text) for text in document.texts)
        for source in self._parameters["seqio_tasks"]:
            yield from ((source, text) for text in self._registered(source))

    def _tree_kinds(self) -> list[str]:
        return list(dict.fromkeys(tree.kind for tree in self._job.trees.values()))

    def _kinds(self, kind: str, blocks: dict[str, list[pathlib.Path]]) -> Iterator[int]:
        """For each document of the trees of a kind, in order: an index of `KINDS`."""
        cleaning = self._job.cleaning
        folder = self._parts / "sieve"
        shutil.rmtree(folder, ignore_errors=True)
        sieve = Sieve(folder, exact=cleaning.exact_duplicates, near=cleaning.near_duplicates)
        for source, tree in self._job.trees.items():
            for path in blocks[source] if tree.kind == kind else ():
                sieve.add(*read_keys(path))
        return iter(sieve.kinds())

    def _drop(self, source: str, document: Tokenized, kind: str) -> None:
        tally = self._tallies[source]
        tally.kept[document.language] -= 1
        tally.bytes[document.language] -= document.size
        tally.drop(document.path, document.language, kind)

    def _registered(self, name: str) -> Iterator[Text]:
        """Texts of a Task that a user's module registers."""
        rate, seed = self._job.boundary_rate, self._job.seed
        modules = self._parameters["task_modules"]
        for example in import_tasks().read_registered(name, modules, self._tokenizer):
            rng = stateless(seed, "boundary " + example["key"].decode())
            ids, weights = loosen(example["targets"], example["weights"], self._halves, rate, rng)
            self._tallies[name].kept["unknown"] += 1
            yield Text(example["language"].decode(), ids, weights)

    def _counts(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "files": tally.kept.total(),
                "bytes": tally.bytes.total(),
                "documents": self._documents[name],
                "tokens": self._tokens[name].total(),
                "dropped": dict(tally.reasons()),
                "languages": stats.languages(tally, self._tokens[name]),
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
