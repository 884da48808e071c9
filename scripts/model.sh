#!/usr/bin/env bash
# scripts/model.sh: explores every state of opening and closing, further than the tests do.
#
#     scripts/model.sh
#     scripts/model.sh --faults 3 --only half-close --states 20000000
#
# It runs tests/model (see docs/model-check.md) with more faults of the link than in scripts/test.sh, tries from each state
# all four ways in which the applications can finish, and prints each level and the totals. Where something is found, the
# shortest way there is printed, action by action and segment by segment, and the exit code is 1.
#
# A state takes about 50 octets of memory and, with its four endings, some 250 us of one processor.
#
# Options:
#   --faults N         faults of the link in each scenario (2)
#   --states N         end a scenario after so many states, and say so (5000000)
#   --only NAME        scenarios with this in their names
#   --threads N        threads (as many as there are processors)
#   --release          build with all optimizations: four times as long to build
#   --dry-run          print the command, do not run it
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

FAULTS=2 STATES=5000000 ONLY='' THREADS=$(nproc) BUILD=()
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --faults | --faults=*) take_value FAULTS "$@" && shift "$TAKEN" ;;
        --states | --states=*) take_value STATES "$@" && shift "$TAKEN" ;;
        --only | --only=*) take_value ONLY "$@" && shift "$TAKEN" ;;
        --threads | --threads=*) take_value THREADS "$@" && shift "$TAKEN" ;;
        --release) BUILD=(--release) && shift ;;
        --dry-run) DRY_RUN=1 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
for number in "$FAULTS" "$STATES" "$THREADS"; do
    [[ $number =~ ^[0-9]{1,9}$ ]] || usage_error "--faults, --states and --threads need a number, not '$number'"
done
[[ $FAULTS -le 9 && $THREADS -ge 1 && $STATES -ge 1 ]] || usage_error "9 faults at most, and at least one thread and one state"
cd "$ROOT"
settings=("GLASSTCP_MODEL_FAULTS=$FAULTS" "GLASSTCP_MODEL_STATES=$STATES" "GLASSTCP_MODEL_THREADS=$THREADS" "GLASSTCP_MODEL_ONLY=$ONLY")
command=(env "${settings[@]}" cargo test "${BUILD[@]}" --locked --test model every_reachable_state -- --nocapture)
say "$(quoted "${command[@]}")"
[[ $DRY_RUN -eq 1 ]] || "${command[@]}"
