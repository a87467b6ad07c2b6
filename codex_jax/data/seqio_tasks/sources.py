"""seqio sources beside seqio's own: trees of files, JSON Lines (also .gz and .zst), Parquet."""

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

import pyarrow
import pyarrow.parquet
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.corpus import SourceTree, list_files

FilePatterns = Mapping[str, str | Iterable[str]]  # by split

_BATCH_ROWS = 1024


class TreeSource(seqio.FunctionDataSource):
    """A directory tree; `data build` reads it by the process pool, seqio by `dataset_fn`."""

    def __init__(self, tree: SourceTree, dataset_fn: Callable[..., tf.data.Dataset]):
        splits = ["train", "validation"] if tree.validation_share else ["train"]
        super().__init__(dataset_fn, splits=splits)
        self.tree = tree


class TreeRate:
    """Rate of a tree's Task in a mixture of trees: bytes of its files by its weight.

    `data build` takes each document as often as the weight requires instead, exactly.
    """

    def __init__(self, tree: SourceTree):
        self._tree = tree

    def __call__(self, task: seqio.Task) -> float:
        """Returns the rate."""
        del task
        return self._tree.weight * sum(entry.size for entry in list_files(self._tree))


class JsonLinesDataSource(seqio.FileDataSource):
    """Rows of JSON Lines files, plain or compressed by gzip or Zstandard: chosen text fields."""

    def __init__(self, split_to_filepattern: FilePatterns, fields: Sequence[str] = ("text",)):
        """Takes file patterns by split; each example has the string `fields` of a row."""
        super().__init__(_reader(_read_json_lines, fields), split_to_filepattern)


class ParquetDataSource(seqio.FileDataSource):
    """Rows of Parquet files: chosen text columns."""

    def __init__(self, split_to_filepattern: FilePatterns, fields: Sequence[str] = ("text",)):
        """Takes file patterns by split; each example has the string columns `fields` of a row."""
        super().__init__(_reader(_read_parquet, fields), split_to_filepattern)


def _reader(
    read: Callable[[str, Sequence[str]], Iterator[dict[str, str]]], fields: Sequence[str]
) -> Callable[[tf.Tensor], tf.data.Dataset]:
    signature = {field: tf.TensorSpec([], tf.string) for field in fields}

    def dataset(path: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_generator(
            lambda name: read(name.decode(), fields), args=(path,), output_signature=signature
        )

    return dataset


def _read_json_lines(path: str, fields: Sequence[str]) -> Iterator[dict[str, str]]:
    with _open(path) as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield _select(line, fields, f"{path}:{number}")


def _select(line: bytes, fields: Sequence[str], where: str) -> dict[str, str]:
    try:
        row = json.loads(line)
        values = {field: row[field] for field in fields}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where}: {type(error).__name__} {error}; expected {fields}") from None
    if wrong := [field for field, value in values.items() if not isinstance(value, str)]:
        raise InputError(f"{where}: {wrong[0]} isn't a string")
    return values


def _open(path: str) -> BinaryIO:
    stream = tf.io.gfile.GFile(path, "rb")
    if path.endswith(".gz"):
        return cast(BinaryIO, gzip.open(stream, "rb"))
    if path.endswith(".zst"):
        return cast(BinaryIO, _ZstdLines(path))
    return cast(BinaryIO, stream)


class _ZstdLines:
    """Lines of a file that Zstandard compressed."""

    def __init__(self, path: str):
        self._path = path

    def __enter__(self) -> Iterator[bytes]:
        self._stream = pyarrow.input_stream(tf.io.gfile.GFile(self._path, "rb"), compression="zstd")
        return self._lines()

    def __exit__(self, *details: object) -> None:
        self._stream.close()

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        while chunk := self._stream.read(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines
        yield rest


def _read_parquet(path: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    table = pyarrow.parquet.ParquetFile(tf.io.gfile.GFile(path, "rb"))
    if missing := [field for field in fields if field not in table.schema_arrow.names]:
        names = ", ".join(table.schema_arrow.names)
        raise InputError(f"{path}: no column {missing[0]}; expected one of {names}")
    for batch in table.iter_batches(_BATCH_ROWS, columns=list(fields)):
        yield from batch.to_pylist()
