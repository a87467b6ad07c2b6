#!/usr/bin/env bash
# setup.sh --name=N --zone=Z [--project=P] [--bucket=B] [--commit=HEAD] [--dry-run]
#
# Copies this tree, at its commit, to every host and makes the pinned environment there (host.sh,
# install). Files that are not committed stay here; they are named. Running it again brings another
# commit in place of the old one; the environment is kept where its pins are the same.
#   --bucket  a Cloud Storage bucket to mount on every host, at /gcs/BUCKET
#   --commit  the commit to copy

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
bucket='' commit=HEAD
read_flags bucket commit -- "$@"
require_bucket bucket

tree=$(git -C "$here" rev-parse --show-toplevel)
hash=$(git -C "$tree" rev-parse --verify --quiet --short=12 "$commit^{commit}") ||
    die "--commit=$commit: no such commit in $tree"
commit=$hash
archive=${TMPDIR:-/tmp}/codex_jax-$commit.tar.gz
left=$(git -C "$tree" status --porcelain --untracked-files=all)
[[ ! $left ]] || say "$(wc -l <<<"$left") files that are not committed stay here: $(
    cut -c4- <<<"$left" | head -n 10 | paste -sd' '
)"

[[ $dry_run ]] || trap 'rm -f "$archive"' EXIT
act git -C "$tree" archive --format=tar.gz --output="$archive" "$commit"
tpus queued-resources scp "$archive" "$name:" --node=all --worker=all
on_workers "set -e; rm -rf codex_jax.new; mkdir codex_jax.new;\
 tar -xzf ${archive##*/} -C codex_jax.new; rm ${archive##*/};\
 bash codex_jax.new/tpu_scripts/host.sh install $commit $bucket"
[[ ! $dry_run ]] || act rm -f "$archive"
