# One tag for several platforms: what `manifest create` makes of what is in registries, and what it refuses to make.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

setup_file() {
    export PARTS=$TEST_DIR/parts
    mkdir -p "$PARTS"
    tar -C "$(dirname "$(command -v busybox)")" --numeric-owner --owner=0 --group=0 \
        --transform 's,^,bin/,' -cf "$PARTS/busybox.tar" busybox
    echo small >"$PARTS/file"
    tar -C "$PARTS" --numeric-owner --owner=0 --group=0 -cf "$PARTS/small.tar" file
    new_layout "$PARTS/layout"
}

setup() {
    OTHER_PID='' PEERS='' FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY REGISTRY_AUTH_FILE
    start_registry
}

teardown() {
    stop_faults
    stop_registry
    [ -z "$OTHER_PID" ] || REGISTRY_PID=$OTHER_PID REGISTRY_DIR=$OTHER_DIR stop_registry
    [ -z "$PEERS" ] || stop_peers "$PEERS" || true
    [ -z "$PEERS" ] || { umount "$PEERS/storage" 2>/dev/null || true; }
    rm -rf "$PEERS"
}

# peers: a short directory for the storage of other tools, in $PEERS
peers() {
    . "$TESTS/../scripts/peers.sh"
    PEERS=$(mktemp -d "$TEST_DIR/p.XXX")
}

# a_second_registry: $OTHER is another one, which teardown stops
a_second_registry() {
    local registry=$REGISTRY pid=$REGISTRY_PID dir=$REGISTRY_DIR
    start_registry
    OTHER=$REGISTRY OTHER_PID=$REGISTRY_PID OTHER_DIR=$REGISTRY_DIR
    REGISTRY=$registry REGISTRY_PID=$pid REGISTRY_DIR=$dir
}

LINUX='{"architecture":"amd64","config":{"Cmd":["sh"],"Env":["PATH=/bin"]}}'
ARM='{"architecture":"arm64","variant":"v8"}'
WINDOWS='{"os":"windows","architecture":"amd64","os.version":"10.0.20348.2227"}'

# image NAME:TAG CONFIG [skopeo option...]: pushed by skopeo; of a layer that is there on every platform
image() {
    local layout=$PARTS/layout to=$1 config=$2
    shift 2
    echo "$EMPTY_LAYOUT" >"$layout/index.json"
    put_image "$layout" "$config" "${LAYER:-$PARTS/small.tar}" | name_image "$layout" image
    push "oci:$layout:image" "$to" "$@"
}

# three_images [skopeo option...]: as builders of each platform push them
three_images() {
    LAYER=$PARTS/busybox.tar image team/tools:1.0-linux "$LINUX" "$@"
    image team/tools:1.0-arm "$ARM" "$@"
    image team/tools:1.0-windows "$WINDOWS" "$@"
}

create() { stepcell manifest create "$@"; }

# fetched NAME/REFERENCE: the bytes of a manifest, as the registry has them
fetched() {
    local accept
    accept=$(printf '%s, ' "$MANIFEST" "$INDEX" application/vnd.docker.distribution.manifest.{list.,}v2+json)
    curl -sf --noproxy '*' -H "Accept: ${accept%, }" "http://$REGISTRY/v2/$1"
}
digest_there() { echo "sha256:$(fetched "$1" | sha256sum | cut -d' ' -f1)"; }

# entries NAME/manifests/REFERENCE: os, architecture and version of each
entries() { fetched "$1" | jq -r '.manifests[].platform | [.os, .architecture, .["os.version"] // "-"] | join(" ")'; }

# what_is_stored: all that the registry has, with the time of its last change
what_is_stored() { find "$REGISTRY_DIR/data" -type f -printf '%P %T@\n' | grep -v _uploads | sort; }

@test "tags of single platforms become one tag, which stays as it is" {
    three_images
    made() {
        run -0 --separate-stderr create "$REGISTRY/team/tools:1.0" "$REGISTRY/team/tools:1.0-windows" \
            "$REGISTRY/team/tools:1.0-arm" "$REGISTRY/team/tools:1.0-linux" --tag latest
        assert_equal stderr "$stderr" ""
        for tag in 1.0 latest; do
            assert_equal "$tag" "$output" "$(digest_there "team/tools/manifests/$tag") pushed"
        done
        assert_equal entries "$(entries team/tools/manifests/1.0)" "linux amd64 -
linux arm64 -
windows amd64 10.0.20348.2227"
        assert_equal type "$(fetched team/tools/manifests/1.0 | jq -r .mediaType)" "$INDEX"
        assert_equal child "$(fetched team/tools/manifests/1.0 | jq -r '.manifests[0].digest')" \
            "$(digest_there team/tools/manifests/1.0-linux)"
        # In whatever order: the same, and nothing is written.
        stored=$(what_is_stored)
        run -0 create "$REGISTRY/team/tools:1.0" --tag latest "$REGISTRY/team/tools:1.0-"{linux,windows,arm}
        assert_equal again "$output" "$(digest_there team/tools/manifests/1.0) unchanged"
        assert_equal stored "$(what_is_stored)" "$stored"
        # A manifest that the registry has lost is sent again.
        lost=$(jq -r '.manifests[0].digest' "$PARTS/layout/index.json")
        curl -sf --noproxy '*' -X DELETE "http://$REGISTRY/v2/team/tools/manifests/$lost"
        run -0 create "$REGISTRY/team/tools:1.0" "oci:$PARTS/layout:image" "$REGISTRY/team/tools:1.0-"{linux,arm}
        assert_equal healed "$output" "$(digest_there team/tools/manifests/1.0) unchanged"
        assert_equal lost "$(digest_there "team/tools/manifests/$lost")" "$lost"
        # A further tag is all that is pushed.
        run -0 create "$REGISTRY/team/tools" --tag latest --tag 1 --json "$REGISTRY/team/tools:1.0"
        assert_equal tags "$(jq -c '[.tags[] | [.tag, .status]]' <<<"$output")" '[["latest","unchanged"],["1","pushed"]]'
        assert_equal blobs "$(jq -c .blobs <<<"$output")" '{"present":6,"mounted":0,"sent":0,"bytes":0}'
        assert_equal "tag 1" "$(digest_there team/tools/manifests/1)" "$(digest_there team/tools/manifests/1.0)"
    }
    CALLERS=plain each_caller made
}

@test "what a tag stands for is shown, with the build that Windows hosts look for" {
    three_images
    start_before warns warn
    create "$REGISTRY/team/tools:1.0" "$REGISTRY/team/tools:1.0-"{linux,arm,windows}
    shown() {
        run -0 stepcell manifest inspect "$REGISTRY/team/tools:1.0"
        assert_match "${lines[0]}" "$(digest_there team/tools/manifests/1.0) $INDEX"
        assert_match "${lines[3]}" "windows(10.0.20348.2227)/amd64 *sha256:*"
        run -0 stepcell manifest inspect --json "$REGISTRY/team/tools:1.0-windows"
        assert_equal schema "$(jq -r .schema <<<"$output")" stepcell.manifest/1
        assert_equal version "$(jq -r '.manifests[0].os_version' <<<"$output")" 10.0.20348.2227
        assert_equal keys "$(jq -c '.manifests[0] | keys' <<<"$output")" \
            '["architecture","attestations","digest","media_type","os","os_features","os_version","platform","size","source","variant"]'
        # What the registry has to say of itself is said once.
        run -0 --separate-stderr stepcell manifest inspect "$(faults warns)/team/tools:1.0"
        assert_equal warnings "$stderr" "stepcell: the registry '$(faults warns)' warns: this registry \\x1b[31mends soon"
        run -125 --separate-stderr stepcell manifest inspect "$REGISTRY/team/tools:none"
        assert_match "$stderr" "stepcell: the registry * has no *"
    }
    CALLERS=ranges each_caller shown
}

@test "indexes are taken apart; attestations stay with their images" {
    layout=$PARTS/nested
    new_layout "$layout"
    linux=$(put_image "$layout" "$LINUX" "$PARTS/small.tar" | on_platform linux amd64)
    arm=$(put_image "$layout" "$ARM" "$PARTS/small.tar" | on_platform linux arm64)
    config=$(echo '{}' | put_blob "$layout" application/vnd.oci.image.config.v1+json)
    statement=$(echo '{"_type":"statement"}' | put_blob "$layout" application/vnd.in-toto+json)
    attest() { # SUBJECT NOTE
        jq -nc --argjson config "$config" --argjson statement "$statement" --arg note "$2" \
            '{schemaVersion: 2, mediaType: "'"$MANIFEST"'", config: $config, layers: [$statement], annotations: {note: $note}}' |
            put_blob "$layout" "$MANIFEST" | on_platform unknown unknown | jq -c --argjson of "$1" '.annotations =
                {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": $of.digest}'
    }
    kept=$(attest "$linux" linux)
    stray=$(attest '{"digest":"sha256:'"$(printf '0%.0s' {1..64})"'"}' stray)
    # One that names no system is none.
    nothing=$(put_image "$layout" '{"os":"unknown","architecture":"unknown"}' "$PARTS/small.tar")
    inner=$(put_index "$layout" "$kept" "$linux" "$nothing")
    put_index "$layout" "$inner" "$arm" "$stray" | name_image "$layout" outer
    # The same image, once alone and once with an annotation of an index.
    put_index "$layout" "$(jq -c '.annotations.note = "arm"' <<<"$arm")" | name_image "$layout" noted
    jq -c 'del(.platform)' <<<"$arm" | name_image "$layout" plain
    listed() {
        run -0 --separate-stderr create "$REGISTRY/team/flat:1" "oci:$layout:outer"
        assert_equal stderr "$stderr" "stepcell: entries that are no images, left out: 2"
        assert_equal entries "$(entries team/flat/manifests/1)" "linux amd64 -
linux arm64 -
unknown unknown -"
        assert_equal attestation "$(fetched team/flat/manifests/1 | jq -c '.manifests[2]')" "$(
            jq -c '{mediaType, digest, size, platform: {architecture: "unknown", os: "unknown"}, annotations}' <<<"$kept")"
        run -0 stepcell manifest inspect "$REGISTRY/team/flat:1" --json
        assert_equal attestations "$(jq -c '[.manifests[].attestations]' <<<"$output")" \
            "[[$(jq -c .digest <<<"$kept")],[]]"
        for order in "noted plain" "plain noted"; do
            read -ra order <<<"$order"
            run -0 create "$REGISTRY/team/both:${order[0]}" "${order[@]/#/oci:$layout:}"
            assert_equal annotation "$(fetched "team/both/manifests/${order[0]}" | jq -r '.manifests[].annotations.note')" arm
        done
        assert_equal "order" "$(digest_there team/both/manifests/noted)" "$(digest_there team/both/manifests/plain)"
        # To another repository of that registry: nothing is sent.
        run -0 create "$REGISTRY/copies/flat:1" "$REGISTRY/team/flat:1" --json
        assert_equal blobs "$(jq -c .blobs.sent <<<"$output")" 0
        [ "$(jq .blobs.mounted <<<"$output")" -gt 3 ]
        assert_equal same "$(digest_there copies/flat/manifests/1)" "$(digest_there team/flat/manifests/1)"
    }
    CALLERS=root each_caller listed
    skopeo copy --quiet --all --src-tls-verify=false "docker://$REGISTRY/copies/flat:1" "oci:$PARTS/taken:1"
}

@test "an index that names the same things over and over ends" {
    local layout=$PARTS/bomb image inner
    new_layout "$layout"
    image=$(put_image "$layout" "$LINUX" "$PARTS/small.tar")
    # shellcheck disable=SC2046 # descriptors hold no blanks
    inner=$(put_index "$layout" $(yes "$image" | head -n 40))
    # shellcheck disable=SC2046
    put_index "$layout" $(yes "$inner" | head -n 40) | name_image "$layout" bomb
    run -125 --separate-stderr stepcell manifest inspect "oci:$layout:bomb"
    assert_match "$stderr" "stepcell: 'oci:$layout:bomb' names more than 1024 manifests*"
    run -125 --separate-stderr stepcell image push "oci:$layout:bomb" "$REGISTRY/team/bomb:1"
    assert_match "$stderr" "stepcell: there are more than 1024 manifests*"
}

@test "platforms that are missing, surplus, double or contradictory are refused before anything is pushed" {
    three_images
    image team/tools:other-arm '{"architecture":"arm64","config":{"Env":["A=1"]}}'
    image team/tools:os-1 '{"os.version":"1"}'
    image team/tools:os-2 '{"os.version":"2"}'
    image team/tools:windows-2019 '{"os":"windows","architecture":"amd64","os.version":"10.0.17763.1"}'
    refused() { # CODE WORDS... : what `create` says
        local pattern=$1
        shift
        stored=$(what_is_stored)
        run -125 --separate-stderr create "$REGISTRY/team/tools:new" "$@"
        assert_equal stdout "$output" ""
        assert_match "$stderr" "stepcell: $pattern*"
        assert_equal stored "$(what_is_stored)" "$stored"
    }
    all=("$REGISTRY/team/tools:1.0-"{linux,arm,windows})
    judged() {
        refused "'$REGISTRY/team/tools:new' would have no image for linux/arm/v7, and one that is not expected for linux/arm64*--expect" \
            --expect linux/amd64,windows/amd64,linux/arm/v7 "${all[@]}"
        refused "*no image for windows(10.0.26100)/amd64, and one that is not expected for windows(10.0.20348.2227)/amd64*" \
            --expect 'linux/amd64,linux/arm64,windows(10.0.26100)/amd64' "${all[@]}"
        refused "'linux' is not a platform*" --expect linux "${all[@]}"
        refused "'$REGISTRY/team/tools:1.0-arm' and '$REGISTRY/team/tools:other-arm' both have an image for linux/arm64*one source*" \
            "${all[@]}" "$REGISTRY/team/tools:other-arm"
        refused "'oci:$IMAGES/platforms:liar' has an image for windows/amd64 that its index calls one for linux/amd64*" \
            "oci:$IMAGES/platforms:liar"
        refused "the registry '$REGISTRY' has no*" "${all[@]}" "$REGISTRY/team/tools:gone"
        refused "'a b' is not a tag*" --tag 'a b' "${all[@]}"
        run -125 --separate-stderr create "oci:$WORK/x" "${all[@]}"
        assert_match "$stderr" "*is not a place in a registry*"
        run -125 --separate-stderr create "$REGISTRY/team/tools@$(digest_there team/tools/manifests/1.0-arm)" "${all[@]}"
        assert_match "$stderr" "*names a digest*"
        refused "'$REGISTRY/team/tools:os-2' and '$REGISTRY/team/tools:os-1' both have an image for linux(1)/amd64*" \
            "$REGISTRY/team/tools:os-"{2,1}
        # What is right: two builds of Windows, and one image by two names.
        run -0 create "$REGISTRY/team/tools:new" "${all[@]}" "$REGISTRY/team/tools:windows-2019" "${all[@]}" \
            --expect 'windows(10.0.17763)/amd64,windows(10.0.20348)/amd64,linux/arm64/v8,linux/x86_64'
        assert_equal entries "$(entries team/tools/manifests/new)" "linux amd64 -
linux arm64 -
windows amd64 10.0.20348.2227
windows amd64 10.0.17763.1"
    }
    CALLERS=root each_caller judged
}

@test "a Windows image without a version is said; features and variants are kept" {
    image team/tools:old '{"os":"windows","architecture":"amd64"}'
    image team/tools:features '{"os":"windows","architecture":"amd64","os.version":"10.0.17763.1","os.features":["win32k","a.b"]}'
    image team/tools:arm6 '{"architecture":"arm","variant":"v6"}'
    image team/tools:arm7 '{"architecture":"arm","variant":"v7"}'
    said() {
        run -0 --separate-stderr create "$REGISTRY/team/tools:1" "$REGISTRY/team/tools:"{old,features,arm7,arm6}
        assert_match "$stderr" "stepcell: the Windows image of '*:old' names no os.version*"
        assert_equal platforms "$(fetched team/tools/manifests/1 | jq -c '[.manifests[].platform]')" \
            '[{"architecture":"arm","os":"linux","variant":"v6"},{"architecture":"arm","os":"linux","variant":"v7"},{"architecture":"amd64","os":"windows","os.version":"10.0.17763.1","os.features":["a.b","win32k"]},{"architecture":"amd64","os":"windows"}]'
    }
    CALLERS=root each_caller said
}

@test "Docker's types stay Docker's, and what is mixed is OCI's" {
    three_images --format v2s2
    image team/tools:oci-arm "$ARM"
    typed() {
        create "$REGISTRY/team/tools:docker" "$REGISTRY/team/tools:1.0-"{linux,arm,windows}
        assert_equal list "$(fetched team/tools/manifests/docker | jq -r '.mediaType, .manifests[].mediaType' | sort -u)" \
            "application/vnd.docker.distribution.manifest.list.v2+json
application/vnd.docker.distribution.manifest.v2+json"
        # Byte for byte, also in another registry.
        a_second_registry
        create "$OTHER/team/tools:mixed" "$REGISTRY/team/tools:"{1.0-linux,oci-arm}
        linux=$(digest_there team/tools/manifests/1.0-linux) REGISTRY=$OTHER
        assert_equal index "$(fetched team/tools/manifests/mixed | jq -r .mediaType)" "$INDEX"
        assert_equal child "$(digest_there "team/tools/manifests/$linux")" "$linux"
    }
    CALLERS=root each_caller typed
}

@test "images come from other repositories, registries, layouts and archives" {
    three_images
    a_second_registry
    skopeo copy --quiet "oci:$IMAGES/busybox:latest" "docker-archive:$PARTS/saved.tar:example.test/busybox:1"
    copied() {
        run -0 create --json "$REGISTRY/copies/tools:1" "$REGISTRY/team/tools:1.0-"{linux,arm}
        assert_equal mounted "$(jq -c '.blobs | [.sent, .mounted > 2]' <<<"$output")" '[0,true]'
        run -0 create --json "$OTHER/copies/tools:1" "$REGISTRY/team/tools:1.0-"{linux,arm,windows}
        assert_equal sent "$(jq -c '.blobs | [.sent > 3, .mounted]' <<<"$output")" '[true,0]'
        # A second time there is nothing to send, and once the tag is gone still nothing but the tag.
        run -0 create --json "$OTHER/copies/tools:2" "$REGISTRY/team/tools:1.0-"{linux,arm,windows}
        assert_equal "sent again" "$(jq -c '[.status, .blobs.sent]' <<<"$output")" '["pushed",0]'
        run -0 create "$REGISTRY/copies/local:1" "docker-archive:$PARTS/saved.tar" "$REGISTRY/team/tools:1.0-arm"
        run -0 create "$REGISTRY/copies/local:2" "oci-archive:$IMAGES/busybox.oci.tar:user-app" "oci:$IMAGES/platforms:arm64"
        assert_equal entries "$(entries copies/local/manifests/2)" "linux amd64 -
linux arm64 -"
        # What lies about itself is not copied.
        run -125 --separate-stderr create "$REGISTRY/copies/local:3" "oci:$IMAGES/damaged/flipped-layer:latest"
        assert_match "$stderr" "stepcell: the source gives *"
        run -125 --separate-stderr create "$REGISTRY/copies/local:3" "oci:$IMAGES/damaged/flipped-manifest:latest"
        assert_match "$stderr" "stepcell: *is not what it should be*"
        run ! fetched copies/local/manifests/3
        # Nothing is left of the files in between.
        assert_equal left "$(find "$TEST_DIR/tmp/$CALLER" -name 'stepcell.*' | wc -l)" 0
    }
    CALLERS=root each_caller copied
}

@test "skopeo, podman, umoci and stepcell take what was made" {
    peers
    three_images
    taken() {
        create "$REGISTRY/team/tools:1.0" "$REGISTRY/team/tools:1.0-"{windows,linux,arm} \
            --expect linux/amd64,linux/arm64,windows/amd64
        assert_equal os "$(skopeo inspect --override-os windows --tls-verify=false "docker://$REGISTRY/team/tools:1.0" |
            jq -r '.Os, .Digest')" "windows
$(digest_there team/tools/manifests/1.0)"
        skopeo copy --quiet --all --src-tls-verify=false "docker://$REGISTRY/team/tools:1.0" "oci:$WORK/all:1"
        assert_equal all "$(jq '.manifests | length' "$(blob_path "$WORK/all" <<<"$(jq -c '.manifests[0]' "$WORK/all/index.json")")")" 3
        skopeo copy --quiet --src-tls-verify=false "docker://$REGISTRY/team/tools:1.0" "oci:$WORK/one:1"
        umoci unpack --image "$WORK/one:1" "$WORK/bundle"
        [ -x "$WORK/bundle/rootfs/bin/busybox" ]
        for platform in linux/amd64 linux/arm64; do
            podman --root "$PEERS/storage" --runroot "$PEERS/run" --storage-driver vfs pull --quiet --tls-verify=false \
                --platform "$platform" "$REGISTRY/team/tools:1.0"
        done
        IMAGE=$REGISTRY/team/tools:1.0
        run -0 cell -- busybox echo taken
        assert_equal output "$output" taken
        stepcell image remove "$IMAGE"
    }
    CALLERS=root each_caller taken
}

@test "docker takes what was made" {
    peers
    three_images --format v2s2
    CALLER=root
    create "$REGISTRY/team/tools:1.0" "$REGISTRY/team/tools:1.0-"{windows,linux,arm}
    three_images
    create "$REGISTRY/team/tools:2.0" "$REGISTRY/team/tools:1.0-"{windows,linux,arm}
    start_docker "$PEERS" 3>&-
    for tag in 1.0 2.0; do
        "${DOCKER[@]}" pull --quiet "$REGISTRY/team/tools:$tag"
        assert_equal "digest of $tag" "$("${DOCKER[@]}" image inspect "$REGISTRY/team/tools:$tag" | jq -r '.[0].RepoDigests[]' |
            grep -c "$(digest_there "team/tools/manifests/$tag")")" 1
    done
    # Its own word on the index.
    HOME=$PEERS "${DOCKER[@]}" manifest inspect --insecure "$REGISTRY/team/tools:1.0" |
        jq -e '.manifests[2].platform["os.version"] == "10.0.20348.2227"'
}
