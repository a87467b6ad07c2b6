"""The sandboxes that work on this machine; a test that takes `isolation` runs in each of them."""

import pytest

from codex_jax import InputError
from codex_jax.evaluate.sandbox import backends, sandbox


@pytest.fixture(scope="session", params=list(backends.BACKENDS))
def isolation(request) -> str:
    try:
        sandbox.choose(request.param)
    except InputError as error:
        pytest.skip(str(error))
    return request.param
