"""The sandboxes that work on this machine; a test that takes `isolation` runs in each of them."""

import pytest

from codex_jax import InputError
from codex_jax.evaluate.sandbox import backends, python_sandbox


@pytest.fixture(scope="session", params=list(backends.BACKENDS))
def isolation(request) -> str:
    try:
        python_sandbox.choose_backend(request.param)
    except InputError as error:
        pytest.skip(str(error))
    return request.param
