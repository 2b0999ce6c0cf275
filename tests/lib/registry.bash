# shellcheck shell=bash
# A real registry (Debian's docker-registry) on a free port of the loopback interface.

# free_port: one that nobody listens on at the moment, and that no outgoing connection takes (those begin at 32768)
free_port() {
    local port
    while :; do
        port=$((20000 + RANDOM % 12000))
        (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    echo "$port"
}

# start_registry [HTPASSWD]: on REGISTRY_PORT, if a test cannot have any; sets REGISTRY (HOST:PORT) and REGISTRY_PID; REGISTRY_TLS is its `tls`, if any
start_registry() {
    local auth='' tls=${REGISTRY_TLS:-} try
    [ -z "${1:-}" ] || auth="auth: {htpasswd: {realm: test, path: $1}}"
    for try in 1 2 3; do
        REGISTRY_DIR=$(mktemp -d "$TEST_DIR/registry.XXXXXX")
        REGISTRY=127.0.0.1:${REGISTRY_PORT:-$(free_port)} REGISTRY_TLS=$tls
        cat >"$REGISTRY_DIR/config.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $REGISTRY_DIR/data}, delete: {enabled: true}}
http: {addr: '$REGISTRY'${tls:+, $tls}}
$auth
END
        docker-registry serve "$REGISTRY_DIR/config.yml" >"$REGISTRY_DIR/log" 2>&1 3>&- &
        REGISTRY_PID=$!
        if wait_for registry_settles && registry_answers; then
            return
        fi
        echo "the registry did not start, try $try:"
        cat "$REGISTRY_DIR/log"
        stop_registry
    done
    return 1
}

# It answers, or has ended: somebody else may have taken the port.
registry_settles() { registry_answers || ! kill -0 "$REGISTRY_PID" 2>/dev/null; }

registry_answers() {
    kill -0 "$REGISTRY_PID" 2>/dev/null || return
    if [ -n "${REGISTRY_TLS:-}" ]; then
        # One that wants a client's certificate is there when it refuses: with an alert or by a reset, in the handshake or
        # after it.
        curl -sk -o /dev/null --noproxy '*' "https://$REGISTRY/v2/" || [[ $? = @(35|55|56) ]]
    else
        curl -s -o /dev/null --noproxy '*' "http://$REGISTRY/v2/"
    fi
}

stop_registry() {
    [ -n "${REGISTRY_PID:-}" ] || return 0
    kill "$REGISTRY_PID" 2>/dev/null || true
    wait "$REGISTRY_PID" 2>/dev/null || true
    rm -rf "$REGISTRY_DIR"
    REGISTRY_PID='' REGISTRY_TLS=''
}

# push OCI-REFERENCE NAME[:TAG] [skopeo option...]: into the registry, all platforms
push() {
    local from=$1 to=$2
    shift 2
    skopeo copy --quiet --all --dest-tls-verify=false "$@" "$from" "docker://$REGISTRY/$to"
}
