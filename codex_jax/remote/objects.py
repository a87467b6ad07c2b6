"""Objects of a bucket through TensorStore: whole reads, and writes that nobody else's can cross."""

import os
from typing import Any

import tensorstore

from codex_jax import InputError
from codex_jax.remote.paths import split_url

TIMEOUT_SECONDS = 600.0  # of a read or write; TensorStore tries it again within that
ABSENT = b"\2"  # the generation of an object that isn't there
_LAST = "\U0010ffff"  # after every other character, also in UTF-8


class ConflictError(InputError):
    """An object that another process wrote in between."""


def kvstore_spec(url: str) -> dict[str, Any]:
    """Returns TensorStore's description of a folder gs://BUCKET/NAME."""
    if address := os.environ.get("STORAGE_EMULATOR_HOST"):
        address = address if "://" in address else f"http://{address}"
        os.environ.setdefault("TENSORSTORE_GCS_HTTP_URL", address)
    bucket, name = split_url(url)
    return {"driver": "gcs", "bucket": bucket, "path": f"{name}/" if name else ""}


class Objects:
    """The objects whose names begin with a folder's."""

    def __init__(self, url: str):
        """Opens nothing yet; `url` is the folder, as gs://BUCKET/NAME."""
        self.url = url.rstrip("/")
        self._store = tensorstore.KvStore.open(kvstore_spec(self.url)).result()

    def _await(self, future: Any, name: str) -> Any:
        try:
            return future.result(timeout=TIMEOUT_SECONDS)
        except TimeoutError:
            reason = f"no answer within {TIMEOUT_SECONDS:.0f} s"
        except ValueError as error:
            reason = str(error).split(" [")[0].splitlines()[0][:200]
        raise InputError(
            f"{self.url}/{name}: {reason}; expected a bucket that this machine's account may use"
        )

    def list(self, prefix: str = "") -> list[str]:
        """Names of the objects, relative to the folder, that begin with a prefix."""
        names = tensorstore.KvStore.KeyRange(prefix, prefix and f"{prefix}{_LAST}")
        return [name.decode() for name in self._await(self._store.list(names), "")]

    def read(self, name: str) -> tuple[bytes | None, bytes]:
        """Content (None of an absent object) and generation.

        Raises:
          InputError: the object can't be read.
        """
        result = self._await(self._store.read(name), name)
        is_present = result.state == "value"
        return (bytes(result.value) if is_present else None), result.stamp.generation

    def write(self, name: str, content: bytes | None, generation: bytes | None = None) -> bytes:
        """Writes an object, or deletes it (None); returns its new generation.

        Args:
          name: Relative to the folder.
          content: Of the object.
          generation: That which the object must have, `ABSENT` for none; None is any.

        Raises:
          ConflictError: the object has another generation.
          InputError: the object can't be written.
        """
        stamp = self._await(self._store.write(name, content, if_equal=generation), name)
        if not stamp.generation:
            present, newest = self.read(name)
            if present == content:  # the answer to our own write was lost, and it was tried again
                return newest
            raise ConflictError(
                f"{self.url}/{name} was written by another process; end one of them, or set "
                "another path"
            )
        return stamp.generation
