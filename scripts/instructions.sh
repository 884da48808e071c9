#!/usr/bin/env bash
# scripts/instructions.sh: instructions per step of the path of a segment, counted by callgrind. They are nearly the same
# on every run, unlike times.
#
#     scripts/instructions.sh
#     scripts/instructions.sh receive acknowledge
#
# The steps are receive (a full-sized segment in order, by Stack::handle_packet), receive-out-of-order, acknowledge (an ACK
# for one segment), send, send-with-checksum, send-super-segment (one segment by Stack::transmit) and exchange (a request
# is read and answered). What exactly is counted is in benches/instructions.rs; the text is 1,460 octets long.
#
# Without valgrind it says so and ends with success.
#
# Options:
#   --dry-run          print the command of each step, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

STEPS=()
ALL=(receive receive-out-of-order acknowledge send send-with-checksum send-super-segment exchange)
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --dry-run) DRY_RUN=1 && shift ;;
        -*) usage_error "unknown argument $1" ;;
        *)
            [[ " ${ALL[*]} " == *" $1 "* ]] || usage_error "no such step: $1 (there are ${ALL[*]})"
            STEPS+=("$1") && shift
            ;;
    esac
done
[[ ${#STEPS[@]} -gt 0 ]] || STEPS=("${ALL[@]}")
if [[ $DRY_RUN == 1 ]]; then
    printf 'cargo bench --bench instructions -- %s\n' "${STEPS[@]}"
    exit 0
fi
if ! command -v valgrind >/dev/null; then
    say "skipped: there is no valgrind (on Debian: apt-get install valgrind)"
    exit 0
fi
cd "$ROOT"
TIMES=$(sed -n 's/^const TIMES: usize = \([0-9_]*\);.*/\1/p' benches/instructions.rs | tr -d _)
cargo bench --quiet --bench instructions --no-run
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
# Cargo runs the program through this, wherever it has put it.
HOST=$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')
COUNT="valgrind --tool=callgrind --collect-atstart=no --toggle-collect=*::measured_*"
export "CARGO_TARGET_${HOST}_RUNNER=$COUNT --callgrind-out-file=/dev/null --log-file=$LOG"
say "$(printf '%-22s %s' step 'instructions each')"
for step in "${STEPS[@]}"; do
    timeout 300 cargo bench --quiet --bench instructions -- "$step" >/dev/null
    collected=$(sed -n 's/.*Collected : *\([0-9]*\).*/\1/p' "$LOG")
    [[ ${collected:-0} -gt 0 ]] || die "callgrind counted nothing in step $step"
    say "$(printf '%-22s %s' "$step" $((collected / TIMES)))"
done
