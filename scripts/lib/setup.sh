# Set-up shared by scripts/demo, scripts/test and scripts/perf: Debian packages, the Rust toolchain, the release binaries.
# Sourced by bash. Everything here may run again and again: what is there already is not touched.

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build_packages=(build-essential pkg-config cmake libclang-dev libdpdk-dev libsrtp2-dev libipsec-mb-dev libssl-dev)
lab_packages=(iproute2 procps nftables ethtool tcpdump openssl kamailio baresip-core libsrtp2-1
    python3 python3-cryptography python3-numpy python3-pytest tftp-hpa atftp curl tftpd-hpa)
# What perf/rtpengine needs beyond these.
comparison_packages=(rtpengine-daemon)
# What perf/report draws plots with.
report_packages=(python3-matplotlib)

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

# Runs a command quietly; if it fails, its output is shown.
quietly() {
    local log status
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        rm -f "$log"
    else
        status=$?
        cat "$log" >&2
        rm -f "$log"
        return $status
    fi
}

need_root() {
    [ "$(id -u)" -eq 0 ] || die "run as root: the lab makes network namespaces, and packages may have to be installed"
}

# Installs the packages that are missing among those named.
need_packages() {
    local missing=() package
    for package in "$@"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null || die "this is not Debian; install what corresponds to: ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    quietly apt-get update || die "apt-get update failed: see above"
    DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "${missing[@]}" ||
        die "apt-get install failed: see above"
    # Debian starts what it installs; lab and comparison run their own in namespaces.
    [ -d /run/systemd/system ] || return 0
    for package in "${missing[@]}"; do
        case $package in
        kamailio | rtpengine-daemon | tftpd-hpa) quietly systemctl disable --now "$package" || true ;;
        esac
    done
}

# Whether the cargo on the path is at least the version that the workspace asks for.
cargo_is_recent() {
    command -v cargo >/dev/null || return 1
    local wanted found
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repository/Cargo.toml")
    found=$(cd "$repository" && cargo --version 2>/dev/null | awk '{print $2}')
    [ -n "$found" ] && [ "$(printf '%s\n' "$wanted" "$found" | sort -V | head -n 1)" = "$wanted" ]
}

# A recent Rust: what is on the path, or else Debian's packages of it. Debian 12 keeps a recent compiler for building
# browsers, under names that end in "-web"; the plain names are too old there.
need_toolchain() {
    PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    cargo_is_recent && return
    apt-cache show cargo-web >/dev/null 2>&1 || quietly apt-get update || die "apt-get update failed: see above"
    if apt-cache show cargo-web >/dev/null 2>&1; then
        need_packages cargo-web rustc-web rustfmt-web rust-web-clippy
        hash -r
        cargo_is_recent && return
    fi
    die "Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$repository/Cargo.toml") or newer is needed (cargo, rustfmt," \
        "clippy) and this Debian has no such packages: install the toolchain with rustup and run this again"
}

# Builds the binaries of the appliance into target/release.
build_binaries() { build_release -p pinhole-dataplane -p pinhole-controlplane -p pinhole-legacy-tls -p pinholectl; }

# Builds the binaries of some packages, named as for cargo, into target/release.
build_release() {
    local named=" $*"
    say "building${named// -p/} (the first time takes some minutes)"
    if [ -t 2 ]; then
        (cd "$repository" && CARGO_TARGET_DIR="$repository/target" cargo build --release --bins "$@" >&2)
    else
        (cd "$repository" && CARGO_TARGET_DIR="$repository/target" quietly cargo build --release --bins "$@")
    fi || die "the build failed: see above"
}
