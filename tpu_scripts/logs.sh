#!/usr/bin/env bash
# logs.sh --name=N --zone=Z [--project=P] [--into=logs] [--dry-run]
#
# Fetches every worker's logs into INTO/NAME/NODE/worker-0, worker-1, …; a NODE is a slice. A worker
# that gives none is named, the others' are fetched all the same, and the status is 1.

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
into=logs
read_flags into -- "$@"

list_nodes() { tpus queued-resources describe "$name" --format='value(tpu.nodeSpec[].nodeId)'; }
count_workers() { tpus tpu-vm describe "$1" --format='value(networkEndpoints.len())'; }

if [[ $dry_run ]]; then # the numbers aren't known: the first stands for all
    list_nodes
    count_workers "$name"
    nodes=("$name") workers=1
else
    IFS=';' read -ra nodes <<<"$(list_nodes)"
    ((${#nodes[@]})) || die "$name has no hosts: nothing to fetch"
fi
missing=()
for index in "${!nodes[@]}"; do
    [[ $dry_run ]] || workers=$(count_workers "${nodes[index]}") || workers=0
    ((workers)) || missing+=("${nodes[index]}")
    for ((worker = 0; worker < workers; worker++)); do
        folder=$into/$name/${nodes[index]}/worker-$worker
        act mkdir -p "$folder"
        tpus queued-resources scp --recurse "$name:codex_jax_run" "$folder" --node="$index" \
            --worker="$worker" || missing+=("${nodes[index]}/worker-$worker")
    done
done
((!${#missing[@]})) || {
    say "no logs came from ${missing[*]}"
    exit 1
}
