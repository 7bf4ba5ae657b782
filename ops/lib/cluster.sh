# shellcheck shell=bash
# A PostgreSQL cluster of our own, reached through a socket that only this user and root can open. Clusters that the machine has are left alone.
# Sourced after machine.sh, never run.
#
#   cluster_start STATE test|run     starts it, and sets cluster_url
#   cluster_stop                     stops what cluster_start started, by its process id
#   cluster_remove STATE             forgets it with all that is in it
#
# It lives in STATE/postgres. PostgreSQL refuses to run as root, so for root it belongs to the user "postgres"; where that user cannot get to STATE,
# it lives under /var/tmp, and STATE/postgres.place says where. Socket paths hold 107 bytes, so the socket has a short directory of its own in /tmp.

cluster_url=''
cluster_pid=''
cluster_socket=''
cluster_owner=()

cluster_choose_owner() {
    cluster_owner=()
    ((EUID == 0)) || return 0
    local name
    for name in postgres nobody; do
        if getent passwd "$name" >/dev/null; then
            cluster_owner=("$name")
            return 0
        fi
    done
    fail "PostgreSQL does not run as root, and there is no user postgres or nobody to run it as"
}

# Runs a program as the cluster's owner, from a directory that everybody may enter, without our locks.
as_owner() {
    (
        cd /
        exec 9>&-
        if ((${#cluster_owner[@]})); then
            exec setpriv --reuid="${cluster_owner[0]}" --regid="$(id -g "${cluster_owner[0]}")" --init-groups env HOME=/ "$@"
        fi
        exec "$@"
    )
}

owned_by_owner() {
    ((${#cluster_owner[@]} == 0)) || chown "${cluster_owner[0]}" "$1"
    chmod 700 "$1"
}

# Where the cluster is, or is to be.
cluster_home() {
    local state=$1 place
    if [[ -f $state/postgres.place ]]; then
        place=$(<"$state/postgres.place")
        if [[ $place == /var/tmp/chargeledger-* ]] && as_owner test -w "$place"; then
            printf '%s' "$place"
            return 0
        fi
        rm -f "$state/postgres.place"
    fi
    mkdir -p "$state/postgres"
    owned_by_owner "$state/postgres"
    if as_owner test -w "$state/postgres"; then
        printf '%s' "$state/postgres"
        return 0
    fi
    rmdir "$state/postgres"
    place=$(mktemp -d /var/tmp/chargeledger-XXXXXX)
    owned_by_owner "$place"
    printf '%s\n' "$place" >"$state/postgres.place"
    printf '%s' "$place"
}

cluster_settings() {
    # Read models are derived: each commit carries its checkpoint, so losing the newest commits in a power cut only means folding them again.
    # A torn page would be another matter, hence fsync stays on outside tests.
    printf '%s\n' "listen_addresses = ''" 'unix_socket_permissions = 0700' 'synchronous_commit = off' 'wal_level = minimal' 'max_wal_senders = 0' \
        'max_wal_size = 2GB' 'shared_buffers = 256MB' 'jit = off' 'timezone = UTC' 'log_timezone = UTC' "log_checkpoints = off"
    case $1 in
    run) printf '%s\n' 'max_connections = 60' ;;
    test) printf '%s\n' 'max_connections = 200' 'fsync = off' 'full_page_writes = off' ;;
    esac
}

cluster_create() {
    local bin=$1 home=$2 kind=$3
    rm -rf "$home/data"
    as_owner "$bin/initdb" --pgdata="$home/data" --username=postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >/dev/null ||
        fail "initdb could not make a cluster in $home"
    cluster_settings "$kind" | as_owner tee -a "$home/data/postgresql.conf" >/dev/null
}

is_our_postmaster() {
    [[ -n $1 && $(readlink "/proc/$1/cwd" 2>/dev/null) == "$(readlink -f "$2")" ]]
}

# A process that has ended and that nobody has collected yet is gone, too: where nothing collects orphans, it stays in the table.
is_running() {
    kill -0 "$1" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$1/status" 2>/dev/null
}

stop_postmaster() {
    local pid=$1 tries
    kill -INT "$pid" 2>/dev/null || return 0
    for ((tries = 0; tries < 300; tries++)); do
        is_running "$pid" || return 0
        sleep 0.1
    done
    kill -QUIT "$pid" 2>/dev/null || true
}

# What a killed run left behind: a server nobody uses any more (we hold the lock), or the file of one that is gone and whose process id is another's now.
cluster_clear_leftovers() {
    local state=$1 home=$2 pid socket
    if [[ -f $home/data/postmaster.pid ]]; then
        pid=$(head -n 1 "$home/data/postmaster.pid")
        if is_our_postmaster "$pid" "$home/data"; then
            stop_postmaster "$pid"
        else
            rm -f "$home/data/postmaster.pid"
        fi
    fi
    if [[ -f $state/postgres.socket ]]; then
        socket=$(<"$state/postgres.socket")
        if [[ $socket == /tmp/chargeledger-* ]]; then
            rm -rf "$socket"
        fi
        rm -f "$state/postgres.socket"
    fi
}

cluster_start() {
    local state=$1 kind=$2 bin home
    bin=$(postgres_bin) || fail "PostgreSQL is not installed"
    cluster_choose_owner
    home=$(cluster_home "$state")
    cluster_clear_leftovers "$state" "$home"
    # Another major version cannot read it; what it holds is derived and comes back from the event store.
    if [[ ! -f $home/data/PG_VERSION || ! -f $home/created || $("$bin/postgres" --version) != *" $(<"$home/data/PG_VERSION")"[.\ ]* ]]; then
        say "making a PostgreSQL cluster in $home"
        cluster_create "$bin" "$home" "$kind"
        as_owner touch "$home/created"
    fi
    cluster_socket=$(mktemp -d /tmp/chargeledger-XXXXXX)
    owned_by_owner "$cluster_socket"
    printf '%s\n' "$cluster_socket" >"$state/postgres.socket"
    if ! as_owner "$bin/pg_ctl" start --silent --wait --timeout=60 --pgdata="$home/data" --log="$home/server.log" -o "-k $cluster_socket"; then
        tail -n 20 "$home/server.log" >&2 || true
        fail "PostgreSQL did not start; its log is $home/server.log"
    fi
    cluster_pid=$(head -n 1 "$home/data/postmaster.pid")
    # shellcheck disable=SC2034 # the callers use it
    cluster_url="postgresql://postgres@${cluster_socket//\//%2F}/postgres"
}

cluster_stop() {
    if [[ -n $cluster_pid ]]; then
        stop_postmaster "$cluster_pid"
        cluster_pid=''
    fi
    if [[ -n $cluster_socket ]]; then
        rm -rf "$cluster_socket"
        cluster_socket=''
    fi
}

cluster_remove() {
    local state=$1 home
    cluster_choose_owner
    home=$(cluster_home "$state")
    cluster_clear_leftovers "$state" "$home"
    rm -rf "$home"
    rm -f "$state/postgres.place"
}
