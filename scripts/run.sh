#!/usr/bin/env bash
# scripts/run.sh: builds glasstcp, makes a TUN, and serves on it until Ctrl-C.
#
#     scripts/run.sh                      then, elsewhere:  nc 10.0.0.2 80
#     scripts/run.sh --netns glass        the same in a network namespace of its own; the machine's is not touched
#     scripts/run.sh --pcap - | wireshark -k -i -
#     scripts/run.sh --queues 2           two stacks and threads for the one host
#
# What it does, in this order:
#   1. looks for cargo, a C compiler, ip and nc; installs what is missing by apt-get where that needs no question,
#      else prints the command;
#   2. cargo build --release --locked --features cli;
#   3. makes the TUN: the kernel is 10.0.0.1 and fd00:67::1 on it, glasstcp is 10.0.0.2 and fd00:67::2. The TUN belongs to
#      you, so glasstcp itself runs without root; only the ip commands ask for sudo, and each is printed;
#   4. runs `glasstcp serve` and says what to try;
#   5. on Ctrl-C (or SIGINT or SIGTERM to this script) lets glasstcp close its connections with FIN, removes what it made
#      and exits 0 within 5 seconds. A second Ctrl-C aborts.
#
# It refuses to start where an address or a route already overlaps the subnet.
#
# Options (all others, and everything after --, go to `glasstcp serve`):
#   --name TUN         name of the TUN (glass0)
#   --subnet NET       IPv4 subnet (10.0.0.0/24): the kernel takes .1, glasstcp .2
#   --subnet6 NET      IPv6 subnet (fd00:67::/64), or none
#   --netns NAME       do all of it inside a fresh network namespace, removed at the end
#   --mtu N            MTU of the TUN, also told to glasstcp
#   --queues N         serve on N queues, each by a thread of its own (1)
#   --dry-run          print the commands, run none of them
#   --no-install       name what is missing, install nothing
#   -h, --help         this text
#
# Environment:
#   GLASSTCP_BIN       use this binary instead of building one
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

# A shell without job control starts `run.sh &` deaf to SIGINT, and bash cannot undo that for itself: begin again.
deaf=$(sed -n 's/^SigIgn:[[:space:]]*//p' "/proc/$$/status")
if ((16#${deaf: -4} & 2)) && env --default-signal=INT true 2>/dev/null; then
    exec env --default-signal=INT "$BASH" "${BASH_SOURCE[0]}" "$@"
fi

READY_SECONDS=30 # how long the program may take to say that it serves
CLOSE_MS=4000    # how long it may take to close after the first signal
ABORT_MS=300     # and after the second

TUN=glass0 SUBNET=10.0.0.0/24 SUBNET6=fd00:67::/64 NETNS= MTU= QUEUES= MULTI_QUEUE= INSTALL=1
HTTP_PORT=80 ECHO_PORT=7
ARGS=()
WORK=        # directory of the ready pipe
CHILD=       # what this shell started: the program, or sudo above it
PROGRAM=     # the program itself
SIGNALS=0    # signals received
LAST_SIGNAL=
FORWARDED=0  # signals handed on
KILL_AT=0    # when patience ends, in ms
KILLED=0

read_arguments() {
    while [[ $# -gt 0 ]]; do
        case $1 in
            -h | --help) print_help && exit 0 ;;
            --name | --name=* | --tun | --tun=*) take_value TUN "$@" && shift "$TAKEN" ;;
            --subnet | --subnet=*) take_value SUBNET "$@" && shift "$TAKEN" ;;
            --subnet6 | --subnet6=*) take_value SUBNET6 "$@" && shift "$TAKEN" ;;
            --netns | --netns=*) take_value NETNS "$@" && shift "$TAKEN" ;;
            --mtu | --mtu=*) take_value MTU "$@" && shift "$TAKEN" ;;
            --queues | --queues=*) take_value QUEUES "$@" && shift "$TAKEN" ;;
            --dry-run) DRY_RUN=1 && shift ;;
            --no-install) INSTALL=0 && shift ;;
            --ready-fd | --ready-fd=* | --tun-fd | --tun-fd=*)
                usage_error "${1%%=*} is this script's own business: start glasstcp serve by hand to use it" ;;
            --) shift && while [[ $# -gt 0 ]]; do note_argument "$@" && ARGS+=("$1") && shift; done ;;
            *) note_argument "$@" && ARGS+=("$1") && shift ;;
        esac
    done
    check_names
    plan_addresses
    [[ -z $MTU ]] || ARGS+=(--mtu "$MTU")
    if [[ $QUEUES ]]; then
        [[ $QUEUES =~ ^[1-9][0-9]{0,2}$ && $QUEUES -le 256 ]] || usage_error "--queues $QUEUES: 1 to 256"
        ARGS+=(--queues "$QUEUES")
        # Only such a TUN can be attached to more than once. One queue works on either kind.
        [[ $QUEUES -eq 1 ]] || MULTI_QUEUE=1
    fi
}

# Some of the program's options change what this script says.
note_argument() {
    case $1 in
        --http) HTTP_PORT=${2:-} ;;
        --http=*) HTTP_PORT=${1#*=} ;;
        --echo) ECHO_PORT=${2:-} ;;
        --echo=*) ECHO_PORT=${1#*=} ;;
        --pcap | --pcap-raw) [[ ${2:-} != - ]] || MESSAGES=2 ;;
        --pcap=- | --pcap-raw=-) MESSAGES=2 ;;
    esac
}

check_machine() {
    local tools=(ip nc)
    [[ ${GLASSTCP_BIN:-} ]] || tools=(cargo cc ip nc)
    require_tools "${tools[@]}" || exit 1
    [[ ${GLASSTCP_BIN:-} || $DRY_RUN -eq 1 ]] || check_cargo_version
    require_rights
    refuse_used_netns
    settle_ipv6
    refuse_conflicts
    [[ $DRY_RUN -eq 1 ]] || as_user test -r /dev/net/tun -a -w /dev/net/tun ||
        die "/dev/net/tun is not there, or not for $RUN_USER: scripts/doctor.sh says what to do"
}

build() {
    if [[ ${GLASSTCP_BIN:-} ]]; then
        BINARY=$GLASSTCP_BIN
        return 0
    fi
    BINARY=${CARGO_TARGET_DIR:-$ROOT/target}/release/glasstcp
    local command=(cargo build --release --locked --features cli --manifest-path "$ROOT/Cargo.toml")
    if [[ $DRY_RUN -eq 1 ]]; then
        say "$(quoted "${command[@]}")"
        return 0
    fi
    say "+ $(quoted "${command[@]}")"
    # In the background and in a process group of its own, so that a signal to this script alone ends the build at once.
    set -m
    as_user "${command[@]}" >&2 </dev/null &
    CHILD=$!
    set +m
    # Polled, because `wait` would miss a signal that comes just before it.
    while [[ -d /proc/$CHILD && $SIGNALS -eq 0 ]]; do sleep 0.1; done
    [[ $SIGNALS -eq 0 ]] || exit $((128 + $(kill -l "$LAST_SIGNAL")))
    wait "$CHILD" || die "the build failed"
    CHILD=
}

# The command line that becomes the program, in pieces: into the namespace, back to the user, open the pipe.
launcher() {
    LAUNCH=()
    [[ -z $NETNS ]] || LAUNCH=("${SUDO[@]}" ip netns exec "$NETNS")
    if [[ $NETNS || $(id -u) -eq 0 ]]; then LAUNCH+=("${DROP[@]}"); fi
    SERVE=("$BINARY" serve --tun "$TUN" --addr "$STACK4")
    [[ -z $STACK6 ]] || SERVE+=(--addr "$STACK6")
}

start() {
    launcher
    if [[ $DRY_RUN -eq 1 ]]; then
        say "$(quoted "${LAUNCH[@]}" "${SERVE[@]}" "${ARGS[@]}")"
        return 0
    fi
    WORK=$(mktemp -d)
    mkfifo -m 600 "$WORK/ready"
    [[ $(id -u) -ne 0 ]] || chown -R "$RUN_UID:$RUN_GID" "$WORK"
    exec {READY}<>"$WORK/ready"
    say "+ $(quoted "${LAUNCH[@]}" "${SERVE[@]}" "${ARGS[@]}")"
    # The shell in between opens the pipe (sudo would close a descriptor handed down) and says under which number the
    # program can be signalled. `set -m`: a process group of its own, so that Ctrl-C reaches the program once, through
    # this script, and not twice.
    set -m
    # shellcheck disable=SC2016 # expanded by the inner shell
    "${LAUNCH[@]}" bash -c 'exec 3<>"$0" && echo "pid $$" >&3 && exec "$@"' "$WORK/ready" \
        "${SERVE[@]}" --ready-fd 3 "${ARGS[@]}" </dev/null {READY}>&- &
    CHILD=$!
    set +m
}

now_ms() { printf '%s' "$((${EPOCHREALTIME/[^0-9]/} / 1000))"; }

# Hands a signal on and sets how long the program may take.
forward_signals() {
    [[ $PROGRAM && $FORWARDED -lt $SIGNALS ]] || return 0
    FORWARDED=$SIGNALS
    kill -s "$LAST_SIGNAL" "$PROGRAM" 2>/dev/null || true
    if [[ $SIGNALS -eq 1 ]]; then
        KILL_AT=$(($(now_ms) + CLOSE_MS))
    else
        KILL_AT=$(($(now_ms) + ABORT_MS))
    fi
}

on_signal() {
    SIGNALS=$((SIGNALS + 1))
    LAST_SIGNAL=$1
    [[ $1 != HUP && $1 != PIPE ]] || LAST_SIGNAL=TERM
    forward_signals
}

what_to_try() {
    local in='' four=${STACK4%/*} six=${STACK6%/*}
    [[ -z $NETNS ]] || in="$(quoted "${SUDO[@]}" ip netns exec "$NETNS") "
    say ""
    say "glasstcp serves on $TUN as $four${six:+ and $six}. Try, in another terminal:"
    [[ $HTTP_PORT == 0 ]] || say "    ${in}nc $four $HTTP_PORT"
    [[ $HTTP_PORT == 0 ]] || say "    ${in}curl http://$four$([[ $HTTP_PORT == 80 ]] || printf ':%s' "$HTTP_PORT")/"
    say "    ${in}ping $four"
    [[ $ECHO_PORT == 0 ]] || say "    ${in}nc $four $ECHO_PORT"
    [[ -z $six ]] || say "    ${in}ping -6 $six"
    [[ -z $NETNS ]] || say "All of it lives in the network namespace $NETNS, so clients must run in there, as above."
    say "Ctrl-C ends it."
}

# Watches the program until it is gone. One loop with a short tick: bash has no wait that cannot miss a signal.
supervise() {
    local line served=0 started renew ended=0
    started=$(now_ms)
    renew=$started
    while [[ $ended -eq 0 ]]; do
        # Looked at before the last reading, so that the last words of a program that is gone are heard.
        [[ -d /proc/$CHILD ]] || ended=1
        # The pipe is open for writing here too, so this is the tick as well as the reader.
        while read -r -t 0.1 -u "$READY" line; do
            if [[ -z $PROGRAM && $line == pid\ * ]]; then
                PROGRAM=${line#pid }
            elif [[ $served -eq 0 && $SIGNALS -eq 0 ]]; then
                served=1
                what_to_try
            fi
        done
        forward_signals
        if [[ $KILL_AT -gt 0 && $(now_ms) -ge $KILL_AT && $KILLED -eq 0 ]]; then
            KILLED=1
            exec {STDERR}>&2 2>/dev/null # bash would announce the death with the whole command line
            kill -s KILL "$PROGRAM" || true
        fi
        if [[ $served -eq 0 && $SIGNALS -eq 0 && $(now_ms) -ge $((started + READY_SECONDS * 1000)) ]]; then
            die "glasstcp did not say within $READY_SECONDS s that it serves"
        fi
        # sudo forgets a password after a while; the ip commands at the end shall not ask again.
        if [[ ${#SUDO[@]} -gt 0 && $(now_ms) -ge $((renew + 60000)) ]]; then
            renew=$(now_ms)
            sudo -n -v 2>/dev/null || true
        fi
    done
    local code=0
    wait "$CHILD" || code=$?
    CHILD=
    [[ $KILLED -eq 0 ]] || exec 2>&"$STDERR"
    report_end "$code" "$served"
}

report_end() {
    local code=$1 served=$2
    if [[ $SIGNALS -ge 2 ]]; then
        exit $((128 + $(kill -l "$LAST_SIGNAL")))
    elif [[ $KILLED -eq 1 ]]; then
        die "glasstcp did not close within $((CLOSE_MS / 1000)) s and was killed"
    elif [[ $SIGNALS -eq 1 && $served -eq 0 && $code -gt 128 ]]; then
        exit 0 # stopped before it listened for signals: nothing was open yet
    elif [[ $SIGNALS -eq 0 && $served -eq 0 ]]; then
        warn "glasstcp ended before it served (exit code $code)"
    elif [[ $SIGNALS -eq 0 ]]; then
        warn "glasstcp ended by itself (exit code $code)"
    elif [[ $code -ne 0 ]]; then
        warn "glasstcp ended with exit code $code"
    fi
    exit "$code"
}

# Runs however the script ends. Deaf to signals: what was made is removed whatever happens.
clean_up() {
    local code=$?
    trap '' INT TERM HUP PIPE
    set +e
    if [[ $CHILD && -d /proc/$CHILD ]]; then
        # Still there: the build, or a program that never served. The minus sign means the process group.
        kill -s TERM -- "-$CHILD" 2>/dev/null
        [[ -z $PROGRAM ]] || kill -s KILL "$PROGRAM" 2>/dev/null
        wait "$CHILD" 2>/dev/null
    fi
    remove_tun
    [[ -z $WORK ]] || rm -rf "$WORK"
    exit "$code"
}

read_arguments "$@"
find_user
trap clean_up EXIT
for signal in INT TERM HUP PIPE; do
    # shellcheck disable=SC2064 # the name is wanted now
    trap "on_signal $signal" "$signal"
done
# A signal during the set-up ends it between two commands.
go_on() { [[ $SIGNALS -eq 0 ]] || exit $((128 + $(kill -l "$LAST_SIGNAL"))); }

check_machine
go_on
build
go_on
make_tun || die "the TUN could not be made"
go_on
start
if [[ $DRY_RUN -eq 1 ]]; then
    say "# at the end"
    exit 0
fi
supervise
