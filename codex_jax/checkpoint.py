"""Orbax, thinly: a training state and the card that says what it is.

A checkpoint directory holds one folder a step (params, the rest of the state, card.json), each
complete or absent. From the card a sampler builds the decoder.
"""

import dataclasses
import logging
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp

from codex_jax import InputError


def _quiet_writers() -> None:
    """Silences tracebacks of Orbax's threads for an error that the next call raises.

    After a failed write, the other writers print "Event loop is closed" tracebacks.
    """
    print_error = sys.unraisablehook
    aftermath = ("Event loop is closed", "Python is likely shutting down")
    sys.unraisablehook = lambda lost: (
        None if str(lost.exc_value).endswith(aftermath) else print_error(lost)
    )
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    logging.getLogger("absl").addFilter(
        lambda record: not (record.exc_info and "orbax" in record.pathname)
    )


_quiet_writers()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Card:
    """Description of a checkpoint.

    `run` holds the settings that a resumed run must share (batch size, seed, optimizer, steps).
    `eos_ids` end a text and `begin_ids` begin one, where an imported model has its own; empty and
    None are the tokenizer's end of text, as in our training documents. `origin` holds an imported
    model's family and its fields that an export writes again.
    """

    model: dict[str, Any]
    step: int = 0
    tokenizer_hash: str = ""
    data_fingerprint: str = ""
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    operative_config: str = ""
    eos_ids: list[int] = dataclasses.field(default_factory=list)
    begin_ids: list[int] | None = None
    origin: dict[str, Any] = dataclasses.field(default_factory=dict)

    def differences(self, other: "Card") -> list[str]:
        """Fields except step that differ, as "name: value, the other card's value"."""
        fields, others = _flat(self), _flat(other)
        return [
            f"{name}: {fields.get(name)!r}, {others.get(name)!r}"
            for name in sorted(fields.keys() | others.keys())
            if fields.get(name) != others.get(name)
        ]


def _flat(card: Card) -> dict[str, Any]:
    return {
        **{f"model.{name}": value for name, value in card.model.items()},
        **{f"run.{name}": value for name, value in card.run.items()},
        "tokenizer_hash": card.tokenizer_hash,
        "data_fingerprint": card.data_fingerprint,
    }


def _is_step(path: pathlib.Path) -> bool:
    return path.name.isdecimal() and (path / "_CHECKPOINT_METADATA").is_file()


# Glob → whether an entry of a directory of checkpoints is Orbax's own.
OWN_FILES: dict[str, Callable[[pathlib.Path], bool]] = {
    "*.orbax-checkpoint-tmp*": lambda _: True,  # begun by a killed process
    "[0-9]*": _is_step,
}


class Checkpoints:
    """A directory with the newest `keep` checkpoints, saved in the background."""

    def __init__(self, directory: pathlib.Path | str, *, keep: int | None = None):
        self.directory = pathlib.Path(directory).absolute()
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(max_to_keep=keep, cleanup_tmp_directories=True),
            item_handlers={
                "params": ocp.StandardCheckpointHandler(),
                "rest": ocp.StandardCheckpointHandler(),
                "card": ocp.JsonCheckpointHandler(),
            },
        )

    def save(self, step: int, params: Any, rest: Any, card: Card) -> None:
        """Starts to write a checkpoint; the arrays may be donated after this returns.

        Raises:
          InputError: the disk refused this save or the one before it, or the directory already has
        this step or a later one.
        """
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(params),
            rest=ocp.args.StandardSave(rest),
            card=ocp.args.JsonSave(dataclasses.asdict(dataclasses.replace(card, step=step))),
        )
        with _DiskErrors(self.directory):
            is_saved = self._manager.save(step, args=items)
        if not is_saved:
            raise InputError(
                f"{self.directory}: step {step} was not saved, as step {self.latest} is there "
                "already; set another directory"
            )

    def finish(self) -> None:
        """Waits until saves are on disk.

        Raises:
          InputError: the disk refused a save.
        """
        with _DiskErrors(self.directory):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Ends the background threads."""
        self._manager.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return self._manager.latest_step()

    def card(self, step: int) -> Card:
        """The card of a step."""
        fields = self._manager.restore(step, args=ocp.args.Composite(card=ocp.args.JsonRestore()))[
            "card"
        ]
        return Card(**fields)

    def restore(self, step: int, params: Any, rest: Any) -> tuple[Any, Any]:
        """(params, rest) of a step, with the shardings of the abstract arrays.

        Raises:
          InputError: parameters that are missing, unexpected or of another shape; all are named.
        """
        self._check(step, params)
        items = ocp.args.Composite(
            params=ocp.args.StandardRestore(params), rest=ocp.args.StandardRestore(rest)
        )
        restored = self._manager.restore(step, args=items)
        return restored["params"], restored["rest"]

    def restore_params(self, step: int, params: Any) -> Any:
        """The parameters alone, in the dtypes of `params`."""
        self._check(step, params)
        items = ocp.args.Composite(params=ocp.args.StandardRestore(params))
        return self._manager.restore(step, args=items)["params"]

    def shape_differences(self, step: int, params: Any) -> list[str]:
        """Parameters that are missing, unexpected or of another shape than those of `params`."""
        saved = _shapes(self._manager.item_metadata(step)["params"].tree)
        expected = _shapes(params)
        return [
            f"{name}: saved {saved.get(name, 'nothing')}, expected {expected.get(name, 'nothing')}"
            for name in sorted(saved.keys() | expected.keys())
            if saved.get(name) != expected.get(name)
        ]

    def _check(self, step: int, params: Any) -> None:
        if wrong := self.shape_differences(step, params):
            raise InputError(f"{self.directory / str(step)}: " + "; ".join(wrong))


def _shapes(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): str(list(leaf.shape))
        for path, leaf in leaves
    }


class _DiskErrors:
    """Converts Orbax's several errors of a full disk to an InputError."""

    _SIGNS = ("No space left", "ENOSPC", "RESOURCE_EXHAUSTED", "Disk quota", "File too large")

    def __init__(self, directory: pathlib.Path):
        self.directory = directory

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback):
        if error is None or not any(sign in str(error) for sign in self._SIGNS):
            return False
        raise InputError(
            f"{self.directory}: the disk is full, this checkpoint was not written (earlier ones "
            "are complete); free space or set another checkpoint_dir, and run again to resume"
        ) from None


def latest_step(directory: pathlib.Path | str) -> int:
    """Step of the newest complete checkpoint in a directory, without creating anything.

    Raises:
      InputError: there is none.
    """
    if not (steps := _steps(directory)):
        raise InputError(f"{directory}: no checkpoint here; expected a directory that train wrote")
    return max(steps)


def has_steps(directory: pathlib.Path | str) -> bool:
    """Whether a directory holds a complete checkpoint; creates nothing."""
    return bool(_steps(directory))


def _steps(directory: pathlib.Path | str) -> list[int]:
    path = pathlib.Path(directory).absolute()
    return [int(p.name) for p in path.glob("*") if p.name.isdecimal() and (p / "card").is_dir()]


def shape_differences(
    directory: pathlib.Path | str, shapes: Any, *, step: int | None = None
) -> list[str]:
    """Parameters of a step (default: the newest) that don't fit `shapes`, each with both shapes."""
    step = latest_step(directory) if step is None else step
    manager = Checkpoints(directory)
    differences = manager.shape_differences(step, shapes)
    manager.close()
    return differences


def read_card(directory: pathlib.Path | str, *, step: int | None = None) -> Card:
    """The card of a step (default: the newest)."""
    step = latest_step(directory) if step is None else step
    manager = Checkpoints(directory)
    if not (manager.directory / str(step) / "card").is_dir():
        raise InputError(f"{directory}: no step {step} here; newest is {latest_step(directory)}")
    card = manager.card(step)
    manager.close()
    return card


def restore_params(directory: pathlib.Path | str, shapes: Any, *, step: int | None = None) -> Any:
    """Parameters of a step (default: the newest), with the shardings of `shapes`.

    Args:
      directory: of the checkpoints.
      shapes: ShapeDtypeStructs, as `model.abstract` gives, with or without shardings.
      step: of the checkpoint; None is the newest.

    Raises:
      InputError: no such checkpoint, or one of another model.
    """
    step = latest_step(directory) if step is None else step
    manager = Checkpoints(directory)
    params = manager.restore_params(step, shapes)
    manager.close()
    return params
