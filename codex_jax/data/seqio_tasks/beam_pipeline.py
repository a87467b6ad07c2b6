"""What the verb `cache` runs on Apache Beam: clean, leave out exact duplicates, tokenize, write."""

import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence

import apache_beam as beam
import seqio
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from codex_jax.data.cleaning.cleaner import Cleaner, Cleaning, Document, Tally
from codex_jax.data.corpus import Entry, Tree, list_files, repeats
from codex_jax.data.examples.render import render
from codex_jax.data.readers.files import read_files
from codex_jax.data.seqio_tasks.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

_FEATURES = {
    "key": tf.io.FixedLenFeature([], tf.string),
    "language": tf.io.FixedLenFeature([], tf.string),
    "targets": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    "weights": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """What a worker needs to know of one source."""

    tree: Tree
    tokenizer: str
    cleaning: Cleaning
    files: int
    seed: int


def run(jobs: Mapping[str, Job], output: str, options: Sequence[str]) -> None:
    """Caches each named source into the folder `output`."""
    FileSystems.exists(output) or FileSystems.mkdirs(output)
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        for name, job in jobs.items():
            _cache(pipeline, name, job, output)


def _cache(pipeline: beam.Pipeline, name: str, job: Job, output: str) -> None:
    documents = (
        pipeline
        | f"{name}: list" >> beam.Create(list(list_files(job.tree)))
        | f"{name}: spread" >> beam.Reshuffle()
        | f"{name}: clean" >> beam.ParDo(_Clean(job))
    )
    if job.cleaning.exact_duplicates:
        documents = (
            documents
            | f"{name}: by content" >> beam.GroupBy(_content)
            | f"{name}: first" >> beam.MapTuple(lambda _, same: min(same, key=_path))
        )
    (
        documents
        | f"{name}: tokenize" >> beam.ParDo(_Tokenize(job))
        | f"{name}: by file" >> beam.GroupByKey()
        | f"{name}: write" >> beam.MapTuple(_Write(name, output, job.files))
    )


def _content(document: Document) -> bytes:
    return hashlib.sha256("".join(document.text.split()).encode()).digest()


def _path(document: Document) -> str:
    return document.path


class _Clean(beam.DoFn):
    """Entry of a directory → documents that pass; counts the others by reason."""

    def __init__(self, job: Job):
        self._job = job

    def setup(self) -> None:
        alone = dataclasses.replace(self._job.cleaning, exact_duplicates=False)
        self._cleaner = Cleaner(alone)

    def process(self, entry: Entry) -> Iterator[Document]:
        tally = Tally()
        files = read_files(self._job.tree, [entry])
        yield from self._cleaner.clean(files, self._job.tree, tally)
        for reason, count in tally.reasons().items():
            beam.metrics.Metrics.counter("dropped", reason).inc(count)


class _Tokenize(beam.DoFn):
    """Document → (number of a file, (key, serialized tf.train.Example))."""

    def __init__(self, job: Job):
        self._job = job

    def setup(self) -> None:
        self._tokenizer = Tokenizer.load(self._job.tokenizer)

    def process(self, document: Document) -> Iterator[tuple[int, tuple[str, bytes]]]:
        job = self._job
        for again in range(repeats(document.path, job.tree.rate(document.language))):
            for example in render(document, job.tree, f"{document.path}#{again}", job.seed):
                ids = [_ids(part, self._tokenizer) for part in example.parts]
                weights = ([p.weight] * len(i) for p, i in zip(example.parts, ids, strict=True))
                digest = hashlib.sha256(example.key.encode()).digest()
                features = {
                    "key": _bytes(example.key),
                    "language": _bytes(example.language),
                    "targets": tf.train.Feature(
                        int64_list=tf.train.Int64List(value=list(itertools.chain(*ids)))
                    ),
                    "weights": tf.train.Feature(
                        float_list=tf.train.FloatList(value=list(itertools.chain(*weights)))
                    ),
                }
                record = tf.train.Example(features=tf.train.Features(feature=features))
                number = int.from_bytes(digest[:8]) % job.files
                yield number, (example.key, record.SerializeToString(deterministic=True))


def _ids(part, tokenizer: Tokenizer) -> list[int]:
    return [tokenizer.special_id(part.text)] if part.special else tokenizer.encode(part.text)


def _bytes(text: str) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))


@dataclasses.dataclass(frozen=True)
class _Write:
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
    """Registers what `cache_on_beam` wrote of `source` as a Task."""
    files = {"train": f"{directory}/{source}-?????-of-?????.tfrecord"}
    seqio.TaskRegistry.remove(name)
    return seqio.TaskRegistry.add(
        name,
        source=seqio.TFExampleDataSource(files, feature_description=_FEATURES),
        preprocessors=[_narrow],
        output_features={"targets": seqio.Feature(BytePairVocabulary(tokenizer), add_eos=False)},
    )


def _narrow(dataset: tf.data.Dataset) -> tf.data.Dataset:
    def narrow(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**example, "targets": tf.cast(example["targets"], tf.int32)}

    return dataset.map(narrow)
