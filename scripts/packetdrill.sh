#!/usr/bin/env bash
# scripts/packetdrill.sh: plays packetdrill scripts against this stack, on virtual time, and says which pass.
#
#     scripts/packetdrill.sh FILE.pkt                          one script; its error is shown
#     scripts/packetdrill.sh DIR...                            all scripts below these directories
#     scripts/packetdrill.sh --persona freebsd DIR             with the habits of FreeBSD
#     scripts/packetdrill.sh FILE.pkt -- --ip_version=ipv6     what follows -- is for packetdrill
#
# packetdrill is not part of this project. Build it from https://github.com/google/packetdrill (in
# gtests/net/packetdrill: ./configure && make), and put it on the PATH or name it by --packetdrill or the variable
# PACKETDRILL. It loads this stack as a shared library; no device and no packet of it leaves this process.
#
# Each script runs in a network namespace of its own, with the programs of scripts/packetdrill/stubs before all others:
# a `sysctl` that only writes down what it is told, and `tc`, `ip`, `ethtool` and others that do nothing. So no setting of
# this machine changes, whatever a script asks for. docs/packetdrill.md says which settings have an effect. What the runner of
# a collection of scripts would say for them is in scripts/packetdrill/settings.
#
# Prints a line for each script and the totals. Exit code: 0 if all pass, 1 if not, 2 for a mistake in the command line.
#
# Options:
#   --persona NAME       linux (default), rfc, freebsd or glasstcp: whose habits the stack has where the RFCs leave a choice
#   --flags LINE         more settings, as `mtu=1400,net.ipv4.tcp_sack=0` (docs/packetdrill.md)
#   --packetdrill PATH   the program
#   --lib PATH           the library, instead of building it
#   --debug              build it without optimization (faster to build)
#   --jobs N             scripts at a time; default: as many as there are processors
#   --timeout SECS       real time that one script may take; default 60
#   --failed             print the failures only
#   -v, --verbose        print the errors of all that fail
#   -h, --help           this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

PERSONA=linux FLAGS='' LIB='' JOBS=$(nproc) LIMIT=60 PROFILE=release ONLY_FAILED=0 VERBOSE=0
PACKETDRILL=${PACKETDRILL:-}
TARGETS=() PASSED_ON=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --persona | --persona=*) take_value PERSONA "$@" && shift "$TAKEN" ;;
        --flags | --flags=*) take_value FLAGS "$@" && shift "$TAKEN" ;;
        --packetdrill | --packetdrill=*) take_value PACKETDRILL "$@" && shift "$TAKEN" ;;
        --lib | --lib=*) take_value LIB "$@" && shift "$TAKEN" ;;
        --jobs | --jobs=*) take_value JOBS "$@" && shift "$TAKEN" ;;
        --timeout | --timeout=*) take_value LIMIT "$@" && shift "$TAKEN" ;;
        --debug) PROFILE=debug && shift ;;
        --failed) ONLY_FAILED=1 && shift ;;
        -v | --verbose) VERBOSE=1 && shift ;;
        -h | --help) print_help && exit 0 ;;
        --) shift && PASSED_ON=("$@") && break ;;
        -*) usage_error "unknown option $1" ;;
        *) TARGETS+=("$1") && shift ;;
    esac
done
[[ ${#TARGETS[@]} -gt 0 ]] || usage_error "which script or directory?"
case $PERSONA in linux | rfc | freebsd | glasstcp) ;; *) usage_error "no persona $PERSONA: there are linux, rfc, freebsd and glasstcp" ;; esac

[[ $PACKETDRILL ]] || PACKETDRILL=$(command -v packetdrill) ||
    die "packetdrill is not on the PATH: build it from https://github.com/google/packetdrill, and name it by --packetdrill"
[[ -x $PACKETDRILL ]] || die "$PACKETDRILL is not a program"
PACKETDRILL=$(realpath "$PACKETDRILL")

if [[ ! $LIB ]]; then
    build=(cargo build --quiet --lib --features packetdrill --manifest-path "$ROOT/Cargo.toml")
    [[ $PROFILE == debug ]] || build+=(--release)
    say "$(quoted "${build[@]}")"
    "${build[@]}"
    LIB=${CARGO_TARGET_DIR:-$ROOT/target}/$PROFILE/libglasstcp.so
fi
LIB=$(realpath "$LIB")

SCRIPTS=()
for target in "${TARGETS[@]}"; do
    [[ -e $target ]] || die "there is no $target"
    while IFS= read -r -d '' file; do SCRIPTS+=("$(realpath "$file")"); done < <(
        if [[ -d $target ]]; then find -L "$target" -name '*.pkt' -print0 | sort -z; else printf '%s\0' "$target"; fi
    )
done
[[ ${#SCRIPTS[@]} -gt 0 ]] || die "there are no .pkt files there"

WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# A namespace of one's own needs a user namespace where one is not root.
NAMESPACE=(unshare --net)
[[ $(id -u) -eq 0 ]] || NAMESPACE=(unshare --user --map-root-user --net)
"${NAMESPACE[@]}" true 2>/dev/null || die "cannot make a network namespace: run this as root, or allow user namespaces"

# What scripts/packetdrill/settings says for a script that is played with these arguments: in SETTINGS.
read_settings() {
    local script=$1 family=ipv4 persona name words of_family told setting
    shift
    SETTINGS=()
    if [[ "$*" =~ --ip_version=([a-z0-9-]+) ]]; then family=${BASH_REMATCH[1]}; fi
    while read -r persona name words of_family told; do
        # shellcheck disable=SC2053 # all but the words are patterns
        [[ $persona && $persona != \#* && $PERSONA == $persona && ${script##*/} == $name && $family == $of_family ]] || continue
        [[ $words == '*' ]] || grep -qwE "$words" "$script" || continue
        [[ $told != *_ip=* ]] || ! grep -q '^--[a-z]*_ip' "$script" || continue
        for setting in $told; do
            [[ $setting != --* || " $*" != *" ${setting%%=*}"* ]] || continue 2
        done
        for setting in $told; do SETTINGS+=("$setting"); done
        if [[ $told =~ --ip_version=([a-z0-9-]+) ]]; then family=${BASH_REMATCH[1]}; fi
    done <"$ROOT/scripts/packetdrill/settings"
}

# One script: its result is a file in $WORK, named by its number.
play() {
    local number=$1 script=$2 out=$WORK/$1
    shift 2
    # What a script of packetdrill is measured by is virtual, so nothing depends on how busy this machine is.
    if (
        cd "$(dirname "$script")" || exit 1
        # packetdrill locks all its memory; stacks of threads count, and others than root may not lock much.
        ulimit -s 1024
        export PATH=$ROOT/scripts/packetdrill/stubs:$PATH GLASSTCP_SYSCTL_FILE=$out.sysctl
        export GLASSTCP_STATUS_FILE=$out.status
        # Names that packetdrill lacks on Linux, for the asserts of a script.
        export PYTHONPATH=$ROOT/scripts/packetdrill/stubs${PYTHONPATH:+:$PYTHONPATH}
        read_settings "$script" "$@"
        : >"$GLASSTCP_SYSCTL_FILE"
        exec timeout "$LIMIT" "${NAMESPACE[@]}" env GLASSTCP_NAMESPACE=1 LD_PRELOAD="$LIB" "$PACKETDRILL" \
            --so_filename="$LIB" --so_flags="profile=$PERSONA${FLAGS:+,$FLAGS}" "${SETTINGS[@]}" "$@" "$script"
    ) >"$out.log" 2>&1 </dev/null; then
        echo pass >"$out"
    else
        echo "FAIL" >"$out"
    fi
}

running=0
for number in "${!SCRIPTS[@]}"; do
    play "$number" "${SCRIPTS[number]}" "${PASSED_ON[@]}" &
    running=$((running + 1))
    if [[ $running -ge $JOBS ]]; then
        wait -n || true
        running=$((running - 1))
    fi
done
wait

passed=0 failed=0
for number in "${!SCRIPTS[@]}"; do
    result=$(cat "$WORK/$number" 2>/dev/null || echo FAIL)
    script=$(realpath --relative-to="$PWD" "${SCRIPTS[number]}")
    if [[ $result == pass ]]; then
        passed=$((passed + 1))
        [[ $ONLY_FAILED -eq 1 ]] || printf 'pass  %s\n' "$script"
    else
        failed=$((failed + 1))
        printf 'FAIL  %s\n' "$script"
        if [[ $VERBOSE -eq 1 || ${#SCRIPTS[@]} -eq 1 ]]; then sed 's/^/      /' "$WORK/$number.log"; fi
    fi
done
printf '%d of %d pass (persona %s)\n' "$passed" "${#SCRIPTS[@]}" "$PERSONA"
[[ $failed -eq 0 ]]
