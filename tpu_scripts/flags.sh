# Sourced by every script here: flags, --help from the script's own header, gcloud shown or run.
# shellcheck shell=bash

die() {
    echo "${0##*/}: $*" >&2
    exit 2
}

# Every script has these; its own, with their defaults, it assigns before read_flags.
name='' zone='' project='' dry_run=''
words=() takes_words=''

# read_flags OWN... -- ARGUMENTS...
# Sets the variables of the flags given, dashes as underscores. From the first word on that is no
# flag, the arguments go to the array `words`.
read_flags() {
    local known=(name zone project)
    while [[ $1 != -- ]]; do
        known+=("$1")
        shift
    done
    shift
    while (($#)) && [[ $1 == -* ]]; do
        case $1 in
            -h | --help)
                sed -n '2,/^$/s/^# \{0,1\}//p' "$0"
                exit 0
                ;;
            --dry-run | --dry_run) dry_run=yes ;;
            *) set_flag "${1#--}" ;;
        esac
        shift
    done
    words=("$@")
    [[ ! ${words[*]} || $takes_words ]] || die "${words[0]}: what is that? see --help"
    require name zone
}

# set_flag NAME=VALUE, of those in read_flags' `known`.
set_flag() {
    local candidate variable=${1%%=*}
    variable=${variable//-/_}
    for candidate in "${known[@]}"; do
        [[ $variable == "$candidate" ]] || continue
        [[ $1 == *=?* ]] || die "--${1%%=*} has no value; write --${1%%=*}=VALUE"
        printf -v "$variable" %s "${1#*=}"
        return
    done
    die "no flag --${1%%=*}; see --help"
}

# require FLAG...: each must have been given.
require() {
    local flag
    for flag in "$@"; do
        [[ ${!flag} ]] || die "--$flag is not set; see --help"
    done
}

# act COMMAND...: runs it, or under --dry-run prints it as it would be typed.
act() {
    [[ $dry_run ]] || {
        "$@"
        return
    }
    local word shown=()
    for word in "$@"; do
        [[ $word =~ ^[A-Za-z0-9_./:=,@+~-]+$ ]] || word=${word@Q}
        shown+=("$word")
    done
    echo "${shown[*]}"
}

# tpus ARGUMENTS...: gcloud compute tpus, in our zone and project.
tpus() {
    act gcloud compute tpus "$@" --zone="$zone" ${project:+--project="$project"}
}

# on_workers COMMAND: a shell command on every worker at once.
on_workers() {
    tpus tpu-vm ssh "$name" --worker=all --command="$1"
}
