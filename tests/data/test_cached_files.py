"""Files of an earlier Beam run are replaced, and nothing else."""

import pytest

pytest.importorskip("tensorflow")

from codex_jax.data.seqio_tasks.cached_files import remove_files


def test_only_the_source_s_own_files_go(tmp_path):
    names = ["a-00000-of-00016.tfrecord", "a-00002-of-00003.tfrecord.partial"]
    others = ["ab-00000-of-00016.tfrecord", "a-notes.tfrecord", "a-1-of-2.tfrecord"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    assert remove_files(str(tmp_path), "a") == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(others)
