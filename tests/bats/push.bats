# Images on their way into a registry: a real one, and one with faults.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

setup_file() {
    export PARTS=$TEST_DIR/push
    mkdir -p "$PARTS"
    head -c 1500000 /dev/urandom >"$PARTS/random"
    tar -C "$PARTS" --numeric-owner --owner=0 --group=0 -cf "$PARTS/random.tar" random
    tar -C "$(dirname "$(command -v busybox)")" --numeric-owner --owner=0 --group=0 \
        --transform 's,^,bin/,' -cf "$PARTS/busybox.tar" busybox
    new_layout "$PARTS/layout"
    put_image "$PARTS/layout" '{"config":{"Env":["PATH=/bin"]}}' "$PARTS/busybox.tar" "$PARTS/random.tar" |
        name_image "$PARTS/layout" tools
    chmod -R a+rX "$PARTS"
    LARGE=oci:$PARTS/layout:tools
    export LARGE
}

setup() {
    FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    chmod 755 "$FAULTS_DIR"
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY REGISTRY_AUTH_FILE
}

teardown() {
    stop_faults
    stop_registry
}

push_image() { stepcell image push "$@"; }

# pushed_blobs: what became of blobs, in the JSON of the last push
pushed_blobs() { jq -r '.blobs | [.present, .mounted, .sent] | join(" ")' <<<"$output"; }

top_of() { jq -r '.manifests[0].digest' "$1/index.json"; }

@test "what the store has is pushed, byte for byte, and only what is missing there" {
    start_registry
    push "$LARGE" team/tools:1 --format v2s2
    push "oci:$IMAGES/busybox:user-app" team/other:1
    pushed() {
        docker=$(stepcell image pull -q "$REGISTRY/team/tools:1")
        # What the registry has lost behind a tag is sent again.
        layer=$(skopeo inspect --tls-verify=false "docker://$REGISTRY/team/tools:1" | jq -r '.Layers[0]')
        curl -sf --noproxy '*' -X DELETE "http://$REGISTRY/v2/team/tools/blobs/$layer"
        run -0 push_image "$REGISTRY/team/tools:1" --json
        assert_equal healed "$(pushed_blobs) $(jq -r .status <<<"$output")" "2 0 1 unchanged"
        run -0 --separate-stderr push_image "$REGISTRY/team/tools:1"
        assert_equal same "$output$stderr" "$docker unchanged"
        # Another repository of the registry that it came from: nothing is sent.
        run -0 push_image "$REGISTRY/team/tools:1" "$REGISTRY/copies/$CALLER" --tag 1 --tag latest --json
        assert_equal blobs "$(pushed_blobs)" "0 3 0"
        assert_equal facts "$(jq -c '[.schema, .repository, .digest, .status, .tags]' <<<"$output")" \
            "[\"stepcell.push/1\",\"$REGISTRY/copies/$CALLER\",\"$docker\",\"pushed\",[{\"tag\":\"1\",\"status\":\"pushed\"},{\"tag\":\"latest\",\"status\":\"pushed\"}]]"
        assert_equal digest "$(skopeo inspect --tls-verify=false "docker://$REGISTRY/copies/$CALLER:1" | jq -r .Digest)" "$docker"
        # Under the name of another registry, all of it; and what a second image shares is there.
        start_other
        run -0 push_image "$REGISTRY/team/tools:1" "$OTHER/tools/$CALLER:1" --json
        assert_equal blobs "$(pushed_blobs)" "0 0 3"
        assert_equal bytes "$(jq .blobs.bytes <<<"$output")" "$(skopeo inspect --raw --tls-verify=false \
            "docker://$REGISTRY/team/tools:1" | jq '[.config.size, .layers[].size] | add')"
        run -0 push_image "$REGISTRY/team/tools:1" "$OTHER/tools/$CALLER:2" --json
        assert_equal again "$(pushed_blobs) $(jq -r .status <<<"$output")" "3 0 0 pushed"
        IMAGE=$OTHER/tools/$CALLER:2
        run -0 cell -- busybox wc -c /random
        assert_match "$output" "1500000 /random"
        run -125 --separate-stderr push_image "$REGISTRY/team/none:1" "$OTHER/tools:1"
        assert_match "$stderr" "stepcell: the image '$REGISTRY/team/none:1' is not in the store*"
        stepcell image remove "$REGISTRY/team/tools:1" "$IMAGE"
    }
    # start_other: another registry in $OTHER, once
    start_other() {
        [ -z "${OTHER:-}" ] || return 0
        FAULT_SERVER=push_server.py start_faults other
        OTHER=$(faults other)
    }
    CALLERS="root plain" each_caller pushed
}

@test "layouts and archives are pushed without the store; an index with all that it names" {
    start_registry
    skopeo copy --quiet "$LARGE" "docker-archive:$PARTS/saved.tar:example.test/tools:1"
    tar -C "$PARTS/layout" -cf "$PARTS/archive.tar" .
    all() {
        run -0 push_image "$LARGE" "$REGISTRY/team/layout:1"
        assert_equal layout "$output" "$(top_of "$PARTS/layout") pushed"
        run -0 push_image "oci-archive:$PARTS/archive.tar:tools" "$REGISTRY/team/layout:1"
        assert_equal archive "$output" "$(top_of "$PARTS/layout") unchanged"
        run -0 push_image "docker-archive:$PARTS/saved.tar" "$REGISTRY/team/saved:1"
        skopeo copy --quiet --src-tls-verify=false "docker://$REGISTRY/team/saved:1" "oci:$WORK/taken:1"
        run -0 push_image "oci:$IMAGES/platforms:latest" "$REGISTRY/team/platforms:1"
        skopeo copy --quiet --all --src-tls-verify=false "docker://$REGISTRY/team/platforms:1" "oci:$WORK/all:1"
        assert_equal index "$output" "$(top_of "$WORK/all") pushed"
        # Out of the store of skopeo's making, and of this one.
        run -125 --separate-stderr push_image "$LARGE"
        assert_match "$stderr" "stepcell: *is not a place in a registry*"
        run -125 --separate-stderr push_image "oci:$IMAGES/damaged/flipped-layer" "$REGISTRY/team/damaged:1"
        assert_match "$stderr" "stepcell: the source gives *"
        run -125 --separate-stderr push_image "oci:$PARTS/layout:none" "$REGISTRY/team/damaged:1"
        run ! skopeo inspect --tls-verify=false "docker://$REGISTRY/team/damaged:1"
    }
    CALLERS=root each_caller all
}

@test "a registry with passwords is pushed to with the caller's" {
    htpasswd -Bbn worker s3cret >"$FAULTS_DIR/htpasswd"
    start_registry "$FAULTS_DIR/htpasswd"
    logged_in() {
        homes
        run -125 --separate-stderr push_image "$LARGE" "$REGISTRY/team/tools:1"
        assert_match "$stderr" "stepcell: the registry '$REGISTRY' does not let you push, for 'team/tools'*docker login*"
        # Where no credentials can be had, that is what is said.
        docker_config '{'
        run -125 --separate-stderr push_image "$LARGE" "$REGISTRY/team/tools:1"
        assert_match "$stderr" "stepcell: '*/config.json' is not valid JSON*"
        docker_config '{"credsStore": "missing"}'
        run -125 --separate-stderr push_image "$LARGE" "$REGISTRY/team/tools:1"
        assert_match "$stderr" "stepcell: cannot start the credential helper 'docker-credential-missing'*"
        password_for "$REGISTRY"
        run -0 push_image "$LARGE" "$REGISTRY/team/tools:1"
        run -0 stepcell manifest create "$REGISTRY/team/tools:all" "$REGISTRY/team/tools:1" "oci:$IMAGES/platforms:arm64"
        run -0 skopeo inspect --tls-verify=false --creds worker:s3cret "docker://$REGISTRY/team/tools:all"
    }
    CALLERS=plain each_caller logged_in
}

@test "a token is asked for with the right to push; one that ends in the middle is renewed" {
    FAULT_SERVER=push_server.py start_faults one
    with_tokens() {
        homes
        password_for "$(faults one)"
        run -0 push_image "$LARGE" "$(faults one)/auth/tools:1"
        run -0 push_image "$LARGE" "$(faults one)/auth-once/tools:1"
        # Where a mount is refused to who may push, blobs are sent.
        run -0 push_image "$LARGE" "$(faults one)/ok/tools:1"
        run -0 stepcell manifest create --json "$(faults one)/auth-nomount/tools:1" "$(faults one)/ok/tools:1"
        assert_equal unmounted "$(pushed_blobs)" "0 0 3"
        # One that reads has no right to write.
        run -0 stepcell manifest inspect "$(faults one)/auth/tools:1"
        docker_config '{}'
        run -125 --separate-stderr push_image "$LARGE" "$(faults one)/auth/tools:2"
        assert_match "$stderr" "stepcell: the registry * does not let you push, *"
    }
    CALLERS=root each_caller with_tokens
    assert_equal tokens "$(requests one 'select(.path | startswith("/token")) | .path' | grep -o 'repository.*' |
        grep -v nomount | sed 's/%3A/:/g; s/%2F/\//g; s/%2C/,/g' | sort | uniq -c | sort -rn | sed 's/^ *//')" \
        "2 repository:auth/tools:pull,push&scope=repository:auth/tools:pull
1 repository:auth/tools:pull
1 repository:auth-once/tools:pull,push&scope=repository:auth-once/tools:pull
1 repository:auth-once/tools:pull,push"
}

@test "what breaks on the way goes on where it was, or is begun anew" {
    FAULT_SERVER=push_server.py start_faults one
    mended() {
        local repository
        homes
        for repository in ok break norange lost expired unsteady busy proxy nohead nodigest redirect; do
            echo "repository: $repository"
            run -0 push_image "$LARGE" "$(faults one)/$repository:1"
            assert_equal "$repository" "$output" "$(top_of "$PARTS/layout") pushed"
        done
        for repository in ok nohead nodigest redirect; do
            run -0 push_image "$LARGE" "$(faults one)/$repository:2" --json
            assert_equal "$repository again" "$(pushed_blobs)" "3 0 0"
            run -0 push_image "$LARGE" "$(faults one)/$repository:1"
            assert_equal "$repository then" "$output" "$(top_of "$PARTS/layout") unchanged"
        done
        # A mount only saves the sending: one that fails is not tried again.
        run -0 stepcell manifest create --json "$(faults one)/nomount/tools:1" "$(faults one)/ok:1"
        assert_equal unmounted "$(pushed_blobs)" "0 0 3"
        assert_equal mounts "$(requests one 'select(.path | contains("mount=")) | .path' | wc -l)" 3
    }
    CALLERS=root each_caller mended
    # The broken one sent what was missing, and no more.
    layer=$(jq -r '.layers[0].size' "$(jq -c '.manifests[0]' "$PARTS/layout/index.json" | blob_path "$PARTS/layout")")
    assert_equal ranges "$(requests one 'select(.method == "PATCH" and (.path | startswith("/v2/break/")) and .range != "") | .range')" \
        "700000-$((layer - 1))"
    # All else is sent in one piece, as docker does it.
    assert_equal "ranges of others" "$(requests one 'select(.method == "PATCH" and (.path | startswith("/v2/ok/"))) | .range' | sort -u)" ""
    # A blob whose PUT was not answered is found there, and not sent again.
    assert_equal lost "$(requests one 'select(.method == "PATCH" and (.path | startswith("/v2/lost/"))) | .length' | wc -l)" 3
    # The tag is the last thing that is written.
    assert_match "$(requests one 'select(.path | startswith("/v2/ok/")) | select(.method != "GET" and .method != "HEAD") | .method + " " + .path' | sed -n '/manifests/{=;p}' | head -2)" \
        "10
PUT /v2/ok/manifests/1"
}

@test "what a registry refuses is said, with the way out; nobody else is sent anything" {
    FAULT_SERVER=push_server.py start_faults one
    said() {
        homes
        configure '{"stall_timeout": "500ms"}'
        while read -r repository pattern; do
            echo "repository: $repository"
            run -125 --separate-stderr push_image "$LARGE" "$(faults one)/$repository:1"
            assert_match "$stderr" "stepcell: $pattern"
            [[ $stderr != *$'\e'* && $stderr != *red* ]]
            assert_equal stdout "$output" ""
        done <<'END'
status-400 the registry '*' does not take what is pushed to it, for 'status-400'?stepcell: hint: *
status-401 the registry '*' does not let you push, for '*'*docker login*
status-403 the registry '*' does not let you push, for '*' (DENIED)*docker login*
status-404 the registry '*' has no such repository, for '*' (DENIED)*create*
status-405 the registry '*' takes no images, for '*' (DENIED)*read-only*
status-409 the registry '*' keeps the tag as it is, for '*'*
status-413 the registry '*' finds it too large, for '*'*limit*
wrong the registry '*' finds that 'sha256:*' is something else*
moved cannot push the tag '1': the tag '1' of 'moved' stands for 'sha256:44136fa3*push again*
elsewhere the registry '*' names no place of its own for an upload: 'http://localhost/*
file the registry '*' names no place of its own for an upload: 'file://*
nolocation the registry '*' names no place of its own for an upload: ''*
crumbs cannot push '*/crumbs:1' to the registry*
forgetful cannot push '*/forgetful:1' to the registry*
END
        # A target without a tag is named by the first that is pushed.
        run -125 --separate-stderr push_image "$LARGE" 127.0.0.1:1/team/tools --tag 3.1 --tag 3
        assert_match "$stderr" "stepcell: cannot push '127.0.0.1:1/team/tools:3.1' to the registry*"
        # The target's own tag is the last one, and what was pushed is said.
        run -125 --separate-stderr push_image "$LARGE" "$(faults one)/keeps:1" --tag kept --tag 2
        assert_match "$stderr" "stepcell: cannot push the tag 'kept' (pushed already: '2'): the registry '*' keeps the tag as it is, for 'keeps'*"
        assert_equal "tag 1" "$(curl -so /dev/null --noproxy '*' -w '%{http_code}' "http://$(faults one)/v2/keeps/manifests/1")" 404
    }
    CALLERS=root each_caller said
}
