"""Keys, names and origins that no request can have are refused when the server starts."""

import pytest

from codex_jax import InputError
from codex_jax.sample.serve import access
from codex_jax.sample.serve.serve import _listen, serve


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    monkeypatch.delenv("CODEX_JAX_API_KEYS", raising=False)


def test_keys_come_from_a_file_or_the_environment(tmp_path, monkeypatch):
    assert access.read_keys("") == []
    monkeypatch.setenv("CODEX_JAX_API_KEYS", "sk-a, sk-b,")
    assert access.read_keys("") == ["sk-a", "sk-b"]
    path = tmp_path / "keys"
    path.write_bytes(b"\xef\xbb\xbfsk-c\r\n\n sk-d \n")
    assert access.read_keys(str(path)) == ["sk-c", "sk-d"]


@pytest.mark.parametrize("value", ["schlüssel", "a\udcff", "good,a b", "a\tb"])
def test_keys_that_no_header_holds_are_refused(monkeypatch, value):
    monkeypatch.setattr(access.os, "environ", {"CODEX_JAX_API_KEYS": value})
    with pytest.raises(InputError, match=r"\$CODEX_JAX_API_KEYS: key . has a space or a"):
        access.read_keys("")


@pytest.mark.parametrize("value", [",", " ", " , ,"])
def test_keys_that_are_set_but_empty_let_nobody_in(monkeypatch, tmp_path, value):
    monkeypatch.setenv("CODEX_JAX_API_KEYS", value)
    with pytest.raises(InputError, match=r"\$CODEX_JAX_API_KEYS has no key"):
        access.read_keys("")
    (tmp_path / "keys").write_text(" \n")
    with pytest.raises(InputError, match="has no key"):
        access.read_keys(str(tmp_path / "keys"))


def test_names_are_split_at_commas():
    assert access.model_names("a, b") == ("a", "b")
    for name in ("", "a,,b", "a\udcff", "a\nb"):
        with pytest.raises(InputError, match="model_name is"):
            access.model_names(name)


def test_origins_are_those_that_browsers_send():
    access.check_origins(["*", "null", "https://example.org", "http://localhost:3000"])
    for origin in ("foo", "https://example.org/", "https://", "example.org:80"):
        with pytest.raises(InputError, match="cors_origins names"):
            access.check_origins([origin])


@pytest.mark.parametrize("host", ["", "a\udcff", "a" * 70, "a\0b"])
def test_a_host_that_is_no_address_is_refused(host):
    with pytest.raises(InputError, match="host"):
        _listen(host, 0)


@pytest.mark.parametrize("rows", [0, -1, 65_537])
def test_a_batch_without_rows_is_refused_before_anything_is_read(rows):
    with pytest.raises(InputError, match=f"serve.batch_size is {rows}"):
        serve(checkpoint_dir="none", tokenizer="none", batch_size=rows)
