#!/bin/sh
# Start Postgres by the contract of the official image, as far as tests lean on it: POSTGRES_USER, POSTGRES_PASSWORD,
# POSTGRES_DB, POSTGRES_HOST_AUTH_METHOD, POSTGRES_INITDB_ARGS, PGDATA, /docker-entrypoint-initdb.d and arguments.
set -eu

die() {
    echo "$1" >&2
    exit 1
}

prepare_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chown -R postgres: "$PGDATA" /var/run/postgresql
    chmod 700 "$PGDATA"
}

create_cluster() {
    # The password goes through a pipe: on a command line, `ps` would show it. The arguments may be quoted, hence eval.
    printf '%s\n' "$POSTGRES_PASSWORD" |
        eval 'initdb --username="$POSTGRES_USER" --pwfile=/dev/stdin' "${POSTGRES_INITDB_ARGS:-}"
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
}

# Run the given server on the unix socket only: whoever waits for the port must not meet a half-made database.
start_private_server() {
    "$@" -c listen_addresses= -c port=5432 &
    private=$!
    until pg_isready -q -U "$POSTGRES_USER" -d postgres; do
        kill -0 "$private" 2>/dev/null || die "the server did not start"
        sleep 0.05
    done
}

stop_private_server() {
    kill -INT "$private"
    wait "$private"
}

fill_cluster() {
    export PGUSER="$POSTGRES_USER" PGPASSWORD="$POSTGRES_PASSWORD"
    [ "$POSTGRES_DB" = postgres ] || createdb --maintenance-db=postgres -- "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*; do
        [ -e "$file" ] || continue
        echo "running $file"
        case $file in
        *.sh) if [ -x "$file" ]; then "$file"; else bash "$file"; fi ;;
        *.sql) psql -X -q -v ON_ERROR_STOP=1 -d "$POSTGRES_DB" -f "$file" ;;
        *) echo "ignoring $file" ;;
        esac
    done
}

initialise() {
    [ -n "$POSTGRES_PASSWORD" ] || [ "${POSTGRES_HOST_AUTH_METHOD:-}" = trust ] ||
        die "POSTGRES_PASSWORD must be set, or POSTGRES_HOST_AUTH_METHOD=trust"
    # Process 1 is deaf to a signal that it has no trap for.
    trap 'exit 130' INT TERM
    create_cluster
    start_private_server "$@"
    # In the background: a signal ends `wait`, but it would have to wait for a foreground script.
    fill_cluster &
    wait $!
    stop_private_server
    echo "PostgreSQL init process complete; ready for start up."
}

case ${1:-} in
'' | -*) set -- postgres "$@" ;;
esac
[ "$1" = postgres ] || exec "$@"
case ${2:-} in
-V | --version | '-?' | --help) exec "$@" ;;
esac

export PGDATA="${PGDATA:-/var/lib/postgresql/data}"
export POSTGRES_USER="${POSTGRES_USER:-postgres}" POSTGRES_PASSWORD="${POSTGRES_PASSWORD:-}"
export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"

if [ "$(id -u)" = 0 ]; then
    prepare_folders
    # Postgres refuses to run as root; exec, so that signals reach it.
    export HOME=/var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi

[ -s "$PGDATA/PG_VERSION" ] || initialise "$@"
exec "$@"
