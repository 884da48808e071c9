#!/usr/bin/env bash
# scripts/doctor.sh: looks whether this machine can build and run glasstcp, and says for each gap what to do.
#
#     scripts/doctor.sh
#
# Each line begins with ok, warn (something optional) or missing (something needed), and names the way out. It changes
# nothing, needs no root, and reads no sysctl: glasstcp needs none changed. Exit code: 0 when nothing needed is missing,
# else 1.
#
# Options:
#   --name TUN         name of the TUN to look for (glass0)
#   --subnet NET       IPv4 subnet to look at (10.0.0.0/24)
#   --subnet6 NET      IPv6 subnet to look at (fd00:67::/64), or none
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

TUN=glass0 SUBNET=10.0.0.0/24 SUBNET6=fd00:67::/64 NETNS=
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --name | --name=*) take_value TUN "$@" && shift "$TAKEN" ;;
        --subnet | --subnet=*) take_value SUBNET "$@" && shift "$TAKEN" ;;
        --subnet6 | --subnet6=*) take_value SUBNET6 "$@" && shift "$TAKEN" ;;
        *) usage_error "unknown argument $1" ;;
    esac
done
check_names
plan_addresses
find_user

MISSING=0 WARNINGS=0
ok() { printf 'ok       %s\n' "$*"; }
maybe() { WARNINGS=$((WARNINGS + 1)) && printf 'warn     %s\n' "$*"; }
missing() { MISSING=$((MISSING + 1)) && printf 'missing  %s\n' "$*"; }

check_kernel() {
    if [[ $(uname -s) == Linux ]]; then
        ok "Linux $(uname -r)"
    else
        missing "Linux: this is $(uname -s), which has no TUN of that kind"
    fi
    if [[ -e /proc/sys/net/ipv6 ]]; then
        ok "the kernel speaks IPv6"
    else
        maybe "the kernel has no IPv6: scripts/run.sh goes on with IPv4 alone"
    fi
}

check_tun_device() {
    local problem
    if [[ ! -e /dev/net/tun ]]; then
        missing "/dev/net/tun: sudo modprobe tun; in a container: --device /dev/net/tun --cap-add NET_ADMIN"
    elif [[ ! -c /dev/net/tun ]]; then
        missing "/dev/net/tun is no device: remove it, then sudo mknod -m 666 /dev/net/tun c 10 200"
    elif ! as_user test -r /dev/net/tun -a -w /dev/net/tun; then
        missing "/dev/net/tun is not for $RUN_USER ($(stat -c %A /dev/net/tun)): sudo chmod 666 /dev/net/tun (what udev does; the kernel still asks who owns the TUN)"
    elif ! problem=$(as_user bash -c 'exec 3<>/dev/net/tun' 2>&1); then
        missing "/dev/net/tun cannot be opened (${problem##*: }): sudo modprobe tun; in a container: --device /dev/net/tun"
    else
        ok "/dev/net/tun opens for $RUN_USER"
    fi
}

# Bit 12 of the effective set is CAP_NET_ADMIN.
has_net_admin() {
    local set
    set=$(sed -n 's/^CapEff:[[:space:]]*//p' /proc/self/status)
    (((16#$set >> 12) & 1))
}

check_rights() {
    if [[ $(id -u) -eq 0 ]] && has_net_admin; then
        ok "root with CAP_NET_ADMIN: may make a TUN"
    elif has_net_admin; then
        ok "CAP_NET_ADMIN: may make a TUN"
    elif [[ $(id -u) -eq 0 ]]; then
        missing "root without CAP_NET_ADMIN: in a container add --cap-add NET_ADMIN"
    elif command -v sudo >/dev/null; then
        ok "not root, but sudo is there: scripts/run.sh asks it for the ip commands alone"
    else
        missing "rights to make a TUN: run scripts/run.sh as root, or have an administrator run once: ip tuntap add dev $TUN mode tun user $RUN_USER"
    fi
    local how=(unshare -n)
    [[ $(id -u) -eq 0 ]] || how=(unshare -Urn)
    # The real proof, in a namespace that ends with the command.
    if "${how[@]}" ip tuntap add dev "$TUN" mode tun >/dev/null 2>&1; then
        ok "making a TUN in a throw-away namespace works (${how[*]})"
    else
        maybe "making a TUN in a throw-away namespace does not work (${how[*]}): end-to-end tests will not run as $(id -un 2>/dev/null || id -u)"
    fi
}

check_needed_tools() {
    local tool version wanted
    if have cargo; then
        version=$(cargo_version)
        wanted=$(wanted_rust)
        if [[ -z $version ]]; then
            missing "cargo does not answer: $(rust_advice)"
        elif version_at_least "$version" "$wanted"; then
            ok "cargo $version (needs $wanted)"
        else
            missing "cargo $version is older than $wanted: $(rust_advice)"
        fi
    else
        missing "cargo: $(rust_advice)"
    fi
    for tool in cc ip nc; do
        if have "$tool"; then
            ok "$tool"
        else
            missing "$tool: ${SUDO[*]:+sudo }apt-get install -y $(package_of "$tool")"
        fi
    done
}

check_other_tools() {
    local entry tool use
    for entry in "curl:web page, tests" "ping:tests" "dig:tests" "python3:tests of super-datagrams" "nft:tests with loss" "ethtool:tests with BIG TCP" "tshark:tests that check captures" \
        "tcpdump:scripts/capture.sh" "unshare:tests" "setpriv:running as you inside a namespace"; do
        tool=${entry%%:*}
        use=${entry#*:}
        if have "$tool"; then
            ok "$tool"
        else
            maybe "$tool ($use): ${SUDO[*]:+sudo }apt-get install -y $(package_of "$tool")"
        fi
    done
}

check_network() {
    have ip || return 0
    local subnet found line
    for subnet in "$SUBNET" "$SUBNET6"; do
        [[ $subnet == none ]] && continue
        found=$(conflicts_with "$subnet")
        if [[ -z $found ]]; then
            ok "nothing here uses $subnet"
            continue
        fi
        while read -r line; do
            maybe "$subnet is in use ($line): choose another by --subnet or --subnet6, or use --netns"
        done <<<"$found"
    done
    if ip link show dev "$TUN" >/dev/null 2>&1; then
        maybe "$TUN exists already: scripts/tun-down.sh --name $TUN removes it"
    else
        ok "no interface is called $TUN"
    fi
}

check_kernel
check_tun_device
check_needed_tools
# Without ip the rights cannot be tried out.
if have ip; then check_rights; fi
check_other_tools
check_network
if [[ $MISSING -gt 0 ]]; then
    printf '\n%d missing, %d warnings: scripts/run.sh will not work yet.\n' "$MISSING" "$WARNINGS"
    exit 1
fi
printf '\nNothing needed is missing; %d warnings.\n' "$WARNINGS"
