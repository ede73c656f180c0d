#!/bin/sh
# Makes a database cluster when the volume is empty, then becomes PostgreSQL.
#
# Environment: POSTGRES_PASSWORD (needed for a new cluster), POSTGRES_USER (default postgres), POSTGRES_DB (default
# the user's name), POSTGRES_INITDB_ARGS; each also as NAME_FILE, the path of a file that holds the value. PGDATA.
#
# A kill at any moment is survived: the cluster is made in a folder of its own inside the volume and moved into
# place file by file, PG_VERSION last; until then the marker says that whatever is there is only a beginning.
set -eu
umask 077

major=15
marker="$PGDATA/.initialising"
beginning="$PGDATA/.new"

refuse() {
    echo "postgres: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

# value NAME DEFAULT: the variable NAME, or the content of the file that NAME_FILE names, or the default.
value() {
    eval "plain=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$plain" ] && [ -n "$file" ]; then
        refuse "both $1 and $1_FILE are set" "Set one of them."
    fi
    if [ -n "$file" ]; then
        [ -r "$file" ] || refuse "cannot read $file, named by $1_FILE" "Mount the file, readable for user $(id -u)."
        plain=$(cat "$file")
    fi
    printf '%s' "${plain:-$2}"
}

quoted() {
    printf '"%s"' "$(printf '%s' "$1" | sed 's/"/""/g')"
}

make_cluster() {
    user=$(value POSTGRES_USER postgres)
    database=$(value POSTGRES_DB "$user")
    password=$(value POSTGRES_PASSWORD "")
    options=$(value POSTGRES_INITDB_ARGS "")
    [ -n "$password" ] || refuse "cannot make a database without a password" \
        "Set POSTGRES_PASSWORD, or POSTGRES_PASSWORD_FILE to the path of a file that holds it."

    : > "$marker"
    # Only a beginning is here: the marker was there before anything else was written.
    find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name "$(basename "$marker")" ! -name lost+found -exec rm -rf {} +
    sync "$PGDATA"

    # shellcheck disable=SC2086  # several options may be given in one variable
    printf '%s\n' "$password" | initdb --pgdata "$beginning" --username "$user" --pwfile /dev/stdin \
        --encoding UTF8 --locale C.UTF-8 --auth-local trust --auth-host scram-sha-256 $options > /dev/null

    echo "host all all all scram-sha-256" >> "$beginning/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$beginning/postgresql.conf"
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE $(quoted "$database");" | postgres --single -j -D "$beginning" postgres > /dev/null
    fi

    find "$beginning" -mindepth 1 -maxdepth 1 ! -name PG_VERSION -exec mv -t "$PGDATA" {} +
    sync
    mv "$beginning/PG_VERSION" "$PGDATA/PG_VERSION"
    sync
    echo "postgres: made a new cluster in $PGDATA, with the database $database of the user $user"
}

case "${1:-postgres}" in
    postgres) [ $# -gt 0 ] && shift ;;
    -*) ;;
    *) exec "$@" ;;
esac

if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" /var/run/postgresql
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres:postgres {} +
    chmod 0700 "$PGDATA"
    chmod 3777 /var/run/postgresql
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" postgres "$@"
fi

if [ -s "$PGDATA/PG_VERSION" ]; then
    found=$(cat "$PGDATA/PG_VERSION")
    [ "$found" = "$major" ] || refuse "the data in $PGDATA are of PostgreSQL $found, this is PostgreSQL $major" \
        "Start an image of PostgreSQL $found, dump, and restore the dump into an empty volume."
elif [ -e "$marker" ] || [ -z "$(find "$PGDATA" -mindepth 1 -maxdepth 1 ! -name lost+found)" ]; then
    make_cluster
else
    refuse "$PGDATA is not empty and holds no PostgreSQL data" "Mount an empty volume there."
fi
rm -rf "$marker" "$beginning"

exec postgres -D "$PGDATA" "$@"
