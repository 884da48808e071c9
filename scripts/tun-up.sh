#!/usr/bin/env bash
# scripts/tun-up.sh: makes the TUN that glasstcp serves on, and nothing else.
#
#     scripts/tun-up.sh
#     glasstcp serve --tun glass0 --addr 10.0.0.2/24 --addr fd00:67::2/64
#     scripts/tun-down.sh
#
# The TUN belongs to you, so glasstcp runs without root. It stays until scripts/tun-down.sh or a restart of the machine.
# scripts/run.sh does all of this in one go; use this script to start glasstcp by hand, under a debugger for example.
#
# The queue of the TUN (txqueuelen) is raised from 500 packets to 10,000, since a TUN drops silently when it is full.
#
# Options:
#   --name TUN         name of the TUN (glass0)
#   --subnet NET       IPv4 subnet (10.0.0.0/24): the kernel takes .1, leave .2 to glasstcp
#   --subnet6 NET      IPv6 subnet (fd00:67::/64), or none
#   --netns NAME       make it inside a fresh network namespace of this name
#   --mtu N            MTU of the TUN
#   --multi-queue      let several queues be attached to it, each by its own thread (not for --device plain)
#   --dry-run          print the ip commands, run none of them
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

TUN=glass0 SUBNET=10.0.0.0/24 SUBNET6=fd00:67::/64 NETNS= MTU= MULTI_QUEUE=
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --name | --name=*) take_value TUN "$@" && shift "$TAKEN" ;;
        --subnet | --subnet=*) take_value SUBNET "$@" && shift "$TAKEN" ;;
        --subnet6 | --subnet6=*) take_value SUBNET6 "$@" && shift "$TAKEN" ;;
        --netns | --netns=*) take_value NETNS "$@" && shift "$TAKEN" ;;
        --mtu | --mtu=*) take_value MTU "$@" && shift "$TAKEN" ;;
        --multi-queue) MULTI_QUEUE=1 && shift ;;
        --dry-run) DRY_RUN=1 && shift ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
check_names
plan_addresses
find_user
require_tools ip || exit 1
require_rights
refuse_used_netns
settle_ipv6
refuse_conflicts
trap 'remove_tun' EXIT
make_tun || die "the TUN could not be made"
trap - EXIT
[[ $DRY_RUN -eq 1 ]] && exit 0
enter=
[[ -z $NETNS ]] || enter="$(quoted "${SUDO[@]}" ip netns exec "$NETNS") "
say "$TUN is up and belongs to $RUN_USER. Serve on it by:"
say "    ${enter}glasstcp serve --tun $TUN --addr $STACK4${STACK6:+ --addr $STACK6}${MTU:+ --mtu $MTU}"
say "Remove it by: scripts/tun-down.sh --name $TUN${NETNS:+ --netns $NETNS}"
