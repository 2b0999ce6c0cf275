# Images: where they come from, what is checked, how they are stored, what they look like inside.

load ../lib/common
load ../lib/registry
load ../lib/images

teardown() { stop_registry; }

# fresh_store: gives the caller an empty store of its own for the rest of the test
fresh_store() {
    chmod -R u+rwX "$TEST_DIR/store/$CALLER" 2>/dev/null || true
    as "$STEPCELL" image list --json >/dev/null
    rm -rf "$TEST_DIR/store/$CALLER"
    mkdir -p "$TEST_DIR/store/$CALLER"
    chown "$(caller_name):" "$TEST_DIR/store/$CALLER"
}

@test "an image comes from a registry, anonymously, and is the one that was asked for" {
    start_registry
    push "oci:$IMAGES/busybox:latest" team/tools:1.0
    anonymous() {
        IMAGE=$REGISTRY/team/tools:1.0
        run -0 cell -- echo pulled
        assert_match "$output" "*pulled"
        assert_equal digest "$(result_field .image.digest)" \
            "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$IMAGE")"
        IMAGE=$REGISTRY/team/tools@$(result_field .image.digest)
        run -0 --separate-stderr cell -- echo by digest
        assert_equal output "$output" "by digest"
    }
    each_caller anonymous
}

@test "a registry that wants a password gets the one of DOCKER_CONFIG, and only that" {
    htpasswd -Bbc "$TEST_DIR/htpasswd" worker 's3cret: pass' 2>/dev/null
    start_registry "$TEST_DIR/htpasswd"
    push "oci:$IMAGES/busybox:latest" private:1 --dest-creds 'worker:s3cret: pass'
    password() {
        IMAGE=$REGISTRY/private:1
        run --separate-stderr cell -- true
        assert_refused registry.auth
        as mkdir -p ../docker
        as sh -c 'jq -n --arg r "$1" --arg a "$(printf "worker:%s" "$2" | base64)" \
            "{auths: {(\$r): {auth: \$a}}}" >../docker/config.json' sh "$REGISTRY" wrong
        local -x DOCKER_CONFIG=${WORK%/*}/docker
        run --separate-stderr cell -- true
        assert_refused registry.auth
        [[ $stderr != *wrong* ]]
        as sh -c 'jq -n --arg r "$1" --arg a "$(printf "worker:%s" "$2" | base64)" \
            "{auths: {(\$r): {auth: \$a}}}" >../docker/config.json' sh "$REGISTRY" 's3cret: pass'
        run -0 --separate-stderr cell -- echo allowed
        assert_equal output "$output" allowed
        stepcell image remove "$IMAGE"
    }
    each_caller password
}

@test "a multi-platform index in a registry resolves to this platform" {
    start_registry
    push "oci:$IMAGES/platforms:latest" multi
    push "oci:$IMAGES/platforms:windows" windows
    multi() {
        IMAGE=$REGISTRY/multi
        run -0 --separate-stderr cell -- /bin/busybox cat /platform
        assert_equal output "$output" linux/amd64
        IMAGE=$REGISTRY/windows
        run --separate-stderr cell -- true
        assert_refused image.platform
    }
    each_caller multi
}

@test "what a registry does not have, and a registry that is not there, are told apart" {
    start_registry
    absent() {
        IMAGE=$REGISTRY/no/such:image
        run --separate-stderr cell -- true
        assert_refused image.not-found
        assert_match "$stderr" "*no/such:image*"
        IMAGE=127.0.0.1:$(free_port)/any:1
        run --separate-stderr cell -- true
        assert_refused registry.unreachable
    }
    each_caller absent
}

@test "--pull decides when the registry is asked" {
    start_registry
    push "oci:$IMAGES/busybox:latest" moving:tag
    policies() {
        IMAGE=$REGISTRY/moving:tag
        push "oci:$IMAGES/busybox:latest" moving:tag
        run --separate-stderr cell --pull never -- true
        assert_refused image.not-found
        run -0 cell --pull missing -- true
        push "oci:$IMAGES/busybox:environment" moving:tag
        run -0 --separate-stderr cell --pull missing -- sh -c 'echo "$FROM_IMAGE"'
        assert_equal "missing keeps what is there" "$output" ""
        run -0 --separate-stderr cell --pull always -- sh -c 'echo "$FROM_IMAGE"'
        assert_equal "always takes the new one" "$output" yes
        run -0 --separate-stderr cell --pull never -- sh -c 'echo "$FROM_IMAGE"'
        assert_equal "never uses the store" "$output" yes
        stepcell image remove "$IMAGE"
    }
    each_caller policies
}

@test "without the registry, what was pulled before still runs" {
    start_registry
    push "oci:$IMAGES/busybox:latest" offline:1
    as_caller offline
}

offline() {
    IMAGE=$REGISTRY/offline:1
    run -0 cell -- true
    stop_registry
    run -0 --separate-stderr cell -- echo still
    assert_equal output "$output" still
    run --separate-stderr cell --pull always -- true
    assert_refused registry.unreachable
}

@test "an image comes from an OCI layout, a docker archive and an OCI archive" {
    sources() {
        for IMAGE in "oci:$IMAGES/busybox:latest" "docker-archive:$IMAGES/busybox.docker.tar"; do
            run -0 --separate-stderr cell -- cat /etc/group
            assert_match "$output" *'tools:x:20:app'*
        done
        IMAGE=oci:$IMAGES/busybox:no-such-tag
        run --separate-stderr cell -- true
        assert_refused image.not-found
        IMAGE=docker-archive:$WORK/nowhere.tar
        run --separate-stderr cell -- true
        assert_equal status "$status" 125
        assert_match "$stderr" "*nowhere.tar*"
    }
    each_caller sources
}

@test "a layout that changes is read again" {
    changes() {
        cp -r "$IMAGES/busybox" ../layout
        IMAGE=oci:${WORK%/*}/layout:environment
        run -0 cell -- sh -c 'echo "$FROM_IMAGE"'
        assert_equal output "$output" yes
        umoci config --image "${IMAGE#oci:}" --config.env FROM_IMAGE=changed
        chmod -R a+rX ../layout
        run -0 cell -- sh -c 'echo "$FROM_IMAGE"'
        assert_equal output "$output" changed
    }
    each_caller changes
}

@test "images of umoci, buildah and mmdebstrap run" {
    makers() {
        IMAGE=oci:$IMAGES/buildah:latest
        run -0 --separate-stderr cell -- /bin/sh -c 'echo $MADE_BY'
        assert_equal output "$output" buildah
        IMAGE=oci:$IMAGES/execution:latest
        run -0 --separate-stderr cell -- bash -c 'for p in wget unzip curl sqlite3 apt-get perl; do command -v $p; done | wc -l'
        assert_equal output "$output" 6
    }
    each_caller makers
}

@test "layers show whiteouts, opaque directories, links, owners, modes and attributes" {
    look() {
        IMAGE=oci:$IMAGES/layers:latest
        run -0 --separate-stderr cell -- sh -c '
            ls() { /bin/busybox ls "$@"; }
            b=/bin/busybox
            echo gone: $($b ls -d /gone 2>/dev/null)
            echo opaque: $($b ls -A /opaque)
            echo replaced: $($b cat /replaced)
            echo kept: $($b ls -A /kept)
            echo hard: $($b stat -c %h /kept/hard) $([ /kept/hard -ef /kept/hard-too ] && echo same)
            echo links: $($b readlink /kept/link) $($b readlink /kept/absolute)
            echo owned: $($b stat -c "%u:%g %a" /kept/owned)
            echo fifo: $([ -p /kept/fifo ] && echo yes)'
        echo "$output" >../look
        assert_match "$output" *'gone:'$'\n'*
        assert_match "$output" *'opaque: new'$'\n'*
        assert_match "$output" *'replaced: 2'*
        assert_match "$output" *'kept: absolute attribute fifo file hard hard-too link owned'*
        assert_match "$output" *'hard: 2 same'*
        assert_match "$output" *'links: file /etc/absolute'*
        assert_match "$output" *'fifo: yes'*
        [ "$CALLER" = plain ] || assert_match "$output" *'owned: 12:34 4751'*
    }
    each_caller look
}

@test "extended attributes of a layer are kept" {
    attributes() {
        IMAGE=oci:$IMAGES/layers:latest
        run -0 --separate-stderr cell -- true || run -0 --separate-stderr cell -- /bin/busybox true
        find "$TEST_DIR/store/$CALLER/layers" -path '*/kept/attribute' >../found
        [ -s ../found ]
        getfattr --only-values -n user.colour "$(head -1 ../found)" >../value
        assert_equal value "$(cat ../value)" green
    }
    each_caller attributes
}

@test "a base that two images share is stored and unpacked once" {
    shared() {
        fresh_store
        IMAGE=oci:$IMAGES/layers:latest
        run -0 cell -- /bin/busybox true
        local first
        first=$(find "$TEST_DIR/store/$CALLER/layers" -mindepth 2 -maxdepth 2 | wc -l)
        assert_equal layers "$first" 2
        IMAGE=oci:$IMAGES/layers:sibling
        run -0 cell -- /bin/busybox test -e /other
        assert_equal layers "$(find "$TEST_DIR/store/$CALLER/layers" -mindepth 2 -maxdepth 2 | wc -l)" 3
        skopeo inspect --raw "oci:$TEST_DIR/store/$CALLER" >/dev/null || skopeo inspect --raw \
            "oci:$TEST_DIR/store/$CALLER@0" >/dev/null || ls "$TEST_DIR/store/$CALLER/blobs/sha256"
    }
    each_caller shared
}

@test "many steps that need the same new image make it once" {
    together() {
        fresh_store
        local i pids=()
        for i in $(seq 8); do
            stepcell run -w "$WORK" "$IMAGE" echo "$i" >"../out.$i" 2>&1 3>&- &
            pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        for i in $(seq 8); do assert_match "$(cat "../out.$i")" "*$i"; done
        assert_equal layers "$(find "$TEST_DIR/store/$CALLER/layers" -mindepth 2 -maxdepth 2 | wc -l)" 1
    }
    each_caller together
}

@test "a pull that is killed at any moment leaves a store that works" {
    torn() {
        fresh_store
        IMAGE=oci:$IMAGES/execution:latest
        local i killed=0
        for i in 0.02 0.1 0.3 0.6 1; do
            rm -f ../group
            # A process group of its own is what a cancelled job loses at once.
            as setsid sh -c 'echo $$ >../group && exec "$@"' sh "$STEPCELL" image pull "$IMAGE" \
                >/dev/null 2>&1 3>&- &
            wait_for test -s ../group
            sleep "$i"
            kill -KILL -- "-$(cat ../group)" 2>/dev/null && killed=$((killed + 1))
            wait "$!" || true
        done
        [ "$killed" -gt 0 ]
        run -0 --separate-stderr cell -- bash -c 'echo whole; dpkg --verify bash'
        assert_equal output "$output" whole
        [ -z "$(ls -A "$TEST_DIR/store/$CALLER/tmp" 2>/dev/null)" ]
    }
    as_caller torn
}

@test "damage is found before anything is used: image.corrupt" {
    damaged() {
        local layout
        for layout in "$IMAGES"/damaged/*; do
            echo "damage: $layout"
            IMAGE=oci:$layout:latest
            run --separate-stderr cell -- /bin/sh -c 'touch started'
            assert_equal status "$status" 125
            assert_equal code "$(result_field .error.code)" image.corrupt
            [ ! -e started ]
        done
    }
    each_caller damaged
}

# A good image beside the bad ones shows that the corpus is refused for its faults.
@test "the good image that the corpus is made of runs" {
    good() {
        TESTS=$WORK/.. as_caller_corpus_good
        IMAGE=oci:${WORK%/*}/good:latest
        run -0 cell -- /bin/sh -c 'echo good'
        assert_match "$output" "*good"
    }
    as_caller good
}

as_caller_corpus_good() {
    mkdir -p "$TESTS/corpus/manifests"
    echo . >"$TESTS/corpus/manifests/same.jq"
    corpus_layout manifests same "$WORK/../good"
}

@test "every manifest of the corpus is refused" { corpus_refused manifests; }
@test "every configuration of the corpus is refused" { corpus_refused configs; }

corpus_refused() {
    local entry name
    for entry in "$TESTS/corpus/$1"/*; do
        name=$(basename "${entry%.*}")
        as_caller refused_entry "$1" "$name"
    done
}

refused_entry() {
    corpus_layout "$1" "$2" "$WORK/../layout"
    IMAGE=oci:${WORK%/*}/layout:latest
    run --separate-stderr cell -- /bin/sh -c 'touch started'
    assert_equal status "$status" 125
    assert_match "$(result_field .error.code)" "image.@(corrupt|platform)"
    [ ! -e started ]
}

@test "no layer of the corpus reaches the host, and broken ones are refused" {
    local entry
    for entry in "$TESTS"/corpus/layers/*.sh; do
        for CALLER in ${CALLERS:-root ranges plain}; do
            as_caller contained_entry "$(basename "$entry" .sh)"
        done
    done
}

contained_entry() {
    corpus_layout layers "$1" "$WORK/../layout"
    IMAGE=oci:${WORK%/*}/layout:latest
    run --separate-stderr cell -- /bin/sh -c 'echo runs'
    case $1 in
    refused-*)
        assert_equal status "$status" 125
        assert_equal code "$(result_field .error.code)" image.corrupt
        ;;
    contained-*)
        # What such a layer leaves of the image may lack a shell; the host is what matters here.
        assert_match "$status" "@(0|125|126|127)"
        ;;
    esac
    assert_equal canary "$(cat "$CANARY")" untouched
    assert_equal "mode of the canary" "$(stat -c %a "$CANARY")" 644
    [ -z "$(find /tmp /etc /var/tmp /root -maxdepth 1 -name 'stepcell-breakout*')" ]
}

@test "environment entries of an image never read the caller's environment" {
    hostile() {
        local -x HOST_SECRET=leak HOST_OTHER=leak
        IMAGE=oci:$IMAGES/busybox:environment-hostile
        run -0 cell -- /bin/env
        [[ $output != *leak* ]]
        assert_match "$output" *GOOD=1*
        IMAGE=oci:$IMAGES/busybox:volumes-hostile
        run -0 cell -- true
    }
    each_caller hostile
}

@test "image pull, list, inspect and remove" {
    commands() {
        fresh_store
        run -0 stepcell image pull "$IMAGE"
        run -0 stepcell image list
        assert_match "$output" "*busybox*"
        run -0 --separate-stderr stepcell image list --json
        jq -e 'tostring | contains("busybox")' <<<"$output"
        run -0 --separate-stderr stepcell image inspect --json "$IMAGE"
        jq -e 'tostring | contains("sha256:")' <<<"$output"
        run -0 stepcell image remove "$IMAGE"
        run -0 --separate-stderr stepcell image list
        [[ $output != *busybox:latest* ]]
        assert_equal layers "$(find "$TEST_DIR/store/$CALLER/layers" -mindepth 2 -maxdepth 2 2>/dev/null | wc -l)" 0
        run --separate-stderr cell --pull never -- true
        assert_refused image.not-found
        run stepcell image remove "$IMAGE"
        [ "$status" != 0 ]
    }
    each_caller commands
}

@test "what is wrong with a reference is said with what one is" {
    run -125 --separate-stderr stepcell image inspect BAD
    assert_match "$stderr" "*hint: *HOST/*oci:DIR*"
}

@test "an image whose user is unknown is pulled and imported, and runs with another" {
    unknown_user() {
        local tag
        for tag in user-unknown user-huge; do
            IMAGE=oci:$IMAGES/busybox:$tag
            run -0 stepcell image pull -q "$IMAGE"
            run -0 stepcell image import -q "$IMAGE" "example.test/$tag:1"
            IMAGE=example.test/$tag:1
            run --separate-stderr cell --pull never -- true
            assert_refused user.unknown
            run -0 --separate-stderr cell --pull never --user app -- id -u
            assert_equal output "$output" 1000
        done
    }
    each_caller unknown_user
}

@test "the store is nobody else's business" {
    private() {
        run -0 cell -- true
        local directory
        for directory in blobs layers images cells tmp locks; do
            assert_equal "mode of $directory" "$(stat -c %a "$TEST_DIR/store/$CALLER/$directory")" 700
        done
    }
    each_caller private
}
