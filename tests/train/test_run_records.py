"""Files that a run appends to: which names are its own, and where they lie."""

import pytest

from codex_jax import InputError, files
from codex_jax.train.run_records import RECORDS, open_records


def test_beside_local_checkpoints_there_is_nothing_to_upload(tmp_path):
    with open_records(tmp_path) as (folder, upload):
        assert folder == tmp_path
        assert upload() is None


def test_a_run_s_own_files_are_known(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n')
    (tmp_path / "events.jsonl").write_text('{"time": 1.0, "event": "start"}\n')
    (tmp_path / "PROFILE").touch()
    (tmp_path / "plugins" / "profile").mkdir(parents=True)
    files.claim_folder(tmp_path, RECORDS, "checkpoint_dir")


@pytest.mark.parametrize("name", ["plugins/notes", "PROFILE/x", "other"])
def test_a_stranger_s_are_refused(tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("a stranger's")
    with pytest.raises(InputError, match=r"which this command didn't write; set checkpoint_dir"):
        files.claim_folder(tmp_path, RECORDS, "checkpoint_dir")


def test_a_stranger_s_events_are_refused(tmp_path):
    (tmp_path / "events.jsonl").write_text('{"date": "today"}\n')
    with pytest.raises(InputError, match=r"events.jsonl"):
        files.claim_folder(tmp_path, RECORDS, "checkpoint_dir")
