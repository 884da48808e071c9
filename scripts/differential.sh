#!/usr/bin/env bash
# scripts/differential.sh: ours against smoltcp and against the Linux kernel, in every scenario, segment by segment.
#
#     sudo scripts/differential.sh                  all scenarios, also the paths of the matrix that take too long for a test
#     sudo scripts/differential.sh --only 'ack-loss'        those with such a name
#     sudo scripts/differential.sh --traces DIRECTORY       keep the captures of every conversation
#
# What differs from the reference is printed by who sends it, its kind, and the sort of scenario, with examples; kinds that
# docs/differences.md does not explain begin with NEW, and the script fails. `glasstcp trace diff` shows two of the captures
# side by side: NAME.ours-smoltcp.opener.pcapng is the tap at our end of a conversation that ours opened with smoltcp.
#
# Options:
#   --only TEXT        the scenarios whose name has this in it
#   --seeds N          against smoltcp, seeds 1 to N: for each but the first, the matrix and conversations by chance (5)
#   --traces DIRECTORY keep the captures there
#   --refresh          bring docs/differences.md up to date: new rows say TODO until somebody explains them
#   --no-kernel        smoltcp alone: needs no root
#   --no-install       name what is missing, install nothing
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

ONLY='' SEEDS=5 TRACES='' REFRESH=0 KERNEL=1 INSTALL=1
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --only | --only=*) take_value ONLY "$@" && shift "$TAKEN" ;;
        --seeds | --seeds=*) take_value SEEDS "$@" && shift "$TAKEN" ;;
        --traces | --traces=*) take_value TRACES "$@" && shift "$TAKEN" ;;
        --refresh) REFRESH=1 && shift ;;
        --no-kernel) KERNEL=0 && shift ;;
        --no-install) INSTALL=0 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
[[ $SEEDS =~ ^[1-9][0-9]{0,5}$ ]] || usage_error "--seeds needs a number above 0, not '$SEEDS'"
cd "$ROOT"
find_user
require_tools cargo cc ip || exit 1
[[ $KERNEL -eq 0 || $(id -u) -eq 0 ]] || die "network namespaces need root: sudo scripts/differential.sh, or --no-kernel"
export GLASSTCP_LONG=1 GLASSTCP_SEEDS=$SEEDS
[[ -z $ONLY ]] || export GLASSTCP_ONLY=$ONLY
[[ -z $TRACES ]] || export GLASSTCP_TRACES=$TRACES
[[ $REFRESH -eq 0 ]] || export GLASSTCP_REFRESH=1
FAILED=()

# Runs one comparison; its output tells the differences.
compare() {
    local name=$1
    shift
    say "== $name"
    "$@" || FAILED+=("$name")
}

compare smoltcp cargo test --locked --all-features --test differential -- --nocapture
[[ $KERNEL -eq 0 ]] ||
    compare Linux cargo test --locked --all-features --test end_to_end -- --nocapture differential::every
if [[ ${#FAILED[@]} -gt 0 ]]; then
    die "not explained or no longer found: see above (${FAILED[*]})"
fi
say "all differences are explained: docs/differences.md"
