#!/usr/bin/env bash
# scripts/fuzz.sh: runs the fuzz targets for a given time each.
#
#     scripts/fuzz.sh
#     scripts/fuzz.sh --seconds 3600 segment_in_any_state
#
# The targets are parser, options, segment_in_any_state, congestion, recovery and reassembly, in fuzz/fuzz_targets; without a
# name all of them run. They need cargo-fuzz (https://github.com/rust-fuzz/cargo-fuzz) and a C++ compiler, and work with the
# stable toolchain, as the code under test has no unsafe blocks that a sanitizer could look into. What they find lies in
# fuzz/artifacts afterwards, and the name of the file is printed; give it back to the same target by
#
#     cargo fuzz run -s none TARGET FILE
#
# Options:
#   --seconds N        time for each target (60)
#   --list             print the targets, run none
#   --dry-run          print the commands, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

SECONDS_EACH=60 TARGETS=()
ALL=(parser options segment_in_any_state congestion recovery reassembly)
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --seconds | --seconds=*) take_value SECONDS_EACH "$@" && shift "$TAKEN" ;;
        --list) printf '%s\n' "${ALL[@]}" && exit 0 ;;
        --dry-run) DRY_RUN=1 && shift ;;
        -*) usage_error "unknown argument $1" ;;
        *)
            [[ " ${ALL[*]} " == *" $1 "* ]] || usage_error "no such target: $1 (there are ${ALL[*]})"
            TARGETS+=("$1") && shift
            ;;
    esac
done
[[ $SECONDS_EACH =~ ^[1-9][0-9]*$ ]] || usage_error "--seconds needs a number above 0, not '$SECONDS_EACH'"
[[ ${#TARGETS[@]} -gt 0 ]] || TARGETS=("${ALL[@]}")
if [[ $DRY_RUN -eq 0 ]] && ! cargo fuzz --version >/dev/null 2>&1; then
    warn "cargo-fuzz is missing. Nothing is installed by this script; install it by"
    warn "    cargo install cargo-fuzz"
    exit 1
fi
cd "$ROOT"
for target in "${TARGETS[@]}"; do
    command=(cargo fuzz run -s none "$target" -- "-max_total_time=$SECONDS_EACH" -max_len=2048)
    say "${command[*]}"
    [[ $DRY_RUN -eq 1 ]] || "${command[@]}" || die "$target has found something"
done
