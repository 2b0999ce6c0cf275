# The registry client against real registries and against servers with faults.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

setup() {
    FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    chmod 755 "$FAULTS_DIR"
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY
    unset REGISTRY_AUTH_FILE
}

teardown() {
    stop_faults
    stop_registry
}

# assert_fetched: the last fetch brought the whole blob
assert_fetched() { cmp ../blob "$FAULTS_DIR/$1/blob"; }

# assert_failed CODE SERVER REPOSITORY: fetching fails with this code
assert_failed() {
    ! fetch "$2" "$3" || {
        echo "'$3' was fetched"
        return 1
    }
    assert_match "$(cat ../stderr)" "$1: *"
}

@test "what a registry mends by itself delays a blob and does not lose it" {
    start_faults one
    mended() {
        local repository
        homes
        configure '{"stall_timeout": "1s"}'
        for repository in ok limited dated errors stall slow break reset whole relative; do
            echo "repository: $repository"
            # Each caller meets a fault that has not been used up.
            fetch one "$repository"
            assert_fetched one
        done
    }
    CALLERS=root each_caller mended
    # The waits were those that the server asked for, and the broken one went on where it was.
    assert_equal limited "$(requests one 'select(.path | startswith("/v2/limited/")) | .range' | wc -l)" 3
    assert_equal errors "$(requests one 'select(.path | startswith("/v2/errors/")) | .range' | wc -l)" 5
    assert_equal ranges "$(requests one 'select(.path | startswith("/v2/break/")) | .range' | paste -sd' ')" \
        " bytes=1200000- bytes=2400000-"
    assert_equal stalled "$(requests one 'select(.path | startswith("/v2/stall/")) | .range' | paste -sd' ')" \
        " bytes=100000-"
}

@test "ordinary users' blobs go on after a break, too" {
    start_faults one
    goes_on() {
        homes
        fetch one break
        assert_fetched one
    }
    each_caller goes_on
}

@test "what cannot be mended ends, in time, with its code" {
    start_faults other
    start_faults one --other "http://$(faults other)"
    ends() {
        local repository
        homes
        configure '{"stall_timeout": "200ms"}'
        for repository in other-part other-end other-size no-range no-more unasked short more endless; do
            rm -f "$FAULTS_DIR/one/log"
            assert_failed image.corrupt one "$repository"
            # At most one byte more than was right has been used: nothing wrong.
            cmp -n "$(stat -c %s ../blob)" ../blob "$FAULTS_DIR/one/blob" || [ "$repository" = endless ]
        done
        for repository in down silent crumbs headers loop local nowhere; do
            assert_failed registry.unreachable one "$repository"
        done
        for repository in lacking lost; do
            assert_failed image.corrupt one "$repository"
            assert_match "$(cat ../stderr)" "*lacks 'sha256:*'*"
        done
        run -1 --separate-stderr as "$PROBE" top "$(faults one)/lost:1"
        assert_match "$stderr" "registry.unreachable: *redirects*"
        assert_failed registry.rate-limited one refusing
        SECONDS=0
        assert_failed registry.rate-limited one long
        [ "$SECONDS" -lt 3 ]
        assert_match "$(cat ../stderr)" "*3600 s*"
        run ! grep -P '[\x00-\x08\x0b-\x1f]' ../stderr
    }
    CALLERS=plain each_caller ends
}

@test "a step says what the registry did: rate limits, silence, endless answers" {
    start_faults one
    says() {
        homes
        configure '{"stall_timeout": "200ms"}'
        IMAGE=$(faults one)/refusing:1
        run --separate-stderr cell -- true
        assert_refused registry.rate-limited
        IMAGE=$(faults one)/endless:1
        run --separate-stderr cell -- true
        assert_refused image.corrupt
        IMAGE=$(faults one)/down:1
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
        [[ $stderr != *$'\e'* && $stderr != *'##octopus'* ]]
    }
    CALLERS=ranges each_caller says
}

@test "every form of a challenge is answered" {
    start_faults one
    answered() {
        local form
        homes
        password_for "$(faults one)"
        for form in basic negotiate joined first noscope noservice unquoted lower scopes norealm access \
            once busy; do
            echo "form: $form"
            run -0 as "$PROBE" top "$(faults one)/auth-$form:1"
        done
        for form in none never echo bomb long; do
            run -1 --separate-stderr as "$PROBE" top "$(faults one)/auth-$form:1"
            assert_match "$stderr" "registry.auth: *"
            [[ $stderr != *s3cret* && $stderr != *"$SECRET_BASE64"* ]]
        done
        run -1 --separate-stderr as "$PROBE" top "$(faults one)/auth-gone:1"
        assert_match "$stderr" "registry.auth: the token server of *answers 404*"
        docker_config "{\"auths\": {\"$(faults one)\": {\"auth\": \"$(printf x:wrong | base64)\"}}}"
        run -1 --separate-stderr as "$PROBE" top "$(faults one)/auth-joined:1"
        assert_match "$stderr" "registry.auth: *"
    }
    each_caller answered
    # Scopes that were demanded go out one by one, the one that is needed where none was.
    requests one .path | grep -F 'scope=repository%3Aa%3Apull&scope=repository%3Aauth-scopes%3Apull%2Cpush'
    requests one .path | grep -F 'form=noscope&service=fault&scope=repository%3Aauth-noscope%3Apull'
}

@test "identity tokens and registry tokens are exchanged and offered" {
    start_faults one
    tokens() {
        homes
        docker_config "{\"auths\": {\"$(faults one)\": {\"identitytoken\": \"id&en=tity\"}}}"
        run -0 as "$PROBE" top "$(faults one)/auth-joined:1"
        run -1 as "$PROBE" top "$(faults one)/auth-nopost:1"
        docker_config "{\"auths\": {\"$(faults one)\": {\"auth\": \"$SECRET_BASE64\", \"identitytoken\": \"x\"}}}"
        run -0 as "$PROBE" top "$(faults one)/auth-nopost:1"
        docker_config "{\"auths\": {\"$(faults one)\": {\"registrytoken\": \"reg-token\"}}}"
        run -0 as "$PROBE" top "$(faults one)/auth-registrytoken:1"
    }
    each_caller tokens
    requests one 'select(.method == "POST") | .body' | grep -F 'refresh_token=id%26en%3Dtity'
}

@test "credentials stay with the registry and its token server" {
    start_faults other
    start_faults one --other "http://$(faults other)"
    stay() {
        local form
        homes
        password_for "$(faults one)"
        fetch one auth-away
        cmp ../blob "$FAULTS_DIR/other/blob" || [ -s ../blob ]
        run -1 as "$PROBE" top "$(faults one)/auth-redirect:1"
        run -1 as "$PROBE" top "$(faults one)/auth-challenged:1"
        for form in metadata private file user plain; do
            run -1 --separate-stderr as "$PROBE" top "$(faults one)/auth-$form:1"
            assert_match "$stderr" "registry.auth: *names the token server*"
        done
        # Another port is another registry; a netrc is none of our business.
        echo "machine 127.0.0.1 login worker password s3cret" >"$TEST_DIR/home/$CALLER/.netrc"
        run -1 as "$PROBE" top "$(faults other)/auth-basic:1"
        rm "$TEST_DIR/home/$CALLER/.netrc"
    }
    each_caller stay
    [ "$(requests other .path | grep -c data)" -ge 3 ]
    assert_equal "what the other origin saw" "$(requests other .authorization | sort -u)" ""
    [ -z "$(requests other 'select(.path == "/stolen") | .path')" ]
    [ -n "$(requests other 'select(.path == "/challenge") | .path')" ]
    [ -z "$(requests other 'select(.path | startswith("/token")) | .path')" ]
}

@test "credentials are in no argument, variable or message, of us or of a helper" {
    start_faults one
    hidden() {
        local pid i
        homes
        configure '{"stall_timeout": "4s"}'
        mkdir -p ../bin
        cat >../bin/docker-credential-hidden <<'SH'
#!/bin/sh
{ echo "$@"; env; } >"${DOCKER_CONFIG%/docker}/seen"
cat >"${DOCKER_CONFIG%/docker}/asked"
echo '{"ServerURL": "x", "Username": "worker", "Secret": "s3cret"}'
SH
        chmod 755 ../bin ../bin/docker-credential-hidden
        chown "$(caller_name)" ..
        docker_config "{\"credHelpers\": {\"$(faults one)\": \"hidden\"}}"
        local -x PATH=${WORK%/*}/bin:$PATH
        # What never answers leaves time to look.
        : >"$FAULTS_DIR/one/log"
        as "$PROBE" blob "$(faults one)/auth-stalled:1" "$(blob_of one | cut -d' ' -f1)" 3000000 \
            >../blob 2>../stderr 3>&- &
        pid=$!
        wait_for grep -q Bearer "$FAULTS_DIR/one/log"
        for i in $(pgrep -f "^$PROBE blob"); do
            tr '\0' '\n' <"/proc/$i/cmdline" >>../looked
            tr '\0' '\n' <"/proc/$i/environ" >>../looked
        done
        [ -s ../looked ]
        wait "$pid"
        assert_fetched one
        assert_equal asked "$(cat ../asked)" "$(faults one)"
        grep -q '^get$' ../seen
        run ! grep -E "s3cret|$SECRET_BASE64|token-stalled" ../looked ../seen ../stderr
    }
    each_caller hidden
}

# helper NAME: reads a program for a credential helper of this name
helper() {
    mkdir -p ../bin
    cat >"../bin/docker-credential-$1"
    chmod 755 ../bin "../bin/docker-credential-$1"
}

@test "credential helpers: found, not found, missing, failing, talkative, badly named" {
    start_faults one
    helpers() {
        local host name
        homes
        host=$(faults one)
        helper token <<<'#!/bin/sh
echo "{\"Username\": \"<token>\", \"Secret\": \"id&en=tity\"}"'
        helper none <<<'#!/bin/sh
echo "credentials not found in native keychain"; exit 1'
        helper fails <<<'#!/bin/sh
echo "s3cret"; exit 1'
        helper talks <<<'#!/bin/sh
head -c 1000000 /dev/zero'
        helper text <<<'#!/bin/sh
echo s3cret'
        local -x PATH=${WORK%/*}/bin:$PATH
        docker_config "{\"credHelpers\": {\"$host\": \"token\"}}"
        run -0 as "$PROBE" top "$host/auth-joined:1"
        docker_config '{"credsStore": "token"}'
        run -0 as "$PROBE" top "$host/auth-joined:1"
        # One that asks at the terminal.
        helper asks <<<'#!/bin/sh
read -r server; read -r token </dev/tty || exit
echo "{\"Username\": \"<token>\", \"Secret\": \"$token\"}"'
        docker_config '{"credsStore": "asks"}'
        run -0 as env SHELL=/bin/bash script -qec "$(printf '%q ' "$PROBE" top "$host/auth-joined:1")" /dev/null \
            <<<'id&en=tity'
        docker_config "{\"credsStore\": \"none\", \"auths\": {\"$host\": {\"auth\": \"$SECRET_BASE64\"}}}"
        run -0 as "$PROBE" top "$host/auth-joined:1"
        # One that is of no use is not asked while nobody wants credentials.
        docker_config '{"credsStore": "missing"}'
        run -0 as "$PROBE" top "$host/ok:1"
        for name in missing fails talks text; do
            docker_config "{\"credsStore\": \"$name\"}"
            run -1 --separate-stderr as "$PROBE" top "$host/auth-joined:1"
            assert_match "$stderr" "registry.auth: *docker-credential-$name*hint: *"
            [[ $stderr != *s3cret* ]]
        done
        docker_config '{"credsStore": "../../bin/sh"}'
        run -1 --separate-stderr as "$PROBE" top "$host/auth-joined:1"
        assert_match "$stderr" "config.invalid: *"
        docker_config '{"auths": "s3cret'
        run -1 --separate-stderr as "$PROBE" top "$host/auth-joined:1"
        assert_match "$stderr" "config.invalid: *"
        [[ $stderr != *s3cret* ]]
    }
    each_caller helpers
}

@test "auth.json of podman and REGISTRY_AUTH_FILE are read" {
    start_faults one
    files() {
        local entry
        homes
        entry="{\"auths\": {\"$(faults one)/auth-joined\": {\"auth\": \"$SECRET_BASE64\"}}}"
        mkdir -p "$CONFIG/containers" ../runtime/containers
        echo "$entry" | tee ../own.json ../runtime/containers/auth.json >/dev/null
        chmod -R a+rX .. "$CONFIG"
        run -1 as "$PROBE" top "$(faults one)/auth-joined:1"
        REGISTRY_AUTH_FILE=${WORK%/*}/own.json run -0 as "$PROBE" top "$(faults one)/auth-joined:1"
        XDG_RUNTIME_DIR=${WORK%/*}/runtime run -0 as "$PROBE" top "$(faults one)/auth-joined:1"
        echo "$entry" >"$CONFIG/containers/auth.json"
        run -0 as "$PROBE" top "$(faults one)/auth-joined:1"
        # It is for this repository alone.
        run -1 as "$PROBE" top "$(faults one)/auth-first:1"
    }
    each_caller files
}

@test "threads share a source, its connections and its token" {
    start_faults one
    threads() {
        homes
        password_for "$(faults one)"
        # shellcheck disable=SC2046 # two words
        run -0 as "$PROBE" blob "$(faults one)/auth-joined:1" $(blob_of one) 8
        assert_equal digests "$(sort -u <<<"$output")" "$(blob_of one | cut -d' ' -f1)"
        assert_equal lines "$(wc -l <<<"$output")" 8
    }
    each_caller threads
    assert_equal "tokens for three callers" "$(requests one .path | grep -c '^/token')" 3
}

@test "mirrors: digests only, unless they may resolve; failures go on at the registry" {
    start_faults mirror
    cp "$FAULTS_DIR/mirror/blob" "$FAULTS_DIR/blob"
    mkdir -p "$FAULTS_DIR/one"
    cp "$FAULTS_DIR/blob" "$FAULTS_DIR/one/blob"
    start_faults one
    mirrored() {
        local host mirror
        homes
        host=$(faults one) mirror=$(faults mirror)
        password_for "$host"
        with_mirror() {
            configure "{\"registries\": {\"$host\": {\"mirrors\": [{\"location\": \"$1\"${2:-}}]}}}"
            : >"$FAULTS_DIR/one/log"
            : >"$FAULTS_DIR/mirror/log"
        }
        with_mirror "$mirror/hub"
        fetch one ok
        assert_fetched one
        assert_equal mirror "$(requests mirror .path | cut -d/ -f1-4)" /v2/hub/ok
        assert_equal registry "$(requests one .path)" ""
        run -0 as "$PROBE" top "$host/ok:1"
        assert_equal registry "$(requests one .path)" /v2/ok/manifests/1
        with_mirror "$mirror" ', "resolve": true'
        run -0 as "$PROBE" top "$host/ok:1"
        assert_equal registry "$(requests one .path)" ""
        # It wants a password: the registry's own is not for it.
        with_mirror "$mirror/auth-joined"
        fetch one auth-first
        assert_fetched one
        assert_equal "what the mirror saw" "$(requests mirror .authorization | sort -u)" ""
        # It breaks twice, and the registry goes on in the middle.
        with_mirror "$mirror/crumbs"
        fetch one ok
        assert_fetched one
        assert_equal range "$(requests one .range)" bytes=2000-
        with_mirror "127.0.0.1:$(free_port)"
        fetch one ok
        assert_fetched one
    }
    each_caller mirrored
}

@test "a mirror that answers something else for a digest is passed over" {
    start_faults one
    start_faults mirror
    passed_over() {
        local host digest
        homes
        host=$(faults one)
        digest=$(as "$PROBE" top "$host/ok:1" | cut -d' ' -f1)
        configure "{\"registries\": {\"$host\": {\"mirrors\": [{\"location\": \"$(faults mirror)\"}]}}}"
        run -0 as "$PROBE" top "$host/ok@$digest"
        assert_equal digest "${output%% *}" "$digest"
        [ -n "$(requests mirror .path)" ]
        run -1 --separate-stderr as "$PROBE" top "$(faults mirror)/ok@$digest"
        assert_match "$stderr" "image.corrupt: *"
    }
    each_caller passed_over
}

@test "a configuration that cannot be understood is refused with file and key" {
    bad_config() {
        homes
        configure '{"registries": {"r.example": {"insecure": true}}}'
        IMAGE=127.0.0.1:1/any:1
        run --separate-stderr cell -- true
        assert_refused config.invalid
        assert_match "$stderr" "*'insecure' in '$CONFIG/stepcell/config.json'*"
    }
    each_caller bad_config
}

# probe_with ETC ARG...: the probe where ETC is mounted on /etc
probe_with() {
    local etc=$1
    shift
    export -f as
    CALLER=$CALLER TEST_DIR=$TEST_DIR unshare --mount --propagation private \
        bash -c 'mount --bind "$1" /etc && shift && as "$@"' mounted "$etc" "$PROBE" "$@"
}

@test "of two configuration files the user's entry for a registry replaces the administrator's" {
    start_faults mirror
    start_faults one
    cp -a /etc "$FAULTS_DIR/etc"
    mkdir -p "$FAULTS_DIR/etc/stepcell"
    preferred() {
        local host mirrored
        homes
        host=$(faults one)
        mirrored="{\"mirrors\": [{\"location\": \"$(faults mirror)/hub\", \"resolve\": true}]}"
        # asked JSON|-: which of the two is asked for a tag where this is the user's file
        asked() {
            rm -f "$CONFIG/stepcell/config.json"
            [ "$1" = - ] || configure "$1"
            : >"$FAULTS_DIR/one/log"
            : >"$FAULTS_DIR/mirror/log"
            run -0 probe_with "$FAULTS_DIR/etc" top "$host/ok:1"
            asked=$(requests mirror .path)$(requests one .path)
        }
        echo "{\"registries\": {\"$host\": $mirrored}}" >"$FAULTS_DIR/etc/stepcell/config.json"
        asked -
        assert_equal "with the administrator's file" "$asked" /v2/hub/ok/manifests/1
        asked '{}'
        assert_equal "with a file that says nothing" "$asked" /v2/hub/ok/manifests/1
        asked '{"registries": {"other.example": {}}}'
        assert_equal "with another registry" "$asked" /v2/hub/ok/manifests/1
        # The whole entry counts, not key by key.
        asked "{\"registries\": {\"$host\": {\"plain_http\": true}}}"
        assert_equal "with an entry of one's own" "$asked" /v2/ok/manifests/1
        echo '{"stall_timeout": "30s"}' >"$FAULTS_DIR/etc/stepcell/config.json"
        configure '{"stall_timeout": "200ms"}'
        SECONDS=0
        run -1 probe_with "$FAULTS_DIR/etc" top "$host/silent:1"
        assert_match "$output" "*no byte came for 0.2 s*"
        # What is wrong in the administrator's file is found, too.
        echo '{"stall_timeout": 30}' >"$FAULTS_DIR/etc/stepcell/config.json"
        run -1 probe_with "$FAULTS_DIR/etc" top "$host/ok:1"
        assert_match "$output" "config.invalid: 'stall_timeout' in '/etc/stepcell/config.json'*"
    }
    each_caller preferred
}

# tls_registry [LINE]: a registry with TLS and the certificate `server`, and a line more in its `tls`
tls_registry() {
    # shellcheck disable=SC2034 # read by start_registry
    REGISTRY_TLS="tls: {certificate: $CERTS/${2:-server}.cert, key: $CERTS/${2:-server}.key${1:+, $1}}"
    start_registry
}

@test "certs.d: a private authority is trusted for its registry alone" {
    make_authority
    make_certificate server IP:127.0.0.1
    tls_registry
    push "oci:$IMAGES/busybox:latest" private:1
    private() {
        homes
        # Loopback, but given certificates by somebody: https. Without them it is plain.
        configure "{\"registries\": {\"$REGISTRY\": {\"plain_http\": false}}}"
        IMAGE=$REGISTRY/private:1
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
        assert_match "$stderr" "*certificate*certs.d/$REGISTRY*"
        trust "localhost:${REGISTRY#*:}"
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
        trust "$REGISTRY"
        rm "$CONFIG/stepcell/config.json"
        run -0 --separate-stderr cell -- echo trusted
        assert_equal output "$output" trusted
        # The name counts as well.
        trust "localhost:${REGISTRY#*:}"
        run -1 --separate-stderr as "$PROBE" top "localhost:${REGISTRY#*:}/private:1"
        assert_match "$stderr" "registry.unreachable: *"
        rm -rf "$CONFIG/containers"
        mkdir -p "$CONFIG/docker/certs.d/$REGISTRY"
        cp "$CERTS/ca.crt" "$CONFIG/docker/certs.d/$REGISTRY/"
        chmod -R a+rX "$CONFIG"
        run -0 as "$PROBE" top "$REGISTRY/private:1"
        stepcell image remove "$IMAGE"
    }
    each_caller private
}

@test "certs.d: a registry that wants a client's certificate gets the one for it" {
    make_authority
    make_certificate server IP:127.0.0.1
    make_certificate client DNS:client
    tls_registry "clientcas: [$CERTS/ca.crt]"
    client() {
        local directory
        homes
        trust "$REGISTRY"
        run -1 --separate-stderr as "$PROBE" top "$REGISTRY/any:1"
        assert_match "$stderr" "registry.unreachable: *"
        trust "$REGISTRY" client
        run -1 --separate-stderr as "$PROBE" top "$REGISTRY/any:1"
        assert_match "$stderr" "image.not-found: *"
        directory=$CONFIG/containers/certs.d/$REGISTRY
        rm "$directory/client.key"
        run -1 --separate-stderr as "$PROBE" top "$REGISTRY/any:1"
        assert_match "$stderr" "config.invalid: *client.cert* has no key*"
    }
    each_caller client
}

@test "an expired certificate, and a TLS port without TLS, are refused without a plain request" {
    make_authority
    make_certificate server IP:127.0.0.1 0
    start_faults plain
    start_faults old --tls "$CERTS/server.cert" "$CERTS/server.key"
    refused() {
        homes
        trust "$(faults old)"
        trust "$(faults plain)"
        sleep 1.1
        run -1 --separate-stderr as "$PROBE" top "$(faults old)/ok:1"
        assert_match "$stderr" "registry.unreachable: *certificate has expired*"
        run -1 --separate-stderr as "$PROBE" top "$(faults plain)/ok:1"
        assert_match "$stderr" "registry.unreachable: *"
    }
    each_caller refused
    assert_equal "plain requests" "$(requests plain .path)" ""
}

@test "a loopback registry that speaks https is told from one that fails" {
    make_authority
    make_certificate server IP:127.0.0.1
    REGISTRY_TLS="tls: {certificate: $CERTS/server.cert, key: $CERTS/server.key}" start_registry
    run -125 --separate-stderr stepcell image pull -q "$REGISTRY/tools:1"
    assert_match "$stderr" "*answers 400 for*hint: *https*certs.d"
}

@test "redirects never lead from https to http, and each origin is asked for its own certificates" {
    make_authority
    make_certificate server IP:127.0.0.1
    start_faults plain
    start_faults other --tls "$CERTS/server.cert" "$CERTS/server.key"
    start_faults one --tls "$CERTS/server.cert" "$CERTS/server.key" --other "http://$(faults plain)"
    start_faults two --tls "$CERTS/server.cert" "$CERTS/server.key" --other "https://$(faults other)"
    downgrade() {
        homes
        trust "$(faults one)"
        trust "$(faults two)"
        assert_failed registry.unreachable one away
        assert_match "$(cat ../stderr)" "*from https to http*"
        assert_failed registry.unreachable two away
        assert_match "$(cat ../stderr)" "*certificate*"
        trust "$(faults other)"
        fetch two away
        cmp ../blob "$FAULTS_DIR/other/blob"
    }
    each_caller downgrade
    assert_equal "plain requests" "$(requests plain .path)" ""
}

@test "HTTP/2 is spoken with a server that offers it" {
    make_authority
    make_certificate server IP:127.0.0.1
    start_registry
    push "oci:$IMAGES/busybox:latest" second:1
    local port
    port=$(free_port)
    cat >"$FAULTS_DIR/nginx.conf" <<END
daemon off; pid $FAULTS_DIR/nginx.pid; error_log $FAULTS_DIR/nginx.log;
events {}
http {
    log_format protocol '\$server_protocol \$request_uri'; access_log $FAULTS_DIR/access.log protocol;
    server {
        listen 127.0.0.1:$port ssl http2;
        ssl_certificate $CERTS/server.cert; ssl_certificate_key $CERTS/server.key;
        location / { proxy_pass http://$REGISTRY; proxy_set_header Host \$http_host; }
    }
}
END
    nginx -c "$FAULTS_DIR/nginx.conf" -e "$FAULTS_DIR/nginx.log" 3>&- &
    end_later $!
    wait_for test -s "$FAULTS_DIR/nginx.pid"
    second() {
        homes
        trust "127.0.0.1:$port"
        IMAGE=127.0.0.1:$port/second:1
        run -0 --separate-stderr cell -- echo second
        assert_equal output "$output" second
        stepcell image remove "$IMAGE"
    }
    each_caller second
    grep -q '^HTTP/2.0 .*blobs' "$FAULTS_DIR/access.log"
    run ! grep -v '^HTTP/2.0' "$FAULTS_DIR/access.log"
}

# In a network of their own the servers have an address that is not loopback: 192.0.2.1.
@test "proxies are used for both schemes, with a password, and no_proxy goes around them" {
    make_authority
    make_certificate server IP:192.0.2.1
    unshare --net sleep 300 3>&- &
    local holder=$! port=8888
    end_later "$holder"
    apart() { [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }
    wait_for apart
    local -x INSIDE="nsenter --net=/proc/$holder/ns/net"
    $INSIDE ip link set lo up
    $INSIDE ip address add 192.0.2.1/24 dev lo
    start_faults plain --bind 192.0.2.1
    start_faults tls --bind 192.0.2.1 --tls "$CERTS/server.cert" "$CERTS/server.key"
    cat >"$FAULTS_DIR/proxy.conf" <<END
Port $port
Listen 127.0.0.1
Timeout 20
LogFile "$FAULTS_DIR/proxy.log"
LogLevel Connect
BasicAuth runner pr0xy
END
    $INSIDE tinyproxy -d -c "$FAULTS_DIR/proxy.conf" >/dev/null 2>&1 3>&- &
    end_later $!
    proxy_listens() { $INSIDE curl -s -o /dev/null --noproxy '*' "http://127.0.0.1:$port/"; }
    wait_for proxy_listens
    through() {
        local plain tls
        homes
        plain=192.0.2.1:$(cat "$FAULTS_DIR/plain/port") tls=192.0.2.1:$(cat "$FAULTS_DIR/tls/port")
        configure "{\"registries\": {\"$plain\": {\"plain_http\": true}}}"
        trust "$tls"
        http_proxy=http://runner:pr0xy@127.0.0.1:$port run -0 proxied "$plain"
        assert_used "$plain"
        HTTPS_PROXY=http://runner:pr0xy@127.0.0.1:$port run -0 proxied "$tls"
        assert_used "CONNECT $tls"
        ALL_PROXY=http://runner:pr0xy@127.0.0.1:$port NO_PROXY=other,192.0.2.0/24 run -0 proxied "$tls"
        run ! assert_used "$tls"
        https_proxy=http://runner:wr0ng@127.0.0.1:$port run -1 --separate-stderr proxied "$tls"
        assert_match "$stderr" "registry.unreachable: *proxy*"
        [[ $stderr != *wr0ng* ]]
        https_proxy='http://runner:wr0ng@[x' run -1 --separate-stderr proxied "$tls"
        assert_match "$stderr" "registry.unreachable: *proxy*"
        [[ $stderr != *wr0ng* ]]
        http_proxy=http://127.0.0.1:$port run -1 --separate-stderr proxied "$plain"
        assert_match "$stderr" "registry.unreachable: *proxy*password*"
    }
    each_caller through
}

# proxied HOST: asks it as the caller, inside the network, with a proxy's log that is empty before
proxied() {
    local user=()
    [ "$CALLER" = root ] ||
        user=(setpriv "--reuid=$(caller_name)" "--regid=$(caller_name)" --init-groups --)
    : >"$FAULTS_DIR/proxy.log"
    $INSIDE env HOME="$TEST_DIR/home/$CALLER" "${user[@]}" "$PROBE" top "$1/ok:1"
}

# assert_used TEXT: the proxy's log has it
assert_used() { grep -aF "$1" "$FAULTS_DIR/proxy.log"; }

# registry_index TAG ENTRY...: pushes an index to types and prints its descriptor
registry_index() {
    local tag=$1 text type=application/vnd.oci.image.index.v1+json
    shift
    text=$(jq -sc --arg t $type '{schemaVersion: 2, mediaType: $t, manifests: .}' <<<"$*")
    curl -sf --noproxy '*' -X PUT -H "Content-Type: $type" --data-binary "$text" \
        "http://$REGISTRY/v2/types/manifests/$tag"
    jq -nc --arg t $type --arg d "sha256:$(printf %s "$text" | sha256sum | cut -d' ' -f1)" \
        --argjson s "${#text}" '{mediaType: $t, digest: $d, size: $s}'
}

@test "nested indexes, attestations, zstd layers and docker's own types come from a registry" {
    local image attestation inner type=application/vnd.oci.image.manifest.v1+json
    start_registry
    push "oci:$IMAGES/busybox:latest" types:zstd --dest-compress-format zstd --format oci
    push "oci:$IMAGES/busybox:latest" types:docker --format v2s2
    curl -sf --noproxy '*' -H "Accept: $type" "http://$REGISTRY/v2/types/manifests/zstd" \
        >"$FAULTS_DIR/manifest"
    grep -q 'tar+zstd' "$FAULTS_DIR/manifest"
    image=$(jq -nc --arg t $type --arg d "sha256:$(sha256sum "$FAULTS_DIR/manifest" | cut -d' ' -f1)" \
        --argjson s "$(stat -c %s "$FAULTS_DIR/manifest")" \
        '{mediaType: $t, digest: $d, size: $s, platform: {os: "linux", architecture: "amd64"}}')
    attestation=$(jq -c '.platform = {os: "unknown", architecture: "unknown"} | .annotations =
        {"vnd.docker.reference.type": "attestation-manifest"}' <<<"$image")
    inner=$(registry_index inner "$attestation" "$image")
    registry_index nested "$inner" >/dev/null
    types() {
        local tag
        for tag in zstd docker nested; do
            IMAGE=$REGISTRY/types:$tag
            run -0 --separate-stderr cell -- echo "$tag"
            assert_equal output "$output" "$tag"
            stepcell image remove "$IMAGE"
        done
    }
    each_caller types
}

@test "tags are listed page by page, whatever the links look like" {
    start_faults other
    start_faults one --other "http://$(faults other)"
    start_registry
    push "oci:$IMAGES/busybox:latest" listed:b
    push "oci:$IMAGES/busybox:latest" listed:a
    pages() {
        local repository
        homes
        for repository in pages pages-refused pages-host pages-prefix; do
            run -0 as "$PROBE" tags "$(faults one)/$repository"
            assert_equal "$repository" "$output" $'a\nb\nc\nd'
        done
        run -0 as "$PROBE" tags "$(faults one)/pages-none"
        assert_equal none "$output" ""
        run -1 --separate-stderr as "$PROBE" tags "$(faults one)/pages-loop"
        assert_match "$stderr" "registry.unreachable: *again and again*"
        run -0 as "$PROBE" tags "$REGISTRY/listed"
        assert_equal listed "$output" $'a\nb'
        run -1 --separate-stderr as "$PROBE" tags "$REGISTRY/nowhere"
        assert_match "$stderr" "image.not-found: *"
    }
    each_caller pages
    run -1 --separate-stderr "$PROBE" tags "$(faults one)/pages-endless"
    assert_match "$stderr" "registry.unreachable: *more than 1000 pages*"
    assert_equal "what another host saw" "$(requests other .path)" ""
}

@test "referrers are listed by the API, or by the tag that stands for it" {
    start_faults one
    start_registry
    push "oci:$IMAGES/busybox:latest" alone:1
    referrers() {
        local digest name
        homes
        digest=sha256:$(printf '1%.0s' $(seq 64))
        run -0 as "$PROBE" referrers "$(faults one)/refs" "$digest"
        assert_equal all "$output" $'sha256:11 a\nsha256:22 b\nsha256:33 b'
        run -0 as "$PROBE" referrers "$(faults one)/refs" "$digest" b
        assert_equal filtered "$output" $'sha256:22 b\nsha256:33 b'
        run -0 as "$PROBE" referrers "$(faults one)/refs-tag" "$digest"
        assert_equal tag "$output" "sha256:44 a"
        for name in "$(faults one)/refs-image" "$(faults one)/refs-none" "$REGISTRY/alone"; do
            run -0 as "$PROBE" referrers "$name" "$digest"
            assert_equal none "$output" ""
        done
        run -1 --separate-stderr as "$PROBE" referrers "$(faults one)/refs-bad" "$digest"
        assert_match "$stderr" "image.corrupt: *"
    }
    each_caller referrers
}
