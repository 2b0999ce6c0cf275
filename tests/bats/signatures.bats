# Signatures of images, against a real registry. The policy is one that only these tests see.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/policy
load ../lib/signatures

setup_file() {
    policy_setup
    make_key "$POLICY_DIR/good"
    make_key "$POLICY_DIR/other"
    mkdir "$ETC/stepcell/keys"
    cp "$POLICY_DIR"/*.pub "$ETC/stepcell/keys/"
}

teardown_file() { policy_teardown; }

setup() {
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY
    GOOD=$POLICY_DIR/good OTHER=$POLICY_DIR/other
    no_policy
    start_registry
}

teardown() { stop_registry; }

# signed_by KEY...: the policy asks for a signature by any of these
signed_by() {
    policy "$(jq -nc '{images: [{match: "**", action: "allow",
        signed_by: [$ARGS.positional[] | "/etc/stepcell/keys/\(.).pub"]}]}' --args "$@")"
}

# mark REPOSITORY <MANIFEST: the same image with another digest, for this test and caller alone
mark() { jq -c --arg mark "$1 $BATS_TEST_NUMBER" '.annotations.mark = $mark'; }

registry_manifest() { # REPOSITORY REFERENCE
    curl -sf --noproxy '*' -H "Accept: $INDEX" -H "Accept: $MANIFEST" "http://$REGISTRY/v2/$1/manifests/$2"
}

# use NAME [SOURCE]: an image of this name for each caller, as $IMAGE, $REPOSITORY and $DIGEST
use() {
    local top child digest size type=$MANIFEST
    REPOSITORY=$1-$CALLER
    push "${2:-oci:$IMAGES/busybox:latest}" "$REPOSITORY:1"
    top=$(registry_manifest "$REPOSITORY" 1)
    child=$(jq -r '.manifests[]? | select(.platform.architecture == "amd64" and .platform.os == "linux") | .digest' <<<"$top")
    if [ -n "$child" ]; then
        read -r digest size < <(registry_manifest "$REPOSITORY" "$child" | mark "$REPOSITORY" |
            put_registry_manifest "$REPOSITORY" "" "$MANIFEST")
        top=$(jq -c --arg child "$child" --arg digest "$digest" --argjson size "$size" \
            '(.manifests[] | select(.digest == $child)) += {digest: $digest, size: $size}' <<<"$top")
        CHILD=$digest type=$INDEX
    fi
    read -r DIGEST _ < <(mark "$REPOSITORY" <<<"$top" |
        put_registry_manifest "$REPOSITORY" 1 "$type")
    IMAGE=$REGISTRY/$REPOSITORY:1
}

assert_signed() {
    run -0 --separate-stderr cell "$@" -- true
    assert_equal signatures "$(result_field '.image.signatures | map(.digest + " " + .format) | join(",")')" "$DIGEST $FORMAT"
    assert_match "$(result_field '.policy.rule')" "images\[0\] (line *)"
}

assert_unsigned() {
    run --separate-stderr cell "$@" -- true
    assert_refused image.signature
}

# nothing_unpacked: of $IMAGE there are no layers, no record, no name
nothing_unpacked() { run -125 stepcell image inspect "$IMAGE"; }

@test "an image that is signed with the key runs, one that is not is not even unpacked" {
    both() {
        local layers
        signed_by good
        use plain
        as "$STEPCELL" image list >/dev/null
        layers=$(as find "$TEST_DIR/store/$CALLER/layers" -mindepth 2 -maxdepth 2 | sort)
        assert_unsigned
        assert_match "$stderr" "*is not signed: its registry has no signature*$DIGEST*keys/good.pub*"
        nothing_unpacked
        assert_equal layers "$(as find "$TEST_DIR/store/$CALLER/layers" -mindepth 2 -maxdepth 2 | sort)" "$layers"
        run -125 stepcell image pull "$IMAGE"
        nothing_unpacked
        sign "$OTHER" "$REPOSITORY" "$DIGEST"
        assert_unsigned
        assert_match "$stderr" "*of 1 signatures none counts; the last is by another key*"
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
    }
    CALLERS="root plain" each_caller both
}

@test "the newer format, with referrers" {
    newer() {
        signed_by other good
        use newer
        sign_bundle "$GOOD" "$REPOSITORY" "$DIGEST" https://slsa.dev/provenance/v1
        assert_unsigned
        assert_match "$stderr" "*is an attestation*"
        sign_bundle "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=bundle assert_signed
        # Beside an older one that is no use.
        use beside
        sign "$OTHER" "$REPOSITORY" "$DIGEST"
        sign_bundle "$GOOD" "$REPOSITORY" "$DIGEST"
        signed_by good
        FORMAT=bundle assert_signed
    }
    CALLERS="root ranges" each_caller newer
}

@test "what is known to be signed needs no registry, until the policy asks for another key" {
    known() {
        local store=$TEST_DIR/store/$CALLER
        signed_by good
        use known
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
        kill -STOP "$REGISTRY_PID"
        FORMAT=simple assert_signed --pull never
        FORMAT=simple assert_signed
        signed_by other
        assert_unsigned --pull never
        kill -CONT "$REGISTRY_PID"
        assert_unsigned
        sign "$OTHER" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
        run -0 as find "$store/images" -name signatures.json -newer "$POLICY"
        [ -n "$output" ]
    }
    CALLERS="root plain" each_caller known
}

@test "an image that was there before the policy is verified before it runs again" {
    before() {
        no_policy
        use before oci:$IMAGES/platforms:latest
        run -0 cell -- /bin/busybox true
        signed_by good
        run --separate-stderr cell -- /bin/busybox true
        assert_refused image.signature
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        run -0 cell -- /bin/busybox true
        assert_equal signed "$(result_field '.image.signatures[0].digest')" "$DIGEST"
        kill -STOP "$REGISTRY_PID"
        run -0 cell --pull never -- /bin/busybox true
        kill -CONT "$REGISTRY_PID"
    }
    CALLERS="root ranges" each_caller before
}

@test "index or platform: a signature of either is one of the image, of another index it is not" {
    either() {
        signed_by good
        use either oci:$IMAGES/platforms:latest
        push "oci:$IMAGES/platforms:arm64" "$REPOSITORY:arm"
        sign "$GOOD" "$REPOSITORY" "$(registry_digest "$REPOSITORY" arm)"
        run --separate-stderr cell -- /bin/busybox true
        assert_refused image.signature
        sign "$GOOD" "$REPOSITORY" "$CHILD"
        run -0 cell -- /bin/busybox true
        assert_equal signed "$(result_field '.image.signatures[0].digest')" "$CHILD"
    }
    CALLERS=plain each_caller either
}

# bad_layers: all of the corpus, each signed with the right key unless that is its fault
bad_layers() {
    local filter good
    good=$(simple_payload "$REPOSITORY" "$DIGEST" | simple_layer "$GOOD" "$REPOSITORY")
    for filter in "$TESTS"/corpus/signatures/payloads/*.jq; do
        simple_payload "$REPOSITORY" "$DIGEST" | jq -cj -f "$filter" | simple_layer "$GOOD" "$REPOSITORY"
    done
    for filter in "$TESTS"/corpus/signatures/layers/*.jq; do
        jq -c -f "$filter" <<<"$good"
    done
}

bad_bundles() {
    local filter
    for filter in "$TESTS"/corpus/signatures/statements/*.jq; do
        statement "$DIGEST" | jq -cj -f "$filter" | bundle "$GOOD"
    done
    for filter in "$TESTS"/corpus/signatures/bundles/*.jq; do
        statement "$DIGEST" | bundle "$GOOD" | jq -c -f "$filter"
    done
}

@test "no signature of the corpus counts, and none is in the way of a good one" {
    corpus() {
        local layers bundles line
        signed_by good
        use corpus
        mapfile -t layers < <(bad_layers)
        [ "${#layers[@]}" -gt 10 ]
        put_signatures "$REPOSITORY" "$DIGEST" "${layers[@]}"
        assert_unsigned
        # Two of the layers are of other kinds, and two hold no bytes of a signature.
        assert_match "$stderr" "*of $((${#layers[@]} - 4)) signatures none counts*"
        mapfile -t bundles < <(bad_bundles)
        [ "${#bundles[@]}" -gt 10 ]
        for line in "${bundles[@]}"; do
            refer "$REPOSITORY" "$DIGEST" <<<"$line"
        done
        assert_unsigned
        nothing_unpacked
        sign_bundle "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=bundle assert_signed
        use again
        mapfile -t layers < <(bad_layers)
        put_signatures "$REPOSITORY" "$DIGEST" "${layers[@]}" \
            "$(simple_payload "$REPOSITORY" "$DIGEST" | simple_layer "$GOOD" "$REPOSITORY")"
        FORMAT=simple assert_signed
    }
    CALLERS=plain each_caller corpus
}

@test "ten thousand signatures are refused, not looked at" {
    many() {
        local layers
        signed_by good
        use many
        layers=$(simple_payload "$REPOSITORY" "$DIGEST" | simple_layer "$OTHER" "$REPOSITORY")
        read -r empty _ < <(printf '{}' | put_registry_blob "$REPOSITORY")
        jq -nc --argjson layer "$layers" --arg empty "$empty" \
            '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
              config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $empty, size: 2},
              layers: [range(10000) | $layer]}' |
            put_registry_manifest "$REPOSITORY" "${DIGEST/:/-}.sig" application/vnd.oci.image.manifest.v1+json
        assert_unsigned
        assert_match "$stderr" "*more than 64 signatures*"
    }
    CALLERS=plain each_caller many
}

@test "an image that is pushed behind a signature is another one" {
    swapped() {
        signed_by good
        use swapped
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
        push "oci:$IMAGES/busybox:cmd" "$REPOSITORY:1"
        FORMAT=simple assert_signed --pull missing
        assert_unsigned --pull always
        # The signature of the one is that of the other under no tag.
        sign "$GOOD" "$REPOSITORY" "$(registry_digest "$REPOSITORY" 1)"
        DIGEST=$(registry_digest "$REPOSITORY" 1)
        FORMAT=simple assert_signed --pull always
    }
    CALLERS=root each_caller swapped
}

@test "a store of an ordinary user's is not believed what it says of signatures" {
    lies() {
        local record
        signed_by good
        use lies
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
        record=$TEST_DIR/store/$CALLER/images/${DIGEST#sha256:}/signatures.json
        cp "$record" ../kept
        # A signature for another image, by another key, or by none, under the good key's name.
        for filter in '.signatures[0].payload = (.signatures[0].payload | @base64d | sub("optional"; "optimal") | @base64)' \
            '.signatures[0].signature = "MAYCAQECAQE="' '.signatures = []' '.signatures[0].format = "bundle"'; do
            jq "$filter" ../kept | as sh -c "cat >'$record'"
            assert_unsigned --pull never
        done
        # The right record, but of another image.
        as sh -c "cat >'$record'" <../kept
        FORMAT=simple assert_signed --pull never
        use other oci:$IMAGES/busybox:cmd
        policy '{"images": [{"match": "**", "action": "allow"}]}'
        run -0 cell -- true
        signed_by good
        jq --arg digest "$DIGEST" '.manifest_digest = $digest' ../kept |
            as sh -c "cat >'$TEST_DIR/store/$CALLER/images/${DIGEST#sha256:}/signatures.json'"
        assert_unsigned --pull never
        jq --arg digest "$DIGEST" '.manifest_digest = $digest | .digest = $digest | .signatures[].digest = $digest' ../kept |
            as sh -c "cat >'$TEST_DIR/store/$CALLER/images/${DIGEST#sha256:}/signatures.json'"
        assert_unsigned --pull never
        # What is noted of the image itself is compared with what is signed, and noted anew.
        use noted oci:$IMAGES/busybox:user-app
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
        record=$TEST_DIR/store/$CALLER/images/${DIGEST#sha256:}/image.json
        jq '.user = "root"' "$record" >../noted
        as sh -c "cat >'$record'" <../noted
        run -0 --separate-stderr cell --pull never -- id -un
        assert_equal user "$output" app
        assert_equal noted "$(jq -r .user "$record")" app
    }
    CALLERS=plain each_caller lies
}

@test "local images cannot be signed, and so do not run where that is asked for" {
    local_image() {
        policy '{"images": [{"match": ["**", "oci:/**"], "action": "allow", "signed_by": ["/etc/stepcell/keys/good.pub"]}]}'
        cp -r "$IMAGES/static" ../local
        umoci config --image ../local:latest --config.label only=here
        chmod -R a+rX ../local
        IMAGE=oci:$(realpath ../local):latest
        run --separate-stderr cell -- /bin/true
        assert_refused image.signature
        run -125 --separate-stderr stepcell image import "$IMAGE" "$REGISTRY/imported:1"
        assert_match "$stderr" "*cannot be known to be*"
        # Nor under a name that needs no signature.
        policy '{"images": [{"match": "oci:/**", "action": "allow", "signed_by": ["/etc/stepcell/keys/good.pub"]},
            {"match": "**", "action": "allow"}]}'
        run -125 --separate-stderr stepcell image import "$IMAGE" ours.test/imported:1
        assert_match "$stderr" "*images\[0\]*cannot be known to be under another name*"
        IMAGE=ours.test/imported:1 run -125 --separate-stderr cell --pull never -- /bin/true
        assert_refused image.not-found
    }
    CALLERS=plain each_caller local_image
}

@test "containers' policy.json asks for signatures, too" {
    theirs() {
        local key identity
        key=$(base64 -w0 "$GOOD.pub")
        use theirs
        asks() {
            containers_policy "{\"default\": [{\"type\": \"reject\"}], \"transports\": {\"docker\": {\"$REGISTRY\":
                [{\"type\": \"sigstoreSigned\", $1}]}}}"
        }
        policy '{"images": [{"match": "**", "action": "allow"}]}'
        asks "\"keyData\": \"$key\", \"signedIdentity\": {\"type\": \"matchRepository\"}"
        assert_unsigned
        sign "$GOOD" "$REPOSITORY" "$DIGEST"
        FORMAT=simple assert_signed
        # A signature has the name without a tag; what is asked for has one.
        asks "\"keyPath\": \"/etc/stepcell/keys/good.pub\""
        assert_unsigned
        asks "\"keyPath\": \"/etc/stepcell/keys/good.pub\", \"signedIdentity\": {\"type\": \"exactRepository\",
            \"dockerRepository\": \"$REGISTRY/elsewhere\"}"
        assert_unsigned
        asks "\"keyPaths\": [\"/etc/stepcell/keys/other.pub\", \"/etc/stepcell/keys/good.pub\"], \"signedIdentity\":
            {\"type\": \"exactRepository\", \"dockerRepository\": \"$REGISTRY/$REPOSITORY\"}"
        FORMAT=simple assert_signed
        for identity in '"fulcio": {}' '"pki": {}' "\"keyData\": \"$key\", \"rekorPublicKeyPath\": \"/x\""; do
            asks "$identity"
            run --separate-stderr cell -- true
            assert_refused image.denied
        done
    }
    CALLERS=ranges each_caller theirs
}
