"""The Beam pipeline of the command `data cache`: clean, drop exact duplicates, tokenize, write."""

import dataclasses
import hashlib
import json
import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from codex_jax.data.cache_folder import COUNTS
from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import Entry, SourceTree, is_validation, list_files
from codex_jax.data.dedup.minhash import EXACT, digest
from codex_jax.data.documents import Document
from codex_jax.data.examples.encode import DocumentEncoder, EncodedExample
from codex_jax.data.readers.files import read_files
from codex_jax.data.seqio_tasks.registry import register
from codex_jax.data.seqio_tasks.task_examples import count_shards, read_examples, task_splits
from codex_jax.data.stats import FileStats, to_counts
from codex_jax.tokenizer import Tokenizer

_COUNTS = "counts"  # the output for ((source, counter, key, reason), number)


@dataclasses.dataclass(frozen=True)
class CacheSpec:
    """The settings of a cache that a worker needs."""

    trees: dict[str, SourceTree]
    tasks: tuple[str, ...]  # of seqio's registry, whose sources aren't trees
    modules: tuple[str, ...]
    corpus: dict[str, SourceTree]  # that the modules may refer to
    tokenizer: str
    cleaning: Cleaning
    files: int
    seed: int
    sequence_length: int
    folder: str

    @property
    def sources(self) -> list[str]:
        """Names of the trees, then of the tasks."""
        return [*self.trees, *self.tasks]


class _Candidate(NamedTuple):
    """A clean document, and where it comes in the order of the corpus."""

    source: str
    order: tuple[int, int, int]  # of its tree, of its file, and of the document in that file
    document: Document


def run(spec: CacheSpec, options: PipelineOptions) -> None:
    """Writes the records of every source, and the file of their counts, into `spec.folder`."""
    with beam.Pipeline(options=options) as pipeline:
        records, counts = [], []
        if spec.trees:
            steps = list(_read_trees(pipeline, spec))
            counts += [outputs[_COUNTS] for outputs in steps]
            records.append(steps[-1].main)
        if spec.tasks:
            outputs = (
                pipeline
                | "list shards" >> beam.Create(_list_shards(spec))
                | "spread shards" >> beam.Reshuffle()
                | "read shards"
                >> beam.ParDo(_ReadShard(spec)).with_outputs(_COUNTS, main="records")
            )
            counts.append(outputs[_COUNTS])
            records.append(outputs.records)
        (
            records
            | "all records" >> beam.Flatten()
            | "by file" >> beam.GroupByKey()
            | "write" >> beam.MapTuple(_Write(spec.folder, spec.files))
        )
        (
            counts
            | "all counts" >> beam.Flatten()
            | "sum" >> beam.CombinePerKey(sum)
            | "list" >> beam.combiners.ToList()
            | "write counts" >> beam.Map(_WriteCounts(spec.folder))
        )


def _read_trees(pipeline: beam.Pipeline, spec: CacheSpec) -> Iterator[Any]:
    """Yields the outputs of each step, of which the last one's are the trees' records."""
    entries = [
        (source, (number, index), entry)
        for number, (source, tree) in enumerate(spec.trees.items())
        for index, entry in enumerate(list_files(tree))
    ]
    cleaned = (
        pipeline
        | "list files" >> beam.Create(entries)
        | "spread files" >> beam.Reshuffle()
        | "clean" >> beam.ParDo(_Clean(spec)).with_outputs(_COUNTS, main="main")
    )
    yield cleaned
    if spec.cleaning.exact_duplicates:
        cleaned = (
            cleaned.main
            | "content" >> beam.Map(_ContentKey(spec))
            | "by content" >> beam.GroupByKey()
            | "first" >> beam.ParDo(_TakeFirst()).with_outputs(_COUNTS, main="main")
        )
        yield cleaned
    encode = beam.ParDo(_EncodeDocument(spec)).with_outputs(_COUNTS, main="main")
    yield cleaned.main | "encode" >> encode


def _list_shards(spec: CacheSpec) -> list[tuple[str, str, int, int]]:
    return [
        (task, split, shard, shards)
        for task in spec.tasks
        for split in task_splits(task)
        for shards in [count_shards(task, split)]
        for shard in range(shards)
    ]


def _count(source: str, counter: str, key: str, number: int, reason: str = "") -> Any:
    return beam.pvalue.TaggedOutput(_COUNTS, ((source, counter, key, reason), number))


class _Clean(beam.DoFn):
    """Entry of a directory → documents that pass; counts all by language, the others by reason."""

    def __init__(self, spec: CacheSpec):
        self._spec = spec

    def setup(self) -> None:
        cleaning = dataclasses.replace(self._spec.cleaning, exact_duplicates=False)
        self._cleaner = Cleaner(cleaning)

    def process(self, element: tuple[str, tuple[int, int], Entry]) -> Iterator[Any]:
        source, index, entry = element
        stats, tree = FileStats(), self._spec.trees[source]
        documents = self._cleaner.clean(read_files(tree, [entry]), tree, stats)
        for number, document in enumerate(documents):
            yield _Candidate(source, (*index, number), document)
        for counter, key, reason, count in to_counts(stats):
            yield _count(source, counter, key, count, reason)


class _ContentKey:
    """Keys a document by its content and rendering: duplicates are looked for in all trees."""

    def __init__(self, spec: CacheSpec):
        self._renderings = {name: tree.render_as for name, tree in spec.trees.items()}

    def __call__(self, candidate: _Candidate) -> tuple[tuple[str, bytes], _Candidate]:
        document = candidate.document
        content = digest(document.text, document.language)
        return (self._renderings[candidate.source], content), candidate


class _TakeFirst(beam.DoFn):
    """Documents of the same content → the first in the order of the corpus."""

    def process(self, element: tuple[Any, Iterable[_Candidate]]) -> Iterator[Any]:
        candidates = sorted(element[1], key=lambda candidate: candidate.order)
        yield candidates[0]
        for source, _, document in candidates[1:]:
            yield _count(source, "accepted", document.language, -1)
            yield _count(source, "bytes", document.language, -document.size)
            yield _count(source, "dropped", document.language, 1, EXACT)


class _Encode(beam.DoFn):
    """Makes records of encoded examples: ((source, split, number of a file), (key, record))."""

    def __init__(self, spec: CacheSpec):
        self._spec = spec

    def records(self, source: str, split: str, example: EncodedExample) -> Iterator[Any]:
        key_digest = hashlib.sha256(example.key.encode("utf-8", "surrogatepass")).digest()
        number = int.from_bytes(key_digest[:8]) % self._spec.files
        yield (source, split, number), (example.key, serialize(example))
        yield _count(source, f"{split} texts", "", 1)
        yield _count(source, f"{split} tokens", example.language, len(example.ids) + 1)


class _EncodeDocument(_Encode):
    """Document → records."""

    def setup(self) -> None:
        tokenizer = Tokenizer.load(self._spec.tokenizer)
        self._encoder = DocumentEncoder(tokenizer, self._spec.seed, self._spec.sequence_length)

    def process(self, candidate: _Candidate) -> Iterator[Any]:
        source, _, document = candidate
        tree = self._spec.trees[source]
        is_held_out = is_validation(document.path, tree.validation_share)
        split = "validation" if is_held_out else "train"
        for example in self._encoder.encode(document, tree, source):
            yield from self.records(source, split, example)


class _ReadShard(_Encode):
    """Shard of a Task's split, which seqio reads → records."""

    def setup(self) -> None:
        tokenizer = Tokenizer.load(self._spec.tokenizer)
        register(self._spec.corpus, self._spec.modules, tokenizer)

    def process(self, element: tuple[str, str, int, int]) -> Iterator[Any]:
        task, split, shard, shards = element
        for example in read_examples(task, split, (shard, shards)):
            yield from self.records(task, split, example)
            if split == "train":
                yield _count(task, "accepted", example.language, 1)


def serialize(example: EncodedExample) -> bytes:
    """Serializes an example; its bytes depend on its content alone."""
    targets = tf.train.Int64List(value=example.ids.tolist())
    weights = tf.train.FloatList(value=example.weights.tolist())
    features = {
        "key": _bytes(example.key),
        "language": _bytes(example.language),
        "targets": tf.train.Feature(int64_list=targets),
        "weights": tf.train.Feature(float_list=weights),
    }
    record = tf.train.Example(features=tf.train.Features(feature=features))
    return record.SerializeToString(deterministic=True)


def _bytes(text: str) -> tf.train.Feature:
    content = text.encode("utf-8", "surrogatepass")
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[content]))


@dataclasses.dataclass(frozen=True)
class _Write:
    """Writes a file of records, through a temporary name of the same file system."""

    folder: str
    files: int

    def __call__(self, file: tuple[str, str, int], records: Iterable[tuple[str, bytes]]) -> None:
        source, split, number = file
        path = f"{self.folder}/{source}-{split}-{number:05}-of-{self.files:05}.tfrecord"
        partial = f"{path}.partial-{secrets.token_hex(4)}"
        with tf.io.TFRecordWriter(partial) as out:
            for _, record in sorted(records):
                out.write(record)
        tf.io.gfile.rename(partial, path, overwrite=True)


@dataclasses.dataclass(frozen=True)
class _WriteCounts:
    """Writes the sums of all counts as JSON, last of all files."""

    folder: str

    def __call__(self, counts: Sequence[tuple[tuple[str, str, str, str], int]]) -> None:
        with tf.io.gfile.GFile(f"{self.folder}/{COUNTS}", "w") as out:
            out.write(json.dumps(sorted([*key, number] for key, number in counts)))
