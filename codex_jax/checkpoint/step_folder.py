"""A checkpoint: its card, its arrays, and whether they are what was saved."""

import json
import os
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from codex_jax import InputError
from codex_jax.checkpoint.card import Card, parse_card
from codex_jax.checkpoint.checksums import checksums, host_checksum, leaf_names
from codex_jax.remote.paths import absolute

_BATCH_BYTES = 1 << 30  # of arrays that are checked at a time
_NOT_DAMAGE = (
    *("PERMISSION_DENIED", "UNAVAILABLE", "DEADLINE_EXCEEDED", "UNAUTHENTICATED"),
    *("RESOURCE_EXHAUSTED", "Out of memory", "Too many open files"),
)
_NOT_DAMAGE_ERRORS = (PermissionError, MemoryError, TimeoutError, ConnectionError)


class DamagedCheckpointError(InputError):
    """A checkpoint that can't be read, or isn't what was saved."""

    def __init__(self, path: epath.Path, reason: str):
        super().__init__(f"{path} is damaged ({reason}); set step to another checkpoint")
        self.reason = reason


class GoneError(InputError):
    """A checkpoint that was deleted while it was read."""


class StepFolder:
    """The folder of a step."""

    def __init__(self, directory: epath.PathLike, step: int):
        """Opens nothing yet.

        Args:
          directory: Of the checkpoints.
          step: Of this one.
        """
        self.path = absolute(directory) / str(step)
        self.step = step

    def read_card(self) -> Card:
        """Reads the card.

        Raises:
          DamagedCheckpointError: it is missing or broken.
        """
        file = self.path / "card" / "metadata"
        try:
            card = parse_card(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self._fault("its card is missing") from None
        except (IsADirectoryError, NotADirectoryError):
            raise self._damaged("its card is no file") from None
        except ValueError as error:
            raise self._damaged(str(error)) from None
        if card.step != self.step:
            raise self._damaged(f"its card is that of step {card.step}")
        return card

    def check_structure(self) -> Card:
        """Checks that card, parts and their descriptions are there; reads no array.

        Returns:
          The card.

        Raises:
          DamagedCheckpointError: the first fault.
        """
        if os.path.lexists(self.path) and not self.path.is_dir():
            raise self._damaged("no folder")
        if not self.path.exists() or not any(self.path.iterdir()):
            raise self._fault("an empty folder")
        card = self.read_card()
        self._check_json(self.path / "_CHECKPOINT_METADATA")
        if (self.path / "metrics").exists():
            self._check_json(self.path / "metrics" / "metrics")
        for item in ("params", "rest") if self.is_resumable else ("params",):
            self.shapes(item)
        return card

    @property
    def is_resumable(self) -> bool:
        """Whether the optimizer's state is there, besides the parameters."""
        return (self.path / "rest" / "_METADATA").exists()

    def strip(self) -> None:
        """Deletes the optimizer's state; the only method that writes.

        Its description goes first, so that a killed process leaves a checkpoint of parameters.
        """
        (self.path / "rest" / "_METADATA").unlink(missing_ok=True)
        (self.path / "rest").rmtree(missing_ok=True)

    def _check_json(self, file: epath.Path) -> None:
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise self._fault(f"{file.name} is missing") from None
        except (ValueError, RecursionError, IsADirectoryError, NotADirectoryError):
            raise self._damaged(f"{file.name} isn't JSON") from None

    def shapes(self, item: str) -> Any:
        """Returns the tree of an item ("params", "rest"), of arrays' shapes and dtypes.

        Raises:
          DamagedCheckpointError: its description can't be read.
        """
        if not (self.path / item).exists():
            raise self._fault(f"{item} is missing")
        try:
            return ocp.StandardCheckpointHandler().metadata(self.path / item).tree
        except Exception as error:  # noqa: BLE001  Orbax raises any kind for a damaged file
            raise self._failure(item, error) from None

    def shape_differences(self, item: str, expected: Any) -> list[str]:
        """Arrays of an item that are missing, unexpected or of another shape."""
        saved, others = leaf_names(self.shapes(item)), leaf_names(expected)

        def shape(leaves: dict[str, Any], name: str) -> str:
            return str(list(leaves[name].shape)) if name in leaves else "nothing"

        pairs = [(n, shape(saved, n), shape(others, n)) for n in sorted(saved.keys() | others)]
        return [f"{name}: saved {old}, expected {new}" for name, old, new in pairs if old != new]

    def restore(self, item: str, target: Any) -> Any:
        """The arrays of an item, with the shardings and dtypes of `target`.

        Raises:
          DamagedCheckpointError: they can't be read, or aren't what was saved.
        """
        arrays = self.load(item, target)
        self.verify(item, arrays)
        return jax.tree.map(lambda array, leaf: array.astype(leaf.dtype), arrays, target)

    def load(self, item: str, target: Any) -> Any:
        """The arrays of an item in the dtypes in which they were saved; waits for no other process.

        Raises:
          DamagedCheckpointError: they can't be read.
        """
        saved = leaf_names(self.shapes(item))
        names = iter(leaf_names(target))
        stored = jax.tree.map(lambda leaf: with_dtype(leaf, saved[next(names)].dtype), target)
        args = ocp.args.StandardRestore(stored)
        try:
            return ocp.StandardCheckpointHandler().restore(self.path / item, args=args)
        except Exception as error:  # noqa: BLE001  as above
            raise self._failure(item, error) from None

    def verify(self, item: str, arrays: Any) -> None:
        """Compares arrays with their checksums; all processes take part.

        Raises:
          DamagedCheckpointError: they aren't what was saved.
        """
        self._compare(item, checksums(leaf_names(arrays, f"{item}/")))

    def check_content(self, item: str) -> None:
        """Checks the arrays of an item on the host, some at a time.

        Raises:
          DamagedCheckpointError: they can't be read, or aren't what was saved.
        """
        tree = self.shapes(item)
        for names in _batches(leaf_names(tree)):
            try:
                leaves = _read_some(self.path / item, tree, names)
            except Exception as error:  # noqa: BLE001  as above
                raise self._failure(item, error) from None
            self._compare(item, {f"{item}/{n}": host_checksum(a) for n, a in leaves.items()})

    def _compare(self, item: str, actual: dict[str, int]) -> None:
        expected = self.read_card().checksums
        if not any(name.startswith(f"{item}/") for name in expected):
            return  # of a version that wrote none
        if wrong := [name for name, value in actual.items() if expected.get(name) != value]:
            raise self._damaged(f"{', '.join(wrong[:3])}: another content than was saved")

    def _failure(self, item: str, error: Exception) -> InputError:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        if isinstance(error, _NOT_DAMAGE_ERRORS) or any(sign in text for sign in _NOT_DAMAGE):
            return InputError(
                f"{self.path / item} can't be read: {text:.200}; run again, or set another path"
            )
        return self._fault(f"{item}: {text:.120}")

    def _fault(self, reason: str) -> InputError:
        if self.path.exists():
            return self._damaged(reason)
        return GoneError(
            f"{self.path} is gone: the run that writes there keeps newer ones only; read again, or "
            "let it keep more (keep_latest)"
        )

    def _damaged(self, reason: str) -> DamagedCheckpointError:
        return DamagedCheckpointError(self.path, reason)


def with_dtype(leaf: Any, dtype: Any) -> jax.ShapeDtypeStruct:
    """Returns a leaf's shape and sharding, if it has one, with another dtype."""
    sharding = getattr(leaf, "sharding", None)
    sharding = sharding if isinstance(sharding, jax.sharding.Sharding) else None
    return jax.ShapeDtypeStruct(leaf.shape, dtype, sharding=sharding)


def _batches(leaves: dict[str, Any]) -> Iterator[set[str]]:
    """Groups names of arrays, each group of at most _BATCH_BYTES or of one array."""
    batch: set[str] = set()
    size = 0
    for name, leaf in leaves.items():
        leaf_size = int(np.prod(leaf.shape)) * jnp.dtype(leaf.dtype).itemsize
        if batch and size + leaf_size > _BATCH_BYTES:
            yield batch
            batch, size = set(), 0
        batch.add(name)
        size += leaf_size
    yield batch


def _read_some(path: epath.Path, tree: Any, names: set[str]) -> dict[str, np.ndarray]:
    """Reads the arrays of these names to the host."""
    order = iter(leaf_names(tree))
    partial = jax.tree.map(
        lambda leaf: with_dtype(leaf, leaf.dtype) if next(order) in names else ocp.PLACEHOLDER,
        tree,
    )
    to_host = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), partial)
    args = ocp.args.PyTreeRestore(item=partial, restore_args=to_host)
    arrays = ocp.PyTreeCheckpointHandler().restore(path, args=args)
    return {n: a for n, a in leaf_names(arrays).items() if n in names}
