"""Facts that all hosts of a run must share, by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from codex_jax import hosts
from codex_jax.train.job import Job

# Paths, which may differ from host to host; objects, whose content is on the card.
_OWN = {"batches", "checkpoint_dir", "init_from", "operative_config", "runtime"}
_ON_CARD = {"model", "optimizer", "stability"}


def run_facts(job: Job, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns name → value of all that decides what a process does: card, settings, program.

    Args:
      job: The run's.
      settings: train's arguments.
    """
    facts: dict[str, Any] = {**job.card.fields(), **hosts.program_facts()}
    facts["sequence_length"] = job.batches.sequence_length
    validation = getattr(job.batches, "validation", None)
    facts["validation"] = list(validation.tasks) if validation else None
    facts["task_metrics"] = settings.get("task_metrics") is not None
    for name, value in settings.items():
        if name in _OWN | _ON_CARD | {"task_metrics"}:
            continue
        if dataclasses.is_dataclass(value):
            owner = type(value).__name__
            fields = {f"{owner}.{k}": v for k, v in vars(value).items()}
            facts |= {k: v for k, v in fields.items() if f"run.{_lower(k)}" not in facts}
        elif f"run.{name}" not in facts:
            facts[name] = value
    return facts


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
