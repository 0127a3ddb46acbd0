#!/bin/bash
# A sweep under SLURM, on one node or several: its arguments are those of `lip run`.
#
#     sbatch clusters/slurm.sh noise.yaml --store /shared/noise
#     sbatch --nodes=4 --gpus-per-node=4 clusters/slurm.sh noise.yaml --store /shared/noise
#     sbatch --array=0-2 clusters/slurm.sh noise.yaml --store /shared/noise --set 'grid.seed=[%a]'
#
# Some time before the limit the levels in flight end, no others begin, and the job goes back into the
# queue; it ends when the sweep is complete, or when what is left of it has failed. docs/cluster.md leads
# through it.
#
# Costs: the nodes, until the sweep is complete. Needed on each node: the store, and the Python
# environment of lip-ray under the same path; it must be active where sbatch is called.
#
# Edit: the lines below, or give sbatch the same options, which come before them. --signal is how long
# before the limit no level begins: longer than the slowest level, in seconds, at most 65535.
#SBATCH --job-name=lip
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --mem-per-cpu=4G
#SBATCH --time=12:00:00
#SBATCH --signal=B:USR1@1800
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# For GPUs add --gpus-per-node=1, or --gres=gpu:1 where SLURM is older than 19.05.

MOST_RESTARTS=${LIP_MOST_RESTARTS:-100} # a level that is longer than the limit would run for ever
JOIN_S=300                              # how long nodes may take to join
END_S=${LIP_END_S:-60}                  # how long before the limit levels in flight are given up

set -u

# How many GPUs of this node SLURM has given to this job. Where it does not know of them, LIP_GPUS says.
gpus() {
    local listed=${SLURM_STEP_GPUS:-${SLURM_JOB_GPUS:-}} each
    if [[ ${LIP_GPUS:-} ]]; then
        echo "$LIP_GPUS"
    elif [[ ${SLURM_GPUS_ON_NODE:-} =~ ^[0-9]+$ ]]; then
        echo "$SLURM_GPUS_ON_NODE"
    else
        IFS=, read -ra each <<<"$listed"
        echo "${#each[@]}"
    fi
}

# The memory of this node that SLURM has given to this job, as an option of Ray, if it says so: in MiB.
memory() {
    local mib=${SLURM_MEM_PER_NODE:-$((${SLURM_MEM_PER_CPU:-0} * SLURM_CPUS_ON_NODE))}
    ((mib)) && echo "--memory=$((mib << 20))"
}

# The address of a node in the network by which SLURM reaches it.
address() {
    local named
    named=$(scontrol show node "$1" | sed -n 's/.*NodeAddr=\([^ ]*\).*/\1/p')
    getent ahostsv4 "${named:-$1}" | awk '$1 !~ /^127\./ { print $1; exit }'
}

# Ray on this node, with the cores and GPUs that SLURM has given, until it is told to end. Users share
# nodes: its files are in a folder of this job alone, and all its ports are free ones.
ray_here() {
    local gpus ray told=
    gpus=$(gpus)
    ((gpus)) || export CUDA_VISIBLE_DEVICES= # else Ray finds those of other jobs
    ulimit -n "$(ulimit -Hn)"
    trap 'told=yes; kill -TERM "$ray"' TERM
    for _ in 1 2 3; do
        ray start "$@" --block --disable-usage-stats --temp-dir="$TMPDIR/ray" \
            --node-ip-address="$(address "$SLURMD_NODENAME")" \
            --num-cpus="$SLURM_CPUS_ON_NODE" --num-gpus="$gpus" $(memory) \
            --object-store-memory=100000000 --dashboard-agent-listen-port=0 >"$TMPDIR/log" 2>&1 &
        ray=$!
        until_gone "$ray"
        [[ $told ]] && return
        grep -q 'timed out during startup' "$TMPDIR/log" || break # Ray allows 30 s, whatever a node does
    done
    tail -n 20 "$TMPDIR/log" >&2
    return 1
}

# A folder on this node for this job alone, once those of my jobs that were killed are gone.
make_folder() {
    local running old
    if running=$(squeue --noheader --user="$(id -un)" --format=%A); then
        for old in /tmp/lip-job-[0-9]*; do
            [[ -O $old ]] && ! grep -qx "${old##*-}" <<<"$running" && rm -rf "$old"
        done
    fi
    mkdir -p -m 700 "$TMPDIR" && [[ -O $TMPDIR ]]
}

# The same on another node, which has no folder for it yet.
ray_there() {
    make_folder || return
    trap 'rm -rf "$TMPDIR"' EXIT
    ray_here "$@"
}

# Wait for a process, and return its exit status: a signal that is trapped ends a `wait`, not this.
until_gone() {
    while kill -0 "$1" 2>/dev/null; do wait "$1"; done
    wait "$1"
}

# A Ray of all nodes of this job, its head on this one. Prints nothing, and sets `head`.
ray_of_all() {
    local ports node others
    # A token for this job alone: whoever has none is not answered.
    RAY_AUTH_TOKEN=$(od -An -N32 -tx1 /dev/urandom | tr -d ' \n')
    export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
    ports=($(free_ports)) || return
    head=$(address "$SLURMD_NODENAME"):${ports[0]}
    ray_here --head --port="${ports[0]}" --ray-client-server-port="${ports[1]}" \
        --include-dashboard=false &
    own+=($!)
    others=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | grep -vx "$SLURMD_NODENAME")
    wait_for_nodes 1 || return
    for node in $others; do
        srun --quiet --overlap --nodes=1 --ntasks=1 --cpu-bind=none --nodelist="$node" \
            bash -c "set -u; $(declare -f gpus memory address until_gone ray_here make_folder ray_there)
                ray_there --address=$head" &
    done
    wait_for_nodes "$SLURM_JOB_NUM_NODES" || echo "going on with the nodes that have joined" >&2
}

free_ports() {
    python - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(2)]
for one in sockets:
    one.bind(("", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
}

wait_for_nodes() {
    python - "$head" "$1" "$JOIN_S" "${own[0]}" <<'PYTHON'
import logging, os, socket, sys, time
import ray
address, wanted, patience_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
host, port = address.split(":")
until, said = time.monotonic() + patience_s, ""
while True:  # Ray itself would try for minutes and end this process
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
        if not ray.is_initialized():
            ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL)
        joined = sum(node["Alive"] for node in ray.nodes())
    except Exception as error:
        joined, said = 0, error
    if joined >= wanted:
        sys.exit(0)
    if time.monotonic() > until:
        sys.exit(f"{joined} of {wanted} nodes joined in {patience_s:g} s. {said}")
    try:
        os.kill(int(sys.argv[4]), 0)
    except ProcessLookupError:
        sys.exit("Ray's head has ended")
    time.sleep(0.5)
PYTHON
}

# The limit is near: no level begins, and those in flight end, if they do so in time.
end_soon() {
    local limit left
    again=yes
    echo "the limit is near: no level begins" >&2
    [[ $lip ]] || return
    kill -INT "$lip" 2>/dev/null
    limit=$(date -d "$(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%e)" +%s 2>/dev/null) || return
    left=$((limit - $(date +%s) - END_S))
    (sleep "$((left > 0 ? left : 0))" && kill -TERM "$lip") 2>/dev/null &
    own+=($!)
}

# Somebody ends the job. Where SLURM itself wants its nodes for another, it still counts as running.
end_now() {
    [[ $(squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T) == RUNNING ]] && again=yes
    [[ $lip ]] && kill -TERM "$lip" 2>/dev/null
}

# End Ray on all nodes, which takes a few seconds; what has not ended by then is killed with the job.
clean_up() {
    local until=$((SECONDS + 20))
    trap - EXIT
    ((SLURM_JOB_NUM_NODES > 1)) && scancel --quiet --signal=TERM "$SLURM_JOB_ID" # all but this script
    kill -TERM "${own[@]}" 2>/dev/null
    while [[ $(jobs -pr) ]] && ((SECONDS < until)); do sleep 0.2; done
    rm -rf "$TMPDIR"
}

again= lip= head= own=()
export TMPDIR=/tmp/lip-job-$SLURM_JOB_ID RAY_USAGE_STATS_ENABLED=0 # short, as Ray's sockets need
make_folder || exit
trap end_soon USR1
trap end_now TERM
trap clean_up EXIT
(($(gpus))) || export CUDA_VISIBLE_DEVICES=

arguments=("${@//%a/${SLURM_ARRAY_TASK_ID:-}}")
if ((SLURM_JOB_NUM_NODES > 1)); then
    ray_of_all || exit
    arguments+=(--address "$head")
fi
[[ $again ]] && code=130
if [[ ! $again ]]; then
    # By way of Python, since what a script starts in the background ignores SIGINT.
    python -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' lip run "${arguments[@]}" &
    lip=$!
    until_gone "$lip"
    code=$?
fi

# 1, 130 and 143 are those of a run that was ended; with others the same would happen again.
if [[ $again && $code =~ ^(1|130|143)$ ]]; then
    if ((${SLURM_RESTART_COUNT:-0} >= MOST_RESTARTS)); then
        echo "it has been requeued ${SLURM_RESTART_COUNT} times: LIP_MOST_RESTARTS allows no more" >&2
    elif clean_up && scontrol requeue "$SLURM_JOB_ID"; then
        echo "requeued: levels that are stored stay" >&2
        exit 0
    else
        echo "it cannot be requeued here: submit it again to go on" >&2
    fi
fi
exit "$code"
