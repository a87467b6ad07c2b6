"""Settings of the process that change no number."""

import dataclasses

import jax

from codex_jax import files


@dataclasses.dataclass(frozen=True, kw_only=True)
class Runtime:
    """Compiled programs that a restart finds again, and profiles.

    Args:
      compilation_cache_dir: Folder of compiled programs; empty leaves it to the variable
        JAX_COMPILATION_CACHE_DIR.
      profile_steps: Steps of a profile, which the file PROFILE in checkpoint_dir asks for.
    """

    compilation_cache_dir: str = ""
    profile_steps: int = 5

    def apply(self) -> None:
        """Sets JAX's cache of compiled programs.

        Raises:
          InputError: nothing can be written there.
        """
        if self.compilation_cache_dir:
            files.check_creatable(self.compilation_cache_dir, "compilation_cache_dir")
            jax.config.update("jax_compilation_cache_dir", self.compilation_cache_dir)
