#!/usr/bin/env bash
# run.sh --name=N --zone=Z [--project=P] [--env=A=1,B=2] [--attempt=ID] [--dry-run]
#        COMMAND [FLAGS OF THE COMMAND...]
#
# Starts a command of codex-jax on every worker, in the tree that setup.sh copied, and comes back: it
# goes on without this machine. A second one is refused while one is under way. attach.sh follows
# it, stop.sh ends it, logs.sh fetches what it printed.
#   --env      variables of the command's environment
#   --attempt  an id: starting the same attempt again changes nothing
#
#   run.sh --name=pod --zone=us-central2-b train gin_configs/model/85m.gin gin_configs/train/codex.gin

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
takes_words=yes env='' attempt=''
read_flags env attempt -- "$@"
require_plain attempt
((${#words[@]})) || die "no command; see --help"
[[ $attempt ]] || attempt=${dry_run:+ATTEMPT}
[[ $attempt ]] || attempt=$(date +%s%N)

# gcloud tries an ssh that broke off again: the attempt's id keeps that from being a second run.
read_pairs "$env"
pairs+=(CODEX_JAX_DISTRIBUTED=1)
on_workers "bash $host_script start $(quoted "$attempt" "${pairs[@]}" .venv/bin/codex-jax "${words[@]}")"
