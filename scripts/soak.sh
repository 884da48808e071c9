#!/usr/bin/env bash
# scripts/soak.sh: thousands of seeds of the simulated worlds, each checked after every step.
#
#     scripts/soak.sh                     10,000 seeds of two stacks, 2,000 against smoltcp; goes on where it stopped
#     scripts/soak.sh --from 50000 --seeds 1000
#     scripts/soak.sh --fresh             begin again
#
# A seed decides the network, the settings, how many connections there are and what each application does; what must hold of
# every packet is in src/sim/invariant.rs, of every sender in src/sim/sender.rs. Seeds run in blocks. What is done, and which
# seeds failed, is kept in target/soak; a change of the sources begins anew. The last line says how many failed; exit code 1
# if any did.
#
# Options:
#   --seeds N          seeds of two stacks (10000); a fifth of it against smoltcp
#   --from N           the first seed (10000: the tests run those below)
#   --block N          seeds in a block (250)
#   --fresh            forget what was done
#   --dry-run          print the blocks that would run
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

SEEDS=10000 FROM=10000 BLOCK=250 FRESH=0
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --seeds | --seeds=*) take_value SEEDS "$@" && shift "$TAKEN" ;;
        --from | --from=*) take_value FROM "$@" && shift "$TAKEN" ;;
        --block | --block=*) take_value BLOCK "$@" && shift "$TAKEN" ;;
        --fresh) FRESH=1 && shift ;;
        --dry-run) DRY_RUN=1 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
for option in SEEDS FROM BLOCK; do
    [[ ${!option} =~ ^[1-9][0-9]{0,8}$ ]] || usage_error "--${option,,} ${!option}: a number from 1 on"
done

# Test, first seed and count of each block.
blocks() {
    local test count at
    for test in two_stacks smoltcp; do
        count=$SEEDS
        [[ $test != smoltcp ]] || count=$(((SEEDS + 4) / 5))
        for ((at = 0; at < count; at += BLOCK)); do
            printf '%s %s %s\n' "$test" "$((FROM + at))" "$((count - at < BLOCK ? count - at : BLOCK))"
        done
    done
}

if [[ $DRY_RUN -eq 1 ]]; then
    blocks
    exit 0
fi

find_user
MESSAGES=2
require_tools cargo cc || exit 1
cd "$ROOT"
STATE=${CARGO_TARGET_DIR:-$ROOT/target}/soak
as_user mkdir -p "$STATE"
say "+ cargo test --release --no-run --test sim"
as_user cargo test --release --locked --quiet --no-run --test sim
# What was run is worth as much as the sources that it was run with.
sources=$(find src tests Cargo.lock -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1)
if [[ $FRESH -eq 1 || $(cat "$STATE/sources" 2>/dev/null) != "$sources" ]]; then
    rm -f "$STATE/done" "$STATE/failed"
    printf '%s\n' "$sources" | as_user tee "$STATE/sources" >/dev/null
fi
as_user touch "$STATE/done" "$STATE/failed"
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

mapfile -t BLOCKS < <(blocks)
number=0
for block in "${BLOCKS[@]}"; do
    number=$((number + 1))
    ! grep -qxF "$block" "$STATE/done" || continue
    read -r test from count <<<"$block"
    started=$SECONDS
    # A count of 1 would be a replay, which prints more and means the same.
    if as_user env GLASSTCP_SEED="$from" GLASSTCP_SEEDS="$count" \
        cargo test --release --locked --quiet --test sim "$test::replay" >"$LOG" 2>&1; then
        outcome=ok
    else
        outcome=FAILED
        # The test names the seeds; where it died before it could, the block is the name.
        seeds=$(sed -n 's/^seeds \[\(.*\)\] failed.*/\1/p' "$LOG")
        printf '%s %s\n' "$test" "${seeds:-$from and $((count - 1)) after it}" | as_user tee -a "$STATE/failed" >/dev/null
        tail -n 20 "$LOG" >&2
    fi
    printf '%s\n' "$block" | as_user tee -a "$STATE/done" >/dev/null
    say "$number of ${#BLOCKS[@]}: $test, seeds $from to $((from + count - 1)): $outcome, $((SECONDS - started)) s"
done
if [[ -s $STATE/failed ]]; then
    say "failed; run one by GLASSTCP_SEED=n cargo test --test sim NAME::replay:"
    cat "$STATE/failed" >&2
    exit 1
fi
say "all ${#BLOCKS[@]} blocks are well"
