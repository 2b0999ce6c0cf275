# The store under load and damage: one download for many, repair, room, sizes, ways in and out.

load ../lib/common
load ../lib/registry
load ../lib/images

setup() { MOUNTED='' LOOP=''; }

teardown() {
    stop_registry
    [ -z "$LOOP" ] || kill "$LOOP" 2>/dev/null || true
    [ -z "$MOUNTED" ] || umount "$MOUNTED"
}

# fresh_store: gives the caller an empty store of its own for the rest of the test
fresh_store() {
    STORE=$TEST_DIR/store/$CALLER
    stepcell image gc --unused-for 0s >/dev/null
    chmod -R u+rwX "$STORE" 2>/dev/null || true
    rm -rf "$STORE"
    mkdir -p "$STORE"
    chown "$(caller_name):" "$STORE"
}

# start_logging_registry: one that writes a line for each request to $REGISTRY_DIR/log
start_logging_registry() {
    start_registry
    kill "$REGISTRY_PID"
    wait "$REGISTRY_PID" || true
    sed -i 's/accesslog: {disabled: true}/accesslog: {disabled: false}/' "$REGISTRY_DIR/config.yml"
    docker-registry serve "$REGISTRY_DIR/config.yml" >"$REGISTRY_DIR/log" 2>&1 3>&- &
    REGISTRY_PID=$!
    wait_for registry_answers
}

# requests PATTERN: how many there were since the last call
requests() {
    grep -cE "\"GET /v2/$1" "$REGISTRY_DIR/log" || true
    : >"$REGISTRY_DIR/log"
}

largest_blob() { find "$STORE/blobs/sha256" -type f -printf '%s %p\n' | sort -n | tail -n 1 | cut -d' ' -f2; }

# flip_behind FILE OFFSET: turns a byte, and leaves the times as a disk would
flip_behind() {
    touch -r "$1" "$TEST_DIR/times"
    flip "$1" "$2"
    touch -r "$TEST_DIR/times" "$1"
}

@test "many that pull the same image at once fetch every blob once" {
    start_logging_registry
    push "oci:$IMAGES/layers:latest" layers:1
    at_once() {
        local i pids=()
        fresh_store
        requests . >/dev/null
        for i in 1 2 3 4 5 6; do
            stepcell image pull -q "$REGISTRY/layers:1" >/dev/null &
            pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        assert_equal "requests for blobs" "$(requests 'layers/blobs/')" 3
        run -0 stepcell image verify
    }
    each_caller at_once
}

@test "a pull of what is there asks one question" {
    start_logging_registry
    push "oci:$IMAGES/platforms:latest" multi:1
    nest multi:1 multi:nested
    unname multi:1 multi:unnamed
    again() {
        local tag sound=
        fresh_store
        for tag in 1 nested unnamed; do
            run -0 stepcell image pull -q "$REGISTRY/multi:$tag"
            assert_equal "$tag" "$output" "${sound:=$output}"
            requests . >/dev/null
            run -0 stepcell image pull -q "$REGISTRY/multi:$tag"
            assert_equal "requests for $tag" "$(requests .)" 1
        done
        # What the name leads to is damaged.
        flip "$STORE/blobs/sha256/${output#sha256:}" 9
        run -0 stepcell image pull -q "$REGISTRY/multi:nested"
        run -0 stepcell image verify
    }
    each_caller again
}

# get_index REPOSITORY:TAG, and put_index REPOSITORY:TAG <INDEX
get_index() { curl -sf --noproxy '*' -H "Accept: $INDEX_TYPE" "http://$REGISTRY/v2/${1/://manifests/}"; }
put_index() { curl -sf --noproxy '*' -X PUT -H "Content-Type: $INDEX_TYPE" --data-binary @- "http://$REGISTRY/v2/${1/://manifests/}"; }
INDEX_TYPE=application/vnd.oci.image.index.v1+json

# nest REPOSITORY:TAG REPOSITORY:NEW: an index with that index in it
nest() {
    local text=$TEST_DIR/index
    get_index "$1" >"$text"
    jq -nc --arg t $INDEX_TYPE --arg d "sha256:$(sha256sum "$text" | cut -d' ' -f1)" --argjson s "$(stat -c %s "$text")" \
        '{schemaVersion: 2, mediaType: $t, manifests: [{mediaType: $t, digest: $d, size: $s}]}' | put_index "$2"
    rm "$text"
}

# unname REPOSITORY:TAG REPOSITORY:NEW: that index without its platforms
unname() { get_index "$1" | jq -c 'del(.manifests[].platform)' | put_index "$2"; }

@test "a pull without a terminal says what it does in lines, and nothing when quiet" {
    start_registry
    push "oci:$IMAGES/layers:latest" layers:1
    fresh_store
    run -0 --separate-stderr stepcell image pull "$REGISTRY/layers:1"
    assert_match "$stderr" "*pulling 2 layers*layer 1/2 is ready*layer 2/2 is ready*"
    [[ $stderr != *$'\r'* ]]
    fresh_store
    run -0 --separate-stderr stepcell image pull --progress none "$REGISTRY/layers:1"
    assert_equal stderr "$stderr" ""
}

@test "a blob that was written to is fetched again by the next pull" {
    written() {
        fresh_store
        stepcell image pull -q "$IMAGE"
        flip "$(largest_blob)" 5000
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image verify
        truncate -s -1 "$(largest_blob)"
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image verify
    }
    each_caller written
}

@test "verify finds what a disk has changed in a blob, and the next pull repairs it" {
    on_disk() {
        local blob
        for blob in 1 2 3; do
            fresh_store
            stepcell image pull -q "$IMAGE"
            blob=$(find "$STORE/blobs/sha256" -type f | sort | sed -n "${blob}p")
            flip_behind "$blob" 100
            run -2 stepcell image verify
            assert_match "$output" "*blob sha256:${blob##*/}: its content is not what its name says*"
            run -2 stepcell image verify
            run -0 stepcell image pull -q "$IMAGE"
            run -0 stepcell image verify
        done
    }
    each_caller on_disk
}

@test "a manifest and a configuration are hashed before they are used, and repaired by the next pull" {
    small() {
        local blob
        fresh_store
        stepcell image pull -q "$IMAGE"
        for blob in $(find "$STORE/blobs/sha256" -type f -size -64k); do
            flip_behind "$blob" 100
            run -0 stepcell image pull -q "$IMAGE"
            assert_equal "the blob" "$(sha256sum <"$blob" | cut -c1-64)" "${blob##*/}"
            run -0 stepcell image verify
        done
    }
    each_caller small
}

@test "verify finds every bit of a record, and the next pull writes it anew" {
    in_record() {
        local name position
        fresh_store
        stepcell image pull -q "$IMAGE"
        for name in image.json passwd group; do
            for position in 0 20; do
                flip_behind "$(echo "$STORE"/images/*/$name)" $position
                run -2 stepcell image verify
                assert_match "$output" "*record sha256:*pull the image again*"
                run -0 stepcell image pull -q "$IMAGE"
                run -0 stepcell image verify
            done
        done
        # Those too that mean the same to a reader.
        name=$(echo "$STORE"/images/*/image.json)
        touch -r "$name" "$TEST_DIR/times"
        sed -i 's,"linux/,"liNux/,' "$name"
        touch -r "$TEST_DIR/times" "$name"
        run -2 stepcell image verify
        assert_match "$output" "record sha256:*pull the image again*1 findings"
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image verify
        # And those that mean something else.
        sed -i '/config_digest/s/sha256:../sha256:00/' "$name"
        run -2 stepcell image verify
        assert_match "$output" "record sha256:*pull the image again*1 findings"
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image verify
        run -0 --separate-stderr cell --user app -- id -u
        assert_equal output "$output" 1000
        # Nobody becomes another user in between.
        sed -i '/^app:/s/1000/1001/' "$STORE"/images/*/passwd
        run -0 --separate-stderr cell --user app -- id -u
        assert_equal output "$output" 1000
        run -0 stepcell image verify
    }
    each_caller in_record
}

@test "verify finds what changed in names and in the files of the layout" {
    in_names() {
        local name position sound
        fresh_store
        run -0 stepcell image verify
        stepcell image pull -q "$IMAGE"
        stepcell image pull -q "oci:$IMAGES/layers:latest"
        for name in index.json oci-layout; do
            sound=$(<"$STORE/$name")
            for position in 0 25; do
                flip "$STORE/$name" $position
                run -2 stepcell image verify
                assert_match "$output" "layout $name: *repaired*1 findings"
                run -0 stepcell image verify
            done
            assert_equal $name "$(<"$STORE/$name")" "$sound"
        done
        name=$(find "$STORE/references" -name '*busybox*')
        for position in 0 60 "$(grep -bo manifest_digest "$name" | head -n 1 | cut -d: -f1)"; do
            flip "$name" $((position + 5))
            run -2 stepcell image verify
            assert_match "$output" "reference *busybox*pull the image again*1 findings"
            run -0 stepcell image pull -q "$IMAGE"
            run -0 stepcell image verify
        done
    }
    each_caller in_names
}

@test "an imported image whose reference is damaged is lost to nobody, and verify writes the name anew" {
    damaged_reference() {
        local name change digest
        fresh_store
        stepcell image pull -q "oci:$IMAGES/layers:latest"
        for IMAGE in "oci:$IMAGES/busybox:latest" "docker-archive:$IMAGES/busybox.docker.tar"; do
            digest=$(stepcell image import -q "$IMAGE" example.test/tools:1)
            name=$(find "$STORE/references" -name '*tools*')
            for change in 's/"/x/' '/manifest_digest/s/sha256:../sha256:00/'; do
                sed -i "$change" "$name"
                run -125 --separate-stderr stepcell image list --json
                assert_match "$stderr" "*'references/*tools:1.json' in the store is not what was written*image verify*"
                assert_equal images "$(jq '.images | length' <<<"$output")" 1
                run -125 stepcell image gc
                assert_match "$output" "*tools:1.json' in the store is not what was written*"
                run -125 stepcell image remove "oci:$IMAGES/layers:latest"
                run -2 stepcell image verify
                assert_match "$output" "reference *tools:1.json: it is not what was written; repaired*1 findings"
                run -0 stepcell image verify
                run -0 stepcell image gc
                IMAGE=example.test/tools:1 run -0 --separate-stderr cell --pull never -- echo there
                assert_equal output "$output" there
                assert_equal digest "$(result_field .image.manifest_digest)" "$digest"
            done
            run -0 stepcell image remove example.test/tools:1
        done
    }
    each_caller damaged_reference
}

@test "a damaged reference loses no platform that it still tells of, and says so of one that it does not" {
    CALLER=root
    damaged_platforms() {
        local name platform change
        import_both() {
            for platform in linux/amd64 linux/arm64; do
                stepcell image import -q "oci:$IMAGES/platforms:latest" --platform $platform example.test/many:1
            done
        }
        listed() { stepcell image list --json | jq -c '[.images[].platform]'; }
        fresh_store
        import_both
        name=$(find "$STORE/references" -name '*many*')
        for change in 's/"/x/' '/"checksum"/s/sha256:../sha256:00/' 's/platforms/platfor3s/'; do
            sed -i "$change" "$name"
            run -2 stepcell image verify
            assert_match "$output" "reference *many:1.json: it is not what was written; repaired*1 findings"
            assert_equal "platforms after $change" "$(listed)" '["linux/amd64","linux/arm64"]'
            sed -i "$change" "$name"
            stepcell image import -q "oci:$IMAGES/platforms:latest" --platform linux/arm64 example.test/many:1
            assert_equal "platforms after $change" "$(listed)" '["linux/amd64","linux/arm64"]'
            run -0 stepcell image verify
        done
        # index.json has the last one: for a pull of another as well.
        sed -i '/linux.arm64/,/}/s/sha256:../sha256:00/' "$name"
        stepcell image import -q "oci:$IMAGES/platforms:latest" --platform linux/amd64 example.test/many:1
        assert_equal platforms "$(listed)" '["linux/amd64","linux/arm64"]'
        import_both
        sed -i '/linux.amd64/,/}/s/sha256:../sha256:00/' "$name"
        run -2 stepcell image verify
        assert_match "$output" "reference *many:1.json: it is not what was written; pull the image again*1 findings"
        assert_equal platforms "$(listed)" '["linux/arm64"]'
        import_both
        assert_equal platforms "$(listed)" '["linux/amd64","linux/arm64"]'
    }
    as_caller damaged_platforms
}

@test "a pull writes a damaged reference anew" {
    CALLER=root
    pulled_anew() {
        local name sound
        fresh_store
        stepcell image pull -q "$IMAGE"
        name=$(find "$STORE/references" -name '*.json')
        sound=$(<"$name")
        sed -i '/"checksum"/s/sha256:../sha256:00/' "$name"
        run -0 stepcell image pull -q "$IMAGE"
        assert_equal reference "$(<"$name")" "$sound"
        run -0 stepcell image gc
    }
    as_caller pulled_anew
}

@test "index.json names nothing that no reference stands behind" {
    names_there() { jq -c '[.manifests[].annotations["org.opencontainers.image.ref.name"]]' "$STORE/index.json"; }
    unnamed_entries() {
        local sound
        fresh_store
        stepcell image pull -q "oci:$IMAGES/layers:latest"
        sound=$(names_there)
        sed -i 's/layers:latest/layers:lates!/' "$STORE/index.json"
        run -2 stepcell image verify
        assert_match "$output" "layout index.json: *repaired*1 findings"
        assert_equal "names after verify" "$(names_there)" "$sound"
        # As a pull leaves it that is killed before its last write.
        rm -r "$STORE"/references/*
        run -0 stepcell image gc --dry-run
        assert_equal "names after a dry run" "$(names_there)" "$sound"
        cp "$STORE/index.json" ../killed
        run -0 stepcell image gc
        assert_equal "names after gc" "$(names_there)" '[]'
        # What it names is gone.
        cp ../killed "$STORE/index.json"
        run -2 stepcell image verify
        assert_match "$output" "layout index.json: *repaired*1 findings"
        assert_equal "names after verify" "$(names_there)" '[]'
        run -0 stepcell image verify
    }
    each_caller unnamed_entries
}

@test "a damaged blob that another map unpacks is noticed and fetched again" {
    CALLER=ranges
    other_map() {
        fresh_store
        stepcell image pull -q "$IMAGE"
        flip_behind "$(largest_blob)" 5000
        run -0 --separate-stderr cell --user 1234 -- id -u
        assert_equal output "$output" 1234
        run -0 stepcell image verify
    }
    as_caller other_map
}

@test "directories that their owner may not read are measured, compared and removed as others are" {
    local layout=$TEST_DIR/unreadable root=$BATS_TEST_TMPDIR/root
    mkdir -p "$root"/{closed,through}/below
    echo there | tee "$root"/{closed,through}/file >"$root/closed/below/file"
    chmod 0 "$root/closed"
    chmod 0311 "$root/through" "$root"
    tar -C "$root" --numeric-owner --owner=0 --group=0 -cf "$root.tar" .
    new_layout "$layout"
    put_image "$layout" '{}' "$root.tar" | name_image "$layout" latest
    chmod -R a+rX "$layout"
    unreadable() {
        fresh_store
        stepcell image pull -q "oci:$layout"
        run -0 stepcell image list
        assert_match "$output" "oci:$layout* kB*"
        run -0 stepcell image verify
        find "$STORE/layers" -path '*/closed/file' -exec touch {} +
        run -2 stepcell image verify
        assert_match "$output" "layer *'/closed/file'*repaired*1 findings"
        run -0 stepcell image gc --unused-for 0s
        assert_equal left "$(find "$STORE"/{blobs/sha256,images,layers/*} -mindepth 1)" ""
    }
    each_caller unreadable
    rm -rf "$layout"
}

@test "verify finds every kind of change of an unpacked layer, and repairs it" {
    changed() {
        local tree change
        fresh_store
        stepcell image pull -q "$IMAGE"
        tree=$(echo "$STORE"/layers/*/*)
        for change in 'flip_behind bin/busybox 70000' 'touch bin/busybox' 'touch extra' 'rm bin/sh' \
            'chmod 600 etc/passwd' 'ln -sfn other bin/ls' 'ln etc/passwd etc/passwd-too' 'mkdir usr' \
            'setfattr -n user.added -v x etc/passwd' 'chmod 700 tmp'; do
            (cd "$tree" && $change)
            run -2 stepcell image verify
            assert_match "$output" "*layer *repaired*1 findings"
            run -0 stepcell image verify
        done
        run -0 --separate-stderr cell -- echo works
        assert_equal output "$output" works
    }
    each_caller changed
}

# liar LAYOUT: a copy of the image whose layer is said to unpack from a blob that it does not unpack from
liar() {
    local blobs=$1/blobs/sha256 manifest hex
    cp -r "${IMAGE:4:-7}" "$1"
    echo garbage | gzip -n >"$1/new"
    hex=$(sha256sum <"$1/new" | cut -c1-64)
    manifest=$(jq -c --arg d "sha256:$hex" --argjson s "$(stat -c %s "$1/new")" '.layers[0].digest = $d | .layers[0].size = $s' \
        "$blobs/$(jq -r '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "latest").digest' \
            "$1/index.json" | cut -d: -f2)")
    mv "$1/new" "$blobs/$hex"
    echo "$hex"
    hex=$(printf %s "$manifest" | sha256sum | cut -c1-64)
    printf %s "$manifest" >"$blobs/$hex"
    jq -n --arg d "sha256:$hex" --argjson s ${#manifest} '{schemaVersion: 2, manifests: [{
        mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $d, size: $s,
        annotations: {"org.opencontainers.image.ref.name": "latest"}}]}' >"$1/index.json"
}

@test "a blob that is not the layer which its image says is refused, be the layer there already" {
    lies() {
        local blob
        fresh_store
        blob=$(liar ../liar)
        stepcell image pull -q "$IMAGE"
        run -125 stepcell image pull -q "oci:$(realpath ..)/liar:latest"
        assert_match "$output" "*'sha256:$blob'*not a valid tar archive*"
        [ -e "../liar/blobs/sha256/$blob" ]
        [ ! -e "$STORE/blobs/sha256/$blob" ]
        assert_equal "unfinished layers" "$(find "$STORE" -name '*.part')" ""
        run -0 stepcell image verify
    }
    each_caller lies
}

@test "a blob and a layer that other images brought are compared before an image may pair them" {
    local layout=$TEST_DIR/pairs tar=$BATS_TEST_TMPDIR/layer name manifests=()
    new_layout "$layout"
    for name in one two; do
        mkdir "$tar.$name"
        echo $name >"$tar.$name/file"
        tar -C "$tar.$name" --numeric-owner --owner=0 --group=0 -cf "$tar.$name.tar" .
        put_image "$layout" '{}' "$tar.$name.tar" >"$tar.$name.json"
        name_image "$layout" $name <"$tar.$name.json"
        manifests+=("$(blob_path "$layout" <"$tar.$name.json")")
    done
    # The blob of the one is said to hold the layer of the other.
    jq -c --slurpfile two "${manifests[1]}" '.config = $two[0].config' "${manifests[0]}" |
        put_blob "$layout" "$MANIFEST" | name_image "$layout" crossed
    chmod -R a+rX "$layout"
    crossed() {
        local hex
        fresh_store
        stepcell image pull -q "oci:$layout:one"
        stepcell image pull -q "oci:$layout:two"
        run -125 stepcell image pull -q "oci:$layout:crossed"
        assert_match "$output" "*layer 'sha256:*' of 'oci:$layout:crossed'*"
        run -0 stepcell image verify
        # A record that says so all the same is dropped.
        hex=$(jq -r '.manifests[2].digest[7:]' "$layout/index.json")
        as cp "$layout/blobs/sha256/$hex" "$STORE/blobs/sha256"
        as cp -r "$STORE/images/$(basename "${manifests[1]}")" "$STORE/images/$hex"
        as sed -i "s/$(basename "${manifests[1]}")/$hex/" "$STORE/images/$hex/image.json"
        run -2 stepcell image verify
        assert_match "$output" "record sha256:$hex: 'sha256:*pull the image again*1 findings"
        run -0 stepcell image verify
    }
    each_caller crossed
    rm -rf "$layout"
}

@test "verify removes layers that no record names, which nobody could compare" {
    unnamed() {
        local tree
        fresh_store
        stepcell image pull -q "$IMAGE"
        tree=$(echo "$STORE"/layers/*/*)
        # As a pull leaves it that is killed before its last write; a disk has changed it since.
        rm -r "$STORE"/images/*/ "$STORE"/references/*
        (cd "$tree" && flip_behind bin/busybox 70000)
        stepcell image verify
        [ ! -e "$tree" ]
        run -0 --separate-stderr cell -- echo works
        assert_equal output "$output" works
        run -0 stepcell image verify
    }
    each_caller unnamed
}

@test "several that verify at once are not in each other's way" {
    at_once() {
        local i pids=()
        fresh_store
        stepcell image pull -q "$IMAGE"
        for i in {1..6}; do
            stepcell image verify >>../said &
            pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        run -0 grep -c ', 0 findings' ../said
        assert_equal verified "$output" 6
        rm ../said
    }
    each_caller at_once
}

@test "a record that a kill left half written is no damage" {
    half_written() {
        local record
        fresh_store
        stepcell image pull -q "$IMAGE"
        record=$(echo "$STORE"/images/*)
        as mkdir "$STORE/images/$(printf '0%.0s' {1..64})"
        as touch "$STORE/images/$(printf '0%.0s' {1..64})/passwd"
        run -0 stepcell image verify
        run -0 stepcell image gc
        assert_equal records "$(echo "$STORE"/images/*)" "$record"
        # One that was whole and is not any more is.
        : >"$record/image.json"
        run -2 stepcell image verify
        assert_match "$output" "*record sha256:${record##*/}: it cannot be read*"
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image verify
    }
    each_caller half_written
}

@test "an image whose record is damaged loses nothing to remove and gc, and runs on" {
    damaged_record() {
        local pid
        fresh_store
        stepcell image import -q "oci:$IMAGES/layers:sibling" example.test/sibling:1
        # Its layers are the other's, and one more.
        as cp -r "$STORE/images" ../sibling
        stepcell image import -q "oci:$IMAGES/layers:latest" example.test/layers:1
        mkfifo "$WORK/go"
        IMAGE=example.test/sibling:1
        cell --timeout 20s -- sh -c 'echo here >started; read -r line <go; /bin/busybox test -e /other && echo all' >"$WORK/out" 3>&- &
        pid=$!
        wait_for test -s "$WORK/started"
        flip "$(echo "$STORE/images/$(ls ../sibling)/image.json")" 5
        run -0 stepcell image remove example.test/layers:1
        run -0 stepcell image gc
        echo >"$WORK/go"
        wait "$pid"
        assert_equal "what the cell sees" "$(<"$WORK/out")" all
        # No registry has it.
        for _ in record directory; do
            run -0 stepcell image gc
            run -0 --separate-stderr cell -- /bin/busybox test -e /other
            run -0 stepcell image verify
            rm -r "$STORE/images/$(ls ../sibling)"
        done
        # Nobody knows any more what it needs.
        run -0 --separate-stderr cell -- /bin/busybox test -e /other
        stepcell image import -q "oci:$IMAGES/layers:latest" example.test/layers:1
        rm "$WORK/started"
        cell --timeout 20s -- sh -c 'echo here >started; read -r line <go' 3>&- &
        pid=$!
        wait_for test -s "$WORK/started"
        flip "$(echo "$STORE/images/$(ls ../sibling)/image.json")" 5
        rm "$STORE/blobs/sha256/$(ls ../sibling)"
        run -125 stepcell image remove example.test/layers:1
        assert_match "$output" "*a cell runs the image 'sha256:$(ls ../sibling)', whose record cannot be read*"
        assert_equal images "$(stepcell image list | wc -l)" 2
        echo >"$WORK/go"
        wait "$pid"
        rm -r ../sibling
    }
    each_caller damaged_record
}

@test "a record that says something else of an image takes nothing from a cell and from a name" {
    local step
    CALLER=root
    another_record() {
        local record pid
        fresh_store
        stepcell image import -q "oci:$IMAGES/busybox:latest" example.test/other:1
        mkfifo "$WORK/go"
        IMAGE=example.test/sibling:1
        for step in 'image gc' 'image verify' 'image remove example.test/other:1'; do
            stepcell image import -q "oci:$IMAGES/layers:sibling" $IMAGE
            record=$STORE/images/$(stepcell image inspect $IMAGE --json | jq -r '.manifest_digest[7:]')/image.json
            rm -f "$WORK/started"
            cell --timeout 20s -- sh -c 'echo here >started; read -r line <go; /bin/busybox test -e /other && echo all' >"$WORK/out" 3>&- &
            pid=$!
            wait_for test -s "$WORK/started"
            # The same file: the cell has its lock.
            sed -E '/config_digest|^ {4}"sha256/s/sha256:../sha256:00/' "$record" >"$TEST_DIR/record"
            run ! cmp -s "$TEST_DIR/record" "$record"
            cat "$TEST_DIR/record" >"$record"
            # shellcheck disable=SC2086 # words
            stepcell $step || true
            echo >"$WORK/go"
            wait "$pid"
            assert_equal "what the cell sees after $step" "$(<"$WORK/out")" all
            stepcell image verify || true
            run -0 stepcell image export $IMAGE oci-archive:"$TEST_DIR/whole.tar"
        done
        rm "$TEST_DIR/record" "$TEST_DIR/whole.tar"
    }
    as_caller another_record
}

@test "a pull writes a record anew that says something else, also while a cell has it" {
    CALLER=root
    changed_record() {
        local record change pid
        # change_record SED: in the same file, which a cell may have the lock of
        change_record() {
            sed -E "$1" "$record" >"$TEST_DIR/changed"
            run ! cmp -s "$TEST_DIR/changed" "$record"
            cat "$TEST_DIR/changed" >"$record"
        }
        fresh_store
        stepcell image pull -q "$IMAGE"
        record=$(echo "$STORE"/images/*/image.json)
        cp "$record" "$TEST_DIR/sound"
        mkfifo "$WORK/go"
        cell --timeout 20s -- sh -c 'echo here >started; read -r line <go' 3>&- &
        pid=$!
        wait_for test -s "$WORK/started"
        for change in '/config_digest/s/sha256:../sha256:00/' 's/"PATH=/"HTAP=/'; do
            change_record "$change"
            run -0 stepcell image pull -q "$IMAGE"
            cmp "$record" "$TEST_DIR/sound"
        done
        # They may be those of the cell.
        change_record '/^ {4}"sha256/s/sha256:../sha256:00/'
        run -125 stepcell image pull -q "$IMAGE"
        assert_match "$output" "*a cell holds it*hint: pull it again when the cell has ended*"
        echo >"$WORK/go"
        wait "$pid"
        run -0 stepcell image pull -q "$IMAGE"
        cmp "$record" "$TEST_DIR/sound"
        run -0 stepcell image verify
        rm "$TEST_DIR/sound" "$TEST_DIR/changed"
    }
    as_caller changed_record
}

@test "gc takes no blob of an image whose manifest is damaged" {
    local hex
    CALLER=root
    damaged_manifest() {
        fresh_store
        hex=$(stepcell image import -q "oci:$IMAGES/layers:latest" example.test/layers:1 | cut -d: -f2)
        flip_behind "$STORE/blobs/sha256/$hex" 400
        as ls "$STORE/blobs/sha256" >"$TEST_DIR/blobs"
        run -125 stepcell image gc
        assert_match "$output" "*the manifest 'sha256:$hex' in the store is damaged*stepcell image verify*"
        assert_equal blobs "$(as ls "$STORE/blobs/sha256")" "$(<"$TEST_DIR/blobs")"
        # What it did remove until then is said.
        stepcell image pull -q "oci:$IMAGES/busybox:latest"
        find "$STORE/images" -name image.json -not -path "*$hex*" -exec touch -d '2 days ago' {} +
        run -125 --separate-stderr stepcell image gc --unused-for 1d --json
        assert_equal "what is removed" "$(jq -c '[.bytes_after, .removed[].name]' <<<"$output")" "[null,\"oci:$IMAGES/busybox:latest\"]"
        assert_match "$stderr" "*in the store is damaged*"
        run -0 stepcell image list
        run -2 stepcell image verify
        run -0 stepcell image import -q "oci:$IMAGES/layers:latest" example.test/layers:1
        run -0 stepcell image gc
        assert_equal blobs "$(as ls "$STORE/blobs/sha256")" "$(<"$TEST_DIR/blobs")"
        rm "$TEST_DIR/blobs"
    }
    as_caller damaged_manifest
}

@test "a damaged layer is left alone while a cell runs with it" {
    in_use() {
        local tree pid
        fresh_store
        stepcell image pull -q "$IMAGE"
        tree=$(echo "$STORE"/layers/*/*)
        mkfifo "$WORK/go"
        cell -- sh -c 'echo here >started; read -r line <go; cat /etc/passwd' >"$WORK/out" &
        pid=$!
        wait_for test -s "$WORK/started"
        touch "$tree/extra"
        run -2 stepcell image verify
        assert_match "$output" "*in use*"
        run -0 stepcell image gc --unused-for 0s --max-size 0
        assert_match "$output" "*1 stay*"
        echo >"$WORK/go"
        wait "$pid"
        grep -q root "$WORK/out"
        run -2 stepcell image verify
        assert_match "$output" "*repaired*"
    }
    each_caller in_use
}

@test "gc takes what is old, what is too much, and what nobody needs; a dry run nothing" {
    collect() {
        fresh_store
        stepcell image pull -q "$IMAGE"
        stepcell image pull -q "oci:$IMAGES/layers:latest"
        as touch "$STORE/blobs/sha256/$(printf '0%.0s' {1..64})"
        run -0 stepcell image gc --dry-run --max-size 0
        assert_match "$output" "*would remove*image*busybox*would remove*blob*0000*"
        assert_equal images "$(stepcell image list | wc -l)" 2
        run -0 stepcell image gc
        assert_equal images "$(stepcell image list | wc -l)" 2
        assert_match "$output" "removed*blob*0000*"
        # What a kill leaves of a record that was being written, of a blob and of a layer.
        as touch "$STORE/index.json.tmp0123abcd" "$STORE/references/oci/x.json.tmp00000000" \
            "$STORE/images/$(ls "$STORE/images" | head -n 1)/passwd.tmpffffffff" "$STORE/tmp/blob-00"
        as mkdir "$(echo "$STORE"/layers/* | cut -d' ' -f1)/00.part"
        run -0 --separate-stderr stepcell image gc --dry-run --json
        assert_equal unfinished "$(jq -c '[.removed[] | select(.kind == "unfinished").name | sub(".*/"; "")]' <<<"$output")" \
            '["blob-00","00.part","index.json.tmp0123abcd","x.json.tmp00000000","passwd.tmpffffffff"]'
        jq '.removed' <<<"$output" >"$TEST_DIR/announced"
        run -0 --separate-stderr stepcell image gc --json
        assert_equal "what is removed" "$(jq .removed <<<"$output")" "$(<"$TEST_DIR/announced")"
        assert_equal "what was unfinished" "$(find "$STORE" -name '*.tmp*' -o -name '*.part' -o -path "$STORE/tmp/*")" ""
        run -0 stepcell image gc --unused-for 1h
        assert_equal images "$(stepcell image list | wc -l)" 2
        # The one that a step uses last is the one that stays.
        as find "$STORE/images" -name image.json -exec touch -d '2 days ago' {} +
        run -0 cell -- true
        run -0 stepcell image gc --unused-for 1d
        assert_equal images "$(stepcell image list | cut -f1)" "$IMAGE"
        run -0 --separate-stderr cell --pull never -- echo still here
        assert_equal output "$output" "still here"
        # A pull of what is there uses it, too.
        as find "$STORE/images" -name image.json -exec touch -d '2 days ago' {} +
        stepcell image pull -q "$IMAGE"
        run -0 stepcell image gc --unused-for 1d
        assert_equal images "$(stepcell image list | cut -f1)" "$IMAGE"
        run -0 --separate-stderr stepcell image gc --json --max-size 0
        assert_equal after "$(jq .bytes_after <<<"$output")" 0
        assert_equal left "$(find "$STORE"/blobs/sha256 "$STORE"/images "$STORE"/layers/* -mindepth 1 | wc -l)" 0
        run stepcell image gc --max-size much
        assert_equal status "$status" 125
    }
    each_caller collect
}

@test "gc takes the layers of who had no subordinate ids, and has them now" {
    CALLER=ranges
    orphans() {
        local map pid
        fresh_store
        stepcell image pull -q "$IMAGE"
        map=$(echo "$STORE"/layers/*)
        as cp -r "$map" "$STORE/layers/single"
        run -2 stepcell image verify
        assert_match "$output" "layer single: *'stepcell image gc' removes it*1 findings"
        mkfifo "$WORK/go"
        cell -- sh -c 'echo here >started; read -r line <go' &
        pid=$!
        wait_for test -s "$WORK/started"
        run -0 stepcell image gc
        [ -d "$STORE/layers/single" ]
        echo >"$WORK/go"
        wait "$pid"
        run -0 stepcell image gc
        assert_match "$output" "removed*layer*single/*"
        run -0 stepcell image verify
        run -0 --separate-stderr cell --pull never -- echo works
        assert_equal output "$output" works
    }
    as_caller orphans
}

@test "layers of ids that were taken away stop nothing, and are named" {
    CALLER=ranges
    lost_ids() {
        local map lost
        fresh_store
        stepcell image pull -q "$IMAGE"
        stepcell image pull -q "oci:$IMAGES/layers:latest"
        map=$(echo "$STORE"/layers/*)
        lost=$STORE/layers/ranges-1000000000-0-0
        cp -r "$map" "$lost"
        chown "$(caller_name):" "$lost"
        chown -R 1000000000:1000000000 "$lost"/*
        find "$lost" -mindepth 1 -type d -exec chmod 700 {} +
        run -0 stepcell image list
        run -2 stepcell image verify
        assert_match "$output" "layer ${lost##*/}: *as root: rm -r '$lost'*1 findings"
        run -125 stepcell image remove "$IMAGE"
        assert_match "$output" "*'$IMAGE' is removed, but not all of its layers: *Permission denied*as root: rm -r '$lost'/*.part*"
        # Its other layers are gone, and what is left is in nobody's way.
        [ "$(find "$STORE/blobs/sha256" "$map" -mindepth 1 -maxdepth 1 | wc -l)" -eq 6 ]
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image gc
        run -125 --separate-stderr stepcell image gc --json --unused-for 0s
        assert_match "$stderr" "*everything else is removed: *as root: rm -r '$lost'/*.part*"
        jq -e '.removed | map(.kind) | contains(["image", "blob", "layer"])' <<<"$output"
        assert_equal left "$(find "$STORE"/{blobs/sha256,images} "$map" -mindepth 1)" ""
        run -0 stepcell image gc
        rm -r "$lost"
        run -0 stepcell image verify
    }
    as_caller lost_ids
}

@test "what cannot be removed of a layer is named by verify and by the pull that it stops" {
    CALLER=ranges
    in_the_way() {
        local tree
        fresh_store
        stepcell image pull -q "$IMAGE"
        tree=$(echo "$STORE"/layers/*/*)
        mkdir "$tree/roots"
        touch "$tree/roots/file"
        run -125 stepcell image remove "$IMAGE"
        run -0 stepcell image gc
        run -2 stepcell image verify
        assert_match "$output" "layer *.part: *as root: rm -r '$tree.part'*1 findings"
        run -125 stepcell image pull -q "$IMAGE"
        assert_match "$output" "*hint: *as root: rm -r '${tree%/*}'/*.part"
        rm -r "$tree.part"
        run -0 stepcell image pull -q "$IMAGE"
        run -0 stepcell image verify
    }
    as_caller in_the_way
}

@test "gc takes nothing from cells that are about to start" {
    # Faster than a sanitizer lets them be, so that they meet.
    STEPCELL=$STEPCELL_RELEASE
    starting() {
        fresh_store
        stepcell image pull -q "$IMAGE"
        # As it holds them while it looks whether a cell has the image.
        flock "$STORE/locks/store" flock "$STORE"/images/*/image.json sh -c 'echo >held; sleep 1' 3>&- &
        wait_for test -s held
        run -0 --separate-stderr cell --pull never -- echo here
        assert_equal output "$output" here
        # It may find that a cell has just started, and says so.
        while :; do stepcell image gc --unused-for 0s --max-size 0 || true; done >/dev/null 3>&- &
        LOOP=$!
        for _ in {1..20}; do
            run -0 --separate-stderr cell -- echo here
            assert_equal output "$output" here
        done
        kill "$LOOP"
        wait "$LOOP" || true
        LOOP=''
    }
    each_caller starting
}

@test "the list tells size and last use" {
    sizes() {
        fresh_store
        stepcell image pull -q "$IMAGE"
        run -0 --separate-stderr stepcell image list --json
        jq -e '.images[0] | .size > 2000000 and .size < 20000000 and (.last_used | startswith("20"))' <<<"$output"
        run -0 stepcell image list
        assert_match "$output" "oci:*	linux/*	sha256:*	* MB	20*"
    }
    each_caller sizes
}

@test "output that cannot be written is a failure, and said" {
    lost() { stepcell image "$@" >/dev/full; }
    fresh_store
    stepcell image pull -q "$IMAGE"
    for words in "pull -q $IMAGE" list "list --json" "inspect $IMAGE" "gc" verify; do
        # shellcheck disable=SC2086 # words are meant
        run -125 --separate-stderr lost $words
        assert_match "$stderr" "stepcell: cannot write the output: No space left on device"$'\n'"stepcell: hint: *"
    [[ $stderr != *--store* ]]
    done
}

@test "what is exported is what other tools and an import take" {
    round_trip() {
        local made=$WORK/made digest
        fresh_store
        digest=$(stepcell image import -q "$IMAGE" example.test/tools:1)
        run -0 stepcell image export example.test/tools:1 "oci:$made:one"
        run -0 stepcell image export example.test/tools:1 "oci:$made:two"
        run -0 stepcell image export example.test/tools:1 "oci-archive:$made.tar"
        for from in "oci:$made:one" "oci:$made:two" "oci-archive:$made.tar"; do
            assert_equal "$from" "$(skopeo inspect --format '{{.Digest}}' "$from")" "$digest"
            fresh_store
            run -0 stepcell image import -q "$from" example.test/again:2
            assert_equal digest "$output" "$digest"
            IMAGE=example.test/again:2 run -0 --separate-stderr cell --pull never -- echo "from $from"
            assert_equal output "$output" "from $from"
        done
        # The store itself is a layout, too.
        assert_equal "in place" "$(skopeo inspect --format '{{.Digest}}' "oci:$STORE:example.test/again:2")" "$digest"
        flip_behind "$(largest_blob)" 5000
        run stepcell image export example.test/again:2 "oci-archive:$made.tar"
        assert_equal status "$status" 125
        assert_match "$output" "*damaged*"
        run stepcell image export example.test/nothing:1 "oci:$made"
        assert_equal status "$status" 125
        rm -rf "$made" "$made.tar"
    }
    each_caller round_trip
}

@test "an export into a layout keeps what it says, whoever adds to it meanwhile" {
    local i text lock pids=()
    CALLER=root
    others_stay() {
        fresh_store
        stepcell image import -q "$IMAGE" example.test/tools:1
        umoci init --layout made
        jq -c '.annotations = {made: "by hand"}' made/index.json >index && cp index made/index.json
        for i in {1..6}; do
            stepcell image export example.test/tools:1 "oci:made:t$i" 3>&- &
            pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        run -0 stepcell image export example.test/tools:1 oci:made:t1
        assert_equal tags "$(jq -c '[.manifests[].annotations[]] | sort' made/index.json)" '["t1","t2","t3","t4","t5","t6"]'
        assert_equal annotations "$(jq -c .annotations made/index.json)" '{"made":"by hand"}'
        exec {lock}<made
        flock "$lock"
        run -125 stepcell image export example.test/tools:1 oci:made:t1
        assert_match "$output" "*somebody else holds the lock of the layout '*made'*"
        exec {lock}<&-
        for text in '#' '[]' '{"manifests": {}}'; do
            echo "$text" >made/index.json
            run -125 stepcell image export example.test/tools:1 oci:made:t7
            assert_match "$output" "*the layout '*made': 'index.json' is *hint: mend it, or name another directory*"
            assert_equal index "$(<made/index.json)" "$text"
        done
        rm -r made index
    }
    as_caller others_stay
}

@test "an export follows no link, waits for no reader, and says what is in its way" {
    local hex
    CALLER=root
    in_the_way() {
        fresh_store
        stepcell image import -q "$IMAGE" example.test/tools:1
        echo precious >victim
        ln -s victim made.tar.part
        mkfifo pipe.tar.part
        run -0 stepcell image export example.test/tools:1 "oci-archive:made.tar"
        run -0 timeout 20 "$STEPCELL" image export --store "$STORE" example.test/tools:1 "oci-archive:pipe.tar"
        assert_equal victim "$(cat victim)" precious
        [ -f made.tar ] && [ ! -L made.tar ]
        hex=$(basename "$(largest_blob)")
        mkdir -p "made/blobs/sha256/$hex/full"
        run stepcell image export example.test/tools:1 "oci:made"
        assert_equal status "$status" 125
        assert_match "$output" "*cannot write '*made'*"
        [ -z "$(find . -name '*.tmp*')" ]
    }
    as_caller in_the_way
}

@test "an image of docker's types is read in place and exported like any other" {
    docker_types() {
        local image=$REGISTRY/docker-types:1 digest made=$WORK/made from named
        fresh_store
        digest=$(stepcell image pull -q "$image")
        assert_equal digest "$digest" "$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$image")"
        run -0 stepcell image gc
        run -0 stepcell image export "$image" "oci:$made:one"
        run -0 stepcell image export "$image" "oci-archive:$made.tar:one"
        for from in "oci:$STORE:$image" "oci:$made:one" "oci-archive:$made.tar:one"; do
            run -0 skopeo copy --quiet "$from" "dir:$WORK/copy"
            rm -r "$WORK/copy"
        done
        run -0 umoci stat --image "$STORE:$image"
        flip "$(find "$STORE/references" -name '*docker-types*')" 3
        run -2 stepcell image verify
        assert_match "$output" "reference *: it is not what was written; repaired*1 findings"
        assert_equal named "$(stepcell image list | cut -f3)" "$digest"
        run -0 stepcell image verify
        assert_equal "what a pull says" "$(stepcell image pull -q "$image")" "$digest"
        # Both forms are images now.
        stepcell image import -q "oci:$made:one" example.test/other:1
        named=$(stepcell image list | cut -f1,3)
        find "$STORE/references" -name '*.json' -exec sed -i 's/"/x/' {} +
        run -2 stepcell image verify
        assert_equal named "$(stepcell image list | cut -f1,3)" "$named"
        run -0 stepcell image remove example.test/other:1
        run -0 stepcell image remove "$image"
        assert_equal left "$(find "$STORE/blobs/sha256" -type f | wc -l)" 0
        rm -rf "$made" "$made.tar"
    }
    start_registry
    push "$IMAGE" docker-types:1 --format v2s2
    each_caller docker_types
}

@test "a disk without room is store.full, before or while it fills, and a later pull goes on" {
    local disk
    disk=$(mktemp -d "$TEST_DIR/disk.XXXXXX")
    mount -t tmpfs -o size=1500k tmpfs "$disk"
    MOUNTED=$disk
    chmod 0700 "$disk"
    work_dir
    STEPCELL_STORE='' run --separate-stderr stepcell run --store "$disk" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- true
    assert_refused store.full
    assert_match "$stderr" "*at least*"
    # Enough for a start, not for the end.
    mount -o remount,size=2800k "$disk"
    run --separate-stderr stepcell run --store "$disk" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- true
    assert_refused store.full
    assert_equal left "$(find "$disk/tmp" "$disk/layers" -mindepth 2 | wc -l)" 0
    mount -o remount,size=20m "$disk"
    run -0 --separate-stderr stepcell run --store "$disk" --result "$RESULT" --workdir "$WORK" "$IMAGE" -- echo room
    assert_equal output "$output" room
    run -0 stepcell image verify --store "$disk"
}

@test "a disk that is full is no reason to keep what remove and gc take" {
    local disk name i
    disk=$(mktemp -d "$TEST_DIR/disk.XXXXXX")
    mount -t tmpfs -o size=30m tmpfs "$disk"
    MOUNTED=$disk
    chmod 0700 "$disk"
    # So that index.json needs more room than a name leaves.
    name=example.test/$(printf 'long/%.0s' {1..30})tools
    for i in {1..8}; do
        stepcell image import -q --store "$disk" "oci:$IMAGES/layers:latest" "$name:$i"
    done
    stepcell image import -q --store "$disk" "oci:$IMAGES/busybox:latest" "$name:other"
    fill() { run ! dd if=/dev/zero of="$disk/fill$1" bs=4k; }
    fill 1
    run -0 stepcell image remove --store "$disk" "$name:other"
    assert_equal names "$(jq '.manifests | length' "$disk/index.json")" 8
    fill 2
    run -0 stepcell image gc --store "$disk" --unused-for 0s
    assert_equal names "$(jq '.manifests | length' "$disk/index.json")" 0
    assert_equal left "$(find "$disk"/{blobs,images,layers,references} -type f)" ""
    run -0 stepcell image verify --store "$disk"
}

@test "memory does not grow with the image" {
    local peak
    fresh_store
    peak=$(STEPCELL_STORE=$STORE /usr/bin/time -f %M "$STEPCELL_RELEASE" image pull -q "oci:$IMAGES/execution:latest" 2>&1 >/dev/null | tail -n 1)
    echo "peak: $peak KiB"
    ((peak < 64 << 10))
}
