#!/bin/sh
# Makes a Redis Cluster of empty nodes, half of them masters and half of them replicas:
#
#     init-cluster.sh 172.30.0.11:6379 172.30.0.12:6379 …
#
# Does nothing if they are a cluster already. Ends with an error if they do not become one.
set -eu

seconds=60

fail() {
    echo "init-cluster: $*" >&2
    exit 1
}

# ask ADDRESS WORD...: the answer of one node, or nothing.
ask() {
    address=$1
    shift
    redis-cli -h "${address%:*}" -p "${address##*:}" "$@" 2>/dev/null | tr -d '\r' || true
}

# wait_for WHAT COMMAND...: repeats the command until it succeeds.
wait_for() {
    what=$1
    shift
    deadline=$(($(date +%s) + seconds))
    until "$@"; do
        [ "$(date +%s)" -lt "$deadline" ] || fail "waited $seconds s for $what"
        sleep 0.2
    done
}

answers() {
    [ "$(ask "$1" PING)" = PONG ]
}

knows_others() {
    ! ask "$1" CLUSTER INFO | grep -qx 'cluster_known_nodes:1'
}

# Whether a node sees all others and all slots, and a replica has the data of its master.
is_ready() {
    info=$(ask "$1" CLUSTER INFO)
    echo "$info" | grep -qx 'cluster_state:ok' || return 1
    echo "$info" | grep -qx 'cluster_slots_ok:16384' || return 1
    echo "$info" | grep -qx "cluster_known_nodes:$count" || return 1
    ! ask "$1" INFO replication | grep -qx 'master_link_status:down'
}

count=$#
[ "$count" -ge 6 ] || fail "needs the addresses of at least 6 nodes, as host:port, and got $count"
for address; do
    case $address in
    *?:*[0-9]) ;;
    *) fail "\`$address\` is not host:port" ;;
    esac
done

for address; do
    wait_for "$address to answer" answers "$address"
done

if knows_others "$1"; then
    echo "init-cluster: the nodes are a cluster already"
else
    redis-cli --cluster create "$@" --cluster-replicas 1 --cluster-yes ||
        fail "cannot make a cluster of $*: to begin again, remove the data of all nodes"
fi
for address; do
    wait_for "$address to see the whole cluster" is_ready "$address"
done
echo "init-cluster: $count nodes are ready"
