"""Readers write nothing, pass over damaged checkpoints, and read beside a run that saves."""

import os
import shutil
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError, checkpoint
from tests.checkpoint import damage
from tests.checkpoint.test_writer import abstract


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    damage.save(folder, 1, 2).close()
    return folder


def state_of(folder):
    """Every entry below a folder, with its size and time of change."""
    paths = sorted([folder, *folder.rglob("*")])
    return [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in paths]


@pytest.mark.parametrize("way", damage.WAYS, ids=lambda way: way.__name__)
def test_the_one_before_a_damaged_newest_is_read_with_one_line(saved, tmp_path, capsys, way):
    folder = shutil.copytree(saved, tmp_path / "run")
    way(folder / "2")
    before = state_of(folder)
    card = checkpoint.read_card(folder)
    (line,) = capsys.readouterr().err.splitlines()
    assert card.step == 1
    assert f"damaged: step 2 ({damage.WAYS[way]}" in line
    assert line.endswith("step 1, the one before, is used")
    params = checkpoint.restore_params(folder, abstract(damage.params()), step=card.step)
    np.testing.assert_array_equal(params["table"], damage.params(1)["table"])
    with pytest.raises(InputError, match=r"2 is damaged \(.*set step to another") as caught:
        checkpoint.restore_params(folder, abstract(damage.params()), step=2)
    assert "\n" not in str(caught.value)
    assert state_of(folder) == before


def test_only_damaged_ones_are_an_error_that_names_each(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    damage.truncate(folder / "2")
    damage.empty_folder(folder / "1")
    with pytest.raises(InputError, match=r"step 2 \(params.*step 1 \(an empty folder\)"):
        checkpoint.read_card(folder)


def test_reading_writes_nothing_and_leaves_a_save_under_way(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    (folder / "3.orbax-checkpoint-tmp" / "params").mkdir(parents=True)
    before = state_of(folder)
    assert checkpoint.read_card(folder).step == 2
    checkpoint.restore_params(folder, abstract(damage.params()))
    assert checkpoint.shape_differences(folder, damage.params()) == []
    assert checkpoint.latest_step(folder) == 2
    assert checkpoint.has_steps(folder)
    assert state_of(folder) == before


def test_a_folder_that_may_not_be_written_is_read(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    script = (
        "from codex_jax import checkpoint; import sys;"
        "from tests.checkpoint import damage;"
        "print(checkpoint.restore_params(sys.argv[1], damage.params())['table'].sum())"
    )
    root = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
    if root and not shutil.which("setpriv"):
        pytest.skip("root may write everywhere, and there is no setpriv")
    ran = subprocess.run(
        [*root, sys.executable, "-c", script, str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert float(ran.stdout) == pytest.approx(float(damage.params(2)["table"].sum()), rel=1e-4)


def test_saves_go_on_while_readers_read_in_a_loop(tmp_path):
    checkpoints = damage.save(tmp_path, 1, retention=checkpoint.Retention(keep_latest=3))
    ended, read, errors = threading.Event(), set(), []

    def read_in_a_loop():
        while not ended.is_set():
            try:
                step = checkpoint.read_card(tmp_path).step
                params = checkpoint.restore_params(tmp_path, abstract(damage.params()), step=step)
                np.testing.assert_array_equal(params["table"], damage.params(step)["table"])
                read.add(step)
            except Exception as error:  # noqa: BLE001  none at all is expected
                errors.append(error)
                return

    readers = [threading.Thread(target=read_in_a_loop) for _ in range(2)]
    for reader in readers:
        reader.start()
    step = 1
    while step < 12 or (len(read) < 3 and step < 200 and not errors):
        step += 1
        checkpoints.save(step, damage.params(step), damage.rest(step), damage.CARD)
    checkpoints.finish()
    checkpoints.close()
    ended.set()
    for reader in readers:
        reader.join()
    assert not errors
    assert len(read) >= 3
    assert checkpoint.latest_step(tmp_path) == step


def test_a_checkpoint_that_the_run_deletes_meanwhile_is_named(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    opened = checkpoint.reader.StepFolder(folder, 1)
    opened.check_structure()
    shutil.rmtree(folder / "1")
    with pytest.raises(InputError, match="1 is gone: the run that writes there keeps newer ones"):
        opened.restore("params", abstract(damage.params()))
    with pytest.raises(InputError, match="no step 1 here; newest is 2"):
        checkpoint.read_card(folder, step=1)


def test_other_dtypes_are_converted_after_they_are_checked(saved):
    half = jax.tree.map(lambda p: jax.ShapeDtypeStruct(p.shape, jnp.bfloat16), damage.params())
    params = checkpoint.restore_params(saved, half)
    expected = jax.tree.map(lambda p: p.astype(jnp.bfloat16), damage.params(2))
    jax.tree.map(np.testing.assert_array_equal, params, expected)
