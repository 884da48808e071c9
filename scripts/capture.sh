#!/usr/bin/env bash
# scripts/capture.sh: shows or records the packets on the TUN, as the kernel sees them.
#
#     scripts/capture.sh                          one line per packet, until Ctrl-C
#     scripts/capture.sh trace.pcap               into a file, for Wireshark
#     scripts/capture.sh --netns glass trace.pcap
#     scripts/capture.sh -- tcp port 80           only what a filter (in tcpdump's language) lets through
#
# glasstcp records its own side with `--pcap FILE`; the two should agree. It uses tcpdump, or tshark where only that is
# there, with the rights that a capture needs (sudo, printed). The file belongs to you.
#
# Where glasstcp uses the offloads of the TUN (its default), the kernel sees segments of up to 64 KiB whose checksums are
# not finished, in both directions. That is no error: docs/wireshark.md says more. For packets as on a wire start glasstcp
# with `--device plain` (--wire makes sure of it), or take its own `--pcap FILE`, which cuts and sums them.
#
# Options:
#   --wire             only packets as on a wire: refuse where glasstcp uses the offloads of the TUN
#   --name TUN         name of the TUN (glass0)
#   --netns NAME       capture inside this network namespace
#   --tshark           use tshark also where tcpdump is there; files are pcapng then
#   --dry-run          print the command, do not run it
#   -h, --help         this text
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=scripts/lib.sh
source "$ROOT/scripts/lib.sh"

TUN=glass0 NETNS= TOOL= FILE= WIRE=0
while [[ $# -gt 0 ]]; do
    case $1 in
        -h | --help) print_help && exit 0 ;;
        --name | --name=*) take_value TUN "$@" && shift "$TAKEN" ;;
        --netns | --netns=*) take_value NETNS "$@" && shift "$TAKEN" ;;
        --tshark) TOOL=tshark && shift ;;
        --wire) WIRE=1 && shift ;;
        --dry-run) DRY_RUN=1 && shift ;;
        --) shift && break ;;
        -*) usage_error "unknown option $1" ;;
        *)
            [[ -z $FILE ]] || usage_error "one file only; a filter comes after --"
            FILE=$1
            shift
            ;;
    esac
done
check_names
find_user
if [[ -z $TOOL ]]; then
    TOOL=tcpdump
    command -v tcpdump >/dev/null || ! command -v tshark >/dev/null || TOOL=tshark
fi
require_tools "$TOOL" || exit 1
require_rights

# Whether the program on the TUN exchanges packets with offload headers: on, off, or nothing where that cannot be seen.
# (`ethtool -K TUN tx off tso off` is no way to a wire: it cuts what the kernel sends, never what glasstcp sends.)
offload_of_tun() {
    local how=(ip)
    [[ -z $NETNS ]] || how=("${SUDO[@]}" ip -n "$NETNS")
    "${how[@]}" -d link show dev "$TUN" 2>/dev/null | sed -n 's/.*vnet_hdr \(on\|off\).*/\1/p'
}

MESSAGES=2
if [[ $DRY_RUN -eq 0 && $(offload_of_tun) == on ]]; then
    advice="start glasstcp with --device plain, or take its own --pcap FILE"
    [[ $WIRE -eq 0 ]] || die "glasstcp uses the offloads of $TUN, so this is no wire: $advice"
    say "$TUN has offloads: large segments with unfinished checksums are no error here. As on a wire: $advice"
fi
command=()
[[ -z $NETNS ]] || command=(ip netns exec "$NETNS")
case $TOOL:${FILE:+file} in
    tcpdump:file) command+=(tcpdump -i "$TUN" -n -U --time-stamp-precision=nano -w - "$@") ;;
    tcpdump:) command+=(tcpdump -i "$TUN" -n -l "$@") ;;
    tshark:file) command+=(tshark -i "$TUN" -n -q -w - -F pcapng ${1:+-f "$*"}) ;;
    tshark:) command+=(tshark -i "$TUN" -n -l ${1:+-f "$*"}) ;;
esac
if [[ $DRY_RUN -eq 1 ]]; then
    MESSAGES=1
    say "$(quoted "${SUDO[@]}" "${command[@]}")${FILE:+ >$(quoted "$FILE")}"
    exit 0
fi
say "+ $(quoted "${SUDO[@]}" "${command[@]}")${FILE:+ >$(quoted "$FILE")}"
# The shell opens the file, so it belongs to the caller whoever the tool runs as.
if [[ $FILE ]]; then exec "${SUDO[@]}" "${command[@]}" >"$FILE"; fi
exec "${SUDO[@]}" "${command[@]}"
