"""Reading a directory of checkpoints, beside a run that writes there. Writes nothing."""

import os.path
import sys
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

from codex_jax import InputError
from codex_jax.checkpoint import low_rank
from codex_jax.checkpoint.card import Card
from codex_jax.checkpoint.step_folder import (
    DamagedCheckpointError,
    GoneError,
    StepFolder,
    with_dtype,
)
from codex_jax.remote.paths import is_remote, list_folder


def list_steps(directory: epath.PathLike) -> list[int]:
    """Returns the steps of the checkpoints in a directory, ascending, damaged ones too.

    Raises:
      InputError: the directory is in a bucket that gives no answer.
    """
    # A folder gets its name when it is complete; an object store has no such renaming.
    needs_mark = is_remote(directory)
    return sorted(
        int(path.name)
        for path in list_folder(directory)
        if path.name.isdecimal()
        and path.name == str(int(path.name))
        and (not needs_mark or (path / "commit_success.txt").exists())
    )


def has_steps(directory: epath.PathLike) -> bool:
    """Whether a directory holds a checkpoint."""
    return bool(list_steps(directory))


def latest_step(directory: epath.PathLike) -> int:
    """Step of the newest checkpoint in a directory, whose arrays aren't looked at.

    Raises:
      InputError: there is none.
    """
    if not (steps := list_steps(directory)):
        raise InputError(f"{directory}: no checkpoint here; expected a directory that train wrote")
    return steps[-1]


def read_card(
    directory: epath.PathLike, *, step: int | None = None, check_content: bool = True
) -> Card:
    """Reads the card of a step; by default of the newest whose parameters are what was saved.

    A damaged one is passed over with a line on stderr. Several processes look at the content when
    they restore.

    Args:
      directory: Of the checkpoints.
      step: Of the checkpoint; None is the newest.
      check_content: Whether to read the newest's parameters, and not their descriptions alone.

    Raises:
      InputError: no such checkpoint, or only damaged ones.
    """
    newest = latest_step(directory)
    if step is None:
        return _read_newest(directory, check_content and jax.process_count() == 1)
    if step not in list_steps(directory):
        raise InputError(f"{directory}: no step {step} here; newest is {newest}")
    return StepFolder(directory, step).check_structure()


def _read_newest(directory: epath.PathLike, check_content: bool) -> Card:
    damaged: dict[int, str] = {}
    for step in reversed(list_steps(directory)):
        folder = StepFolder(directory, step)
        try:
            card = folder.check_structure()
            if check_content:
                folder.check_content("params")
        except DamagedCheckpointError as error:
            damaged[step] = error.reason
            continue
        except GoneError:  # there are newer ones by now
            return _read_newest(directory, check_content)
        if damaged:
            print(
                f"{describe(directory, damaged)}; step {step}, the one before, is used",
                file=sys.stderr,
            )
        return card
    raise InputError(f"{describe(directory, damaged)}; no other is here: restore a copy of it")


def describe(directory: epath.PathLike, damaged: dict[int, str]) -> str:
    """Returns a line that names damaged checkpoints and their faults."""
    faults = ", ".join(f"step {step} ({reason})" for step, reason in damaged.items())
    return f"{directory}: damaged: {faults}"


def restore_params(directory: epath.PathLike, shapes: Any, *, step: int | None = None) -> Any:
    """Parameters of a step (default: the newest undamaged), with the shardings of `shapes`.

    Args:
      directory: of the checkpoints.
      shapes: ShapeDtypeStructs, as `model.abstract` gives, with or without shardings.
      step: of the checkpoint; None is the newest.

    Raises:
      InputError: no such checkpoint, a damaged one, or one of another model, whose differences
        are named.
    """
    card = read_card(directory, step=step)
    folder = StepFolder(directory, card.step)
    if card.low_rank:
        base = restore_base(card, directory, shapes)
        pairs = folder.restore("params", _replicated(folder.shapes("params"), shapes))
        return low_rank.merge(base, pairs, card.low_rank["scale"], shapes)
    if wrong := folder.shape_differences("params", shapes):
        raise InputError(f"{folder.path}: " + "; ".join(wrong))
    return folder.restore("params", shapes)


def restore_base(card: Card, directory: epath.PathLike, shapes: Any) -> Any:
    """Parameters of which a checkpoint's are low-rank updates, in the dtype of their training.

    Args:
      card: The checkpoint's.
      directory: Of that checkpoint.
      shapes: ShapeDtypeStructs of all parameters, with or without shardings.

    Raises:
      InputError: the base is gone, or isn't the one of the card.
    """
    folder, step = find_base(card, directory)
    dtype = jnp.dtype(card.low_rank["dtype"])
    stored = jax.tree.map(lambda leaf: with_dtype(leaf, dtype), shapes)
    return restore_params(folder, stored, step=step)


def find_base(card: Card, directory: epath.PathLike) -> tuple[str, int]:
    """Returns (directory, step) of a checkpoint's base.

    Raises:
      InputError: the base is gone, or isn't the one of the card.
    """
    base = card.low_rank["base"]
    paths = low_rank.base_paths(base, directory)
    path = next((path for path in paths if base["step"] in list_steps(path)), None)
    name = f"{directory}: step {card.step} holds updates of {base['directory']} step {base['step']}"
    if path is None:
        places = dict.fromkeys(p if is_remote(p) else os.path.normpath(p) for p in paths)
        raise InputError(f"{name}, which isn't there; put that base back at {' or '.join(places)}")
    if low_rank.hash_params(read_card(path, step=base["step"])) != base["hash"]:
        raise InputError(f"{name}, where another checkpoint is by now; put the first one back")
    return path, base["step"]


def _replicated(tree: Any, shapes: Any) -> Any:
    """Targets for a small tree, on every device of the mesh of `shapes`."""
    leaf = jax.tree.leaves(shapes)[0]
    placement = getattr(leaf, "sharding", None)
    if isinstance(placement, jax.sharding.NamedSharding):
        placement = jax.sharding.NamedSharding(placement.mesh, jax.sharding.PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=placement), tree)


def shape_differences(
    directory: epath.PathLike, shapes: Any, *, step: int | None = None
) -> list[str]:
    """Parameters of a step (default: the newest) that don't fit `shapes`, each with both shapes."""
    folder = StepFolder(directory, latest_step(directory) if step is None else step)
    card = folder.read_card()
    if card.low_rank:
        base, base_step = find_base(card, directory)
        return shape_differences(base, shapes, step=base_step)
    return folder.shape_differences("params", shapes)
