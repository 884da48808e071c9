#!/usr/bin/env bash
# scripts/security.sh: what each known family of attacks costs, and what becomes of the honest meanwhile.
#
#     scripts/security.sh
#     scripts/security.sh --write-docs
#
# Each family (tests/attack/families.rs) takes 100,000 steps against a stack in virtual time; nothing touches the network.
# Octets held are counted by the allocator, nanoseconds by the clock (the shortest of three runs), and instructions by
# callgrind; without valgrind there are none. It takes about ten minutes.
#
# Options:
#   --write-docs       put the table into docs/security.md
#   --quick            no instructions
#   --dry-run          print the commands, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

WRITE=0 QUICK=0
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --write-docs) WRITE=1 && shift ;;
        --quick) QUICK=1 && shift ;;
        --dry-run) DRY_RUN=1 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
if [[ $DRY_RUN == 1 ]]; then
    printf 'cargo bench --bench attacks\n'
    [[ $QUICK == 1 ]] || printf 'cargo bench --bench attacks -- %s\n' NUMBER
    exit 0
fi
cd "$ROOT"
say "building"
cargo bench --quiet --bench attacks --no-run
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
say "floods: a few minutes"
cargo bench --quiet --bench attacks >"$WORK/rows"
HOST=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
if [[ $QUICK == 1 ]] || ! command -v valgrind >/dev/null; then
    [[ $QUICK == 1 ]] || say "no instructions: there is no valgrind (on Debian: apt-get install valgrind)"
    sed -i 's/@[0-9]*@/-/' "$WORK/rows"
else
    COUNT="valgrind --tool=callgrind --collect-atstart=no --toggle-collect=*::measured_*"
    for number in $(cargo bench --quiet --bench attacks -- --list); do
        packets=$(env "CARGO_TARGET_${HOST}_RUNNER=$COUNT --callgrind-out-file=/dev/null --log-file=$WORK/log" \
            timeout 900 cargo bench --quiet --bench attacks -- "$number")
        collected=$(sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$WORK/log")
        [[ ${collected:-0} -gt 0 && ${packets:-0} -gt 0 ]] || die "callgrind counted nothing for family $number"
        sed -i "s/@$number@/$((collected / packets))/" "$WORK/rows"
    done
fi
{
    printf '\n* Date: %s\n' "$(date +%F)"
    printf '* CPU: %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    printf '* Clock: %s MHz, so that 1 ns is %s cycles\n' "$(sed -n 's/^cpu MHz[^:]*: //p' /proc/cpuinfo | head -n 1)" \
        "$(awk -F: '/^cpu MHz/ { printf "%.1f", $2 / 1000; exit }' /proc/cpuinfo)"
    printf '* Rust: %s\n\n' "$(rustc --version | sed 's/^rustc //')"
    printf '| family | what it is after | what stands against it | requirements | test | octets held by each packet | octets held in all, at most | ns each | instructions each | answers for each packet (octets for each octet) | honest served |\n'
    printf '|---|---|---|---|---|---:|---:|---:|---:|---:|---:|\n'
    cat "$WORK/rows"
    printf '\n'
} >"$WORK/table"
cat "$WORK/table"
if [[ $WRITE == 1 ]]; then
    awk -v table="$WORK/table" '
        /^<!-- security: end -->$/ { inside = 0 }
        !inside { print }
        /^<!-- security: begin -->$/ { inside = 1; while ((getline line < table) > 0) print line }
    ' docs/security.md >"$WORK/docs"
    cp "$WORK/docs" docs/security.md
    say "docs/security.md is written"
fi
