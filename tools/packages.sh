# shellcheck shell=bash
# The Debian 12 packages that Sallyport needs, in one place, and how they are installed. Sourced by the tools.

# To build the program, its tests and its benchmarks (docs/dependencies.md says why each library).
# shellcheck disable=SC2034
BUILD_PACKAGES=(
  g++ cmake ninja-build pkg-config
  libssl-dev libabsl-dev nlohmann-json3-dev libcli11-dev libtomlplusplus-dev libidn2-dev libpsl-dev
  libpcap-dev libmnl-dev libnetfilter-queue-dev libnghttp2-dev libc-ares-dev libre2-dev zlib1g-dev libzstd-dev libncurses-dev
  libseccomp-dev prometheus-cpp-dev libgtest-dev libgmock-dev libbenchmark-dev python3
)
# To run it.
# shellcheck disable=SC2034
RUN_PACKAGES=(iptables nftables iproute2)
# To make the .deb (tools/package).
# shellcheck disable=SC2034
PACKAGE_PACKAGES=(dpkg-dev)
# Real clients and servers for the live tests, the demo and the captures.
# shellcheck disable=SC2034
TEST_PACKAGES=(
  nginx-light dnsmasq-base openssh-server openssh-client bind9-dnsutils ngtcp2-client ngtcp2-server
  python3-pyftpdlib lftp coturn python3-aiortc
  python3-aiosmtpd dovecot-imapd dovecot-pop3d vsftpd postgresql mariadb-server-core mariadb-client slapd ldap-utils prosody
  chromium tcpdump curl conntrack openssl util-linux procps python3 python3-dnspython
  iputils-ping
  dovecot-imapd slapd ldap-utils unbound knot-dnsutils gnutls-bin
  mosquitto mosquitto-clients redis-server redis-tools postgresql mariadb-server-core mariadb-client mariadb-client-core
  python3-qpid-proton wireguard-go wireguard-tools openvpn strongswan-charon strongswan-swanctl
  wget git nodejs python3-requests swaks tnftp
  ufw firewalld dbus-daemon
  python3-websockets python3-h2 nghttp2-proxy tinyproxy microsocks dante-server netcat-openbsd
  prometheus tmux
  python3-jsonschema bash-completion zsh fish mandoc lintian debootstrap dpkg-dev strace
)
# A virtual machine with another kernel (tools/stock-kernel).
# shellcheck disable=SC2034
VM_PACKAGES=(qemu-system-x86 busybox-static cpio kmod)
# What only tools/capture-pcaps needs besides: a client for the time. No time server: each would take the place
# of the machine's own.
# shellcheck disable=SC2034
CAPTURE_PACKAGES=(ntpsec-ntpdig)
# To fuzz (tools/fuzz): libFuzzer and the sanitizers of clang, and llvm's coverage tools.
# shellcheck disable=SC2034
FUZZ_PACKAGES=(clang-16 libclang-rt-16-dev llvm-16)

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

# install_packages NAME... installs what is missing and nothing else. Servers among them are neither started nor
# enabled: they are wanted inside network namespaces only. A subshell, so that its trap is its own: whatever ends it,
# the machine may start services again.
install_packages() (
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "installing: ${missing[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0)
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "these packages are missing, and there is no sudo: ${missing[*]}" >&2; return 1; }
    apt=(sudo "${apt[@]}")
  fi
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo)
  local guard=/usr/sbin/policy-rc.d
  if [ ! -e "$guard" ]; then
    # shellcheck disable=SC2064
    trap "${as_root[*]} rm -f $guard" EXIT
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$guard" >/dev/null
    "${as_root[@]}" chmod 755 "$guard"
  fi
  local status=0
  "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
    { "${apt[@]}" update >/dev/null && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } || status=$?
  if [ -d /run/systemd/system ]; then
    local package
    local -a units
    for package in "${missing[@]}"; do
      case $package in
        nginx-light) units=(nginx.service) ;;
        openssh-server) units=(ssh.service) ;;
        ngtcp2-server) units=(ngtcp2d.service) ;;
        nghttp2-proxy) units=(nghttpx.service) ;;
        dante-server) units=(danted.service) ;;
        dovecot-imapd) units=(dovecot.service dovecot.socket) ;;
        slapd | unbound | mosquitto | redis-server | postgresql | openvpn | vsftpd | coturn | tinyproxy | microsocks | ufw | firewalld)
          units=("$package.service") ;;
        *) continue ;;
      esac
      "${as_root[@]}" systemctl -q disable "${units[@]}" ||
        echo "$package: ${units[*]} could not be disabled, and may run from the next start on" >&2
    done
  fi
  return "$status"
)

# unpack_chrony FOLDER puts chronyd there, for live.udp. It is not installed, because it would take the place of what keeps this
# machine's clock. Without it a part of that suite is left out, and says so.
unpack_chrony() (
  local folder=$1
  [ ! -x "$folder/usr/sbin/chronyd" ] && [ ! -x /usr/sbin/chronyd ] || return 0
  local scratch
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  cd "$scratch"
  apt-get -q download chrony >/dev/null 2>&1 || return 0
  mkdir -p "$folder"
  dpkg-deb -x ./chrony*.deb "$folder"
)

# unpack_resolved FOLDER puts systemd-resolved and its library there, for live.stubs. It is not installed, because its
# package would replace this machine's /etc/resolv.conf. Without it a part of that suite is left out, and says so.
unpack_resolved() (
  local folder=$1
  [ ! -x "$folder/lib/systemd/systemd-resolved" ] && [ ! -x /lib/systemd/systemd-resolved ] || return 0
  local scratch
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  cd "$scratch"
  apt-get -q download systemd-resolved libsystemd-shared >/dev/null 2>&1 || return 0
  mkdir -p "$folder"
  local package
  for package in ./*.deb; do dpkg-deb -x "$package" "$folder"; done
)
