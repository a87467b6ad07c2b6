"""The card's file in a checkpoint, written in the background once its checksums are computed."""

import dataclasses
import json
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import future

from codex_jax.checkpoint.card import Card
from codex_jax.checkpoint.checksums import read_checksums


class CardHandler(ocp.JsonCheckpointHandler):
    """Writes cards; a save waits for the checksums in its thread, not in the training loop."""

    async def async_save(self, directory: Any, item: Any = None, args: Any = None) -> list[Any]:
        """Starts a thread that writes the file.

        Args:
          directory: Of the file.
          item: Unused; Orbax's former argument.
          args: A CardSave.

        Returns:
          What Orbax waits for before the checkpoint is complete.
        """
        del item
        write = _write(directory, args)
        return [future.CommitFutureAwaitingContractedSignals(write, name="card")]


@ocp.args.register_with_handler(CardHandler, for_save=True, for_restore=True)
@dataclasses.dataclass
class CardSave(ocp.args.CheckpointArgs):
    """A card to write.

    Args:
      card: All of it but the checksums.
      checksums: Name → checksum, uint32 (), which the devices may still compute.
    """

    card: Card
    checksums: dict[str, jax.Array]


async def _write(directory: Any, args: CardSave) -> None:
    if jax.process_index() == 0:
        card = dataclasses.replace(args.card, checksums=read_checksums(args.checksums))
        (directory / "metadata").write_text(json.dumps(dataclasses.asdict(card)))
