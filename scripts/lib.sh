# shellcheck shell=bash
# Helpers shared by the scripts beside this file. Source it; it does nothing by itself.
#
# Rules kept here: only `ip` commands (and the packet capture) run with more rights than the caller has, each one is
# printed before it runs, nothing changes a sysctl or a route beyond the TUN's own subnet, and nothing prompts except sudo
# for those `ip` commands.

# Where messages go; run.sh moves them to stderr when the program's own output is a capture.
MESSAGES=1
DRY_RUN=${DRY_RUN:-0}

say() { printf '%s\n' "$*" >&"$MESSAGES"; }
warn() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    warn "$*"
    exit 1
}
# A mistake in the command line, as other programs report it.
usage_error() {
    warn "$*"
    warn "try --help"
    exit 2
}

# Prints the comment block at the head of the calling script: its help is its documentation.
print_help() {
    sed -n '2,/^[^#]/{ /^[^#]/d; s/^# \{0,1\}//; p; }' "$0"
}

# Sets the variable named $1 to the value of an option: `--name value` (then $3 is the value) or `--name=value`.
# Returns in TAKEN how many arguments that used.
take_value() {
    local variable=$1 option=$2
    case $option in
        --*=*) printf -v "$variable" '%s' "${option#*=}" && TAKEN=1 ;;
        *)
            [[ $# -ge 3 ]] || usage_error "$option needs a value"
            printf -v "$variable" '%s' "$3" && TAKEN=2
            ;;
    esac
}

# ---- who runs this --------------------------------------------------------------------------------------------------

# The user that the program runs as and that owns the TUN: the one who called, also through sudo.
find_user() {
    RUN_UID=$(id -u)
    RUN_GID=$(id -g)
    if [[ $RUN_UID -eq 0 && ${SUDO_UID:-0} != 0 ]]; then
        RUN_UID=$SUDO_UID
        RUN_GID=${SUDO_GID:-$SUDO_UID}
    fi
    RUN_USER=$(id -un "$RUN_UID" 2>/dev/null) || RUN_USER=$RUN_UID
    RUN_HOME=$(getent passwd "$RUN_UID" 2>/dev/null | cut -d: -f6) || RUN_HOME=
    [[ $RUN_HOME ]] || RUN_HOME=${HOME:-/}
    SUDO=()
    [[ $(id -u) -eq 0 ]] || SUDO=(sudo)
    # What it takes to be that user again after `ip netns exec`, or when root called through sudo.
    DROP=()
    local groups=--init-groups
    id -un "$RUN_UID" >/dev/null 2>&1 || groups=--clear-groups
    [[ $RUN_UID -eq 0 ]] || DROP=(setpriv --reuid "$RUN_UID" --regid "$RUN_GID" "$groups" --)
}

# Runs a command as the user who called, when root runs the script on that user's behalf.
as_user() {
    if [[ $(id -u) -eq 0 && $RUN_UID -ne 0 ]]; then
        "${DROP[@]}" env HOME="$RUN_HOME" USER="$RUN_USER" LOGNAME="$RUN_USER" PATH="$PATH" "$@"
    else
        "$@"
    fi
}

# ---- ip commands ----------------------------------------------------------------------------------------------------

# Quotes a command line so that it can be pasted.
quoted() {
    local word line=
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then
            line+=" $word"
        else
            line+=" '${word//\'/\'\\\'\'}'"
        fi
    done
    printf '%s' "${line# }"
}

# Prints an `ip` command and runs it with the rights it needs; only prints it in a dry run.
run_ip() {
    if [[ $DRY_RUN -eq 1 ]]; then
        say "$(quoted "${SUDO[@]}" ip "$@")"
        return 0
    fi
    say "+ $(quoted "${SUDO[@]}" ip "$@")"
    "${SUDO[@]}" ip "$@"
}

# Without root and without sudo nothing can work: say what would.
require_rights() {
    [[ $DRY_RUN -eq 1 || ${#SUDO[@]} -eq 0 ]] && return 0
    command -v sudo >/dev/null && return 0
    die "the ip commands need root and there is no sudo here: run this as root (--dry-run prints the commands)"
}

valid_name() { [[ $1 =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]*$ && ${#1} -le $2 ]]; }

netns_exists() { [[ -e /run/netns/$1 || -e /var/run/netns/$1 ]]; }

check_names() {
    valid_name "$TUN" 15 || usage_error "--name $TUN: not a name for an interface (at most 15 letters, digits, _ . -)"
    [[ -z ${NETNS:-} ]] || valid_name "$NETNS" 64 || usage_error "--netns $NETNS: not a name for a namespace"
    [[ -z ${MTU:-} || $MTU =~ ^[1-9][0-9]{2,4}$ ]] || usage_error "--mtu $MTU: not a size of a packet"
}

# A namespace that exists is somebody else's.
refuse_used_netns() {
    [[ $NETNS && $DRY_RUN -eq 0 ]] && netns_exists "$NETNS" || return 0
    die "a network namespace $NETNS exists already: choose another, or remove it by: $(quoted "${SUDO[@]}" ip netns del "$NETNS")"
}

# ---- addresses ------------------------------------------------------------------------------------------------------

# 10.0.0.1 -> 0a000001; fails where it is no IPv4 address.
hex_of_v4() {
    local part hex= parts
    [[ $1 =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || return 1
    IFS=. read -ra parts <<<"$1"
    for part in "${parts[@]}"; do
        ((10#$part <= 255)) || return 1
        printf -v part '%02x' "$((10#$part))"
        hex+=$part
    done
    printf '%s' "$hex"
}

# fd00::1 -> fd000000000000000000000000000001; fails where it is no IPv6 address (or has dots in it).
hex_of_v6() {
    local text=$1 head tail hex= group groups
    [[ $text =~ ^[0-9A-Fa-f:]+$ && $text == *:*:* && $text != *:::* && $text != *::*::* ]] || return 1
    if [[ $text == *::* ]]; then
        head=${text%%::*}
        tail=${text#*::}
        local given=$head:$tail count=0
        IFS=: read -ra groups <<<"$given"
        for group in "${groups[@]}"; do [[ $group ]] && count=$((count + 1)); done
        ((count < 8)) || return 1
        text=$head
        while ((count < 8)); do
            text+=:0
            count=$((count + 1))
        done
        text+=:$tail
    fi
    IFS=: read -ra groups <<<"$text"
    for group in "${groups[@]}"; do
        [[ $group ]] || continue
        [[ ${#group} -le 4 ]] || return 1
        printf -v group '%04x' "$((16#$group))"
        hex+=$group
    done
    [[ ${#hex} -eq 32 ]] || return 1
    printf '%s' "$hex"
}

# Address in either family -> hex.
hex_of() { if [[ $1 == *:* ]]; then hex_of_v6 "$1"; else hex_of_v4 "$1"; fi; }

# Does one of the two prefixes contain the other? Arguments: hex bits hex bits.
prefixes_overlap() {
    [[ ${#1} -eq ${#3} ]] || return 1
    local bits=$(($2 < $4 ? $2 : $4)) digits rest
    digits=$((bits / 4))
    rest=$((bits % 4))
    [[ ${1:0:digits} == "${3:0:digits}" ]] || return 1
    ((rest == 0)) && return 0
    ((16#${1:digits:1} >> (4 - rest) == 16#${3:digits:1} >> (4 - rest)))
}

# True where TEXT (an address with or without /bits) overlaps the prefix hex/bits. A default route, also one cut in two
# halves as VPNs do it, is no overlap.
text_overlaps() {
    local text=$1 hex=$2 bits=$3 other length
    other=$(hex_of "${text%/*}") || return 1
    length=$((${#other} * 4))
    [[ $text == */* ]] && length=${text#*/}
    ((length > 1)) || return 1
    prefixes_overlap "$other" "$length" "$hex" "$bits"
}

# Prints a line for each address and route of this network namespace that overlaps the subnet $1.
conflicts_with() {
    local subnet=$1 family=-4 hex bits line words i text
    [[ $subnet == *:* ]] && family=-6
    hex=$(hex_of "${subnet%/*}")
    bits=${subnet#*/}
    while read -r line; do
        read -ra words <<<"$line"
        for ((i = 2; i + 1 < ${#words[@]}; i++)); do
            [[ ${words[i]} == inet || ${words[i]} == inet6 || ${words[i]} == peer ]] || continue
            text=${words[i + 1]}
            text_overlaps "$text" "$hex" "$bits" && printf 'address %s on %s\n' "$text" "${words[1]}"
        done
    done < <(ip -o "$family" addr show 2>/dev/null)
    while read -r line; do
        read -ra words <<<"$line"
        [[ ${#words[@]} -gt 0 ]] || continue
        case ${words[0]} in
            broadcast | multicast | anycast) continue ;;
            # The kernel's own entries repeat the addresses above.
            local)
                [[ $line == *"proto kernel"* ]] && continue
                text=${words[1]}
                ;;
            unicast | throw | unreachable | prohibit | blackhole | nat) text=${words[1]} ;;
            *) text=${words[0]} ;;
        esac
        [[ $text == default ]] && continue
        text_overlaps "$text" "$hex" "$bits" && printf 'route %s\n' "$line"
    done < <(ip "$family" route show table all 2>/dev/null)
    return 0
}

# Checks SUBNET and SUBNET6 as given and sets KERNEL4, STACK4, KERNEL6, STACK6 (with /bits). SUBNET6 may be `none`.
plan_addresses() {
    local base bits hex number
    base=${SUBNET%/*}
    bits=${SUBNET#*/}
    hex=$(hex_of_v4 "$base") || usage_error "--subnet $SUBNET: expected something like 10.0.0.0/24"
    [[ $SUBNET == */* && $bits =~ ^[0-9]{1,2}$ ]] && ((10#$bits >= 8 && 10#$bits <= 30)) ||
        usage_error "--subnet $SUBNET: the prefix length must be 8 to 30"
    bits=$((10#$bits))
    number=$((16#$hex))
    (((number & ((1 << (32 - bits)) - 1)) == 0)) ||
        usage_error "--subnet $SUBNET: that is not the first address of a /$bits"
    KERNEL4=${base%.*}.$((${base##*.} + 1))/$bits
    STACK4=${base%.*}.$((${base##*.} + 2))/$bits
    KERNEL6= STACK6=
    [[ $SUBNET6 == none ]] && return 0
    base=${SUBNET6%/*}
    bits=${SUBNET6#*/}
    hex_of_v6 "$base" >/dev/null && [[ $base == *:: ]] ||
        usage_error "--subnet6 $SUBNET6: expected something like fd00:67::/64 (ending in ::), or none"
    [[ $SUBNET6 == */* && $bits =~ ^[0-9]{1,3}$ ]] && ((10#$bits >= 16 && 10#$bits <= 112)) ||
        usage_error "--subnet6 $SUBNET6: the prefix length must be 16 to 112"
    KERNEL6=${base}1/$bits
    STACK6=${base}2/$bits
}

# Goes on without IPv6 where the kernel has none.
settle_ipv6() {
    [[ $SUBNET6 == none ]] && return 0
    local switch=/proc/sys/net/ipv6/conf/default/disable_ipv6 why=
    if [[ ! -e $switch ]]; then
        why="this kernel has no IPv6"
    elif [[ -z ${NETNS:-} && $(<"$switch") == 1 ]]; then
        why="IPv6 is switched off here"
    fi
    [[ $why ]] || return 0
    warn "$why: going on with IPv4 alone"
    SUBNET6=none KERNEL6= STACK6=
}

# Refuses where the subnets are in use already. In a fresh namespace nothing can be.
refuse_conflicts() {
    [[ ${NETNS:-} ]] && return 0
    local subnet option found bad=0
    for subnet in "$SUBNET" "$SUBNET6"; do
        [[ $subnet == none ]] && continue
        found=$(conflicts_with "$subnet")
        [[ $found ]] || continue
        option="--subnet 10.67.0.0/24"
        [[ $subnet == *:* ]] && option="--subnet6 fd00:6767::/64"
        while read -r line; do warn "$subnet is in use: $line"; done <<<"$found"
        warn "choose another with $option (or the like), or use a namespace of its own: --netns glass"
        bad=1
    done
    if ip link show dev "$TUN" >/dev/null 2>&1; then
        warn "an interface $TUN exists already: scripts/tun-down.sh --name $TUN removes a TUN, --name chooses another"
        bad=1
    fi
    [[ $bad -eq 0 || $DRY_RUN -eq 1 ]] || exit 1
}

# ---- the TUN --------------------------------------------------------------------------------------------------------

MADE_TUN=0
MADE_NETNS=0

# Makes the TUN, in NETNS where one is named, and remembers what it made for remove_tun. The flags are set before the
# commands: a signal may arrive between the two, and removing nothing does no harm.
make_tun() {
    local ip=()
    if [[ ${NETNS:-} ]]; then
        ip=(-n "$NETNS")
        MADE_NETNS=1
        run_ip netns add "$NETNS" || { MADE_NETNS=0 && return 1; }
        run_ip "${ip[@]}" link set dev lo up || return 1
    fi
    MADE_TUN=1
    run_ip "${ip[@]}" tuntap add dev "$TUN" mode tun ${MULTI_QUEUE:+multi_queue} user "$RUN_USER" || { MADE_TUN=0 && return 1; }
    run_ip "${ip[@]}" addr add "$KERNEL4" dev "$TUN" || return 1
    # nodad: the address is usable at once, not after a second of asking who else has it.
    [[ -z $KERNEL6 ]] || run_ip "${ip[@]}" -6 addr add "$KERNEL6" dev "$TUN" nodad || return 1
    # A TUN drops silently when its queue is full, and TCP would take that for congestion: the 500 packets of the default are
    # 0.7 MB without offload, less than one window. So the queue is long; what waits in it is bounded by the windows.
    run_ip "${ip[@]}" link set dev "$TUN" txqueuelen 10000 ${MTU:+mtu "$MTU"} up || return 1
}

# Removes what make_tun made, the last thing first.
remove_tun() {
    local ip=()
    [[ ${NETNS:-} ]] && ip=(-n "$NETNS")
    if [[ $MADE_TUN -eq 1 ]]; then
        MADE_TUN=0
        run_ip "${ip[@]}" link del dev "$TUN" || warn "$TUN is not removed"
    fi
    if [[ $MADE_NETNS -eq 1 ]]; then
        MADE_NETNS=0
        run_ip netns del "$NETNS" || warn "the namespace $NETNS is not removed"
    fi
}

# ---- what is installed ----------------------------------------------------------------------------------------------

# The Debian package that brings a tool.
package_of() {
    case $1 in
        cc) printf 'gcc libc6-dev' ;;
        ip) printf 'iproute2' ;;
        nc) printf 'netcat-openbsd' ;;
        ping) printf 'iputils-ping' ;;
        dig) printf 'bind9-dnsutils' ;;
        nft) printf 'nftables' ;;
        setpriv | unshare) printf 'util-linux' ;;
        *) printf '%s' "$1" ;;
    esac
}

have() {
    case $1 in
        cc) command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ;;
        cargo) find_cargo ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# Finds cargo on PATH or where rustup puts it, the caller's home first.
find_cargo() {
    local home
    command -v cargo >/dev/null && return 0
    for home in "${CARGO_HOME:-}" "$RUN_HOME/.cargo" "${HOME:-}/.cargo"; do
        [[ $home && -x $home/bin/cargo ]] || continue
        PATH=$home/bin:$PATH
        return 0
    done
    return 1
}

# 1.85.0 is at least 1.91? Arguments: version, wanted.
version_at_least() { [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }

wanted_rust() { sed -n 's/^rust-version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml"; }

cargo_version() { as_user cargo --version 2>/dev/null | sed 's/^cargo \([0-9.]*\).*/\1/'; }

# How to get a Rust new enough, in one line: distributions' own are often too old.
rust_advice() {
    local candidate
    if command -v rustup >/dev/null; then
        printf 'rustup toolchain install stable && rustup default stable'
    elif candidate=$(apt_candidate cargo) && version_at_least "$candidate" "$(wanted_rust)"; then
        printf '%s' "${SUDO[*]:+sudo }apt-get install -y cargo"
    elif apt_candidate rustup >/dev/null; then
        printf '%s' "${SUDO[*]:+sudo }apt-get install -y rustup && rustup default stable"
    else
        printf '%s' "follow https://rustup.rs (one command, no root)"
    fi
}

apt_candidate() {
    local version
    command -v apt-cache >/dev/null || return 1
    version=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: //p')
    [[ $version && $version != "(none)" ]] || return 1
    printf '%s' "${version%%[!0-9.]*}"
}

# Can packages be installed without asking anybody anything?
may_install() {
    command -v apt-get >/dev/null || return 1
    [[ $(id -u) -eq 0 ]] || sudo -n true 2>/dev/null
}

apt_install() {
    local as=()
    [[ $(id -u) -eq 0 ]] || as=(sudo -n)
    say "+ $(quoted "${as[@]}" apt-get install -y --no-install-recommends "$@")"
    local install=("${as[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@")
    "${install[@]}" </dev/null >&2 && return 0
    # A fresh machine or container has no package lists yet.
    "${as[@]}" apt-get update </dev/null >&2 && "${install[@]}" </dev/null >&2
}

# Installs Rust by apt where apt has one that is new enough, else by apt's rustup.
install_rust() {
    local candidate
    if candidate=$(apt_candidate cargo) && version_at_least "$candidate" "$(wanted_rust)"; then
        apt_install cargo rustc
    elif apt_candidate rustup >/dev/null; then
        apt_install rustup && as_user rustup default stable >&2
    else
        return 1
    fi
}

# Makes sure that the named tools are there: installs what is missing where that needs no question, else prints the
# command and fails. INSTALL=0 only names.
require_tools() {
    local tool packages=() missing=() advice=()
    for tool in "$@"; do have "$tool" || missing+=("$tool"); done
    if [[ ${#missing[@]} -gt 0 && ${INSTALL:-1} -eq 1 && $DRY_RUN -eq 0 ]] && may_install; then
        say "missing: ${missing[*]}"
        for tool in "${missing[@]}"; do
            # shellcheck disable=SC2207 # package names have no blanks
            [[ $tool == cargo ]] || packages+=($(package_of "$tool"))
        done
        [[ ${#packages[@]} -eq 0 ]] || apt_install "${packages[@]}" || warn "apt-get failed"
        if [[ " ${missing[*]} " == *" cargo "* ]]; then
            # Without package lists apt knows no candidate.
            apt_candidate cargo >/dev/null || "${SUDO[@]}" apt-get update </dev/null >&2 || true
            install_rust || true
        fi
        hash -r
    fi
    packages=()
    for tool in "$@"; do
        have "$tool" && continue
        # shellcheck disable=SC2207
        if [[ $tool == cargo ]]; then advice+=("$(rust_advice)"); else packages+=($(package_of "$tool")); fi
    done
    [[ ${#packages[@]} -eq 0 ]] || advice+=("${SUDO[*]:+sudo }apt-get install -y ${packages[*]}")
    [[ ${#advice[@]} -gt 0 ]] || return 0
    warn "something is missing; install it by:"
    for tool in "${advice[@]}"; do printf '    %s\n' "$tool" >&2; done
    [[ $DRY_RUN -eq 1 ]]
}

# Warns where cargo is older than Cargo.toml asks for.
check_cargo_version() {
    local version wanted
    version=$(cargo_version)
    wanted=$(wanted_rust)
    [[ -z $version || -z $wanted ]] || version_at_least "$version" "$wanted" ||
        die "cargo $version is older than the $wanted that this needs: $(rust_advice)"
}
