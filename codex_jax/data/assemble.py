"""Finished shards → rows: duplicates left out, the rest packed in the order of the corpus."""

import collections
import hashlib
import itertools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TextIO

import numpy as np

from codex_jax.data.corpus import is_validation, no_usable_file_error
from codex_jax.data.dedup.corpus_dedup import DUPLICATE_LABELS, CorpusDedup
from codex_jax.data.examples.row_cutter import token_byte_counts
from codex_jax.data.packing.pack import Segment, pack, rows_to_batch, split_document
from codex_jax.data.packing.rates import count_copies
from codex_jax.data.packing.row_store import (
    DROPPED,
    ROWS_PER_FILE,
    TOKEN_BYTES,
    RowsInfo,
    RowWriter,
    write_info,
)
from codex_jax.data.packing.validation import VALIDATION
from codex_jax.data.shards.shard_files import (
    TokenizedDocument,
    TokenizedText,
    read_block,
    read_keys,
)
from codex_jax.data.shards.shards import BuildSpec, dropped_path, read_manifest, split_of
from codex_jax.data.stats import FileStats, count_source
from codex_jax.progress import bar
from codex_jax.tokenizer import Tokenizer

_Drop = Callable[[str, TokenizedDocument, str], None]


class Assembler:
    """Turns shards on disk into rows; holds the counts that the rows' metadata gets."""

    def __init__(
        self,
        spec: BuildSpec,
        tokenizer: Tokenizer,
        parameters: dict[str, Any],
        rates: Mapping[str, float],
    ):
        """Prepares to assemble; `rates` are those of a mixture's members, empty for a corpus."""
        self._spec = spec
        self._rates = rates
        self._shards = pathlib.Path(spec.folder)
        self._tokenizer = tokenizer
        self._parameters = parameters
        self._length = parameters["sequence_length"]
        self._stats = {name: FileStats(name) for name in spec.sources}
        self._tokens: dict[str, collections.Counter[str]] = {}  # by language
        self._documents: collections.Counter[str] = collections.Counter()
        self._newline_mask = tokenizer.newline_mask()

    def run(self, names: list[str], directory: pathlib.Path, state: str) -> RowsInfo:
        """Writes the rows of the shards `names` into `directory`, and their metadata.

        Rows of the validation split, where there are any, come into a folder within it.
        """
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        with (directory / DROPPED).open("w", encoding="utf-8") as log:
            blocks = self._gather(names, log)
            labels = self._find_duplicates(blocks)
            documents = Documents(self._spec, blocks, labels)
            self._start_counts()
            writer = RowWriter(directory, self._length)
            self._write(self._train_segments(documents), writer)
        if not writer.rows:
            reasons = (stats.reasons() for stats in self._stats.values())
            dropped = sum(reasons, collections.Counter[str]())
            raise no_usable_file_error(self._stats, dropped, self._spec.tasks)
        info = self._info(writer, state, self._counts())
        self._write_validation(documents, directory / VALIDATION, state)
        write_info(directory, info)
        return info

    def _start_counts(self) -> None:
        self._tokens = {name: collections.Counter() for name in self._spec.sources}
        self._documents = collections.Counter()

    def _gather(self, names: list[str], log: TextIO) -> dict[str, list[pathlib.Path]]:
        """Returns blocks by source; adds the shards' counts and lists of dropped files."""
        sources = self._spec.sources
        blocks: dict[str, list[pathlib.Path]] = {source: [] for source in sources}
        for name in names:
            source = sources[int(name.partition("-")[0])]
            stats = self._stats[source]
            stats.log = log
            blocks[source] += read_manifest(self._shards, name, stats)
            with dropped_path(self._shards, name).open(encoding="utf-8") as shard_log:
                shutil.copyfileobj(shard_log, log)
        return blocks

    def _find_duplicates(self, blocks: Mapping[str, list[pathlib.Path]]) -> dict[str, np.ndarray]:
        """Returns uint8 (documents,) for each tree: indices of `DUPLICATE_LABELS`."""
        labels: dict[str, np.ndarray] = {}
        cleaning, trees = self._spec.cleaning, self._spec.trees
        for rendering in dict.fromkeys(tree.render_as for tree in trees.values()):
            folder = self._shards / "dedup"
            shutil.rmtree(folder, ignore_errors=True)
            dedup = CorpusDedup(
                folder, exact=cleaning.exact_duplicates, near=cleaning.near_duplicates
            )
            stops = {}
            count = 0
            for source in (name for name, tree in trees.items() if tree.render_as == rendering):
                for path in blocks[source]:
                    digests, sketches = read_keys(path)
                    dedup.add(digests, sketches)
                    count += len(digests)
                stops[source] = count
            all_labels = dedup.labels()
            starts = [0, *stops.values()]
            labels |= {
                source: all_labels[start:stop]
                for start, (source, stop) in zip(starts, stops.items(), strict=False)
            }
        return labels

    def _train_segments(self, documents: "Documents") -> Iterator[Segment]:
        copies = self._count_copies(documents) if self._rates else {}
        number = 0
        for source in bar(self._spec.sources, desc="pack", unit="source"):
            counts = iter(copies.get(source, ()))
            for document in documents.read(source, "train", self._drop):
                number += 1
                texts = [text for text in document.texts for _ in range(next(counts, 1))]
                is_repeated = self._weight(source, document) > 1 or len(texts) > len(document.texts)
                for text in texts:
                    yield from self._segments(source, text, number if is_repeated else -1)

    def _weight(self, source: str, document: TokenizedDocument) -> float:
        tree = self._spec.trees.get(source)
        return tree.weight_of(document.language) if tree else 1.0

    def _count_copies(self, documents: "Documents") -> dict[str, np.ndarray]:
        lengths = {
            source: np.array(
                [
                    len(text.ids) + 1
                    for document in documents.read(source, "train")
                    for text in document.texts
                ],
                np.int64,
            )
            for source in self._spec.sources
        }
        return count_copies(lengths, self._rates, seed=self._spec.seed)

    def _segments(self, source: str, text: TokenizedText, document: int) -> Iterator[Segment]:
        self._tokens[source][text.language] += len(text.ids) + 1
        self._documents[source] += 1
        yield from split_document(
            text.ids,
            sequence_length=self._length,
            eos_id=self._tokenizer.eos_id,
            newline_mask=self._newline_mask,
            weights=text.weights,
            document=document,
        )

    def _write(self, segments: Iterable[Segment], writer: RowWriter) -> None:
        rows = pack(segments, sequence_length=self._length)
        while chunk := list(itertools.islice(rows, ROWS_PER_FILE)):
            writer.append(rows_to_batch(chunk, self._length))

    def _write_validation(
        self, documents: "Documents", directory: pathlib.Path, state: str
    ) -> None:
        """Writes each source's rows of the validation split one after another, if there are any."""
        directory.mkdir()
        self._start_counts()
        writer = RowWriter(directory, self._length)
        ranges = {}
        for source in self._spec.sources:
            start = writer.rows
            texts = (t for d in documents.read(source, VALIDATION) for t in d.texts)
            self._write((s for text in texts for s in self._segments(source, text, -1)), writer)
            ranges[source] = [start, writer.rows]
        if not writer.rows:
            shutil.rmtree(directory)
            return
        np.save(directory / TOKEN_BYTES, token_byte_counts(self._tokenizer))
        counts = {
            name: {
                "rows": ranges[name],
                "documents": self._documents[name],
                "tokens": self._tokens[name].total(),
            }
            for name in self._spec.sources
        }
        write_info(directory, self._info(writer, state, counts))

    def _drop(self, source: str, document: TokenizedDocument, label: str) -> None:
        stats = self._stats[source]
        stats.accepted[document.language] -= 1
        stats.bytes[document.language] -= document.size
        stats.drop(document.path, document.language, label)

    def _info(self, writer: RowWriter, state: str, sources: dict[str, Any]) -> RowsInfo:
        return RowsInfo(
            fingerprint=self._fingerprint(writer.finish()),
            state=state,
            tokenizer_hash=self._tokenizer.hash,
            vocab_size=self._tokenizer.vocab_size,
            sequence_length=self._length,
            rows=writer.rows,
            tokens=writer.tokens,
            parameters=self._parameters,
            sources=sources,
        )

    def _counts(self) -> dict[str, dict[str, Any]]:
        return {
            name: count_source(stats, self._tokens[name], self._documents[name])
            for name, stats in self._stats.items()
        }

    def _fingerprint(self, content: str) -> str:
        page = json.dumps([content, self._tokenizer.hash, self._parameters], sort_keys=True)
        return hashlib.sha256(page.encode()).hexdigest()


class Documents:
    """The documents of the shards that are no duplicates, by source and split."""

    def __init__(
        self,
        spec: BuildSpec,
        blocks: Mapping[str, list[pathlib.Path]],
        labels: Mapping[str, np.ndarray],
    ):
        self._spec = spec
        self._blocks = blocks
        self._labels = labels

    def read(
        self, source: str, split: str, drop: _Drop | None = None
    ) -> Iterator[TokenizedDocument]:
        """Yields a source's documents of a split; calls `drop` for its duplicates."""
        labels = iter(self._labels.get(source, ()))
        tree = self._spec.trees.get(source)
        for path in self._blocks[source]:
            if not tree and split_of(path) != split:
                continue
            for document in read_block(path):
                if label := DUPLICATE_LABELS[next(labels, 0)]:
                    if drop:
                        drop(source, document, label)
                    continue
                share = tree.validation_share if tree else 0.0
                if not tree or is_validation(document.path, share) == (split == VALIDATION):
                    yield document
