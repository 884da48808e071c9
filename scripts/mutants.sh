#!/usr/bin/env bash
# scripts/mutants.sh: are the tags proved? Breaks tagged functions one change at a time and runs the tests that cite their ids.
#
#     scripts/mutants.sh                          every change in src/tcp and src/ip that lies in a function with a tag
#     scripts/mutants.sh --file acceptance        only files with this in their name (may be given again)
#     scripts/mutants.sh --sample 200 --seed 7    200 of the changes, by chance; the same seed chooses the same ones
#     scripts/mutants.sh --all-tests              asks all other tests about what those that cite an id have missed
#     scripts/mutants.sh --report                 writes what is known to docs/mutants*.csv, for docs/conformance.md
#
# A change is another operator (< for <=, + for -, || for &&), a guard that is always true or never, an arm of a match or a
# statement left out, a `!` left out, or a function that returns at once. A tag says that the code at it meets a requirement
# and that the tests which cite the id prove it: so one of those tests must fail. A change that no test notices is a survivor;
# write the test, or say in docs/mutants.csv why it makes no difference, and print docs/conformance.md anew:
#
#     GLASSTCP_UPDATE_CONFORMANCE=1 cargo test --test requirements
#
# cargo-mutants does the same with one build for each change, which would take days here. The tool in scripts/mutants/ puts
# all changes into one copy of the sources, each asleep until the environment names its number (GLASSTCP_MUTANT), so that two
# builds do. It needs crates that the project itself does not (syn, quote, prettyplease).
#
# The run can be interrupted: what is known is in target/mutants/results.tsv, and the same command goes on from there. Where
# the sources have changed in between, give --fresh. The tests run at low priority.
#
# Options:
#   --file PART        only files whose path contains PART
#   --first PART       files whose path contains PART come before the others (may be given again)
#   --sample N         at most N changes
#   --seed N           which of them, and the order (1)
#   --minutes N        stop after so many minutes
#   --jobs N           so many tests at a time (1)
#   --all-tests        see above; tests in real time, in a network namespace, or longer than half a minute are never asked
#   --list             print the changes, run nothing
#   --report           see above
#   --fresh            forget what is known
#   --dry-run          print the commands, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

WORK="$ROOT/target/mutants" FRESH=0 PASSED_ON=()
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --file | --file=* | --first | --first=* | --sample | --sample=* | --seed | --seed=* | --minutes | --minutes=* | \
            --jobs | --jobs=*)
            name=${1%%=*}
            take_value VALUE "$@" && shift "$TAKEN"
            [[ $name == --file || $name == --first || $VALUE =~ ^[0-9]+$ ]] || usage_error "$name needs a number, not '$VALUE'"
            PASSED_ON+=("$name" "$VALUE")
            ;;
        --all-tests | --list | --report) PASSED_ON+=("$1") && shift ;;
        --fresh) FRESH=1 && shift ;;
        --dry-run) DRY_RUN=1 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
cd "$ROOT"
build=(cargo build --quiet --manifest-path scripts/mutants/Cargo.toml --target-dir "$WORK/tool")
run=(nice -n 19 "$WORK/tool/debug/glasstcp-mutants" --work "$WORK" "${PASSED_ON[@]}")
if [[ $DRY_RUN -eq 1 ]]; then
    say "$(quoted "${build[@]}")"
    say "$(quoted "${run[@]}")"
    exit 0
fi
[[ $FRESH -eq 0 ]] || rm -rf "$WORK/results.tsv" "$WORK/tree"
mkdir -p "$WORK"
"${build[@]}" || die "the tool does not build; it needs the crates of scripts/mutants/Cargo.toml"
# The sources under test are those of this directory, whatever cargo thinks of the tool's own.
export CARGO_MANIFEST_DIR=$ROOT
exec "${run[@]}"
