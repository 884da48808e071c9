#!/usr/bin/env bash
# scripts/recovery.sh: this stack and the Linux kernel's as senders over the same bad path; and beside smoltcp.
#
#     scripts/recovery.sh                 everything, about 85 minutes; what was measured before is not measured again
#     scripts/recovery.sh --quick         2 cells, 1 repeat of 3 seconds, to see that everything works
#     scripts/recovery.sh --only 'rtt20-loss1-*' --controllers cubic
#     scripts/recovery.sh --fresh ours    measure this stack again, after a change
#
# The path is `glasstcp relay` between two network namespaces: 100 Mb/s, a queue of one bandwidth-delay product, no offload,
# so that a loss is one segment. The receiver is the kernel's TCP in both cases; only the sender differs: `glasstcp serve` on
# a plain TUN behind the path's left end, or the kernel's own at that end. Both stand in the same namespace and their packets
# take the same way. The relay counts in the same way for both which segments were sent again, and which of those for
# nothing: an earlier copy had come through.
#
# Cells: round trip 1, 20 and 100 ms, each with 0, 0.1, 1 and 5 % loss and with 0 and 2 % of the packets overtaken by others,
# and an outage of 200 ms after 3 s. Each is measured with every controller that both stacks have, 3 times, with the same
# seeds for both. Then two flows share the path for a minute: two of ours, and one of ours with one of the kernel's. It
# needs root.
#
# Results are kept one by one in target/recovery/results; the tables are in target/recovery/table.md.
#
# Options:
#   --only PATTERN        only cells whose names match, as in rtt1-loss0.1-reorder2, rtt20-outage, fair-ours-kernel
#   --controllers NAMES   of cubic, reno, bbr, separated by commas (all)
#   --repeats N           how often each cell is measured (3)
#   --seconds S           how long (8)
#   --quick               2 cells, 1 repeat of 3 seconds, results in target/recovery/quick
#   --fresh WHAT          throw away results first: ours, kernel or all
#   --list                print the names of the cells
#   --dry-run             print what would be measured
#   --no-smoltcp          leave out the simulator
#   --write-docs          put the tables into docs/recovery.md
#   --no-install          name what is missing, install nothing
#   -h, --help            this text
#
# Environment:
#   GLASSTCP_BIN          the program to measure, instead of the one that is built
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"
# shellcheck source=scripts/recovery-table.sh
source "$ROOT/scripts/recovery-table.sh"

# A shell without job control starts `recovery.sh &` deaf to SIGINT, and bash cannot undo that for itself: begin again.
deaf=$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$$/status")
if ((16#${deaf: -4} & 2)) && env --default-signal=INT true 2>/dev/null; then
    exec env --default-signal=INT "$BASH" "${BASH_SOURCE[0]}" "$@"
fi

ONLY='*' CONTROLLERS=cubic,reno,bbr REPEATS= SECONDS_EACH= QUICK=0 FRESH= LIST=0 SMOLTCP=1 WRITE_DOCS=0 INSTALL=1
RATE=100mbit
FAIR_SECONDS=60   # how long flows share the path
START_SECONDS=10  # how long something may take until it is ready
SPARE_SECONDS=20  # how long a client may take beyond its time
QUEUE=10000       # packets in the queue of a TUN: the queue of the path is to overflow, not this one

RELAY_NS=glt-rec-$$-r SERVER_NS=glt-rec-$$-s CLIENT_NS=glt-rec-$$-c
WORK=       # directory of this run
PROCESSES=() # what runs in the background
RELAY=

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) print_help && exit 0 ;;
            --only | --only=*) take_value ONLY "$@" && shift "$TAKEN" ;;
            --controllers | --controllers=*) take_value CONTROLLERS "$@" && shift "$TAKEN" ;;
            --repeats | --repeats=*) take_value REPEATS "$@" && shift "$TAKEN" ;;
            --seconds | --seconds=*) take_value SECONDS_EACH "$@" && shift "$TAKEN" ;;
            --fresh | --fresh=*) take_value FRESH "$@" && shift "$TAKEN" ;;
            --quick) QUICK=1 && shift ;;
            --list) LIST=1 && shift ;;
            --dry-run) DRY_RUN=1 && shift ;;
            --no-smoltcp) SMOLTCP=0 && shift ;;
            --write-docs) WRITE_DOCS=1 && shift ;;
            --no-install) INSTALL=0 && shift ;;
            *) usage_error "unknown argument $1" ;;
        esac
    done
    if [[ $QUICK -eq 1 ]]; then
        REPEATS=${REPEATS:-1} SECONDS_EACH=${SECONDS_EACH:-3} FAIR_SECONDS=5
        [[ $ONLY != '*' ]] || ONLY='rtt20-loss[01]-reorder0'
    fi
    REPEATS=${REPEATS:-3} SECONDS_EACH=${SECONDS_EACH:-8}
    [[ $REPEATS =~ ^[1-9][0-9]?$ ]] || usage_error "--repeats $REPEATS: a number from 1 to 99"
    [[ $SECONDS_EACH =~ ^[1-9][0-9]{0,2}$ ]] || usage_error "--seconds $SECONDS_EACH: a number from 1 to 999"
    [[ $FRESH =~ ^(|ours|kernel|all)$ ]] || usage_error "--fresh $FRESH: ours, kernel or all"
    local name
    for name in ${CONTROLLERS//,/ }; do
        [[ $name =~ ^(cubic|reno|bbr)$ ]] || usage_error "--controllers $name: there are cubic, reno and bbr"
    done
    [[ $CONTROLLERS ]] || usage_error "--controllers: there are cubic, reno and bbr"
}

# The cells: name and options of the relay.
cells() {
    local rtt loss reorder
    for rtt in 1 20 100; do
        for loss in 0 0.1 1 5; do
            for reorder in 0 2; do
                printf 'rtt%s-loss%s-reorder%s --delay %s --loss %s%% --reorder %s%%\n' \
                    "$rtt" "$loss" "$reorder" "$(one_way "$rtt")" "$loss" "$reorder"
            done
        done
        printf 'rtt%s-outage --delay %s --outage 3s+200ms\n' "$rtt" "$(one_way "$rtt")"
    done
    printf 'fair-ours-ours --delay 10ms\nfair-ours-kernel --delay 10ms\nfair-kernel-kernel --delay 10ms\n'
}

one_way() { printf '%sus' "$(($1 * 500))"; }

# Cells that are wanted.
chosen() {
    local name options
    while read -r name options; do
        # shellcheck disable=SC2053 # it is a pattern
        [[ $name == $ONLY ]] && printf '%s %s\n' "$name" "$options"
    done < <(cells)
    return 0
}

# ---- what each stack can do -----------------------------------------------------------------------------------------

can_kernel() { [[ " $(</proc/sys/net/ipv4/tcp_available_congestion_control) " == *" $1 "* ]]; }
# A glasstcp without the option has Reno alone.
can_ours() {
    local code=0
    if ! grep -q -e '--congestion' "$WORK/serve-help"; then
        [[ $1 == reno ]]
        return
    fi
    # A name that it does not know is wrong usage; a descriptor that is not open is not.
    "$BIN" serve --congestion "$1" --tun-fd 1000000 </dev/null >/dev/null 2>&1 || code=$?
    [[ $code -eq 1 ]]
}

choose_controllers() {
    "$BIN" serve --help >"$WORK/serve-help" 2>/dev/null || true
    local name kept=()
    for name in ${CONTROLLERS//,/ }; do
        # The module of a controller is loaded when somebody asks for it, by name.
        can_kernel "$name" || modprobe "tcp_$name" 2>/dev/null || true
        if ! can_kernel "$name"; then
            note "$name is left out: this kernel has $(</proc/sys/net/ipv4/tcp_available_congestion_control)"
        elif ! can_ours "$name"; then
            note "$name is left out: this glasstcp does not have it"
        else
            kept+=("$name")
        fi
    done
    CHOSEN_CONTROLLERS=("${kept[@]}")
    [[ ${#CHOSEN_CONTROLLERS[@]} -gt 0 ]] || die "no controller is left"
}

# ---- the network ----------------------------------------------------------------------------------------------------

in_server() { ip netns exec "$SERVER_NS" "$@"; }

# Starts something in the background, with its output in $WORK/$1, and waits for a line of it.
start() {
    local name=$1 pattern=$2 until=$((SECONDS + START_SECONDS))
    shift 2
    # What the one before has said is not an answer of this one, which may be late to begin.
    : >"$WORK/$name"
    : >"$WORK/$name.error"
    "$@" </dev/null >"$WORK/$name" 2>"$WORK/$name.error" &
    PROCESSES+=($!)
    while ! grep -qE "$pattern" "$WORK/$name" "$WORK/$name.error"; do
        [[ -d /proc/${PROCESSES[-1]} && $SECONDS -lt $until ]] || {
            REASON="$name does not start: $(tail -n 1 "$WORK/$name.error")"
            return 1
        }
        sleep 0.02
    done
}

# Namespaces, the relay between them with these options, and the way for as many stacks of ours as $1 says.
make_path() {
    local ours=$1 number
    shift
    for netns in "$RELAY_NS" "$SERVER_NS" "$CLIENT_NS"; do
        ip netns add "$netns"
        ip -n "$netns" link set dev lo up
    done
    start relay '^relaying' ip netns exec "$RELAY_NS" "$BIN" relay --json --left path0 --right path1 --rate "$RATE" "$@" ||
        return 1
    RELAY=${PROCESSES[-1]}
    # A TUN stays connected to who opened it when it moves.
    ip -n "$RELAY_NS" link set dev path0 netns "$SERVER_NS"
    ip -n "$RELAY_NS" link set dev path1 netns "$CLIENT_NS"
    ip -n "$SERVER_NS" addr add 10.9.0.1/24 dev path0
    ip -n "$CLIENT_NS" addr add 10.9.0.2/24 dev path1
    ip -n "$SERVER_NS" link set dev path0 txqueuelen "$QUEUE" up
    ip -n "$CLIENT_NS" link set dev path1 txqueuelen "$QUEUE" up
    # Stacks of ours stand behind the left end.
    in_server sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    for ((number = 0; number < ours; number++)); do
        ip -n "$SERVER_NS" tuntap add dev "glass$number" mode tun
        ip -n "$SERVER_NS" addr add "10.0.$number.1/24" dev "glass$number"
        ip -n "$SERVER_NS" link set dev "glass$number" txqueuelen "$QUEUE" up
    done
    ip -n "$CLIENT_NS" route add 10.0.0.0/16 dev path1
}

# A server over our stack (number $1) or the kernel's, with controller $2; sets ADDRESS.
serve_ours() {
    local options=()
    ! grep -q -e '--congestion' "$WORK/serve-help" || options=(--congestion "$2")
    ADDRESS=10.0.$1.2
    start "serve$1" '^ready$' ip netns exec "$SERVER_NS" "$BIN" serve --device plain --tun "glass$1" --addr "$ADDRESS/24" --http 0 \
        --ready-fd 1 "${options[@]}"
}

serve_kernel() {
    local base=$((20000 + 100 * $1))
    ADDRESS=10.9.0.1:$base
    start "kernel$1" 'the kernel serves' ip netns exec "$SERVER_NS" "$BIN" bench server --kernel --congestion "$2" "$ADDRESS"
}

# Ends what runs and removes the namespaces, however far things have come. The relay says what it has counted.
stop() {
    local process netns i
    for process in "${PROCESSES[@]}"; do kill -INT "$process" 2>/dev/null || true; done
    for process in "${PROCESSES[@]}"; do
        for ((i = 0; i < 250; i++)); do
            [[ -d /proc/$process ]] || break
            [[ $i -ne 200 ]] || kill -KILL "$process" 2>/dev/null || true
            # serve gives its connections time to finish; the peer is gone, so a second signal ends it.
            [[ $i -ne 10 ]] || kill -INT "$process" 2>/dev/null || true
            sleep 0.02
        done
        wait "$process" 2>/dev/null || true
    done
    PROCESSES=() RELAY=
    for netns in "$RELAY_NS" "$SERVER_NS" "$CLIENT_NS"; do
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

# Ends the relay alone, so that it writes down what it has counted.
end_relay() {
    local i
    kill -INT "$RELAY" 2>/dev/null || true
    for ((i = 0; i < 200; i++)); do
        [[ -d /proc/$RELAY ]] || return 0
        sleep 0.02
    done
}

# ---- measuring ------------------------------------------------------------------------------------------------------

# Begins to receive from address $2 for $3 seconds; the result is then in $WORK/$1.
begin_client() {
    local name=$1 address=$2 seconds=$3
    timeout -k 3 $((seconds + SPARE_SECONDS)) ip netns exec "$CLIENT_NS" "$BIN" bench client --kernel --congestion default \
        --quiet --json --out --warm-up 0 --time "$seconds" "$address" </dev/null >"$WORK/$name" 2>"$WORK/$name.error" &
    PROCESSES+=($!)
}

# Octets per second of a client's result, in bits; fails with a reason in REASON.
goodput() {
    local rate
    rate=$(sed -n 's/.*"bits_per_second": \([0-9.]*\).*/\1/p' "$WORK/$1")
    REASON=$(tail -n 1 "$WORK/$1.error")
    REASON=${REASON:-no result}
    [[ $rate ]] && printf '%s' "$rate"
}

# A count of the busiest flow, or of all on the way to the right.
relay_flow() { sed -n "/\"source\"/{ s/.*\"$1\": \([0-9]*\).*/\1/p; q }" "$WORK/relay"; }

# One measurement: cell, options, controller, stack and repeat.
measure() {
    local cell=$1 controller=$3 stack=$4 repeat=$5 result rate options
    result=$RESULTS/$cell.$controller.$stack.$repeat
    [[ ! -s $result ]] || return 0
    read -ra options <<<"$2"
    say "$cell, $controller, $stack, $repeat of $REPEATS"
    if make_path 1 "${options[@]}" --seed "$repeat" && "serve_$stack" 0 "$controller"; then
        begin_client client "$ADDRESS" "$SECONDS_EACH"
        wait "${PROCESSES[-1]}" 2>/dev/null || true
        end_relay
        if rate=$(goodput client) && [[ $(relay_flow segments) ]]; then
            printf '%s\t%s\t%s\t%s\n' "$rate" "$(relay_flow segments)" "$(relay_flow retransmissions)" \
                "$(relay_flow spurious)" | as_user tee "$result" >/dev/null
        else
            goodput client >/dev/null || true
            failure "$cell" "$controller $stack $repeat" "$REASON"
        fi
    else
        failure "$cell" "$controller $stack $repeat" "$REASON"
    fi
    stop
}

# Two flows that share the path: cell and options; each stack is a word of the cell's name.
share() {
    local cell=$1 options stacks number rate rates=() result=$RESULTS/$1.cubic.shared.1 controller=cubic
    [[ " ${CHOSEN_CONTROLLERS[*]} " == *" cubic "* ]] || controller=${CHOSEN_CONTROLLERS[0]}
    result=$RESULTS/$cell.$controller.shared.1
    [[ ! -s $result ]] || return 0
    read -ra options <<<"$2"
    IFS=- read -ra stacks <<<"${cell#fair-}"
    say "$cell, $controller, $FAIR_SECONDS s"
    make_path 2 "${options[@]}" --seed 1 || { failure "$cell" "$controller" "$REASON" && stop && return 0; }
    local addresses=() clients=()
    for number in 0 1; do
        "serve_${stacks[number]}" "$number" "$controller" || {
            failure "$cell" "$controller" "$REASON" && stop && return 0
        }
        addresses+=("$ADDRESS")
    done
    for number in 0 1; do
        begin_client "client$number" "${addresses[number]}" "$FAIR_SECONDS"
        clients+=("${PROCESSES[-1]}")
    done
    for number in 0 1; do
        wait "${clients[number]}" 2>/dev/null || true
        rate=$(goodput "client$number") || { goodput "client$number" >/dev/null || true; failure "$cell" "$controller" "$REASON"; }
        rates+=("${rate:-0}")
    done
    printf '%s\t%s\n' "${rates[@]}" | as_user tee "$result" >/dev/null
    stop
}

# smoltcp and ours in the simulator: a test prints it.
smoltcp() {
    say "ours and smoltcp in the simulator"
    (cd "$ROOT" && as_user cargo test --release --locked --test sim smoltcp_recovery:: -- --nocapture) 2>/dev/null |
        sed -n '/^smoltcp: begin$/,/^smoltcp: end$/{ /^smoltcp: /d; p; }' >"$WORK/smoltcp" || true
    [[ -s $WORK/smoltcp ]] || failure smoltcp simulator "the test has printed no table"
}

prepare() {
    [[ $(id -u) -eq 0 ]] || die "network namespaces need root: sudo scripts/recovery.sh"
    MESSAGES=2
    find_user
    require_tools cargo cc ip awk || exit 1
    if [[ ${GLASSTCP_BIN:-} ]]; then
        BIN=$GLASSTCP_BIN
    else
        local command=(cargo build --release --locked --features cli --bin glasstcp)
        say "+ $(quoted "${command[@]}")"
        (cd "$ROOT" && as_user "${command[@]}")
        BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release/glasstcp
    fi
    TABLES=${CARGO_TARGET_DIR:-$ROOT/target}/recovery
    RESULTS=$TABLES/results
    [[ $QUICK -eq 0 ]] || RESULTS=$TABLES/quick
    as_user mkdir -p "$RESULTS"
    case $FRESH in
        all) find "$RESULTS" -type f -delete ;;
        ours) find "$RESULTS" -type f \( -name '*.ours.*' -o -name 'fair-*ours*' \) -delete ;;
        kernel) find "$RESULTS" -type f \( -name '*.kernel.*' -o -name 'fair-*kernel*' \) -delete ;;
    esac
}

main() {
    read_arguments "$@"
    if [[ $LIST -eq 1 ]]; then
        chosen | sed 's/ .*//'
        exit 0
    fi
    [[ $(chosen | wc -l) -gt 0 ]] || usage_error "--only $ONLY: no cell has such a name; --list shows them"
    if [[ $DRY_RUN -eq 1 ]]; then
        local name options
        while read -r name options; do
            say "$name: glasstcp relay --rate $RATE $options; $CONTROLLERS; ours and kernel; $REPEATS times $SECONDS_EACH s"
        done < <(chosen)
        exit 0
    fi
    prepare
    WORK=$(mktemp -d)
    touch "$WORK/notes" "$WORK/failures" "$WORK/smoltcp"
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    choose_controllers
    facts >"$WORK/facts"
    local name options controller stack repeat
    mapfile -t CELLS < <(chosen)
    # One repeat of everything after the other, so that a slow hour of the machine meets all cells.
    for ((repeat = 1; repeat <= REPEATS; repeat++)); do
        for cell in "${CELLS[@]}"; do
            read -r name options <<<"$cell"
            [[ $name != fair-* ]] || continue
            for controller in "${CHOSEN_CONTROLLERS[@]}"; do
                for stack in ours kernel; do measure "$name" "$options" "$controller" "$stack" "$repeat"; done
            done
        done
    done
    for cell in "${CELLS[@]}"; do
        read -r name options <<<"$cell"
        [[ $name != fair-* ]] || share "$name" "$options"
    done
    [[ $SMOLTCP -eq 0 ]] || smoltcp
    report
    [[ ! -s $WORK/failures ]] || exit 1
}

main "$@"
