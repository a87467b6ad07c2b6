#!/usr/bin/env bash
# setup.sh --name=N --zone=Z [--project=P] [--dry-run]
#
# Copies this tree, at its commit, to every host and makes the pinned environment there. What is not
# committed is not copied. Running it again brings another commit; the environment is kept where its
# pins are the same.

set -euo pipefail
# shellcheck source=tpu_scripts/flags.sh
source "$(dirname "$0")/flags.sh"
read_flags -- "$@"

tree=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
commit=$(git -C "$tree" rev-parse --short=12 HEAD)
archive=${TMPDIR:-/tmp}/codex_jax-$commit.tar.gz
git -C "$tree" diff --quiet HEAD || echo "setup.sh: uncommitted changes stay here" >&2

act git -C "$tree" archive --format=tar.gz --output="$archive" "$commit"
tpus tpu-vm scp "$archive" "$name:" --worker=all
on_workers "set -e; mkdir -p codex_jax; tar -xzf ${archive##*/} -C codex_jax; cd codex_jax;\
 echo $commit > COMMIT; { command -v python3.11 && command -v make; } >/dev/null ||\
 { sudo apt-get update -q; sudo apt-get install -qy python3.11 python3.11-venv make; };\
 make install EXTRAS=tpu"
act rm "$archive"
