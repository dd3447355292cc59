# Parts that quickstart, bench and Tests/run share: packages, the build, three nodes on loopback. Sourced, never run.
# shellcheck shell=bash

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
declare -A node_pid=() node_endpoint=()
work=
holdfast=

say() { printf '%s  %s\n' "$(date +%H:%M:%S)" "$*" >&2; }

fail() {
    printf '%s  FAILED: %s\n' "$(date +%H:%M:%S)" "$*" >&2
    exit 1
}

# Seconds since the epoch with a fraction, and the difference of two of them.
now() { date +%s.%N; }
elapsed() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.1f s", b - a }'; }

# need_packages NAME…: installs the Debian packages that are missing, and says which.
need_packages() {
    local package missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    local root=()
    if ((EUID != 0)); then
        command -v sudo >/dev/null || fail "missing: ${missing[*]}; install them as root (apt-get install ${missing[*]})"
        root=(sudo)
    fi
    "${root[@]}" apt-get update -qq >&2
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# The libraries that the package links, and python3 for the scripts themselves.
need_build_packages() {
    command -v swift >/dev/null ||
        fail "no swift in PATH; install Swift 6.3 (https://www.swift.org/install/linux)"
    need_packages librocksdb-dev libzstd-dev libssl-dev pkg-config zlib1g-dev
    command -v python3 >/dev/null || need_packages python3
}

# Builds the program in release mode and sets $holdfast.
build_release() {
    local begin
    begin=$(now)
    say "building holdfast in release mode (some minutes the first time)"
    (cd "$repository" && swift build -c release --product holdfast >&2)
    holdfast=$(cd "$repository" && swift build -c release --show-bin-path)/holdfast
    [[ -x $holdfast ]] || fail "the build made no $holdfast"
    say "built in $(elapsed "$begin" "$(now)")"
}

# Makes $work below directory $1 and registers the clean-up.
open_work() {
    work=$(mktemp -d "$1/holdfast-XXXXXX")
    trap close_work EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
}

# Ends the processes that this script started, and only those; keeps the directory of a run that failed.
close_work() {
    local status=$? id
    trap - EXIT INT TERM
    for id in "${!node_pid[@]}"; do kill -TERM "${node_pid[$id]}" 2>/dev/null || true; done
    for id in "${!node_pid[@]}"; do end_within 10 "${node_pid[$id]}" || kill -KILL "${node_pid[$id]}" 2>/dev/null || true; done
    [[ -z ${client_pid:-} ]] || kill -TERM "$client_pid" 2>/dev/null || true
    if ((status == 0)); then
        rm -rf "$work"
    else
        for id in "${!node_endpoint[@]}"; do
            [[ -s $work/n$id.log ]] || continue
            printf -- '--- the last words of node %s (%s)\n' "$id" "$work/n$id.log" >&2
            tail -n 15 "$work/n$id.log" >&2
        done
        say "the directories and logs of this run are kept in $work"
    fi
    exit "$status"
}

# end_within SECONDS PID: true once the process is gone.
end_within() {
    local deadline=$((SECONDS + $1))
    while kill -0 "$2" 2>/dev/null; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
    wait "$2" 2>/dev/null || true
}

# free_ports N: N ports that nobody has, chosen by the system.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PYTHON
}

# Formats three nodes below $work; the first members must know each other's ports.
format_nodes() {
    local ports members="" id bootstrap first=""
    read -r -a ports <<<"$(free_ports 3)"
    for id in 1 2 3; do
        node_endpoint[$id]="127.0.0.1:${ports[$((id - 1))]}"
        members+="${members:+,}$id=${node_endpoint[$id]}"
    done
    for id in 1 2 3; do
        bootstrap=$("$holdfast" node format --data "$work/n$id" --id "$id" --cluster "$1" --members "$members")
        [[ -z $first || $bootstrap == "$first" ]] || fail "nodes 1 and $id disagree on the bootstrap ID"
        first=$bootstrap
    done
    all_endpoints=(--endpoint "${node_endpoint[1]}" --endpoint "${node_endpoint[2]}" --endpoint "${node_endpoint[3]}")
}

# launch_node ID: starts it and does not wait.
launch_node() {
    : >"$work/n$1.out"
    "$holdfast" serve --data "$work/n$1" >>"$work/n$1.out" 2>>"$work/n$1.log" &
    node_pid[$1]=$!
}

# await_node ID: returns when it says that it serves. Its port may be taken for a moment after a crash: then once more.
await_node() {
    local id=$1 attempt deadline
    for attempt in 1 2 3 4 5; do
        deadline=$((SECONDS + 60))
        while kill -0 "${node_pid[$id]}" 2>/dev/null; do
            grep -q "^ready node=$id " "$work/n$id.out" && return 0
            ((SECONDS < deadline)) || fail "node $id did not get ready within 60 s"
            sleep 0.02
        done
        say "node $id ended at its start (attempt $attempt): $(tail -n 1 "$work/n$id.log")"
        ((attempt < 5)) || break
        sleep 1
        launch_node "$id"
    done
    unset "node_pid[$id]"
    fail "node $id does not start"
}

start_nodes() {
    local id
    for id in 1 2 3; do launch_node "$id"; done
    for id in 1 2 3; do await_node "$id"; done
    "$holdfast" cluster status --wait ready --timeout 60 "${all_endpoints[@]}" >&2 || fail "the cluster did not get ready"
}

# kill_node ID: kill -9, as a power cut would end it.
kill_node() {
    local pid=${node_pid[$1]}
    unset "node_pid[$1]"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true
}

# Ends every node with SIGTERM; each must end with status 0 within 10 s.
stop_nodes() {
    local id pid status
    for id in "${!node_pid[@]}"; do kill -TERM "${node_pid[$id]}"; done
    for id in "${!node_pid[@]}"; do
        pid=${node_pid[$id]}
        local deadline=$((SECONDS + 10))
        while kill -0 "$pid" 2>/dev/null; do
            ((SECONDS <= deadline)) || fail "node $id did not end within 10 s of SIGTERM"
            sleep 0.05
        done
        status=0
        wait "$pid" || status=$?
        unset "node_pid[$id]"
        ((status == 0)) || fail "node $id ended with status $status after SIGTERM"
    done
}

# json FIELD: the field of the JSON document on standard input.
json() { python3 -c 'import json,sys; value=json.load(sys.stdin)[sys.argv[1]]; print("" if value is None else value)' "$1"; }

# The ID of the node that leads now; empty without one.
leader() { "$holdfast" cluster status --json --timeout 5 "$@" 2>/dev/null </dev/null | json leader 2>/dev/null || true; }
