#!/usr/bin/env bash
# delete.sh --name=N --zone=Z [--project=P] [--every=10] [--timeout=900] [--dry-run]
#
# Deletes the queued resource and all its hosts with all that is on them, in whatever state it is,
# and ends when it is gone. Buckets and what lies in them stay.
#   --every    seconds between tries
#   --timeout  seconds to try at most

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
every=10 timeout=900
read_flags every timeout -- "$@"
require_seconds every
require_number timeout

delete() { tpus queued-resources delete "$name" --force --quiet; }

if [[ $dry_run ]]; then
    delete
    exit
fi

SECONDS=0
while state=$(request_state) && [[ $state != ABSENT ]]; do
    [[ $state == DELETING ]] || delete || say "could not delete $name ($state) yet"
    ((SECONDS < timeout)) || die "$name still exists ($state); run delete.sh again"
    [[ $(request_state) == ABSENT ]] || sleep "$every"
done
[[ ${state:-} == ABSENT ]]
