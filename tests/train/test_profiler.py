"""A profile on demand: the file PROFILE asks for one, of so many steps."""

import jax
import jax.numpy as jnp

from codex_jax.train import profiler as profilers
from codex_jax.train.profiler import Profiler


def test_a_request_is_answered_once(tmp_path, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda folder: calls.append(str(folder)))
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    monkeypatch.setattr(profilers, "_SECONDS_BETWEEN_LOOKS", 0.0)
    profiler = Profiler(tmp_path, steps=2)
    profiler.look(0, ())
    (tmp_path / "PROFILE").touch()
    for step in range(1, 6):
        profiler.look(step, jnp.zeros(1))
        assert calls == ([str(tmp_path)] if step < 3 else [str(tmp_path), "stop"])
    assert not (tmp_path / "PROFILE").exists()
    assert "tensorboard --logdir" in capsys.readouterr().err


def test_an_end_of_the_run_ends_the_trace(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(jax.profiler, "start_trace", lambda _: None)
    monkeypatch.setattr(jax.profiler, "stop_trace", lambda: calls.append("stop"))
    profiler = Profiler(tmp_path, steps=100)
    (tmp_path / "PROFILE").touch()
    profiler.look(3, ())
    profiler.close()
    profiler.close()
    assert calls == ["stop"]


def test_a_folder_of_that_name_is_no_request(tmp_path):
    (tmp_path / "PROFILE").mkdir()
    Profiler(tmp_path, steps=1).look(0, ())
    assert (tmp_path / "PROFILE").is_dir()


def test_looks_are_rare(tmp_path, monkeypatch):
    monkeypatch.setattr(profilers, "_SECONDS_BETWEEN_LOOKS", 1e6)
    profiler = Profiler(tmp_path, steps=1)
    profiler.look(0, ())
    (tmp_path / "PROFILE").touch()
    profiler.look(1, ())
    assert (tmp_path / "PROFILE").exists()
