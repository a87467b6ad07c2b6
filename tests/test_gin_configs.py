"""Every gin file is the record of a command that works; every size has the count of its name."""

import pathlib
import re

import pytest

from codex_jax import model
from codex_jax.model import DecoderConfig

ROOT = pathlib.Path(__file__).parents[1]
FILES = sorted((ROOT / "gin_configs").rglob("*.gin"))
SIZES = sorted((ROOT / "gin_configs" / "model").glob("*.gin"))


def relative(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_the_header_s_command_is_accepted(path, configured, commands_in):
    found = commands_in(path.read_text())
    for command in found:
        assert configured(command).root.arguments
    if found:
        assert relative(path) in found[0]
    else:  # no run of its own: then another file or command takes it
        takers = [other.read_text() for other in FILES if other != path]
        assert path in SIZES or any(f'include "{path.name}"' in text for text in takers)


@pytest.mark.parametrize("path", SIZES, ids=relative)
def test_sizes_are_what_their_names_say(path, configured):
    command = f"codex-jax train {relative(path)} gin_configs/train/codex.gin --vocab_size=50281"
    arguments = configured(f"{command} --cache_dir=rows --checkpoint_dir=here").root.arguments
    config = arguments["model"].make({})
    assert isinstance(config, DecoderConfig)
    number, unit, fraction = re.fullmatch(r"(\d+)([mb])(\d*)", path.stem).groups()
    wanted = float(f"{number}.{fraction or 0}") * {"m": 1e6, "b": 1e9}[unit]
    assert config.non_embedding_params == pytest.approx(wanted, rel=0.05)
    shapes, axes = model.abstract(config)  # built without memory
    assert shapes and axes
