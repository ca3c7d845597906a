#!/usr/bin/env bash
# Trains in several processes on this machine, and starts all again when one dies.
#
#     experiments/launch/local.sh 2 python -m metaflax train --run-dir runs/two ...
#
# RESTARTS says how often at most (3). A command that was given wrong settings (status 2)
# or was asked to end (130, 143) is not started again.
set -u

num_processes=$1
shift

start() {
    local port id
    port=$(python3 -c 'import socket; s = socket.create_server(("localhost", 0)); print(s.getsockname()[1])')
    processes=()
    for ((id = 0; id < num_processes; id++)); do
        "$@" --coordinator "localhost:$port" --num-processes "$num_processes" --process-id "$id" &
        processes+=($!)
    done
}

# Waits for all; their worst status is that of the whole.
finish() {
    local process status
    worst=0
    for process in "${processes[@]}"; do
        while wait "$process"; status=$?; kill -0 "$process" 2>/dev/null; do :; done
        case $status in
            0) ;;
            2 | 130 | 143) worst=$status ;;
            *) [[ $worst == [0] ]] && worst=$status ;;
        esac
    done
}

trap 'kill -TERM "${processes[@]}" 2>/dev/null' TERM INT

for ((left = ${RESTARTS:-3}; ; left--)); do
    start "$@"
    finish
    case $worst in
        0 | 2 | 130 | 143) exit "$worst" ;;
    esac
    ((left > 0)) || exit "$worst"
    echo "a process ended with status $worst; all start again" >&2
done
