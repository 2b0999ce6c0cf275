# shellcheck shell=bash
# Servers with faults (fault_server.py, push_server.py), certificates, and the probe that asks them.

PROBE=${STEPCELL%/bin/*}/tests/registry-probe

# start_faults NAME [OPTION...]: a server in $FAULTS_DIR/NAME; its HOST:PORT is printed by `faults NAME`.
# INSIDE in the environment is a command in front of it, FAULT_SERVER another program beside fault_server.py.
start_faults() {
    local directory=$FAULTS_DIR/$1
    shift
    mkdir -p "$directory"
    [ -e "$directory/blob" ] || head -c 3000000 /dev/urandom >"$directory/blob"
    : >"$directory/log"
    # shellcheck disable=SC2086 # a command with its arguments
    ${INSIDE:-} /usr/bin/python3 "$TESTS/lib/${FAULT_SERVER:-fault_server.py}" "$directory" "$@" >"$directory/out" 2>&1 3>&- &
    FAULT_PIDS+=("$!")
    wait_for test -s "$directory/port"
}

# start_before NAME FAULT...: a server in front of $REGISTRY, with these faults
start_before() {
    local name=$1
    shift
    mkdir -p "$FAULTS_DIR/$name"
    echo "$*" >"$FAULTS_DIR/$name/faults"
    start_faults "$name" --upstream "http://$REGISTRY"
}

faults() { echo "127.0.0.1:$(cat "$FAULTS_DIR/$1/port")"; }

# end_later PID: teardown ends it
end_later() { FAULT_PIDS+=("$1"); }

stop_faults() {
    local pid
    for pid in "${FAULT_PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    FAULT_PIDS=()
    [ -z "${FAULTS_DIR:-}" ] || rm -rf "$FAULTS_DIR"
}

# blob_of NAME: digest and size of what the server NAME serves
blob_of() {
    echo "sha256:$(sha256sum "$FAULTS_DIR/$1/blob" | cut -d' ' -f1) $(stat -c %s "$FAULTS_DIR/$1/blob")"
}

# fetch SERVER REPOSITORY: the blob through the client, into ../blob; sets status and stderr
fetch() {
    # shellcheck disable=SC2046 # two words
    as "$PROBE" blob "$(faults "$1")/$2:1" $(blob_of "$1") >../blob 2>../stderr
}

# requests NAME FILTER: of the server's log, with jq
requests() { jq -r "$2" "$FAULTS_DIR/$1/log"; }

# homes: configuration and credentials of this test alone, in $CONFIG and $DOCKER
homes() {
    CONFIG=${WORK%/*}/config DOCKER=${WORK%/*}/docker
    mkdir -p "$CONFIG/stepcell" "$DOCKER"
    chmod -R a+rX "$CONFIG" "$DOCKER"
    export XDG_CONFIG_HOME=$CONFIG DOCKER_CONFIG=$DOCKER
}

# configure JSON: the user's configuration
configure() {
    echo "$1" >"$CONFIG/stepcell/config.json"
    chmod a+r "$CONFIG/stepcell/config.json"
}

# docker_config JSON: of docker
docker_config() {
    echo "$1" >"$DOCKER/config.json"
    chown "$(caller_name)" "$DOCKER/config.json"
    chmod 600 "$DOCKER/config.json"
}

# password_for HOST: docker's entry for worker:s3cret
password_for() { docker_config "{\"auths\": {\"$1\": {\"auth\": \"$SECRET_BASE64\"}}}"; }

SECRET_BASE64=d29ya2VyOnMzY3JldA== # worker:s3cret

# make_authority: a certificate authority in $CERTS
make_authority() {
    CERTS=$FAULTS_DIR/certs
    mkdir -p "$CERTS"
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=ca \
        -keyout "$CERTS/ca.key" -out "$CERTS/ca.crt" 2>/dev/null
}

# make_certificate NAME SUBJECT-ALTERNATIVE [DAYS]: signed by it, $CERTS/NAME.cert and .key
make_certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=$1" \
        -keyout "$CERTS/$1.key" -out "$CERTS/$1.csr" 2>/dev/null
    openssl x509 -req -in "$CERTS/$1.csr" -CA "$CERTS/ca.crt" -CAkey "$CERTS/ca.key" -CAcreateserial \
        -days "${3:-2}" -extfile <(echo "subjectAltName=$2") -out "$CERTS/$1.cert" 2>/dev/null
    chmod a+r "$CERTS/$1.key"
}

# trust HOST:PORT [CLIENT]: certs.d of podman for the caller, with CLIENT's certificate
trust() {
    local directory=$CONFIG/containers/certs.d/$1
    mkdir -p "$directory"
    cp "$CERTS/ca.crt" "$directory/ca.crt"
    [ -z "${2:-}" ] || cp "$CERTS/$2.cert" "$CERTS/$2.key" "$directory/"
    chmod -R a+rX "$CONFIG"
}
