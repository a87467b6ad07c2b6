#!/usr/bin/env bash
# list.sh --zone=Z [--project=P] [--price=USD] [--dry-run]
#
# Shows the zone's requests, and its slices with their age in chip-hours since they were created,
# which is what is billed.
#   --price  US dollars for a chip-hour in your zone and contract; adds a column. None is built in:
#            prices differ by zone, tier and month (cloud.google.com/tpu/pricing)

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
price='' required=(zone)
read_flags price -- "$@"
[[ ! $price || $price =~ ^[0-9]*\.?[0-9]+$ ]] || die "--price=$price: expected a number"

tpus queued-resources list --filter=state.state:* \
    --format='table(name.basename():label=REQUEST,state.state,tpu.nodeSpec[0].node.acceleratorType:label=TYPE,tpu.nodeSpec.len():label=SLICES,createTime:label=CREATED)'
list_slices() {
    tpus tpu-vm list --format='csv[no-heading](name.basename(),acceleratorType.basename(),state,createTime)'
}
if [[ $dry_run ]]; then
    list_slices
    exit
fi
slices=$(list_slices)
echo
printf '%-24s %-14s %-10s %6s %10s %s\n' SLICE TYPE STATE CHIPS CHIP-HOURS ${price:+USD}
while IFS=, read -r node type state created; do
    [[ $node ]] || continue
    chips=${type##*-}
    case $type in v2-* | v3-* | v4-* | v5p-*) chips=$((chips / 2)) ;; esac # those count cores
    seconds=$(($(date +%s) - $(date -d "$created" +%s)))
    awk -v c="$chips" -v s="$seconds" -v p="$price" -v l="$(
        printf '%-24s %-14s %-10s %6s' "$node" "$type" "$state" "$chips"
    )" 'BEGIN { h = c * s / 3600; printf "%s %10.1f%s\n", l, h, (p == "" ? "" : sprintf(" %.2f", h * p)) }'
done <<<"$slices"
