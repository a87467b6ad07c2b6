"""Event files are what TensorFlow's own reader reads."""

import json

import jax.numpy as jnp
import pytest

from codex_jax.train.event_file import EventFile, crc32c, frame
from codex_jax.train.metrics import Metrics

LINES = [
    {"step": 0, "loss": 2.5, "validation/lines/loss": 1.25},
    {"step": 300, "loss": float("nan"), "tokens": 1e9},
]


def read_events(path):
    tf = pytest.importorskip("tensorflow")
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        yield event.step, {value.tag: value.simple_value for value in event.summary.value}, event


@pytest.mark.parametrize(
    ("content", "crc"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (b"", 0)],
)
def test_checksums_of_the_standard(content, crc):
    assert crc32c(content) == crc


def test_a_record_has_its_length_and_two_checksums():
    record = frame(b"abc")
    assert record[:8] == (3).to_bytes(8, "little")
    assert record[12:15] == b"abc"
    assert len(record) == 8 + 4 + 3 + 4


def test_tensorflow_reads_what_was_written(tmp_path):
    file = EventFile(tmp_path, start=7)
    file.write(LINES[:1])
    file.write(LINES[1:])
    (path,) = tmp_path.glob("events.out.tfevents.*")
    (_, _, version), (start, _, session), *events = read_events(path)
    assert version.file_version == "brain.Event:2"
    assert (start, session.session_log.status) == (7, session.session_log.START)
    assert [step for step, _, _ in events] == [0, 300]
    assert events[0][1] == {"loss": 2.5, "validation/lines/loss": 1.25}
    assert events[1][1]["tokens"] == pytest.approx(1e9)
    assert events[1][1]["loss"] != events[1][1]["loss"]


def test_metrics_write_each_flush_s_last_line_and_every_validation(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl", start=0)
    for step in range(4):
        values = {"loss": 1.0, "tokens": 8.0, "grad_norm": 1.0}
        metrics.add(step, {name: jnp.array(value) for name, value in values.items()})
        if step == 1:
            metrics.extend(lambda: {"validation/loss": 3.0})
    metrics.flush()
    (path,) = tmp_path.glob("events.out.tfevents.*")
    events = list(read_events(path))[2:]
    assert [step for step, _, _ in events] == [1, 3]
    assert events[0][1]["validation/loss"] == 3.0
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[3]["seconds"] == pytest.approx(events[1][1]["seconds"], rel=1e-6)


def test_nothing_is_written_before_the_first_metrics(tmp_path):
    assert Metrics(tmp_path / "metrics.jsonl", start=0).flush() == {}
    assert not list(tmp_path.iterdir())
