"""Facts that all hosts of a run must share, by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from codex_jax import checkpoint, hosts
from codex_jax.train.initialization import Source
from codex_jax.train.job import Job

# Paths, which may differ from host to host, and objects; their content is compared.
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
    if job.source.directory and not checkpoint.has_steps(settings["checkpoint_dir"]):
        facts["init_from"] = _describe_weights(job.source)
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


def _describe_weights(source: Source) -> str:
    """Step and hash: the newest checkpoint may be another one for a host that looks later."""
    return f"step {source.card.step}, {checkpoint.hash_params(source.card)[:12]}"


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
