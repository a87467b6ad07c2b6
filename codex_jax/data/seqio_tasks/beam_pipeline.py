"""The Beam pipeline of the command `cache`: clean, drop exact duplicates, tokenize, write."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import seqio
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning
from codex_jax.data.corpus import Entry, SourceTree, list_files
from codex_jax.data.dedup.minhash import digest
from codex_jax.data.documents import Document
from codex_jax.data.examples.encode import DocumentEncoder, EncodedExample
from codex_jax.data.readers.files import read_files
from codex_jax.data.seqio_tasks.cached_files import remove_files
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.data.stats import FileStats
from codex_jax.tokenizer import Tokenizer

_FEATURES = {
    "key": tf.io.FixedLenFeature([], tf.string),
    "language": tf.io.FixedLenFeature([], tf.string),
    "targets": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    "weights": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}


@dataclasses.dataclass(frozen=True)
class SourceSpec:
    """The settings of a source that a worker needs."""

    tree: SourceTree
    tokenizer: str
    cleaning: Cleaning
    files: int
    seed: int
    name: str
    sequence_length: int


def run(specs: Mapping[str, SourceSpec], output: str, options: Sequence[str]) -> None:
    """Caches each named source into the folder `output`."""
    FileSystems.exists(output) or FileSystems.mkdirs(output)
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        for name, spec in specs.items():
            remove_files(output, name)
            _cache(pipeline, name, spec, output)


def _cache(pipeline: beam.Pipeline, name: str, spec: SourceSpec, output: str) -> None:
    documents = (
        pipeline
        | f"{name}: list" >> beam.Create(list(list_files(spec.tree)))
        | f"{name}: spread" >> beam.Reshuffle()
        | f"{name}: clean" >> beam.ParDo(_Clean(spec))
    )
    if spec.cleaning.exact_duplicates:
        documents = (
            documents
            | f"{name}: by content" >> beam.GroupBy(_content)
            | f"{name}: first" >> beam.MapTuple(lambda _, same: min(same, key=_path))
        )
    (
        documents
        | f"{name}: tokenize" >> beam.ParDo(_Tokenize(spec))
        | f"{name}: by file" >> beam.GroupByKey()
        | f"{name}: write" >> beam.MapTuple(_Write(name, output, spec.files))
    )


def _content(document: Document) -> bytes:
    return digest(document.text, document.language)


def _path(document: Document) -> str:
    return document.path


class _Clean(beam.DoFn):
    """Entry of a directory → documents that pass; counts the others by reason."""

    def __init__(self, spec: SourceSpec):
        self._spec = spec

    def setup(self) -> None:
        cleaning = dataclasses.replace(self._spec.cleaning, exact_duplicates=False)
        self._cleaner = Cleaner(cleaning)

    def process(self, entry: Entry) -> Iterator[Document]:
        stats = FileStats()
        files = read_files(self._spec.tree, [entry])
        yield from self._cleaner.clean(files, self._spec.tree, stats)
        for reason, count in stats.reasons().items():
            beam.metrics.Metrics.counter("dropped", reason).inc(count)


class _Tokenize(beam.DoFn):
    """Document → (number of a file, (key, serialized tf.train.Example))."""

    def __init__(self, spec: SourceSpec):
        self._spec = spec

    def setup(self) -> None:
        tokenizer = Tokenizer.load(self._spec.tokenizer)
        self._encoder = DocumentEncoder(tokenizer, self._spec.seed, self._spec.sequence_length)

    def process(self, document: Document) -> Iterator[tuple[int, tuple[str, bytes]]]:
        for example in self._encoder.encode(document, self._spec.tree, self._spec.name):
            key_digest = hashlib.sha256(example.key.encode()).digest()
            number = int.from_bytes(key_digest[:8]) % self._spec.files
            yield number, (example.key, _serialize(example))


def _serialize(example: EncodedExample) -> bytes:
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
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))


@dataclasses.dataclass(frozen=True)
class _Write:
    """Writes a file of records, through a temporary name of the same file system."""

    name: str
    output: str
    files: int

    def __call__(self, number: int, records: Iterable[tuple[str, bytes]]) -> None:
        path = f"{self.output}/{self.name}-{number:05}-of-{self.files:05}.tfrecord"
        with tf.io.TFRecordWriter(path + ".partial") as out:
            for _, record in sorted(records):
                out.write(record)
        tf.io.gfile.rename(path + ".partial", path, overwrite=True)


def add_cached_task(name: str, directory: str, source: str, tokenizer: Tokenizer) -> seqio.Task:
    """Registers as a Task the files that `cache_on_beam` wrote for `source`."""
    files = {"train": f"{directory}/{source}-?????-of-?????.tfrecord"}
    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.TFExampleDataSource(files, feature_description=_FEATURES),
        preprocessors=[_cast_targets],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)},
    )


def _cast_targets(dataset: tf.data.Dataset) -> tf.data.Dataset:
    def cast(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**example, "targets": tf.cast(example["targets"], tf.int32)}

    return dataset.map(cast)
