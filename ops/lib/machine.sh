# shellcheck shell=bash
# What ./ops/run and ./ops/test need of the machine: Debian packages, installed only when missing, and a Rust toolchain, which is only checked.
# Sourced, never run. Everything said here goes to standard error: standard output belongs to the caller's result.

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "error: $*"
    exit 1
}

# The newest PostgreSQL's programs: Debian keeps them out of PATH.
postgres_bin() {
    local initdb newest=''
    for initdb in /usr/lib/postgresql/*/bin/initdb; do
        [[ -x $initdb ]] || continue
        if [[ -z $newest ]] || [[ $(printf '%s\n%s\n' "$newest" "$initdb" | sort -V | tail -n 1) == "$initdb" ]]; then
            newest=$initdb
        fi
    done
    if [[ -z $newest ]] && initdb=$(command -v initdb); then
        newest=$(readlink -f "$initdb")
    fi
    [[ -n $newest ]] && dirname "$newest"
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "\"$*\" needs root, and there is no sudo; run it as root, then come back"
    fi
}

# Debian makes and starts a cluster "main" when PostgreSQL is installed. Nobody asked for one, so it is told not to, for as long as the installation takes.
install_postgres() {
    local conf=/etc/postgresql-common/createcluster.conf
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql-common >&2
    as_root sed -i.before-chargeledger 's/^#\?create_main_cluster.*/create_main_cluster = false/' "$conf"
    local outcome=0
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends postgresql >&2 || outcome=$?
    as_root mv "$conf.before-chargeledger" "$conf"
    return "$outcome"
}

install_missing_packages() {
    local need_postgres='' need_compiler=''
    postgres_bin >/dev/null || need_postgres=yes
    command -v cc >/dev/null || need_compiler=yes
    [[ -n $need_postgres$need_compiler ]] || return 0
    command -v apt-get >/dev/null ||
        fail "this machine has no ${need_postgres:+PostgreSQL }${need_compiler:+C compiler }and no apt-get to install it with; install PostgreSQL 14 or newer and a C compiler"
    say "installing ${need_postgres:+postgresql }${need_compiler:+gcc }"
    as_root apt-get update -q >&2
    if [[ -n $need_compiler ]]; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends gcc libc6-dev >&2
    fi
    if [[ -n $need_postgres ]]; then
        install_postgres
    fi
}

# NATS for the tests. Debian's package would start a service that nobody asked for, so where the program is missing, it alone is unpacked into this directory.
provide_nats_server() {
    local place=$1
    PATH=$PATH:/usr/sbin:$place/usr/sbin
    command -v nats-server >/dev/null && return 0
    command -v apt-get >/dev/null || fail "this machine has no nats-server and no apt-get to fetch it with; install nats-server 2.9 or newer"
    say "fetching nats-server"
    mkdir -p "$place"
    (cd "$place" && { apt-get download -q nats-server || { as_root apt-get update -q && apt-get download -q nats-server; }; } >&2 &&
        dpkg -x nats-server_*.deb . && rm -f nats-server_*.deb) || fail "nats-server could not be fetched"
}

# The oldest Rust that builds this stands in Cargo.toml; the system's own packages are usually older.
check_rust() {
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    if ! command -v cargo >/dev/null && [[ -x $HOME/.cargo/bin/cargo ]]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    command -v cargo >/dev/null || fail "there is no cargo; install Rust $wanted or newer (https://rustup.rs), then come back"
    have=$(rustc --version | cut -d ' ' -f 2)
    [[ $(printf '%s\n%s\n' "$wanted" "${have%%-*}" | sort -V | head -n 1) == "$wanted" ]] ||
        fail "Rust $have is too old; Rust $wanted or newer is needed (rustup update stable)"
}

check_cargo_tools() {
    local tool
    for tool in "$@"; do
        cargo "$tool" --version >/dev/null 2>&1 || fail "cargo $tool is missing (rustup component add ${tool/#fmt/rustfmt})"
    done
}
