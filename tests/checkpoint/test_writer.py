"""Saving and continuing: retention, damaged checkpoints set aside, parameters alone."""

import errno
import shutil
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from codex_jax import InputError, checkpoint
from codex_jax.checkpoint import Checkpoints, Retention, card_file
from tests.checkpoint import damage


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    damage.save(folder, 1, 2).close()
    return folder


def abstract(tree):
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def restore(checkpoints):
    return checkpoints.restore(abstract(damage.params()), abstract(damage.rest(0)))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("way", damage.WAYS, ids=lambda way: way.__name__)
def test_a_damaged_newest_is_named_and_set_aside_and_the_one_before_is_used(
    saved, tmp_path, capsys, way
):
    folder = shutil.copytree(saved, tmp_path / "run")
    way(folder / "2")
    content = sorted(str(p.relative_to(folder / "2")) for p in (folder / "2").rglob("*"))
    checkpoints = Checkpoints(folder)
    params, rest, step = restore(checkpoints)
    assert step == checkpoints.latest == 1
    np.testing.assert_array_equal(params["table"], damage.params(1)["table"])
    assert rest["momentum"].tolist() == damage.rest(1)["momentum"].tolist()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"damaged: step 2 ({damage.WAYS[way]}" in line
    assert line.endswith("set aside in damaged/")
    aside = folder / "damaged" / "2"
    assert sorted(str(p.relative_to(aside)) for p in aside.rglob("*")) == content
    checkpoints.save(2, damage.params(2), damage.rest(2), damage.CARD)
    checkpoints.finish()
    assert restore(checkpoints)[2] == 2
    checkpoints.close()


def test_the_best_of_a_run_that_did_not_keep_it_then(tmp_path):
    losses = {2: 3.0, 4: 1.0, 6: 2.0, 8: 5.0}
    for step, loss in losses.items():
        keep = (
            Retention(keep_latest=1, keep_every=2)
            if step < 8
            else Retention(keep_latest=1, keep_best=1)
        )
        with Checkpoints(tmp_path, keep) as checkpoints:
            arrays = damage.params(step), damage.rest(step)
            checkpoints.save(step, *arrays, damage.CARD, validation_loss=loss)
    assert [n for n in names(tmp_path) if n.isdecimal()] == ["4", "8"]


def test_a_save_without_a_validation_loss_says_nothing(tmp_path, capfd):
    with Checkpoints(tmp_path, Retention(keep_latest=1)) as checkpoints:
        checkpoints.save(1, damage.params(1), damage.rest(1), damage.CARD)
    assert "tracked_metric" not in capfd.readouterr().err


def test_a_newest_without_its_optimizer_is_set_aside(saved, tmp_path, capsys):
    folder = shutil.copytree(saved, tmp_path / "run")
    damage.remove_optimizer(folder / "2")
    with Checkpoints(folder) as checkpoints:
        assert restore(checkpoints)[2] == checkpoints.latest == 1
        assert "damaged: step 2 (rest is missing); set aside" in capsys.readouterr().err
        checkpoints.save(2, damage.params(2), damage.rest(2), damage.CARD)
    damage.remove_optimizer(folder / "1")  # as Retention.keep_optimizer does
    with Checkpoints(folder) as checkpoints:
        assert checkpoints.steps == [2]
    assert (folder / "1").exists()


@pytest.mark.parametrize("way", [damage.truncate, damage.empty_folder, damage.break_card])
def test_where_each_is_damaged_nothing_is_moved_and_each_is_named(saved, tmp_path, way):
    folder = shutil.copytree(saved, tmp_path / "run")
    for step in ("1", "2"):
        way(folder / step)
    with pytest.raises(InputError, match=r"step 1 \(.*step 2 \(|step 2 \(.*step 1 \(") as caught:
        restore(Checkpoints(folder))
    assert "no other is here to continue from" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (folder / "damaged").exists()


def test_a_second_damaged_one_of_the_same_step_has_a_name_of_its_own(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    for _ in range(2):
        damage.truncate(folder / "2")
        checkpoints = Checkpoints(folder)
        restore(checkpoints)
        checkpoints.save(2, damage.params(2), damage.rest(2), damage.CARD)
        checkpoints.finish()
        checkpoints.close()
    assert names(folder / "damaged") == ["2", "2-2"]


def test_other_shapes_than_the_runs_are_damage(saved, tmp_path, capsys):
    folder = shutil.copytree(saved, tmp_path / "run")
    other = damage.params() | {"table": jnp.zeros((64, 301))}
    another = Checkpoints(tmp_path / "another")
    another.save(2, other, damage.rest(2), damage.CARD)
    another.finish()
    another.close()
    shutil.rmtree(folder / "2" / "params")
    shutil.copytree(tmp_path / "another" / "2" / "params", folder / "2" / "params")
    assert restore(Checkpoints(folder))[2] == 1
    assert "table: saved [64, 301], expected [64, 300]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("retention", "expected"),
    [
        (None, [1, 2, 3, 4, 5, 6]),
        (Retention(keep_latest=1), [6]),
        (Retention(keep_latest=2), [5, 6]),
        (Retention(keep_latest=1, keep_every=2), [2, 4, 6]),
        (Retention(keep_latest=1, keep_best=2), [3, 4, 6]),
        (Retention(keep_latest=2, keep_every=4, keep_best=1), [3, 4, 5, 6]),
    ],
)
def test_retention(tmp_path, retention, expected):
    losses = {1: 9.0, 2: 5.0, 3: 1.0, 4: 2.0, 5: None, 6: 7.0}
    with Checkpoints(tmp_path, retention=retention) as checkpoints:
        for step, loss in losses.items():
            tree = {"table": jnp.zeros(3)}
            checkpoints.save(step, tree, damage.rest(step), damage.CARD, validation_loss=loss)
    assert sorted(int(name) for name in names(tmp_path)) == expected


def test_older_ones_keep_their_parameters_alone(tmp_path):
    retention = Retention(keep_latest=2, keep_every=1, keep_optimizer=False)
    damage.save(tmp_path, 1, 2, 3, 4, retention=retention).close()
    has_rest = {n: (tmp_path / str(n) / "rest").exists() for n in (1, 2, 3, 4)}
    assert has_rest == {1: False, 2: False, 3: True, 4: True}
    assert checkpoint.read_card(tmp_path, step=1).step == 1
    params = checkpoint.restore_params(tmp_path, abstract(damage.params()), step=1)
    np.testing.assert_array_equal(params["table"], damage.params(1)["table"])
    for step in (3, 4):
        damage.truncate(tmp_path / str(step))
    with pytest.raises(InputError, match="no other is here to continue from"):
        restore(Checkpoints(tmp_path))


def test_a_process_killed_while_it_strips_leaves_parameters(tmp_path):
    damage.save(tmp_path, 1, 2).close()
    (tmp_path / "1" / "rest" / "_METADATA").unlink()
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.steps == [2]
    assert not (tmp_path / "damaged").exists()
    assert checkpoint.read_card(tmp_path, step=1).step == 1


def test_an_error_in_the_block_does_not_lose_the_save_under_way(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    parts = damage.params(), damage.rest(1), damage.CARD

    def fail_after_a_save():
        with checkpoints:
            checkpoints.save(1, *parts)
            raise KeyError

    with pytest.raises(KeyError):
        fail_after_a_save()
    assert restore(Checkpoints(tmp_path))[2] == 1


@pytest.mark.parametrize(
    ("error", "reports"),
    [(OSError(errno.ENOSPC, "No space left on device"), 1), (RuntimeError("a peer is lost"), 0)],
)
def test_a_full_disk_is_reported_before_the_next_save(tmp_path, monkeypatch, error, reports):
    def fail(_):
        raise error

    monkeypatch.setattr(card_file, "read_checksums", fail)
    failures = []
    checkpoints = Checkpoints(tmp_path, on_failure=failures.append)
    checkpoints.save(1, damage.params(), damage.rest(1), damage.CARD)
    for follower in [each for each in threading.enumerate() if each.name == "save"]:
        follower.join(60)
    assert len(failures) == reports
    assert all(": the disk is full" in str(failure) for failure in failures)
    with pytest.raises(InputError if reports else RuntimeError):
        checkpoints.finish()
    checkpoints.close()
    assert "1" not in names(tmp_path)


def test_what_a_killed_process_began_is_removed(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    shutil.copytree(folder / "2", folder / "3.orbax-checkpoint-tmp")
    checkpoints = damage.save(folder, 4)
    checkpoints.close()
    assert names(folder) == ["1", "2", "4"]
