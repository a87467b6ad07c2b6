#!/usr/bin/env bash
# create.sh --name=N --zone=Z --type=v5litepod-16 [--project=P] [--runtime=R] [--spot=yes]
#           [--reserved=yes] [--slices=1] [--network=N] [--subnetwork=S] [--service-account=A]
#           [--dry-run]
#
# Queues a request for TPU slices. It costs nothing until it is ACTIVE: see wait.sh.
#   --type     accelerator type of a slice: v4-…, v5litepod-…, v5p-…, v6e-…
#   --runtime  image of the hosts; by default the type's own
#   --spot, --reserved  yes or no; with neither, capacity on demand. Spot is cheaper, and is
#              taken away without notice
#   --slices   several slices are joined over the data center's network (Multislice)

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
type='' runtime='' spot='' reserved='' slices=1 network='' subnetwork='' service_account=''
read_flags type runtime spot reserved slices network subnetwork service_account -- "$@"
require type
require_switch spot reserved
require_number slices
require_plain type runtime network subnetwork service_account
[[ ! $spot || ! $reserved ]] || die "--spot and --reserved exclude each other; set one"
((slices > 0)) || die "--slices=$slices: expected 1 or more"

if [[ ! $runtime ]]; then
    case $type in
        v4-*) runtime=tpu-ubuntu2204-base ;;
        v5litepod-*) runtime=v2-alpha-tpuv5-lite ;;
        v5p-*) runtime=v2-alpha-tpuv5 ;;
        v6e-*) runtime=v2-alpha-tpuv6e ;;
        *) die "--type=$type: no runtime known for it; set --runtime" ;;
    esac
fi
nodes=(--node-id="$name")
((slices == 1)) || nodes=(--node-count="$slices" --node-prefix="$name")

tpus queued-resources create "$name" "${nodes[@]}" --accelerator-type="$type" \
    --runtime-version="$runtime" --labels=codex-jax-run="$name" ${spot:+--spot} \
    ${reserved:+--reserved} ${network:+--network="$network"} \
    ${subnetwork:+--subnetwork="$subnetwork"} ${service_account:+--service-account="$service_account"}
