"""The card's file: complete when the checkpoint is, and no save waits for its checksums."""

import functools
import json
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax.checkpoint import Checkpoints, card_file
from codex_jax.checkpoint.card import parse_card
from codex_jax.checkpoint.checksums import host_checksum
from tests.checkpoint import damage

FILE = "1/card/metadata"


def test_a_card_has_the_checksums_of_its_arrays(tmp_path):
    damage.save(tmp_path, 1).close()
    card = parse_card((tmp_path / FILE).read_text())
    assert card.step == 1
    assert card.model == damage.CARD.model
    table = np.asarray(damage.params(1)["table"])
    assert card.checksums["params/table"] == host_checksum(table)


def test_a_save_waits_for_no_checksum(tmp_path, monkeypatch):
    is_saved = threading.Event()
    read = card_file.read_checksums

    def read_later(values):
        assert is_saved.wait(60)
        return read(values)

    monkeypatch.setattr(card_file, "read_checksums", read_later)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, damage.params(1), damage.rest(1), damage.CARD)
        assert not (tmp_path / FILE).exists()
        is_saved.set()
    assert json.loads((tmp_path / FILE).read_text())["checksums"]


def test_arrays_may_be_donated_after_a_save(tmp_path):
    @functools.partial(jax.jit, donate_argnums=0)
    def negate(array):
        return -array

    values = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float32)
    table = jnp.array(values)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"table": table}, damage.rest(1), damage.CARD)
        for _ in range(3):
            table = negate(table)
        jax.block_until_ready(table)
    sums = parse_card((tmp_path / FILE).read_text()).checksums
    assert sums["params/table"] == host_checksum(values)


def test_without_its_checksums_there_is_no_checkpoint(tmp_path, monkeypatch):
    def fail(_):
        raise RuntimeError("a device is lost")

    monkeypatch.setattr(card_file, "read_checksums", fail)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, damage.params(1), damage.rest(1), damage.CARD)
    with pytest.raises(RuntimeError, match="a device is lost"):
        checkpoints.finish()
    checkpoints.close()
    assert not (tmp_path / "1").exists()
