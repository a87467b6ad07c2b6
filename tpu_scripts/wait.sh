#!/usr/bin/env bash
# wait.sh --name=N --zone=Z [--project=P] [--every=30] [--timeout=86400] [--dry-run]
#
# Waits until the queued resource is ACTIVE, printing each change of its state. With --timeout=0 it
# prints the state once. Ends with 1 where the state can't become ACTIVE any more or time is up. An
# error of gcloud's that may pass is said and tried again.
#   --every    seconds between looks
#   --timeout  seconds to wait at most

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
every=30 timeout=86400
read_flags every timeout -- "$@"
require_seconds every
require_number timeout

if [[ $dry_run ]]; then
    tpus queued-resources describe "$name" --format='value(state.state)'
    exit
fi

SECONDS=0 last=''
while true; do
    state=$(request_state)
    [[ $state == "$last" ]] || echo "$name: $state"
    last=$state
    case $state in
        ACTIVE) exit 0 ;;
        ABSENT | FAILED | SUSPENDING | SUSPENDED | DELETING)
            echo "$name will not become ACTIVE; delete.sh it, then create.sh it again" >&2
            exit 1
            ;;
    esac
    ((SECONDS < timeout)) || exit 1
    sleep "$every"
done
