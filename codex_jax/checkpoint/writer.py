"""Saving checkpoints in the background, and continuing from the newest undamaged one."""

import dataclasses
import functools
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import jax
import orbax.checkpoint as ocp
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from codex_jax import InputError
from codex_jax.checkpoint.card import Card
from codex_jax.checkpoint.card_file import CardHandler, CardSave
from codex_jax.checkpoint.checksums import leaf_names, start_checksums
from codex_jax.checkpoint.own_files import DAMAGED_FOLDER
from codex_jax.checkpoint.processes import is_true_everywhere, raise_together
from codex_jax.checkpoint.reader import describe, list_steps
from codex_jax.checkpoint.step_folder import DamagedCheckpointError, StepFolder
from codex_jax.remote.paths import absolute


@functools.cache
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
    noise = "Requested `tracked_metric`"  # of a save without a validation loss
    logging.getLogger("absl").addFilter(
        lambda record: (
            not (
                "orbax" in record.pathname
                and (record.exc_info or str(record.msg).startswith(noise))
            )
        )
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Retention:
    """Checkpoints that are kept; a checkpoint that no rule keeps is deleted.

    Args:
      keep_latest: Number of newest checkpoints.
      keep_every: Steps of which every multiple is kept for good; None keeps no such ones.
      keep_best: Number of checkpoints with the lowest validation loss.
      keep_optimizer: Whether those besides the newest hold the optimizer's state. Without it they
        have a third of the size, and can be sampled, exported and begun from, not continued.
    """

    keep_latest: int = 2
    keep_every: int | None = None
    keep_best: int = 0
    keep_optimizer: bool = True

    def policy(self) -> policies.PreservationPolicy:
        """Returns the rules, as Orbax takes them."""
        rules: list[policies.PreservationPolicy] = [policies.LatestN(self.keep_latest)]
        if self.keep_every:
            rules.append(policies.EveryNSteps(self.keep_every))
        if self.keep_best:
            rules.append(
                policies.BestN(
                    get_metric_fn=_validation_loss,
                    reverse=True,
                    n=self.keep_best,
                    keep_checkpoints_without_metrics=False,
                )
            )
        return policies.AnyPreservationPolicy(rules)


def _validation_loss(metrics: dict[str, float]) -> float:
    return metrics["validation_loss"]


class Checkpoints:
    """A directory of checkpoints that this run writes; `lock.FolderLock` says that it may.

    Checkpoints that can't be read are set aside, in the folder "damaged", when a run continues from
    an older one.
    """

    def __init__(
        self,
        directory: epath.PathLike,
        retention: Retention | None = None,
        on_failure: Callable[[InputError], Any] | None = None,
    ):
        """Opens or creates a directory; removes what a killed process began to write.

        Args:
          directory: Of the checkpoints.
          retention: Checkpoints to keep; None keeps all.
          on_failure: Is called in another thread as soon as the disk refuses a save; `save` and
            `finish` raise the same error later.

        Raises:
          InputError: there are checkpoints, and each is damaged.
        """
        _quiet_writers()
        self.directory = absolute(directory)
        refusal = None
        if jax.process_index() == 0:
            try:
                self._set_aside(self._broken())
            except InputError as error:
                refusal = error
        raise_together(refusal)
        self._retention = retention or Retention()
        self._on_failure = on_failure
        policy = retention.policy() if retention else policies.LatestN(None)
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policy,
                best_fn=_validation_loss,  # stores the losses, by which a later run may keep
                best_mode="min",
                cleanup_tmp_directories=True,
            ),
            item_handlers={
                "params": ocp.StandardCheckpointHandler(),
                "rest": ocp.StandardCheckpointHandler(),
                "card": CardHandler(),
            },
        )

    def _broken(self) -> dict[int, str]:
        """Step → fault of the checkpoints without card, parts or descriptions."""
        damaged = {}
        steps = list_steps(self.directory)
        for step in steps:
            try:
                StepFolder(self.directory, step).check_structure()
            except DamagedCheckpointError as error:
                damaged[step] = error.reason
        resumable = [s for s in steps if StepFolder(self.directory, s).is_resumable]
        if whole := set(resumable) - damaged.keys():
            newer = {s for s in steps if s > max(whole)} - damaged.keys()
            damaged |= dict.fromkeys(sorted(newer), "rest is missing")  # strip spares the newest
        if steps and len(damaged) == len(steps):
            raise self._all_damaged(damaged)
        return damaged

    def _all_damaged(self, damaged: dict[int, str]) -> InputError:
        return InputError(
            f"{describe(self.directory, damaged)}; no other is here to continue from: restore a "
            "copy, or set another checkpoint_dir"
        )

    def _set_aside(self, damaged: dict[int, str]) -> None:
        """Moves checkpoints to the folder "damaged", with a line on stderr."""
        if not damaged or jax.process_index() > 0:
            return
        shelf = self.directory / DAMAGED_FOLDER
        shelf.mkdir(exist_ok=True)
        for step in damaged:
            names = (f"{step}", *(f"{step}-{n}" for n in range(2, 10_000)))
            free = next(name for name in names if not (shelf / name).exists())
            (self.directory / str(step)).rename(shelf / free)
        line = f"{describe(self.directory, damaged)}; set aside in {DAMAGED_FOLDER}/"
        print(line, file=sys.stderr)

    def save(
        self,
        step: int,
        params: Any,
        rest: Any,
        card: Card,
        *,
        validation_loss: float | None = None,
    ) -> None:
        """Starts to write a checkpoint; the arrays may be donated after this returns.

        Args:
          step: Steps taken.
          params: The parameters.
          rest: The rest of the state, which a run needs to continue.
          card: The card; step and checksums are filled in.
          validation_loss: By which the best checkpoints are kept.

        Raises:
          InputError: the disk refused this save or the one before it, or the directory already has
        this step or a later one.
        """
        sums = start_checksums(leaf_names(params, "params/") | leaf_names(rest, "rest/"))
        items = ocp.args.Composite(
            params=ocp.args.StandardSave(params),
            rest=ocp.args.StandardSave(rest),
            card=CardSave(dataclasses.replace(card, step=step), sums),
        )
        metrics = None if validation_loss is None else {"validation_loss": validation_loss}
        with _DiskErrors(self.directory):
            is_saved = self._manager.save(step, args=items, metrics=metrics)
        if not is_saved:
            raise InputError(
                f"{self.directory}: step {step} was not saved, as step {self.latest} is there "
                "already; set another directory"
            )
        if self._on_failure:
            threading.Thread(target=self._follow_save, daemon=True, name="save").start()
        self._strip_older(under_way=1)

    def _follow_save(self) -> None:
        """Waits for the save under way, and reports the disk's refusal.

        Other processes wait for this one's part of a checkpoint, in whatever they do next.
        """
        try:
            with _DiskErrors(self.directory):
                self._manager.wait_until_finished()
        except InputError as error:
            assert self._on_failure
            self._on_failure(error)
        except Exception:  # noqa: BLE001  the next save raises it
            return

    def _strip_older(self, under_way: int = 0) -> None:
        """Deletes the optimizer's state of checkpoints that aren't among the newest."""
        if self._retention.keep_optimizer or jax.process_index() > 0:
            return
        newest = self._retention.keep_latest + under_way
        for step in sorted(self._manager.all_steps())[:-newest]:
            if (folder := StepFolder(self.directory, step)).is_resumable:
                folder.strip()

    def finish(self) -> None:
        """Waits until saves are on disk.

        Raises:
          InputError: the disk refused a save.
        """
        with _DiskErrors(self.directory):
            self._manager.wait_until_finished()
        self._strip_older()

    def close(self) -> None:
        """Ends the background threads."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":  # noqa: PYI034  beartype refuses Self here
        return self

    def __exit__(self, error_type: type[BaseException] | None, *_: object) -> None:
        """Waits for the save under way, also when an error ends the block."""
        try:
            self.finish()
        except InputError:
            if error_type is None:
                raise
        finally:
            self.close()

    @property
    def latest(self) -> int | None:
        """Step of the newest checkpoint."""
        return self._manager.latest_step()

    @property
    def steps(self) -> list[int]:
        """Steps of the checkpoints from which a run can continue, newest first."""
        steps = sorted(self._manager.all_steps(), reverse=True)
        return [step for step in steps if StepFolder(self.directory, step).is_resumable]

    def card(self, step: int) -> Card:
        """Reads the card of a step."""
        return StepFolder(self.directory, step).read_card()

    def restore(self, params: Any, rest: Any) -> tuple[Any, Any, int]:
        """(params, rest, step) of the newest undamaged step, as the abstract arrays are sharded.

        Newer ones that are damaged are set aside, once an older one is restored.

        Raises:
          InputError: each is damaged.
        """
        damaged: dict[int, str] = {}
        for step in self.steps:
            arrays, fault = self._try_restore(step, params, rest)
            if arrays is not None:
                self._set_aside(damaged)
                raise_together(None)
                self._manager.reload()
                return (*arrays, step)
            damaged[step] = fault
        raise self._all_damaged(damaged)

    def _try_restore(self, step: int, params: Any, rest: Any) -> tuple[Any, str]:
        """((params, rest), "") of a step, or (None, its fault), the same on every process."""
        folder = StepFolder(self.directory, step)
        targets, arrays, fault = {"params": params, "rest": rest}, {}, ""
        try:
            for item, target in targets.items():
                if wrong := folder.shape_differences(item, target):
                    raise DamagedCheckpointError(folder.path, "; ".join(wrong[:3]))
                arrays[item] = folder.load(item, target)
        except DamagedCheckpointError as error:
            fault = error.reason
        if not is_true_everywhere(not fault):
            return None, fault or "another process can't read it"
        try:
            for item in targets:
                folder.verify(item, arrays[item])
        except DamagedCheckpointError as error:
            return None, error.reason
        return (arrays["params"], arrays["rest"]), ""


class _DiskErrors:
    """Converts Orbax's several errors of a full disk to an InputError."""

    _SIGNS = ("No space left", "ENOSPC", "RESOURCE_EXHAUSTED", "Disk quota", "File too large")

    def __init__(self, directory: epath.Path):
        self.directory = directory

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback):
        if error is None or not any(sign in str(error) for sign in self._SIGNS):
            return False
        if "Out of memory" in str(error):  # of a device
            return False
        raise InputError(
            f"{self.directory}: the disk is full, this checkpoint was not written (earlier ones "
            "are complete); free space or set another checkpoint_dir, and run again to resume"
        ) from None
