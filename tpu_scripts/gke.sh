#!/usr/bin/env bash
# gke.sh --name=N --image=I --accelerator=tpu-v5-lite-podslice --topology=4x4 [FLAGS]
#        COMMAND [FLAGS OF THE COMMAND...]
#
# Runs a command of codex-jax as a JobSet on a GKE cluster with Kueue (as xpk makes them) until it is
# done: applies the manifest, shows the pods' lines, applies it anew after a crash. Preempted pods (exit
# status 75 or 143, or a disruption) restart within the cluster; a crash ends the JobSet, and one that
# came no further than the one before ends it all. The same command goes on after Ctrl-C.
#   --image        container with this tree at its working folder and the environment of EXTRAS=gcs,tpu
#   --accelerator, --topology  the node pool's labels; --slices=1 --chips-per-host=4
#   --spot=yes     on spot nodes
#   --queue=multislice-queue --priority=medium --namespace=default  where and how it waits
#   --service-account=A  a Kubernetes account, which the bucket's mount needs
#   --bucket=B     mounted at /gcs/B by the Cloud Storage FUSE driver
#   --env=A=1,B=2  variables of the command's environment
#   --into=logs    folder for launch.log; --keep=yes leaves the JobSet; --every=30 seconds between looks
#   --dry-run      prints the manifest and the commands

set -euo pipefail
# shellcheck source=tpu_scripts/lib.sh
source "$(dirname "$0")/lib.sh"
required=(name image accelerator topology) takes_words=yes image='' accelerator='' topology='' slices=1
chips_per_host=4 spot='' queue=multislice-queue priority=medium namespace=default service_account=''
bucket='' env='' into=logs keep='' every=30
read_flags image accelerator topology slices chips_per_host spot queue priority namespace \
    service_account bucket env into keep every -- "$@"
require_switch spot keep
require_number slices chips_per_host
require_seconds every
require_plain image accelerator queue priority namespace service_account
require_bucket bucket
((slices > 0 && chips_per_host > 0)) || die "--slices and --chips-per-host: expected 1 or more"
read_pairs "$env"
[[ $topology =~ ^[0-9]+(x[0-9]+)+$ ]] || die "--topology=$topology: expected a form like 4x4"
((${#words[@]})) || die "no command; see --help"
chips=$((${topology//x/*}))
per_host=$((chips < chips_per_host ? chips : chips_per_host))
selector=--selector=xpk.google.com/workload=$name

cluster() { act kubectl "$@" --namespace="$namespace"; }

# json WORD...: as JSON strings, separated by commas.
json() {
    local word list=''
    for word in "$@"; do
        word=${word//\\/\\\\} word=${word//\"/\\\"}
        word=${word//$'\n'/\\n} word=${word//$'\t'/\\t}
        list+=", \"$word\""
    done
    echo "${list:2}"
}

manifest() {
    local command
    command=$(json bash tpu_scripts/host.sh contain "${pairs[@]}" CODEX_JAX_DISTRIBUTED=1 codex-jax "${words[@]}")
    cat <<MANIFEST
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  labels:
    kueue.x-k8s.io/queue-name: $queue
    xpk.google.com/workload: $name
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 0
    rules:
      - action: FailJobSet
        onJobFailureReasons: [PodFailurePolicy]
      - action: RestartJobSetAndIgnoreMaxRestarts
        onJobFailureReasons: [BackoffLimitExceeded]
  replicatedJobs:
    - name: slice-job
      replicas: $slices
      template:
        spec:
          parallelism: $((chips / per_host))
          completions: $((chips / per_host))
          backoffLimit: 0
          podFailurePolicy:
            rules:
              - action: Count
                onPodConditions: [{type: DisruptionTarget, status: "True"}]
              - action: FailJob
                onExitCodes: {containerName: jax-tpu, operator: NotIn, values: [75, 143]}
          template:
            metadata:
              labels: {xpk.google.com/workload: $name}${bucket:+
              annotations: {gke-gcsfuse/volumes: \"true\"\}}
            spec:
              restartPolicy: Never
              priorityClassName: $priority
              hostNetwork: true
              dnsPolicy: ClusterFirstWithHostNet
              terminationGracePeriodSeconds: 300${service_account:+
              serviceAccountName: $service_account}
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: $accelerator
                cloud.google.com/gke-tpu-topology: $topology${spot:+
                cloud.google.com/gke-spot: \"true\"
              tolerations:
                - {key: cloud.google.com/gke-spot, operator: Equal, value: \"true\", effect: NoSchedule\}}
              containers:
                - name: jax-tpu
                  image: $image
                  command: [$command]
                  ports: [{containerPort: 8471}, {containerPort: 8080}]
                  securityContext: {privileged: true}
                  resources: {limits: {google.com/tpu: $per_host}}${bucket:+
                  volumeMounts: [{name: bucket, mountPath: /gcs/$bucket\}]
              volumes:
                - name: bucket
                  csi:
                    driver: gcsfuse.csi.storage.gke.io
                    volumeAttributes: {bucketName: $bucket, mountOptions: implicit-dirs\}}
MANIFEST
}

# jobset_state: its name and conditions; nothing where there is none.
jobset_state() {
    cluster get jobset "$name" --ignore-not-found \
        --output='jsonpath={.metadata.name} {range .status.conditions[?(@.status=="True")]}{.type} {end}'
}

pods_ended() {
    cluster get pods "$selector" \
        --output='jsonpath={range .items[*]}{.status.containerStatuses[0].state.terminated.exitCode} {.status.containerStatuses[0].state.terminated.message}{"\n"}{end}'
}

delete() { cluster delete jobset "$name" --ignore-not-found --cascade=foreground; }

show_lines() {
    cluster logs "$selector" --prefix --tail=-1 --since-time="$1" --max-log-requests=1000 --ignore-errors
}

end() {
    local status=$1
    shift
    note "$*"
    [[ $keep ]] || delete >&2 || note "not deleted: kubectl delete jobset $name --namespace=$namespace"
    exit "$status"
}

# judge_crash: the JobSet failed, so a pod crashed; how far had they come?
judge_crash() {
    local status step crash='' came=-
    while read -r status step; do
        [[ ! $status || $status =~ ^(0|75|143)$ ]] || crash=$status
        [[ ! $step =~ ^[0-9]+$ ]] || ((step <= ${came/-/0})) || came=$step
    done < <(pods_ended)
    if [[ $crash_step && ($came == - || $crash_step == - || $came -le $crash_step) ]]; then
        end 1 "crashed again, status ${crash:--}, no further than step $crash_step: stopped"
    fi
    crash_step=$came
    note "crashed with status ${crash:--} at step $came; starting again"
    delete >&2 || note "not deleted yet"
}

if [[ $dry_run ]]; then
    manifest
    echo ---
    cluster apply --filename=-
    jobset_state
    show_lines TIME
    pods_ended
    delete
    exit
fi

# stop_if_final: says why kubectl failed; ends where another try doesn't mend it.
stop_if_final() {
    note "kubectl failed: $(tail -n 1 "$errors")"
    ! grep -Eiq "forbidden|unauthorized|no matches for kind|have a resource type|is invalid|NotFound|unknown flag|error parsing|denied" "$errors" ||
        exit 1
}

mkdir -p "$into/$name"
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT
crash_step='' last='' since=$(date -u +%FT%TZ)
while true; do
    if ! state=$(jobset_state 2>"$errors"); then
        stop_if_final
        sleep "$every"
        continue
    fi
    [[ $state == "$last" ]] || note "${state:-ABSENT}"
    last=$state
    if [[ $state != *[a-z]* ]]; then
        manifest | cluster apply --filename=- >&2 2>"$errors" || stop_if_final
    else
        moment=$(date -u +%FT%TZ)
        if show_lines "$since" | tee -a "$into/$name/launch.log"; then since=$moment; fi
        case " $state " in
            *" Completed "*) end 0 "done" ;;
            *" Failed "*) judge_crash ;;
        esac
    fi
    sleep "$every"
done
