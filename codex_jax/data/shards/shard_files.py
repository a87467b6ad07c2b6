"""Tokenized documents on disk, between the workers that make them and the packing."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from codex_jax.files import atomic_path


@dataclasses.dataclass(frozen=True)
class TokenizedText:
    """A training text of a document."""

    language: str
    ids: np.ndarray  # unsigned (n,)
    weights: np.ndarray | None  # float32 (n,), of the loss; None where all are 1


@dataclasses.dataclass(frozen=True)
class TokenizedDocument:
    """A document: its path, size in bytes, keys for finding duplicates, and its texts."""

    path: str
    language: str
    size: int
    digest: int
    sketch: np.ndarray  # uint32 (128,), or (0,) where near duplicates aren't looked for
    texts: list[TokenizedText]


def write_block(path: pathlib.Path, documents: list[TokenizedDocument], dtype: np.dtype) -> None:
    """Writes documents to one file, atomically; `dtype` must hold every id."""
    texts = [text for document in documents for text in document.texts]
    weights = [text.weights for text in texts if text.weights is not None]
    names = {
        "paths": [document.path for document in documents],
        "languages": [document.language for document in documents],
        "text_languages": [text.language for text in texts],
    }
    arrays: dict[str, Any] = {
        "names": np.frombuffer(json.dumps(names).encode(), np.uint8),
        "sizes": np.array([document.size for document in documents], np.int64),
        "digests": np.array([document.digest for document in documents], np.uint64),
        "sketches": np.stack([document.sketch for document in documents]),
        "texts": np.array([len(document.texts) for document in documents], np.int64),
        "lengths": np.array([len(text.ids) for text in texts], np.int64),
        "has_weights": np.array([text.weights is not None for text in texts], bool),
        "ids": np.concatenate([np.zeros(0, dtype), *(text.ids for text in texts)]).astype(dtype),
        "weights": np.concatenate([np.zeros(0, np.float32), *weights]),
    }
    with atomic_path(path) as partial, partial.open("wb") as out:
        np.savez(out, **arrays)


def read_keys(path: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Returns digests (n,) and sketches (n, 128) of a block's documents."""
    with np.load(path) as arrays:
        return arrays["digests"], arrays["sketches"]


def read_block(path: pathlib.Path) -> Iterator[TokenizedDocument]:
    """Yields the documents of a block."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    names = json.loads(arrays["names"].tobytes())
    texts = _texts(arrays, names["text_languages"])
    keys = (names["paths"], names["languages"], arrays["sizes"].tolist(), arrays["digests"])
    rows = zip(*keys, arrays["sketches"], arrays["texts"].tolist(), strict=True)
    for name, language, size, digest, sketch, count in rows:
        document_texts = [next(texts) for _ in range(count)]
        yield TokenizedDocument(name, language, size, digest, sketch, document_texts)


def _texts(arrays: dict[str, np.ndarray], languages: list[str]) -> Iterator[TokenizedText]:
    start = weights_start = 0
    lengths, flags = arrays["lengths"].tolist(), arrays["has_weights"].tolist()
    for language, length, has_weights in zip(languages, lengths, flags, strict=True):
        stop = weights_start + length
        weights = arrays["weights"][weights_start:stop] if has_weights else None
        yield TokenizedText(language, arrays["ids"][start : start + length], weights)
        start += length
        weights_start += length * has_weights
