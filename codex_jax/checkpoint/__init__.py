"""Checkpoints: Orbax, thinly, with a card that says what each one is.

A checkpoint directory holds one folder a step (params, the rest of the state, card), each complete
or absent. `reader` opens them and writes nothing; `writer` belongs to the one process group that
trains, which holds the directory's `lock`. From the card a sampler builds the decoder.
"""

from codex_jax.checkpoint.card import Card as Card
from codex_jax.checkpoint.lock import FolderLock as FolderLock
from codex_jax.checkpoint.low_rank import describe_base as describe_base
from codex_jax.checkpoint.low_rank import hash_params as hash_params
from codex_jax.checkpoint.own_files import OWN_FILES as OWN_FILES
from codex_jax.checkpoint.reader import find_base as find_base
from codex_jax.checkpoint.reader import has_steps as has_steps
from codex_jax.checkpoint.reader import latest_step as latest_step
from codex_jax.checkpoint.reader import read_card as read_card
from codex_jax.checkpoint.reader import restore_base as restore_base
from codex_jax.checkpoint.reader import restore_params as restore_params
from codex_jax.checkpoint.reader import shape_differences as shape_differences
from codex_jax.checkpoint.step_folder import DamagedCheckpointError as DamagedCheckpointError
from codex_jax.checkpoint.writer import Checkpoints as Checkpoints
from codex_jax.checkpoint.writer import Retention as Retention
