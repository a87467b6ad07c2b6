#!/bin/bash
# Runs a Bash program with its own tests.
exec {codex_jax_in}<&0 </dev/null
codex_jax_file=$3
set --
codex_jax_end=0
# shellcheck source=/dev/null
source "$codex_jax_file"
codex_jax_status=$? # of the last test, or of a file that can't be parsed
[[ $codex_jax_status = 0 ]] || exit "$codex_jax_status"
[[ $codex_jax_end = 1 ]] || exit 0
IFS= read -r -u "$codex_jax_in" REPLY
printf '%s\n' "$REPLY" >&3
exit 0
