#!/usr/bin/env bash
# scripts/bench.sh: compares this stack with the kernel's and with smoltcp, in network namespaces of its own.
#
#     scripts/bench.sh                    all contenders, 5 rounds, about 12 minutes
#     scripts/bench.sh --quick            2 short rounds, to see that everything works
#     scripts/bench.sh --only offload,kernel-veth --rounds 10
#
# The contenders, each of which serves echo, discard and characters on one thread:
#   offload            glasstcp serve --device offload, on a TUN
#   plain              glasstcp serve --device plain, on a TUN
#   kernel-veth        the kernel's TCP over a veth pair between two namespaces: what the others are compared with
#   kernel-lo          the kernel's TCP over loopback
#   smoltcp            examples/smoltcp_server.rs on a TUN, MTU 1500
#   smoltcp-65535      the same with MTU 65535
#
# The client is always the kernel's TCP with CUBIC. Before anything is measured, every kind of transfer is verified byte by
# byte, also with 1 % loss by a rule of nftables. docs/performance.md says what the figures mean. It needs root.
#
# It prints one table, and writes it to target/bench/table.md and target/bench/result.json.
#
# Options:
#   --rounds N         how often each contender is measured, in shuffled order (5)
#   --seconds S        how long each single measurement takes (3)
#   --quick            2 rounds, 1 second, 1000 idle connections; given values stay
#   --only NAMES       these contenders, separated by commas
#   --idle N           connections held open to see what one costs (10000; 0: none)
#   --serve OPTIONS    more options for glasstcp serve, in one word: --serve '--busy-poll 50'
#   --cpus C,S         CPU of the client and of the server (0 and the next one that is no hyperthread of it)
#   --no-verify        measure only; the table says so
#   --verify-only      verify only
#   --write-docs       put the table and the facts of this machine into docs/performance.md
#   --no-install       name what is missing, install nothing
#   -h, --help         this text
#
# Environment:
#   GLASSTCP_BIN       serve by this binary instead of the one that is built; the client is always the built one
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"
# shellcheck source=scripts/bench-table.sh
source "$ROOT/scripts/bench-table.sh"

# A shell without job control starts `bench.sh &` deaf to SIGINT, and bash cannot undo that for itself: begin again.
deaf=$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$$/status")
if ((16#${deaf: -4} & 2)) && env --default-signal=INT true 2>/dev/null; then
    exec env --default-signal=INT "$BASH" "${BASH_SOURCE[0]}" "$@"
fi

CONTENDERS=(offload plain kernel-veth kernel-lo smoltcp smoltcp-65535)
ROUNDS= SECONDS_EACH= IDLE= ONLY= SERVE= CPUS=
VERIFY=1 MEASURE=1 WRITE_DOCS=0 INSTALL=1
START_SECONDS=20      # how long a server may take until it serves
SPARE_SECONDS=30      # how long a client may take beyond its measuring time
LOSSY_SECONDS=90      # how long a verified transfer may take
VERIFY_BYTES=50000000 # octets of a verified transfer
LOSSY_BYTES=4000000   # the same with loss
QUEUE=10000           # packets in the queue of a TUN: it drops silently when that is full

CLIENT_NS=glt-bench-$$-c SERVER_NS=glt-bench-$$-s
WORK=     # directory of this run
SERVER=   # process of the server
CLIENT=   # process of the client
ADDRESS=  # where the server is

read_arguments() {
    local quick=0
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) print_help && exit 0 ;;
            --rounds | --rounds=*) take_value ROUNDS "$@" && shift "$TAKEN" ;;
            --seconds | --seconds=*) take_value SECONDS_EACH "$@" && shift "$TAKEN" ;;
            --idle | --idle=*) take_value IDLE "$@" && shift "$TAKEN" ;;
            --only | --only=*)
                take_value ONLY "$@" && shift "$TAKEN"
                [[ $ONLY ]] || usage_error "--only: there are ${CONTENDERS[*]}"
                ;;
            --serve | --serve=*) take_value SERVE "$@" && shift "$TAKEN" ;;
            --cpus | --cpus=*) take_value CPUS "$@" && shift "$TAKEN" ;;
            --quick) quick=1 && shift ;;
            --no-verify) VERIFY=0 && shift ;;
            --verify-only) MEASURE=0 && shift ;;
            --write-docs) WRITE_DOCS=1 && shift ;;
            --no-install) INSTALL=0 && shift ;;
            *) usage_error "unknown argument $1" ;;
        esac
    done
    if [[ $quick -eq 1 ]]; then
        ROUNDS=${ROUNDS:-2} SECONDS_EACH=${SECONDS_EACH:-1} IDLE=${IDLE:-1000}
    fi
    ROUNDS=${ROUNDS:-5} SECONDS_EACH=${SECONDS_EACH:-3} IDLE=${IDLE:-10000}
    [[ $ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--rounds $ROUNDS: a number from 1 to 999"
    [[ $SECONDS_EACH =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--seconds $SECONDS_EACH: a number from 1 to 999"
    [[ $IDLE =~ ^(0|[1-9][0-9]{0,4})$ && $IDLE -le 60000 ]] || usage_error "--idle $IDLE: a number from 0 to 60000"
    [[ -z $CPUS || $CPUS =~ ^[0-9]+,[0-9]+$ ]] || usage_error "--cpus $CPUS: two numbers, such as 0,1"
    [[ $VERIFY -eq 1 || $MEASURE -eq 1 ]] || usage_error "--no-verify and --verify-only leave nothing to do"
    choose_contenders
}

choose_contenders() {
    [[ $ONLY ]] || return 0
    local name chosen=()
    IFS=, read -ra chosen <<<"$ONLY"
    for name in "${chosen[@]}"; do
        [[ " ${CONTENDERS[*]} " == *" $name "* ]] || usage_error "--only $name: there are ${CONTENDERS[*]}"
    done
    CONTENDERS=("${chosen[@]}")
}

# The client's CPU, and for the server one that does not share a core with it.
choose_cpus() {
    local cpu siblings
    if [[ $CPUS ]]; then
        CLIENT_CPU=${CPUS%,*} SERVER_CPU=${CPUS#*,}
    else
        CLIENT_CPU=0 SERVER_CPU=
        siblings=$(cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list 2>/dev/null || printf 0)
        for ((cpu = 1; cpu < $(nproc --all); cpu++)); do
            [[ ",${siblings//-/,}," == *",$cpu,"* ]] && continue
            SERVER_CPU=$cpu && break
        done
        [[ $SERVER_CPU ]] || SERVER_CPU=$(($(nproc --all) > 1 ? 1 : 0))
    fi
    taskset -c "$CLIENT_CPU,$SERVER_CPU" true 2>/dev/null || die "CPU $CLIENT_CPU or $SERVER_CPU cannot be used here"
}

build() {
    [[ $(id -u) -eq 0 ]] || die "network namespaces need root: sudo scripts/bench.sh"
    MESSAGES=2
    find_user
    require_tools cargo cc ip nft taskset awk shuf || exit 1
    local command=(cargo build --release --locked --features cli --bin glasstcp --example smoltcp_server)
    say "+ $(quoted "${command[@]}")"
    (cd "$ROOT" && as_user "${command[@]}")
    TARGET=${CARGO_TARGET_DIR:-$ROOT/target}
    CLIENT_BIN=$TARGET/release/glasstcp
    SMOLTCP_BIN=$TARGET/release/examples/smoltcp_server
    SERVER_BIN=${GLASSTCP_BIN:-$CLIENT_BIN}
    RESULTS=$TARGET/bench
    as_user mkdir -p "$RESULTS"
}

# Leaves out what the server's binary cannot do yet.
skip_unknown() {
    HAS_DEVICE=0
    ! "$SERVER_BIN" serve --help 2>/dev/null | grep -q -e '--device' || HAS_DEVICE=1
    local name kept=()
    for name in "${CONTENDERS[@]}"; do
        if [[ $name == offload && $HAS_DEVICE -eq 0 ]]; then
            note "$name is skipped: this glasstcp has no --device offload yet"
        else
            kept+=("$name")
        fi
    done
    CONTENDERS=("${kept[@]}")
    [[ ${#CONTENDERS[@]} -gt 0 ]] || die "no contender is left"
}

# ---- namespaces and servers -----------------------------------------------------------------------------------------

in_client() { ip netns exec "$CLIENT_NS" "$@"; }

make_namespace() {
    ip netns add "$1"
    ip -n "$1" link set dev lo up
    # One port per connection and minute would soon be all of them: ports in TIME-WAIT are used again after a second.
    ip netns exec "$1" sh -c 'echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range
        echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse'
}

# Makes the network of a contender and starts its server, pinned, with no standard input. Fails with a reason in REASON.
start() {
    local name=$1 mtu=1500 netns=$CLIENT_NS command
    ADDRESS=10.0.0.2
    make_namespace "$CLIENT_NS"
    case $name in
        kernel-lo) ADDRESS=127.0.0.1 ;;
        kernel-veth)
            netns=$SERVER_NS
            make_namespace "$SERVER_NS"
            ip -n "$CLIENT_NS" link add veth0 mtu "$mtu" type veth peer name veth0 mtu "$mtu" netns "$SERVER_NS"
            ip -n "$CLIENT_NS" addr add 10.0.0.1/24 dev veth0
            ip -n "$SERVER_NS" addr add 10.0.0.2/24 dev veth0
            ip -n "$CLIENT_NS" link set dev veth0 up
            ip -n "$SERVER_NS" link set dev veth0 up
            ;;
        *)
            [[ $name != *-65535 ]] || mtu=65535
            ip -n "$CLIENT_NS" tuntap add dev glass0 mode tun
            ip -n "$CLIENT_NS" addr add 10.0.0.1/24 dev glass0
            ip -n "$CLIENT_NS" link set dev glass0 txqueuelen "$QUEUE" mtu "$mtu" up
            ;;
    esac
    case $name in
        kernel-*) command=("$CLIENT_BIN" bench server --kernel "$ADDRESS") ;;
        smoltcp*) command=("$SMOLTCP_BIN" glass0 10.0.0.2/24) ;;
        *)
            command=("$SERVER_BIN" serve --tun glass0 --addr 10.0.0.2/24 --ready-fd 1)
            [[ $HAS_DEVICE -eq 0 ]] || command+=(--device "$name")
            # shellcheck disable=SC2206 # options are words
            command+=($SERVE)
            ;;
    esac
    ip netns exec "$netns" taskset -c "$SERVER_CPU" "${command[@]}" </dev/null >"$WORK/server" 2>&1 &
    SERVER=$!
    await "$WORK/server" '^ready$|the kernel serves' "$SERVER" "$START_SECONDS" && return 0
    REASON="the server does not start: $(tail -n 1 "$WORK/server")"
    return 1
}

# Waits until a file has a line; fails when the process ends or takes too long.
await() {
    local file=$1 pattern=$2 process=$3 until=$((SECONDS + $4))
    while ! grep -qE "$pattern" "$file"; do
        [[ -d /proc/$process && $SECONDS -lt $until ]] || return 1
        sleep 0.02
    done
}

# Ends what runs and removes the namespaces, however far things have come.
stop() {
    local netns process
    for process in $CLIENT $SERVER; do kill "$process" 2>/dev/null || true; done
    if [[ $SERVER ]]; then
        for ((i = 0; i < 200; i++)); do
            [[ -d /proc/$SERVER ]] || break
            [[ $i -ne 150 ]] || kill -KILL "$SERVER" 2>/dev/null || true
            sleep 0.02
        done
    fi
    for process in $CLIENT $SERVER; do wait "$process" 2>/dev/null || true; done
    CLIENT= SERVER=
    for netns in "$CLIENT_NS" "$SERVER_NS"; do
        ! netns_exists "$netns" || ip netns del "$netns" || warn "the namespace $netns is not removed"
    done
}

finish() {
    local code=$?
    trap '' INT TERM HUP
    stop
    [[ -z $WORK ]] || rm -rf "$WORK"
    exit "$code"
}

# Runs the client for at most $1 seconds on CPU $2; its JSON is then in $WORK/client. Fails with a reason in REASON. It
# runs in the background, as a signal to this script is heard only then.
client() {
    local limit=$1 cpu=$2 code=0
    shift 2
    timeout -k 3 "$limit" ip netns exec "$CLIENT_NS" taskset -c "$cpu" \
        "$CLIENT_BIN" bench client --kernel --quiet --json "$@" "$ADDRESS" </dev/null >"$WORK/client" 2>"$WORK/error" &
    CLIENT=$!
    wait "$CLIENT" || code=$?
    CLIENT=
    [[ $code -ne 0 ]] || return 0
    REASON=$(tail -n 1 "$WORK/error")
    [[ $code -ne 124 && $code -ne 137 ]] || REASON="no end within $limit s"
    [[ -d /proc/$SERVER ]] || REASON+="; the server has ended: $(tail -n 1 "$WORK/server")"
    REASON=${REASON:-exit code $code}
    return 1
}

# A number of the client's result.
field() { sed -n "s/.*\"$1\": \([0-9.]*\).*/\1/p" "$WORK/client"; }

# ---- verification ---------------------------------------------------------------------------------------------------

verify() {
    local name=$1 loss bytes=$VERIFY_BYTES seconds=1 before test tests
    before=$(wc -l <"$WORK/failures")
    for loss in "" " with 1 % loss"; do
        if ! start "$name"; then
            failure "$name" "verification$loss" "$REASON" && stop && return 0
        fi
        if [[ $loss ]]; then
            # A lost SYN alone takes a second.
            bytes=$LOSSY_BYTES seconds=4
            in_client nft "add table inet lossy
                add chain inet lossy in { type filter hook input priority 0; }
                add chain inet lossy out { type filter hook output priority 0; }
                add rule inet lossy in numgen random mod 100 < 1 counter drop
                add rule inet lossy out numgen random mod 100 < 1 counter drop"
        fi
        tests=("--in --bytes $bytes" "--out --verify --bytes $bytes" "--echo --verify --bytes $bytes"
            "--rr 1 --time $seconds" "--rr 1024 --time $seconds" "--crr --time $seconds" "--idle 8 --verify --time 0.1")
        for test in "${tests[@]}"; do
            # shellcheck disable=SC2086 # options are words
            client "$LOSSY_SECONDS" "$CLIENT_CPU" $test || failure "$name" "verification$loss, $test" "$REASON"
        done
        if [[ $loss ]] && ! in_client nft list table inet lossy | grep -q 'packets [1-9]'; then
            failure "$name" "verification$loss" "nothing was lost"
        fi
        stop
    done
    [[ $(wc -l <"$WORK/failures") -gt $before ]] || say "verified: $name"
}

# ---- measuring ------------------------------------------------------------------------------------------------------

# User and system time of the server, in ticks. The name in brackets may hold blanks.
server_ticks() { sed 's/.*) //' "/proc/$SERVER/stat" | awk '{ print $12 + $13 }'; }
# Time of all CPUs in which they were not idle, in ticks.
system_ticks() { awk '/^cpu / { print $2 + $3 + $4 + $7 + $8 + $9 }' /proc/stat; }
server_memory() { awk '/^VmRSS:/ { print $2 * 1024 }' "/proc/$SERVER/status"; }
kernel_memory() { awk '/^Slab:/ { print $2 * 1024 }' /proc/meminfo; }

# A value of a contender: $1 name, $2 metric, $3 value.
value() { printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>"$WORK/values"; }

throughput() {
    local name=$1 way=$2 server system
    server=$(server_ticks) system=$(system_ticks)
    if ! client $((SECONDS_EACH + SPARE_SECONDS)) "$CLIENT_CPU" "--$way" --time "$SECONDS_EACH"; then
        failure "$name" "$way" "$REASON" && return 0
    fi
    server=$(($(server_ticks) - server)) system=$(($(system_ticks) - system))
    value "$name" "$way" "$(awk "BEGIN { print $(field bits_per_second) / 1e9 }")"
    local gib="($(field bytes_with_warm_up) / 1073741824)" tick
    tick=$(getconf CLK_TCK)
    value "$name" "${way}_server" "$(awk "BEGIN { print $server / $tick / $gib }")"
    value "$name" "${way}_system" "$(awk "BEGIN { print $system / $tick / $gib }")"
}

round_trips() {
    local name=$1 size=$2 cpus=$3 percent
    if ! client $((SECONDS_EACH + SPARE_SECONDS)) "$CLIENT_CPU" --rr "$size" --time "$SECONDS_EACH"; then
        failure "$name" "rr $size on $cpus CPU" "$REASON" && return 0
    fi
    for percent in p50 p99; do
        value "$name" "rr${size}_${cpus}_$percent" "$(awk "BEGIN { print $(field "${percent}_ns") / 1000 }")"
    done
}

measure() {
    local name=$1 size
    if ! start "$name"; then
        failure "$name" start "$REASON" && stop && return 0
    fi
    throughput "$name" in
    throughput "$name" out
    for size in 1 1024; do round_trips "$name" "$size" 2; done
    if client $((SECONDS_EACH + SPARE_SECONDS)) "$CLIENT_CPU" --crr --time "$SECONDS_EACH"; then
        value "$name" crr "$(field per_second)"
    else
        failure "$name" crr "$REASON"
    fi
    if taskset -a -p -c "$CLIENT_CPU" "$SERVER" >/dev/null 2>&1; then
        for size in 1 1024; do round_trips "$name" "$size" 1; done
    else
        failure "$name" "rr on one CPU" "the server cannot be moved to CPU $CLIENT_CPU"
    fi
    stop
}

# What a connection costs that does nothing: the server's memory, and where the server is the kernel, its slabs. Those hold
# both ends of each connection, which are much alike, so half of it is one end.
idle() {
    local name=$1 server kernel
    if [[ $name == smoltcp* ]]; then
        note "$name: no figure for idle connections, as smoltcp's buffers are all made at the start"
        return 0
    fi
    if ! start "$name"; then
        failure "$name" idle "$REASON" && stop && return 0
    fi
    # One connection first, so that what is made once is not counted.
    client "$SPARE_SECONDS" "$CLIENT_CPU" --idle 1 --verify --time 0.1 || true
    server=$(server_memory) kernel=$(kernel_memory)
    timeout -k 3 120 ip netns exec "$CLIENT_NS" "$CLIENT_BIN" bench client --kernel --quiet --idle "$IDLE" --time 3 \
        --verify "$ADDRESS" </dev/null >"$WORK/client" 2>"$WORK/error" &
    CLIENT=$!
    if await "$WORK/error" 'connections are open$' "$CLIENT" 60; then
        # The last ones are accepted a little later than they are open.
        sleep 1
        server=$(($(server_memory) - server)) kernel=$(($(kernel_memory) - kernel))
        [[ $name == kernel-* ]] || kernel=0
        wait "$CLIENT" && CLIENT= && value "$name" idle $(((server + kernel / 2) / IDLE)) ||
            failure "$name" idle "$(tail -n 1 "$WORK/error")"
    else
        failure "$name" idle "not open in time: $(tail -n 1 "$WORK/error")"
    fi
    stop
}

main() {
    read_arguments "$@"
    build
    choose_cpus
    WORK=$(mktemp -d)
    touch "$WORK/values" "$WORK/failures" "$WORK/notes"
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    ulimit -n "$(ulimit -H -n)" 2>/dev/null || true
    skip_unknown
    facts >"$WORK/facts"
    local name round
    if [[ $VERIFY -eq 1 ]]; then
        for name in "${CONTENDERS[@]}"; do verify "$name"; done
        if [[ -s $WORK/failures ]]; then
            note "NOT VALID: the verification failed, see below"
        fi
    else
        note "not verified (--no-verify)"
    fi
    if [[ $MEASURE -eq 1 ]]; then
        for ((round = 1; round <= ROUNDS; round++)); do
            for name in $(shuf -e "${CONTENDERS[@]}"); do
                say "round $round of $ROUNDS: $name"
                measure "$name"
            done
        done
        if [[ $IDLE -gt 0 ]]; then
            for name in "${CONTENDERS[@]}"; do say "idle connections: $name" && idle "$name"; done
        fi
        report
    elif [[ -s $WORK/failures ]]; then
        show_failures >&2
    fi
    [[ ! -s $WORK/failures ]] || exit 1
}

main "$@"
