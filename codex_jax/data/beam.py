"""Cleaning and tokenizing on Apache Beam: here by default; on Dataflow, Flink or Spark by option.

The outcome is a set of TFRecord files for each source, whose content and order depend on the corpus
alone: examples are grouped by a hash of their key and sorted inside each file. `add_cached_task`
makes a seqio Task of them, which `build` packs like any other.
"""

import dataclasses
import hashlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import apache_beam as beam
import seqio
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from codex_jax import InputError
from codex_jax.data.clean import Cleaner, Cleaning, Document, Tally
from codex_jax.data.read import read_files
from codex_jax.data.render import render
from codex_jax.data.sources import Corpus, Tree, list_files, read_corpus, repeats
from codex_jax.data.vocabulary import BytePairVocabulary
from codex_jax.tokenizer import Tokenizer

_FEATURES = {
    "key": tf.io.FixedLenFeature([], tf.string),
    "language": tf.io.FixedLenFeature([], tf.string),
    "targets": tf.io.FixedLenSequenceFeature([], tf.int64, allow_missing=True),
    "weights": tf.io.FixedLenSequenceFeature([], tf.float32, allow_missing=True),
}


def cache_on_beam(
    *,
    corpus: Corpus,
    tokenizer: pathlib.Path | str,
    output: str,
    cleaning: Cleaning = Cleaning(),
    files: int = 16,
    seed: int = 0,
    options: Sequence[str] = (),
) -> None:
    """Cleans and tokenizes a corpus on Beam.

    Exact duplicates are found in each source; near ones only by `build`, which sees all documents.

    Args:
      corpus: named directory trees, at paths that every worker can read.
      tokenizer: the JSON file that `tokenizer` wrote, at such a path too.
      output: folder to write, in any file system that Beam knows.
      cleaning: filters, exact duplicates, licences, secrets, problems to keep out.
      files: how many TFRecord files for each source; each must fit a worker's memory.
      seed: of infilling's cuts.
      options: Beam's own, such as "--runner=FlinkRunner"; none runs it here.

    Raises:
      InputError: a directory or the tokenizer is missing, or near duplicates are asked for.
    """
    if cleaning.near_duplicates is not None:
        raise InputError("near_duplicates on Beam; expected None: let `data` find those")
    trees = read_corpus(corpus)
    Tokenizer.load(tokenizer)
    FileSystems.exists(output) or FileSystems.mkdirs(output)
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        for name, tree in trees.items():
            job = _Job(tree, str(tokenizer), cleaning, files, seed)
            _cache(pipeline, name, job, output)


@dataclasses.dataclass(frozen=True)
class _Job:
    """What a worker needs to know of one source."""

    tree: Tree
    tokenizer: str
    cleaning: Cleaning
    files: int
    seed: int


def _cache(pipeline: beam.Pipeline, name: str, job: _Job, output: str) -> None:
    relatives = [relative for relative, _ in list_files(job.tree)]
    documents = (
        pipeline
        | f"{name}: list" >> beam.Create(relatives)
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
    """Path → documents that pass every step but duplicates; counts the others by reason."""

    def __init__(self, job: _Job):
        self._job = job

    def setup(self) -> None:
        alone = dataclasses.replace(self._job.cleaning, exact_duplicates=False)
        self._cleaner = Cleaner(alone)

    def process(self, relative: str) -> Iterator[Document]:
        tally = Tally()
        entry = (relative, pathlib.Path(self._job.tree.path, relative).stat())
        files = read_files(self._job.tree, [entry])
        yield from self._cleaner.clean(files, self._job.tree, tally)
        for reason, count in tally.reasons().items():
            beam.metrics.Metrics.counter("dropped", reason).inc(count)


class _Tokenize(beam.DoFn):
    """Document → (number of a file, (key, serialized tf.train.Example))."""

    def __init__(self, job: _Job):
        self._job = job

    def setup(self) -> None:
        self._tokenizer = Tokenizer.load(self._job.tokenizer)

    def process(self, document: Document) -> Iterator[tuple[int, tuple[str, bytes]]]:
        job = self._job
        for again in range(repeats(document.path, job.tree.weight)):
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
