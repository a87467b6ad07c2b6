import pytest

from codex_jax import InputError
from codex_jax.convert.new_folder import new_folder


def test_a_folder_appears_with_its_content(tmp_path):
    output = tmp_path / "deep" / "out"
    with new_folder(str(output)) as folder:
        (folder / "a").write_text("1")
        assert not output.exists()
    assert (output / "a").read_text() == "1"
    assert [path.name for path in output.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, InputError])
def test_a_failed_block_leaves_nothing(tmp_path, error):
    def fail():
        with new_folder(str(tmp_path / "out")) as folder:
            (folder / "a").write_text("1")
            raise error("broken")

    with pytest.raises(error, match="broken"):
        fail()
    assert not list(tmp_path.iterdir())


def test_an_empty_folder_is_filled_and_what_a_killed_run_left_is_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "old").write_text("1")
    with new_folder(str(tmp_path / "out")) as folder:
        (folder / "new").write_text("2")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["new"]


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "file").write_text("1")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("1")
    for name in ("file", "full"):
        message = f"{name} is there already; set output"
        with pytest.raises(InputError, match=message), new_folder(str(tmp_path / name)):
            pass
    message = "nothing can be created in .*; set output"
    with pytest.raises(InputError, match=message), new_folder(str(tmp_path / "file" / "below")):
        pass
