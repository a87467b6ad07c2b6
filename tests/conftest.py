"""Shared fixtures; eight CPU devices, and one compilation cache for all processes."""

import importlib.util
import os
import pathlib
import re
import shlex
import tempfile

import hypothesis
import jaxtyping
import pytest

# Before anything imports jax. Subprocesses of tests inherit all of it.
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
_cache = pathlib.Path(tempfile.gettempdir()) / f"codex-jax-tests-{os.getuid()}"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_cache))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "0")

# A busy machine is no fault of the code: no property fails for its time.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

# Every call of these packages in a test's own process checks its annotated types and shapes.
jaxtyping.install_import_hook(
    ["codex_jax.model", "codex_jax.sample", "codex_jax.train"], "beartype.beartype"
)


def pytest_collection_modifyitems(items):
    """Refuses ids with an address: each worker would know the test by another name."""
    addressed = [item.nodeid for item in items if re.search(r" at 0x[0-9a-f]{6,}", item.nodeid)]
    assert not addressed, f"set ids= for {addressed[0]}"


@pytest.fixture
def unchecked_types():
    """Suspends the checks of types, for tests of what the code itself says of wrong values."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def sandbox_name():
    """The sandbox that works here."""
    from codex_jax import InputError
    from codex_jax.evaluate.sandbox import python_sandbox

    try:
        return python_sandbox.choose_backend("auto").backend.name
    except InputError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def _storage_server():
    """A local Cloud Storage; this process's and its subprocesses' gs:// paths lead there."""
    if importlib.util.find_spec("gcsfs") is None:
        pytest.skip("gs:// needs the extra gcs")
    from tests import fake_gcs

    with fake_gcs.serve() as (store, address):
        os.environ |= fake_gcs.environment(address)
        yield store


@pytest.fixture
def bucket(_storage_server, tmp_path_factory, monkeypatch):
    """The store behind gs://bucket, empty."""
    monkeypatch.setenv("CODEX_JAX_CACHE", str(tmp_path_factory.mktemp("cache")))
    _storage_server.clear()
    yield _storage_server
    _storage_server.clear()


@pytest.fixture(scope="session")
def configured():
    """A command line `codex-jax COMMAND …` -> its BoundCommand, all checked, nothing called."""
    from codex_jax.main import cli, commands, gin_files, run, schema

    def bind(line):
        program, *words = shlex.split(line)
        assert program == "codex-jax"
        command, rest = commands.select_command(words)
        request = cli.parse(rest, command.operand)
        files = map(gin_files.find_config, request.files)
        return run.bind(command, schema.describe_command(command), files, request.flags)

    return bind


@pytest.fixture(scope="session")
def commands_in():
    """Text -> every command `codex-jax COMMAND …` on lines of its own, backslashes joined."""

    def commands(text):
        joined = re.sub(r"\\\n#?\s*", "", text)
        return re.findall(r"^[#$ ]*(codex-jax [a-z]+\b[^#\n]*?)\s*(?:#.*)?$", joined, re.MULTILINE)

    return commands
