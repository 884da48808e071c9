#!/usr/bin/env bash
# scripts/tun-down.sh: removes a TUN that scripts/tun-up.sh made, or that a killed scripts/run.sh left behind.
#
#     scripts/tun-down.sh
#     scripts/tun-down.sh --netns glass     the TUN in that namespace, then the namespace if nothing else is in it
#
# Its addresses and routes go with it. An interface that is no TUN is left alone.
#
# Options:
#   --name TUN         name of the TUN (glass0)
#   --netns NAME       look inside this network namespace
#   --dry-run          print the ip commands, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

TUN=glass0 NETNS=
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --name | --name=*) take_value TUN "$@" && shift "$TAKEN" ;;
        --netns | --netns=*) take_value NETNS "$@" && shift "$TAKEN" ;;
        --dry-run) DRY_RUN=1 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
check_names
find_user
require_tools ip || exit 1
require_rights

if [[ $DRY_RUN -eq 1 ]]; then
    MADE_TUN=1
    [[ -z $NETNS ]] || MADE_NETNS=1
    remove_tun
    exit 0
fi
look=(ip)
if [[ $NETNS ]]; then
    netns_exists "$NETNS" || { say "there is no network namespace $NETNS: nothing to do" && exit 0; }
    look=("${SUDO[@]}" ip -n "$NETNS")
fi
if details=$("${look[@]}" -d link show dev "$TUN" 2>/dev/null); then
    [[ $details == *"tun type tun"* ]] || die "$TUN is no TUN: left alone"
    MADE_TUN=1
else
    say "there is no $TUN${NETNS:+ in $NETNS}: nothing to remove"
fi
if [[ $NETNS ]]; then
    # Only a namespace that holds nothing of anybody else's goes: no process, no other interface that is up.
    others=$("${look[@]}" -br link show up | awk -v tun="$TUN" '$1 != "lo" && $1 != tun { print $1 }')
    processes=$("${SUDO[@]}" ip netns pids "$NETNS")
    if [[ $others || $processes ]]; then
        warn "the namespace $NETNS stays: in it are ${others//$'\n'/ } ${processes:+processes ${processes//$'\n'/ }}"
    else
        MADE_NETNS=1
    fi
fi
remove_tun
