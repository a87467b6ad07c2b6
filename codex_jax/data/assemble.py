"""Finished shards → rows: duplicates left out, the rest packed in the order of the corpus."""

import collections
import hashlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Iterator
from typing import Any, TextIO

from codex_jax.data.corpus import no_usable_file_error
from codex_jax.data.dedup.corpus_dedup import DUPLICATE_LABELS, CorpusDedup
from codex_jax.data.examples.indent_split import split_indent_tokens
from codex_jax.data.examples.render import example_rng
from codex_jax.data.packing.pack import Segment, pack, rows_to_batch, split_document
from codex_jax.data.packing.row_store import (
    DROPPED,
    ROWS_PER_FILE,
    RowsInfo,
    RowWriter,
    write_info,
)
from codex_jax.data.seqio_tasks.lazy_import import load_seqio_tasks
from codex_jax.data.shards.shard_files import (
    TokenizedDocument,
    TokenizedText,
    read_block,
    read_keys,
)
from codex_jax.data.shards.shards import BuildSpec, dropped_path, read_manifest
from codex_jax.data.stats import FileStats, count_languages
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer

Blocks = dict[str, list[pathlib.Path]]  # by source


class Assembler:
    """Turns shards on disk into rows; holds the counts that the rows' metadata gets."""

    def __init__(self, spec: BuildSpec, tokenizer: Tokenizer, parameters: dict[str, Any]):
        self._spec = spec
        self._shards = pathlib.Path(spec.folder)
        self._tokenizer = tokenizer
        self._parameters = parameters
        sources = [*spec.trees, *parameters["seqio_tasks"]]
        self._stats = {name: FileStats(name) for name in sources}
        self._tokens: dict[str, collections.Counter[str]] = {  # by language
            name: collections.Counter() for name in sources
        }
        self._documents: collections.Counter[str] = collections.Counter()
        self._newline_mask = tokenizer.newline_mask()
        self._halves = tokenizer.indent_split_table()

    def run(self, names: list[str], directory: pathlib.Path, state: str) -> RowsInfo:
        """Writes the rows of the shards `names` into `directory`, and their metadata."""
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        length = self._parameters["sequence_length"]
        writer = RowWriter(directory, length)
        with (directory / DROPPED).open("w", encoding="utf-8") as log:
            blocks = self._gather(names, log)
            rows = pack(self._segments(blocks, length), sequence_length=length)
            while chunk := list(itertools.islice(rows, ROWS_PER_FILE)):
                writer.append(rows_to_batch(chunk, length))
        if not writer.rows:
            reasons = (stats.reasons() for stats in self._stats.values())
            raise no_usable_file_error(self._spec.trees, sum(reasons, collections.Counter()))
        info = RowsInfo(
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
        write_info(directory, info)
        return info

    def _gather(self, names: list[str], log: TextIO) -> Blocks:
        """Returns blocks by source; adds the shards' counts and lists of dropped files."""
        sources = list(self._spec.trees)
        blocks: Blocks = {source: [] for source in sources}
        for name in names:
            source = sources[int(name.partition("-")[0])]
            stats = self._stats[source]
            stats.log = log
            blocks[source] += read_manifest(self._shards, name, stats)
            with dropped_path(self._shards, name).open(encoding="utf-8") as shard_log:
                shutil.copyfileobj(shard_log, log)
        return blocks

    def _segments(self, blocks: Blocks, length: int) -> Iterator[Segment]:
        for source, text in self._texts(blocks):
            self._tokens[source][text.language] += len(text.ids) + 1
            self._documents[source] += 1
            yield from split_document(
                text.ids,
                sequence_length=length,
                eos_id=self._tokenizer.eos_id,
                newline_mask=self._newline_mask,
                weights=text.weights,
            )

    def _texts(self, blocks: Blocks) -> Iterator[tuple[str, TokenizedText]]:
        """Yields every source's texts: the trees', then those of Tasks of the user's own."""
        renderings = dict.fromkeys(tree.render_as for tree in self._spec.trees.values())
        labels = {name: self._labels(name, blocks) for name in renderings}
        paths = [(source, path) for source, files in blocks.items() for path in files]
        for source, path in bar(paths, desc="pack", unit="block"):
            for document in read_block(path):
                label = DUPLICATE_LABELS[next(labels[self._spec.trees[source].render_as])]
                if label:
                    self._drop(source, document, label)
                else:
                    yield from ((source, text) for text in document.texts)
        for source in self._parameters["seqio_tasks"]:
            yield from ((source, text) for text in self._registered(source))

    def _labels(self, rendering: str, blocks: Blocks) -> Iterator[int]:
        """Yields an index of `DUPLICATE_LABELS` for each document of the trees of a rendering."""
        cleaning = self._spec.cleaning
        folder = self._shards / "dedup"
        shutil.rmtree(folder, ignore_errors=True)
        dedup = CorpusDedup(folder, exact=cleaning.exact_duplicates, near=cleaning.near_duplicates)
        for source, tree in self._spec.trees.items():
            for path in blocks[source] if tree.render_as == rendering else ():
                dedup.add(*read_keys(path))
        return iter(dedup.labels())

    def _drop(self, source: str, document: TokenizedDocument, label: str) -> None:
        stats = self._stats[source]
        stats.accepted[document.language] -= 1
        stats.bytes[document.language] -= document.size
        stats.drop(document.path, document.language, label)

    def _registered(self, name: str) -> Iterator[TokenizedText]:
        """Yields texts of a Task that a user's module registers."""
        rate, seed = self._spec.indent_split_rate, self._spec.seed
        modules = self._parameters["task_modules"]
        for example in load_seqio_tasks().read_registered(name, modules, self._tokenizer):
            rng = example_rng(seed, "boundary " + example["key"].decode())
            ids, weights = split_indent_tokens(
                example["targets"], example["weights"], self._halves, rate, rng
            )
            self._stats[name].accepted["unknown"] += 1
            yield TokenizedText(example["language"].decode(), ids, weights)

    def _counts(self) -> dict[str, dict[str, Any]]:
        return {
            name: {
                "files": stats.accepted.total(),
                "bytes": stats.bytes.total(),
                "documents": self._documents[name],
                "tokens": self._tokens[name].total(),
                "dropped": dict(stats.reasons()),
                "languages": count_languages(stats, self._tokens[name]),
                "redacted": dict(stats.redacted),
                "licenses": dict(stats.licenses),
                "contaminated": dict(stats.contaminated_tasks),
                "names": dict(stats.contaminated_names),
            }
            for name, stats in self._stats.items()
        }

    def _fingerprint(self, content: str) -> str:
        page = json.dumps([content, self._tokenizer.hash, self._parameters], sort_keys=True)
        return hashlib.sha256(page.encode()).hexdigest()
