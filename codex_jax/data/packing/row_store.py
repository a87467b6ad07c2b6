"""The packed rows on disk: four TensorStore arrays (rows, T) and their metadata in JSON.

zarr3 with sharding: files of 1,024 rows, in which each row is compressed and checksummed by itself,
so any row is one small read. Positions aren't stored, for they follow from the segment ids.
"""

import dataclasses
import hashlib
import io
import json
import pathlib
from typing import Any

import numpy as np
import tensorstore

from codex_jax import InputError
from codex_jax.files import atomic_write
from codex_jax.records import Batch
from codex_jax.remote.objects import kvstore_spec
from codex_jax.remote.paths import is_remote, to_path

ARRAYS = {
    "tokens": np.int32,
    "targets": np.int32,
    "segment_ids": np.int32,
    "loss_weights": np.float32,
}
ROWS_PER_FILE = 1024
_FORMAT = "codex_jax cache 1"
DROPPED = "dropped.tsv"  # source, path and reason of each file left out
TOKEN_BYTES = "token_bytes.npy"  # int32 (V,), beside rows of the validation split
_INFO_FILE = "meta.json"
_MOST_ROWS = 1 << 40  # the initial length of an array, cut to size at the end


@dataclasses.dataclass(frozen=True, kw_only=True)
class RowsInfo:
    """Metadata of rows: `fingerprint` hashes their content, `state` the inputs."""

    fingerprint: str
    state: str
    tokenizer_hash: str
    vocab_size: int
    sequence_length: int
    rows: int
    tokens: int  # predictions: every token and one end of text for each document
    parameters: dict[str, Any]
    sources: dict[str, dict[str, Any]]  # for each source: documents, tokens, dropped by reason

    @property
    def fill_rate(self) -> float:
        """Share of the rows' tokens that aren't padding."""
        return self.tokens / (self.rows * self.sequence_length)


_INFO_FIELDS = dataclasses.fields(RowsInfo)


class _Fields(dict):
    """An object of the metadata; one without a field that is read is an error in one line."""

    path: Any = ""

    def __missing__(self, name: str) -> Any:
        raise InputError(f"{self.path}: no field {name!r}; build the rows again")


def read_info(directory: pathlib.Path | str) -> RowsInfo:
    """Reads the metadata of finished rows.

    Raises:
      InputError: there are no finished rows here, or their metadata is damaged; so does reading a
        count that rows of a former version lack.
    """
    path = to_path(directory) / _INFO_FILE
    fields_type = type("Fields", (_Fields,), {"path": path})
    try:
        fields = json.loads(path.read_text(encoding="utf-8"), object_hook=fields_type)
        if fields["format"] != _FORMAT:
            raise InputError(f"{path}: another format; expected {_FORMAT!r}: build the rows again")
        info = RowsInfo(**{field.name: fields[field.name] for field in _INFO_FIELDS})
    except FileNotFoundError:
        raise InputError(f"{directory}: no packed rows here; make them by `data`") from None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: damaged ({error}); build the rows again") from None
    _check_types(info, path)
    return info


def _check_types(info: RowsInfo, path: Any) -> None:
    for field in _INFO_FIELDS:
        value = getattr(info, field.name)
        expected: Any = field.type
        if not isinstance(value, getattr(expected, "__origin__", expected)):
            raise InputError(f"{path}: damaged ({field.name} is {value!r}); build the rows again")
    if bad := [name for name, counts in info.sources.items() if not isinstance(counts, dict)]:
        raise InputError(f"{path}: damaged (counts of {bad[0]!r}); build the rows again")


def read_token_bytes(directory: pathlib.Path | str) -> np.ndarray:
    """Reads int32 (V,): the number of bytes of text of each id, 0 of special tokens.

    Raises:
      InputError: the file is missing or damaged.
    """
    path = to_path(directory) / TOKEN_BYTES
    try:
        return np.load(io.BytesIO(path.read_bytes()))
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: damaged or missing ({error}); build the rows again") from None


def is_info_file(directory: pathlib.Path) -> bool:
    """Tells whether the directory's metadata are rows' own, of this format or another of ours."""
    try:
        fields = json.loads((directory / _INFO_FILE).read_text("utf-8"))
        return fields["format"].startswith("codex_jax cache ")
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return False


def write_info(directory: pathlib.Path, info: RowsInfo) -> None:
    """Writes the metadata, last of all: rows without it aren't finished."""
    content = {"format": _FORMAT, **dataclasses.asdict(info)}
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    atomic_write(directory / _INFO_FILE, text)


def _spec(directory: pathlib.Path | str, name: str) -> dict[str, Any]:
    if is_remote(directory):
        kvstore = kvstore_spec(f"{directory}/{name}")
    else:
        kvstore = {"driver": "file", "path": f"{pathlib.Path(directory).resolve()}/{name}/"}
    return {
        "driver": "zarr3",
        "kvstore": kvstore,
        "fill_missing_data_reads": False,
        "store_data_equal_to_fill_value": True,
    }


def _layout(sequence_length: int, dtype: type) -> dict[str, Any]:
    little_endian = {"name": "bytes", "configuration": {"endian": "little"}}
    compressor = {"name": "zstd", "configuration": {"level": 3}}
    sharding = {
        "chunk_shape": [1, sequence_length],
        "codecs": [little_endian, compressor, {"name": "crc32c"}],
        "index_codecs": [little_endian, {"name": "crc32c"}],
    }
    grid = {"chunk_shape": [ROWS_PER_FILE, sequence_length]}
    return {
        "shape": [_MOST_ROWS, sequence_length],
        "data_type": np.dtype(dtype).name,
        "chunk_grid": {"name": "regular", "configuration": grid},
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
    }


class RowWriter:
    """Appends blocks of `ROWS_PER_FILE` rows (the last may be shorter) and hashes them."""

    def __init__(self, directory: pathlib.Path, sequence_length: int):
        self.rows = 0
        self.tokens = 0
        self._digest = hashlib.sha256(f"{_FORMAT} {sequence_length}".encode())
        self._stores = {
            name: tensorstore.open(
                _spec(directory, name) | {"metadata": _layout(sequence_length, dtype)},
                create=True,
            ).result()
            for name, dtype in ARRAYS.items()
        }

    def append(self, block: Batch) -> None:
        """Writes rows (n, T); returns when they are on disk.

        Raises:
          InputError: the disk is full or can't be written.
        """
        stop = self.rows + len(block.tokens)
        writes = []
        for name, store in self._stores.items():
            array = np.ascontiguousarray(getattr(block, name))
            self._digest.update(array.data)
            writes.append(store[self.rows : stop].write(array))
        try:
            for write in writes:
                write.result()
        except ValueError as error:
            reason = str(error).splitlines()[0][:160]
            raise InputError(
                f"can't write the rows ({reason}); free space or set another output"
            ) from None
        self.rows = stop
        self.tokens += int(np.count_nonzero(block.segment_ids))

    def finish(self) -> str:
        """Cuts the arrays to size; returns the hash of their content."""
        for store in self._stores.values():
            shape = [self.rows, store.shape[1]]
            store.resize(exclusive_max=shape, resize_metadata_only=True).result()
        return self._digest.hexdigest()


class RowReader:
    """Random access to finished rows."""

    def __init__(self, directory: pathlib.Path | str):
        self.info = read_info(directory)
        shape = (self.info.rows, self.info.sequence_length)
        self._directory = str(directory)
        self._stores = {name: self._open(name, shape) for name in ARRAYS}

    def _open(self, name: str, shape: tuple[int, int]) -> tensorstore.TensorStore:
        try:
            store = tensorstore.open(_spec(self._directory, name), read=True).result()
        except ValueError as error:
            raise self._damaged(f"{name} can't be opened", error) from None
        if tuple(store.shape) != shape or not shape[0]:
            raise InputError(
                f"{self._directory}: {name} is {tuple(store.shape)}, its metadata says {shape}; "
                "build the rows again"
            )
        return store

    def read(self, indices: np.ndarray) -> dict[str, np.ndarray]:
        """Reads each stored array at rows `indices` (n,), as (n, T).

        Raises:
          InputError: a row is missing or fails its checksum.
        """
        reads = {name: store.oindex[indices].read() for name, store in self._stores.items()}
        try:
            return {name: read.result() for name, read in reads.items()}
        except ValueError as error:
            raise self._damaged("a row can't be read", error) from None

    def _damaged(self, problem: str, error: Exception) -> InputError:
        reason = str(error).splitlines()[0][:120]
        return InputError(f"{self._directory}: {problem} ({reason}); build the rows again")
