"""Early stopping: the history of losses, the end of a run, and no step beyond it."""

import json
import math

import numpy as np
import pytest

from codex_jax import InputError, checkpoint
from codex_jax.checkpoint import Retention
from codex_jax.model import DecoderConfig
from codex_jax.train.early_stopping import LossHistory
from codex_jax.train.loop import train
from codex_jax.train.optimizer import Optimizer
from codex_jax.train.validation import Validation
from tests.train.counting import CountingBatches

CONFIG = DecoderConfig(vocab_size=64, layers=1, width=32, heads=4, max_length=32)


class Backwards(CountingBatches):
    """Validation rows that count downward: the more is learned, the higher their loss."""

    tasks = ("backwards",)
    token_bytes = np.ones(64, np.int32)

    def task_batches(self, task, rows=None):
        assert task == self.tasks[0]
        batch = next(self.batches(0, rows))
        yield batch._replace(targets=(batch.tokens - 1) % 64)


class Validated(CountingBatches):
    validation = Backwards()


def run(directory, *, steps=40, patience=2, batches=None, **options):
    settings = {"every": 5, "early_stopping_patience": patience}
    return train(
        batches=batches or Validated(),
        model=CONFIG,
        checkpoint_dir=str(directory),
        steps=steps,
        optimizer=Optimizer(learning_rate=1e-2, warmup_steps=2, schedule="constant"),
        validation=Validation(**settings),
        save_every=5,
        log_every=5,
        **options,
    )


def metric_lines(directory):
    return [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("losses", "patience", "is_over", "best"),
    [
        ([], 1, False, None),
        ([3, 2, 1], 1, False, (3, 1)),
        ([3, 2, 2], 1, True, (2, 2)),
        ([3, 4, 2, 5], 2, False, (3, 2)),
        ([3, 4, 5], 2, True, (1, 3)),
        ([3, 4, 5, 6], 0, False, (1, 3)),
        ([math.nan, math.nan], 2, True, None),
        ([math.nan, 2.0], 1, False, (2, 2)),
    ],
)
def test_the_history_ends_after_patience(losses, patience, is_over, best):
    history = LossHistory(patience=patience)
    for step, loss in enumerate(losses, 1):
        history.add(step, {"validation/loss": float(loss)})
    assert (history.is_over, history.best) == (is_over, best)
    assert LossHistory(history.to_json(), patience).is_over == is_over


def test_a_run_ends_with_a_sentence_and_keeps_the_best(tmp_path, capsys):
    run(tmp_path, retention=Retention(keep_best=1, keep_latest=1))
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("early stop: the validation loss no longer falls; the lowest")
    losses = checkpoint.read_card(tmp_path).validation_losses
    best = min(losses, key=lambda pair: pair[1])[0]
    assert f"of step {best};" in line
    assert [step for step, _ in losses] == list(range(5, best + 11, 5))
    assert [each["step"] for each in metric_lines(tmp_path)] == list(range(best + 10))
    assert checkpoint.read_card(tmp_path, step=best).step == best


def test_a_resumed_run_does_not_go_on_unless_patience_grows(tmp_path, capsys):
    run(tmp_path)
    before = metric_lines(tmp_path)
    assert run(tmp_path) == {}
    assert metric_lines(tmp_path) == before
    assert "early stop" in capsys.readouterr().out.splitlines()[-1]
    run(tmp_path, patience=3)
    assert metric_lines(tmp_path)[: len(before)] == before
    assert len(metric_lines(tmp_path)) == len(before) + 5


def test_a_run_that_was_cut_stops_where_an_undisturbed_one_does(tmp_path):
    """The card has the losses before the cut."""
    run(tmp_path / "straight")
    run(tmp_path / "cut", patience=0, steps=10)
    run(tmp_path / "cut", resume_with="steps")
    lines = [metric_lines(tmp_path / name) for name in ("straight", "cut")]
    assert lines[0][-1]["step"] == lines[1][-1]["step"] > 10


def test_a_run_to_its_end_names_the_best(tmp_path, capsys):
    run(tmp_path, steps=10, patience=3, retention=Retention(keep_best=1))
    assert capsys.readouterr().out.splitlines()[-1].startswith("the lowest validation loss is")


def test_patience_without_validation_rows_is_refused(tmp_path):
    with pytest.raises(InputError, match="early_stopping_patience needs a validation loss; set"):
        run(tmp_path, batches=CountingBatches())
