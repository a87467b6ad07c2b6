"""seqio sources beside seqio's own: trees of files, JSON Lines (also .gz and .zst), Parquet."""

import gzip
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO, cast

import pyarrow
import pyarrow.parquet
import seqio
import tensorflow as tf

from codex_jax import InputError
from codex_jax.data.corpus import SourceTree, list_files
from codex_jax.files import parse_json

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
        row = parse_json(line)
        values = {field: row[field] for field in fields}
        if wrong := [field for field, value in values.items() if not isinstance(value, str)]:
            raise InputError(f"{where}: {wrong[0]} isn't a string")
        for value in values.values():
            value.encode()  # a lone surrogate is no text
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{where}: {type(error).__name__}: {error}; expected the fields {', '.join(fields)}"
        ) from None
    return values


class _RawFile(io.RawIOBase):
    """A file of any file system that TensorFlow knows, as Python's and Arrow's readers want it."""

    def __init__(self, path: str):
        self._file = tf.io.gfile.GFile(path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._file.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._file.tell()}.get(whence)
        self._file.seek((self._file.size() if start is None else start) + offset)
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
        super().close()


def _open(path: str) -> BinaryIO:
    stream = io.BufferedReader(_RawFile(path), 1 << 20)
    if path.endswith(".gz"):
        return cast(BinaryIO, gzip.open(stream, "rb"))
    if path.endswith(".zst"):
        content = pyarrow.CompressedInputStream(stream, "zstd")
        return cast(BinaryIO, io.BufferedReader(content, 1 << 20))
    return cast(BinaryIO, stream)


def _read_parquet(path: str, fields: Sequence[str]) -> Iterator[dict[str, Any]]:
    with io.BufferedReader(_RawFile(path)) as stream:
        table = pyarrow.parquet.ParquetFile(stream)
        names = table.schema_arrow.names
        if missing := [field for field in fields if field not in names]:
            raise InputError(f"{path}: no column {missing[0]}; expected one of {', '.join(names)}")
        number = 0
        for batch in table.iter_batches(_BATCH_ROWS, columns=list(fields)):
            for row in batch.to_pylist():
                number += 1
                if wrong := [field for field, value in row.items() if not isinstance(value, str)]:
                    raise InputError(f"{path}: row {number}: {wrong[0]} isn't a string")
                yield row
