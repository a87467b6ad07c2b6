"""Facts that hosts must share: every setting but paths, each once."""

import dataclasses
import inspect

import pytest

from codex_jax.checkpoint import Card
from codex_jax.hosts import HostLimits
from codex_jax.train.compute import Compute
from codex_jax.train.facts import _ON_CARD, _OWN, run_facts
from codex_jax.train.initialization import Source
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.runtime import Runtime
from tests.train.counting import CountingBatches

pytestmark = pytest.mark.usefixtures("unchecked_types")


@dataclasses.dataclass
class Job:
    """The parts of a job that facts come from."""

    card: Card
    batches: CountingBatches
    source: Source


def facts_of(source=Source(), **settings):
    card = Card(model={"width": 8}, run={"seed": 1, "compute.dtype": "float32"})
    return run_facts(Job(card, CountingBatches(), source), settings)


def source_of(step, checksum):
    """A checkpoint at the same path on all hosts."""
    source = Source("weights")
    vars(source)["card"] = Card(model={}, run={}, step=step, checksums={"params/x": checksum})
    return source


def test_settings_are_flat_and_none_is_twice():
    facts = facts_of(seed=1, log_every=3, compute=Compute(remat="full"), optimizer=Optimizer())
    assert facts["run.seed"] == 1
    assert "seed" not in facts
    assert facts["log_every"] == 3
    assert facts["Compute.remat"] == "full"
    assert "Compute.dtype" not in facts
    assert not any(name.startswith("Optimizer.") for name in facts)
    assert {"code", "jax", "data_fingerprint", "model.width"} <= facts.keys()


def test_paths_may_differ():
    assert "checkpoint_dir" not in facts_of(
        checkpoint_dir="/a", runtime=Runtime(compilation_cache_dir="/b")
    )


def test_the_first_weights_are_compared_by_content(tmp_path):
    def weights(source, folder=tmp_path / "none"):
        return facts_of(source, checkpoint_dir=str(folder)).get("init_from")

    assert weights(source_of(3, 7)) == weights(source_of(3, 7))
    assert len({weights(source_of(*of)) for of in [(3, 7), (4, 7), (3, 8)]}) == 3
    (tmp_path / "5" / "params").mkdir(parents=True)
    assert weights(source_of(3, 7), tmp_path) is None  # a run that goes on doesn't read them


def test_every_setting_of_train_is_a_fact_or_listed():
    names = set(inspect.signature(train).parameters)
    assert names >= _OWN | _ON_CARD
    settings = dict.fromkeys(names, 7) | {"host_limits": HostLimits()}
    facts = facts_of(**settings)
    missing = {n for n in names - _OWN - _ON_CARD if n not in facts and f"run.{n}" not in facts}
    assert missing == {"host_limits"}
    assert facts["HostLimits.timeout_s"] == 3600.0
