#!/usr/bin/env bash
# scripts/test.sh: everything that must hold before a change is done: formatting, lints, all tests, the documentation.
#
#     scripts/test.sh             all of it (end-to-end tests make their own network namespaces and need root)
#     scripts/test.sh --fast      without the end-to-end tests (tests/end_to_end*.rs, tests/e2e*.rs)
#
# First it makes sure that the tools are there: cargo, a C compiler, ip, nc, curl, ping, dig, nft, ethtool, tshark,
# tcpdump and python3; it installs what is missing by apt-get where that needs no question, else prints the command.
#
# A test that cannot run here, for lack of rights or of a tool, prints a line `skipped: NAME: why`. With CI=true in the
# environment a skipped test is a failure.
#
# All steps run even where one fails; the last line says which did. Exit code: 0 when all is well, else 1.
#
# Options:
#   --fast             leave the end-to-end tests out
#   --no-install       name what is missing, install nothing
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

FAST=0 INSTALL=1
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --fast) FAST=1 && shift ;;
        --no-install) INSTALL=0 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
cd "$ROOT"
find_user
MESSAGES=2
# What the build of all tests leaves on the disk.
BUILD_MIB=1200
STARTED=$SECONDS
PASSED=() FAILED=()
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

# Runs one step, shows what it runs and how long it took, and remembers how it ended.
step() {
    local name=$1 start=$SECONDS
    shift
    printf '\n== %s: %s\n' "$name" "$(quoted "$@")"
    if "$@"; then
        PASSED+=("$name")
        printf '== %s: ok, %d s\n' "$name" "$((SECONDS - start))"
    else
        FAILED+=("$name")
        printf '== %s: FAILED, %d s\n' "$name" "$((SECONDS - start))"
    fi
}

set_up() {
    local tools=(cargo cc)
    # What the end-to-end tests speak to glasstcp with.
    [[ $FAST -eq 1 ]] || tools+=(ip nc curl ping dig nft ethtool tshark tcpdump python3)
    if ! require_tools "${tools[@]}"; then
        # Without these two nothing can be built; without the others tests are skipped and say so.
        have cargo && have cc || return 1
        warn "going on without; tests that need them are skipped"
    fi
    check_cargo_version
    room_on_disk || return 1
    local part
    for part in fmt:rustfmt clippy:clippy; do
        cargo "${part%%:*}" --version >/dev/null 2>&1 && continue
        if command -v rustup >/dev/null; then
            rustup component add "${part#*:}" || return 1
        else
            warn "cargo ${part%%:*} is missing: install the package ${part#*:} or rust-${part#*:}"
            return 1
        fi
    done
    cargo --version
}

# A linker on a full disk dies of SIGBUS, which tells nobody what is wrong.
room_on_disk() {
    local target=${CARGO_TARGET_DIR:-target} needed=$((BUILD_MIB * 1024)) free
    mkdir -p "$target"
    free=$(df --output=avail "$target" 2>/dev/null | tail -n 1) || return 0
    [[ ! -e $target/debug/deps ]] && [[ $free =~ ^[0-9]+$ ]] && ((free < needed)) || return 0
    warn "a first build takes about $BUILD_MIB MiB in $target, and only $((free / 1024)) MiB are free there:"
    warn "make room, or set CARGO_TARGET_DIR to a directory on a larger disk"
    return 1
}

# Shows the output of a test run and keeps a copy to look for skipped tests in.
logged() { "$@" 2>&1 | tee -a "$LOG"; }

not_end_to_end() {
    local file name
    for file in tests/*.rs tests/*/main.rs; do
        name=${file#tests/}
        name=${name%/main.rs}
        name=${name%.rs}
        case $name in end_to_end* | e2e*) ;; *) printf -- '--test\n%s\n' "$name" ;; esac
    done
    printf -- '--test\n%s\n' packetdrill
}

# A test may not quietly stay out of a run that decides about a change.
skipped_tests() { grep -E '(^| \.\.\. )skipped: [^ ]+: ' "$LOG" | sed 's/^.*skipped: /skipped: /' | sort -u; }

no_skips() {
    local found
    found=$(skipped_tests) || return 0
    printf '%s\n' "$found"
    [[ ${CI:-} != true ]]
}

step set-up set_up
if [[ ${#FAILED[@]} -gt 0 ]]; then
    printf '\ntest.sh: FAILED in the set-up, nothing was tested\n'
    exit 1
fi
step format cargo fmt --check
step clippy cargo clippy --all-targets --all-features --locked -- -D warnings
if [[ $FAST -eq 1 ]]; then
    mapfile -t selection < <(not_end_to_end)
    step tests logged cargo test --all-features --locked --no-fail-fast --lib --bins "${selection[@]}"
else
    step tests logged cargo test --all-features --locked --no-fail-fast
fi
step skips no_skips
step docs env RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features --locked

if [[ ${#FAILED[@]} -gt 0 ]]; then
    printf '\ntest.sh: FAILED: %s (passed: %s), %d s\n' "${FAILED[*]}" "${PASSED[*]}" "$((SECONDS - STARTED))"
    exit 1
fi
printf '\ntest.sh: all passed: %s, %d s\n' "${PASSED[*]}" "$((SECONDS - STARTED))"
