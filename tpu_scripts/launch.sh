#!/usr/bin/env bash
# launch.sh --name=N --zone=Z --type=v5litepod-16 [FLAGS] COMMAND [FLAGS OF THE COMMAND...]
#
# Runs a command of codex-jax on TPUs until it is done: creates the queued resource, sets its hosts up,
# starts the run, shows its lines, creates the resource anew when it was taken away, starts the run
# again (train goes on from its newest checkpoint), fetches the logs and deletes everything. Each step
# begins with a look at what is there, so this machine may sleep, lose its network or stop this
# script at any time: the same command goes on. Ctrl-C ends only the watching.
#
# A worker's exit status 75 means "preempted, saved, run again". Any other status but 0 and 143 while
# the resource stays ACTIVE is a crash; a crash that came no further than the one before ends it all.
#   --project=P --runtime=R --spot=yes --reserved=yes --slices=1 --network=N --subnetwork=S
#   --service-account=A  as in create.sh
#   --bucket=B   mounted on every host at /gcs/B
#   --env=A=1,B=2  variables of the command's environment
#   --into=logs  folder for launch.log and, at the end, every worker's logs
#   --keep=yes   leaves the hosts there at the end
#   --every=30   seconds between looks
#   --dry-run    prints the commands of a run without mishaps

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
takes_words=yes type='' runtime='' spot='' reserved='' slices='' network='' subnetwork=''
service_account='' bucket='' env='' into=logs keep='' every=30
read_flags type runtime spot reserved slices network subnetwork service_account bucket env into \
    keep every -- "$@"
require type
require_switch spot reserved keep
require_seconds every
require_bucket bucket
read_pairs "$env"
((${#words[@]})) || die "no command; see --help"

where=(--name="$name" --zone="$zone" ${project:+--project="$project"} ${dry_run:+--dry-run})
create_flags=(--type="$type" ${runtime:+--runtime="$runtime"} ${spot:+--spot="$spot"}
    ${reserved:+--reserved="$reserved"} ${slices:+--slices="$slices"} ${network:+--network="$network"}
    ${subnetwork:+--subnetwork="$subnetwork"}
    ${service_account:+--service-account="$service_account"})
commit=$(git -C "$here" rev-parse --short=12 HEAD)
run_id=$(echo "${words[*]@Q} $env" | sha256sum | cut -c 1-8)
attempt='' crash_step='' crash_time=0 failures=0 setups=0 starts=0 mixed=0 unheard=0 last=''

create() { "$here/create.sh" "${where[@]}" "${create_flags[@]}"; }
delete() { "$here/delete.sh" "${where[@]}" --every="$every"; }
setup() { "$here/setup.sh" "${where[@]}" --commit="$commit" ${bucket:+--bucket="$bucket"}; }
start() { "$here/run.sh" "${where[@]}" ${env:+--env="$env"} --attempt="$attempt" "${words[@]}"; }
fetch_logs() { "$here/logs.sh" "${where[@]}" --into="$into"; }

# report: what host.sh says on every worker; new where nothing is set up.
report() { on_workers "if [ -e $host_script ]; then bash $host_script report; else echo \"@ \$(hostname) new - - - -\"; fi"; }

# end STATUS WORDS...: logs off, hosts away.
end() {
    local status=$1
    shift
    note "$*"
    if [[ $(request_state) == ACTIVE ]]; then
        fetch_logs || note "not all logs came; what was shown stands in $into/$name/launch.log"
    fi
    if [[ $keep ]]; then
        note "the hosts stay and cost: delete.sh --name=$name --zone=$zone"
    else
        delete || {
            note "the hosts could not be deleted and cost: delete.sh --name=$name --zone=$zone"
            exit 1
        }
        note "deleted"
    fi
    exit "$status"
}

# try_create: creates, where nothing is there; whether it may be tried again.
try_create() {
    local errors
    errors=$(mktemp)
    if create 2>"$errors" || grep -q ALREADY_EXISTS "$errors"; then
        note "created"
    elif is_final "$errors"; then
        note "cannot be created: $(tail -n 3 "$errors")"
        exit 1
    else
        note "not created yet: $(tail -n 1 "$errors")"
    fi
    rm -f "$errors"
}

# begin WHY: another attempt.
begin() {
    attempt=$run_id-$(date +%s%N)
    note "$1; starting attempt $attempt"
    mixed=0
    if start >&2; then
        starts=0
    else
        starts=$((starts + 1))
        note "not started on every worker yet"
        ((starts < 5)) || end 1 "could not be started in 5 tries"
    fi
}

# judge_crash STATUS STEP: a crash, or what a preemption looks like from inside?
judge_crash() {
    sleep "$every"
    [[ $(request_state) == ACTIVE ]] || return 0
    if [[ $crash_step && ($2 == - || $crash_step == - || $2 -le $crash_step) ]]; then
        end 1 "crashed again, status $1, no further than step $crash_step: stopped"
    fi
    crash_step=$2 crash_time=$SECONDS
    begin "crashed with status $1 at step $2"
}

# look_at_hosts: one look at an ACTIVE resource, and what follows from it.
look_at_hosts() {
    local answer heard=1 label state id status step tree
    local total=0 new=0 running=0 lost=0 done=0 again=0 other=0 crash='' came=-
    answer=$(report) || heard=''
    grep -v '^@ ' <<<"$answer" | grep . | tee -a "$into/$name/launch.log" || true
    while read -r _ label state id status step tree; do
        total=$((total + 1))
        [[ $step == - ]] || ((step <= ${came/-/0})) || came=$step
        [[ $step == - || $came != - ]] || came=$step
        if [[ $state == new || ($tree != "$commit" && $state != running) ]]; then
            new=$((new + 1))
        elif [[ $id != "$run_id"-* ]]; then
            [[ $state != running ]] || end_busy "$label" "$id"
            other=$((other + 1))
        elif [[ $attempt && $id != "$attempt" && $state != running ]]; then
            other=$((other + 1))
        else
            [[ $attempt ]] || attempt=$id # of a launch.sh before this one
            case $state-$status in
                running-*) running=$((running + 1)) ;;
                ended-0) done=$((done + 1)) ;;
                ended-75 | ended-143) again=$((again + 1)) ;;
                ended-*) crash=$status ;;
                *) lost=$((lost + 1)) ;;
            esac
        fi
    done < <(grep '^@ ' <<<"$answer" || true)
    if [[ ! $heard ]]; then
        unheard=$((unheard + 1))
        note "$total workers answered, others did not (look $unheard)"
        ((total || unheard < 20)) || end_unheard
        ((unheard < 10 || total == 0)) || replace "a worker has not answered for 10 looks"
        return 0
    fi
    unheard=0
    if ((new)); then
        set_up
    elif ((running && other)); then
        start >&2 || true # the same attempt, on those that missed it
    elif ((running == total)); then
        mixed=0
    elif ((running)); then
        mixed=$((mixed + 1))
        ((mixed < 3)) || "$here/stop.sh" "${where[@]}" >&2 || true # they wait for one that is gone
    elif ((done == total)); then
        end 0 "done, step $came"
    elif ((other)); then
        begin "set up"
    elif ((lost)); then
        judge_crash lost "$came"
    elif [[ $crash ]]; then
        judge_crash "$crash" "$came"
    else
        begin "preempted at step $came, saved"
    fi
}

# end_unheard: it is this machine that doesn't reach them, so a run may be under way there.
end_unheard() {
    note "ACTIVE, but no worker answers ssh: look at ssh-add -l, the firewall and the network, and" \
        "run this command again; the hosts stay and cost: delete.sh --name=$name --zone=$zone"
    exit 1
}

end_busy() {
    note "$1 runs something else ($2): attach.sh or stop.sh it, or set another --name"
    exit 1
}

set_up() {
    setups=$((setups + 1))
    ((setups <= 3)) || end 1 "the hosts could not be set up in 3 tries"
    note "setting up"
    if setup >&2; then setups=0; else note "not set up"; fi
}

# replace WHY: deletes the request; the next look finds nothing and creates it anew.
replace() {
    note "$1; deleting, to create it anew"
    unheard=0
    delete || note "not deleted yet"
}

if [[ $dry_run ]]; then
    attempt=ATTEMPT
    create
    "$here/wait.sh" "${where[@]}"
    setup
    start
    report
    fetch_logs
    delete
    exit
fi

"$here/create.sh" "${where[@]}" "${create_flags[@]}" --dry-run >/dev/null # its flags' errors
mkdir -p "$into/$name"
while true; do
    state=$(request_state)
    [[ $state == "$last" ]] || note "$state"
    last=$state
    case $state in
        ABSENT) try_create ;;
        SUSPENDED)
            ((SECONDS - crash_time > 300)) || crash_step='' # that was the first sign of this
            replace "was taken away"
            ;;
        FAILED)
            failures=$((failures + 1))
            ((failures < 3)) || end 1 "FAILED $failures times without ever being ACTIVE"
            replace "failed"
            ;;
        ACTIVE)
            failures=0
            look_at_hosts
            ;;
    esac
    sleep "$every"
done
