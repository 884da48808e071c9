#!/usr/bin/env bash
# scripts/fuzz.sh: runs the fuzz targets for a given time each.
#
#     scripts/fuzz.sh
#     scripts/fuzz.sh --seconds 3600 segment_in_any_state
#     scripts/fuzz.sh --generated --seconds 300
#
# The targets are parser, options, reassembly, segment_in_any_state, two_stacks, recovery, congestion and capture; without a
# name all of them run. docs/security.md says what each of them checks. The stable toolchain is enough: libFuzzer needs the
# coverage that its compiler puts in by plain code generation options, and a C++ compiler; no sanitizer, as the code under
# test has no unsafe blocks that one could look into. Without a C++ compiler, or with --generated, the inputs come from the
# seeded generator of tests/fuzz, which does not see what code they reach.
#
# What they find lies in fuzz/artifacts afterwards, and the name of the file is printed. To play it again:
#
#     GLASSTCP_FUZZ_INPUT=FILE cargo test --all-features --test fuzz TARGET
#
# Inputs that reach new code are kept in fuzz/corpus, and the next run begins with them.
#
# Options:
#   --seconds N        time for each target (60)
#   --generated        inputs of the generator, without libFuzzer
#   --list             print the targets, run none
#   --dry-run          print the commands, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

SECONDS_EACH=60 TARGETS=() GENERATED=0
ALL=(parser options reassembly segment_in_any_state two_stacks recovery congestion capture)
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --seconds | --seconds=*) take_value SECONDS_EACH "$@" && shift "$TAKEN" ;;
        --generated) GENERATED=1 && shift ;;
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
cd "$ROOT"
if [[ $GENERATED -eq 0 && $DRY_RUN -eq 0 ]] && ! command -v c++ >/dev/null; then
    warn "there is no C++ compiler for libFuzzer (on Debian: apt-get install g++): the inputs are generated"
    GENERATED=1
fi

run() {
    say "${*@Q}"
    [[ $DRY_RUN -eq 1 ]] || "$@"
}

if [[ $GENERATED -eq 1 ]]; then
    for target in "${TARGETS[@]}"; do
        run env GLASSTCP_FUZZ_SECONDS="$SECONDS_EACH" cargo test --quiet --release --all-features --test fuzz -- --nocapture --exact "$target" ||
            die "$target has found something"
    done
    exit 0
fi

# What `cargo fuzz -s none` asks of the compiler: which edges of the code an input takes, and what it compares.
COVERAGE="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
HOST=$(rustc -vV | sed -n 's/^host: //p')
OUT=${CARGO_TARGET_DIR:-$ROOT/fuzz/target}
# With --target the options are for this code alone, not for build scripts.
run env RUSTFLAGS="$COVERAGE" cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$HOST" --target-dir "$OUT"
for target in "${TARGETS[@]}"; do
    [[ $DRY_RUN -eq 1 ]] || mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    run "$OUT/$HOST/release/$target" "fuzz/corpus/$target" "-artifact_prefix=fuzz/artifacts/$target/" \
        "-max_total_time=$SECONDS_EACH" -max_len=2048 -print_final_stats=1 || die "$target has found something"
done
