"""A checkpoint's folder: what isn't damage, content in parts, checkpoints without checksums."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from codex_jax import InputError
from codex_jax.checkpoint import DamagedCheckpointError, step_folder
from codex_jax.checkpoint.step_folder import StepFolder
from tests.checkpoint import damage


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    damage.save(folder, 2).close()
    return folder


def test_the_card_has_the_checksums_of_all_arrays(saved):
    card = StepFolder(saved, 2).check_structure()
    expected = {"params/blocks/bias", "params/table", "rest/momentum", "rest/step"}
    assert set(card.checksums) == expected
    assert dataclasses.replace(card, checksums={}, step=0) == damage.CARD


def test_content_is_checked_in_parts(saved, monkeypatch):
    sizes = []
    read = step_folder._read_some
    monkeypatch.setattr(step_folder, "_BATCH_BYTES", 10)
    monkeypatch.setattr(step_folder, "_read_some", lambda *a: sizes.append(len(a[2])) or read(*a))
    StepFolder(saved, 2).check_content("params")
    assert sizes == [1, 1]


def test_a_checkpoint_without_checksums_is_read(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "old")
    file = folder / "2" / "card" / "metadata"
    fields = json.loads(file.read_text())
    del fields["checksums"]
    file.write_text(json.dumps(fields))
    opened = StepFolder(folder, 2)
    opened.check_content("params")
    restored = opened.restore("params", damage.params())
    jax.tree.map(np.testing.assert_array_equal, restored, damage.params(2))


def test_a_card_of_another_step_is_damage(saved, tmp_path):
    shutil.copytree(saved / "2", tmp_path / "5")
    with pytest.raises(DamagedCheckpointError, match="its card is that of step 2"):
        StepFolder(tmp_path, 5).check_structure()


@pytest.mark.parametrize(
    "error", [PermissionError("no"), ValueError("UNAVAILABLE: the bucket is away")]
)
def test_a_path_that_is_away_is_no_damage(saved, monkeypatch, error):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(step_folder.ocp.StandardCheckpointHandler, "restore", fail)
    with pytest.raises(InputError, match="can't be read") as caught:
        StepFolder(saved, 2).restore("params", damage.params())
    assert not isinstance(caught.value, DamagedCheckpointError)


def test_relative_paths(saved, monkeypatch):
    monkeypatch.chdir(saved.parent)
    relative = pathlib.Path(saved.name)
    assert StepFolder(relative, 2).check_structure().step == 2
    StepFolder(relative, 2).restore("params", damage.params())
