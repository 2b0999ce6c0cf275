# Lock files: what is locked, what runs by it, and what registries say of it later.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

setup_file() {
    export VERSIONS=$TEST_DIR/versions
    mkdir -p "$VERSIONS"
    tar -C "$(dirname "$(command -v busybox)")" --numeric-owner --owner=0 --group=0 \
        --transform 's,^,bin/,' -cf "$VERSIONS/busybox.tar" busybox
    echo small >"$VERSIONS/file"
    tar -C "$VERSIONS" --numeric-owner --owner=0 --group=0 -cf "$VERSIONS/small.tar" file
    new_layout "$VERSIONS/layout"
}

setup() {
    FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    start_registry
    IMAGE=$REGISTRY/team/tools LAYER=$VERSIONS/small.tar
}

teardown() {
    stop_faults
    stop_registry
}

# version TAG CONTENT [windows BUILD]: an index of a linux/amd64, a linux/arm64 and, if so, a windows/amd64 image
# that no other content has, in the registry as team/tools:TAG. With $LAYER, or nothing that runs
version() {
    local layout=$VERSIONS/layout images=() arch
    for arch in amd64 arm64; do
        images+=("$(put_image "$layout" \
            "{\"architecture\":\"$arch\",\"config\":{\"Env\":[\"CONTENT=$2\",\"PATH=/bin\"]}}" \
            "$LAYER" | on_platform linux $arch)")
    done
    [ -z "${3:-}" ] || images+=("$(put_image "$layout" "{\"os\":\"windows\",\"os.version\":\"$3\",
            \"config\":{\"Env\":[\"CONTENT=$2\"]}}" "$LAYER" | on_platform windows amd64 |
        jq -c --arg build "$3" '.platform["os.version"] = $build')")
    echo "$EMPTY_LAYOUT" >"$layout/index.json"
    put_index "$layout" "${images[@]}" | name_image "$layout" image
    push "oci:$layout:image" "team/tools:$1"
}

# also OLD NEW...: further tags of what a tag stands for, without a push
also() {
    local tags=$REGISTRY_DIR/data/docker/registry/v2/repositories/team/tools/_manifests/tags old=$1 new=()
    shift
    new=("${@/#/$tags/}")
    new=("${new[@]/%//current}")
    mkdir -p "${new[@]}"
    tee "${new[@]/%//link}" <"$tags/$old/current/link" >/dev/null
}

# gone TAG: the tag is deleted
gone() { rm -r "$REGISTRY_DIR/data/docker/registry/v2/repositories/team/tools/_manifests/tags/$1"; }

lock() { stepcell lock "$@"; }

# field NAME FILTER: of an entry of the lock file
field() { jq -r --arg name "$1" ".images[\$name]$2" stepcell.lock; }

# assert_status STATUS EXIT [OPTION...]: of the entry 'tools', by 'lock outdated'
assert_status() {
    local expected=$1 exit=$2
    shift 2
    run "-$exit" --separate-stderr lock outdated --json "$@"
    assert_equal status "$(jq -r '.images[] | select(.name == "tools").status' <<<"$output")" "$expected"
}

digest_of() { skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$IMAGE:$1"; }

@test "add locks the index and every platform, and the same again changes nothing" {
    version 7.7.2 one 10.0.20348.2113
    locks() {
        local before
        run -0 lock add --by ann --why "the first one" "$IMAGE:7.7.2"
        assert_match "$output" "tools*locked*$IMAGE:7.7.2*sha256:*"
        assert_equal want "$(field tools .want)" "$IMAGE:7.7.2"
        assert_equal image "$(field tools .image)" "$IMAGE"
        assert_equal digest "$(field tools .digest)" "$(digest_of 7.7.2)"
        assert_equal who "$(field tools '| [.locked_by, .why] | join(": ")')" "ann: the first one"
        assert_equal platforms "$(field tools '.platforms | keys | join(" ")')" \
            "linux/amd64 linux/arm64 windows(10.0.20348.2113)/amd64"
        # Each digest is what another tool finds.
        diff <(field tools '.platforms[].digest' | sort) <(skopeo inspect --raw --tls-verify=false \
            "docker://$IMAGE:7.7.2" | jq -r '.manifests[].digest' | sort)
        assert_equal config "$(field tools '.platforms["linux/arm64"].config')" \
            "$(skopeo inspect --raw --tls-verify=false \
                "docker://$IMAGE@$(field tools '.platforms["linux/arm64"].digest')" | jq -r .config.digest)"
        # As jq would write it with sorted keys: a change is a change of lines.
        diff <(jq -S . stepcell.lock) stepcell.lock
        assert_equal mode "$(stat -c %a stepcell.lock)" 644
        before=$(stat -c %i%Y stepcell.lock)
        run -0 lock add "$IMAGE:7.7.2"
        assert_match "$output" "tools*unchanged*"
        run -0 lock update
        assert_equal "the file" "$(stat -c %i%Y stepcell.lock)" "$before"
        run -0 ls -A
        assert_equal files "$output" stepcell.lock
        run -0 lock list
        assert_match "$output" "tools*7.7.2*by ann*because the first one*"
    }
    CALLERS=plain each_caller locks
}

@test "a single manifest is locked with the platform of its configuration" {
    push "oci:$IMAGES/busybox:latest" team/single:1
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    run -0 lock add --name one "$REGISTRY/team/single:1"
    assert_equal platforms "$(field one '.platforms | keys | join(" ")')" linux/amd64
    assert_equal digest "$(field one .digest)" "$(field one '.platforms["linux/amd64"].digest')"
    run -1 lock add "$REGISTRY/team/single:2"
    assert_match "$output" "*has no *"
    run -1 lock add "$REGISTRY/team/single@$(field one .digest)"
    run -1 lock add "oci:$IMAGES/busybox:latest"
    # Two things of one name have to be told apart.
    push "oci:$IMAGES/busybox:user-app" team/single:2
    run -1 lock add "$REGISTRY/team/single:2" --name 'Bad name'
    run -0 lock add "$REGISTRY/team/single:2"
    run -1 lock add "$REGISTRY/team/single:3" --name one --to 1
    assert_match "$output" "*has an entry 'one' already*"
    assert_equal entries "$(jq -r '.images | keys | join(" ")' stepcell.lock)" "one single"
}

@test "a step runs what is locked, and says by which entry" {
    LAYER=$VERSIONS/busybox.tar
    version 7.7.2 one
    runs() {
        local digest
        lock add "$IMAGE:7.7.2"
        digest=$(field tools .digest)
        version 7.7.2 moved-by-$CALLER
        IMAGE=$IMAGE:7.7.2
        run -0 --separate-stderr cell --lock stepcell.lock --events file:events -- busybox sh -c 'echo $CONTENT'
        assert_equal output "$output" one
        assert_equal lock "$(result_field .image.lock)" tools
        assert_equal digest "$(result_field .image.digest)" "$digest"
        assert_equal reference "$(result_field .image.reference)" "$IMAGE@$digest"
        assert_equal event "$(jq -r 'select(.type == "image.resolved").lock' events)" tools
        # Without the lock it is what the tag stands for now.
        run -0 --separate-stderr cell -- busybox sh -c 'echo $CONTENT'
        assert_equal output "$output" "moved-by-$CALLER"
        assert_equal lock "$(result_field .image.lock)" null
        # The default file; and in a step.
        run -0 --separate-stderr cell --locked -- busybox sh -c 'echo $CONTENT'
        assert_equal output "$output" one
        jq -n --arg image "$IMAGE" '{image: $image, command: ["busybox", "sh", "-c", "echo $CONTENT"],
            lock: "stepcell.lock", locked: true}' >step.json
        run -0 --separate-stderr stepcell run --step step.json
        assert_equal output "$output" one
        # `explain` tells where the default file is.
        stepcell explain --json --locked "$IMAGE" busybox sh -c 'echo $CONTENT' >plan.json
        assert_equal lock "$(jq -r .lock plan.json)" "$WORK/stepcell.lock"
        cd /
        run -0 --separate-stderr stepcell run --step "$WORK/plan.json"
        cd "$WORK"
        assert_equal output "$output" one
        # What is not there is refused, by tag and by digest; without --locked it runs as ever.
        version 7.7.3 three
        IMAGE=${IMAGE%:*}:7.7.3
        run --separate-stderr cell --locked -- true
        assert_refused image.unpinned
        assert_match "$stderr" "*stepcell lock add*"
        run -0 --separate-stderr cell --lock stepcell.lock -- busybox sh -c 'echo $CONTENT'
        assert_equal output "$output" three
        assert_equal lock "$(result_field .image.lock)" null
        IMAGE=${IMAGE%:*}@$(result_field .image.digest)
        run --separate-stderr cell --locked -- true
        assert_refused image.unpinned
        IMAGE=${IMAGE%@*}@$digest
        run -0 --separate-stderr cell --locked -- busybox sh -c 'echo $CONTENT'
        assert_equal lock "$(result_field .image.lock)" tools
        IMAGE=oci:$IMAGES/busybox:latest
        run --separate-stderr cell --locked -- true
        assert_refused image.unpinned
        IMAGE=$REGISTRY/team/tools:7.7.2
        run --separate-stderr cell --locked --platform linux/s390x -- true
        assert_refused image.platform
        assert_match "$stderr" "*linux/amd64, linux/arm64*"
        run --separate-stderr cell --lock nowhere.lock -- true
        assert_refused config.invalid
        sed -i 's/"digest"/"digset"/' stepcell.lock
        run --separate-stderr cell --lock stepcell.lock -- true
        assert_refused config.invalid
        assert_match "$stderr" "*line 4: 'digset' is not known*"
        IMAGE=$REGISTRY/team/tools
        version 7.7.2 one
        gone 7.7.3
    }
    CALLERS=ranges each_caller runs
}

@test "what is locked and in the store by its tag runs without a registry" {
    LAYER=$VERSIONS/busybox.tar
    version 1 offline
    offline() {
        lock add "$IMAGE:1"
        stepcell image pull -q "$IMAGE:1"
        mv "$REGISTRY_DIR/data" "$REGISTRY_DIR/away"
        IMAGE=$IMAGE:1
        run -0 --separate-stderr cell --locked --pull never -- busybox sh -c 'echo $CONTENT'
        assert_equal output "$output" offline
        assert_equal lock "$(result_field .image.lock)" tools
        # For the ids of another user, too.
        [ $CALLER = plain ] || run -0 --separate-stderr cell --locked --pull never --user 1234 -- busybox id -u
        [ $CALLER = plain ] || assert_equal output "$output" 1234
        # By the digests that the entry has, too, as the step file of explain names them.
        run -0 --separate-stderr stepcell explain --json --locked "$IMAGE" -- busybox sh -c 'echo $CONTENT'
        echo "$output" >step.json
        assert_match "$(jq -r .image step.json)" "*@sha256:*"
        run -0 --separate-stderr stepcell run --step step.json
        assert_equal output "$output" offline
        for digest in "$(field tools .digest)" "$(field tools '.platforms["linux/amd64"].digest')"; do
            IMAGE=${IMAGE%:1*}:1@$digest
            run -0 --separate-stderr cell --locked --pull never -- busybox sh -c 'echo $CONTENT'
            assert_equal output "$output" offline
            assert_equal lock "$(result_field .image.lock)" tools
        done
        IMAGE=${IMAGE%@*}
        kill -STOP "$REGISTRY_PID"
        run -0 --separate-stderr cell --locked --pull missing -- busybox sh -c 'echo $CONTENT'
        kill -CONT "$REGISTRY_PID"
        mv "$REGISTRY_DIR/away" "$REGISTRY_DIR/data"
        assert_equal output "$output" offline
        stepcell image remove "$IMAGE"
        run -125 --separate-stderr cell --locked --pull never -- busybox true
        assert_equal code "$(result_field .error.code)" image.not-found
        IMAGE=$REGISTRY/team/tools
    }
    each_caller offline
}

@test "newer is what has the same flavour; moved, alias, gone and the rest are told apart" {
    told() {
        version 6.5.2-ubuntu.24.04 one 10.0.20348.2113
        lock add "$IMAGE:6.5.2-ubuntu.24.04"
        also 6.5.2-ubuntu.24.04 6.5.2 7.0.0-ubuntu.22.04 6.5.3 6.5.3-windows.ltsc2022 latest 9.9.9-nightly \
            20240501 v6.6.0-ubuntu.24.04 6.6-ubuntu.24.04 6.7.0-rc.1-ubuntu.24.04 deadbeef
        assert_status ok 0
        # The same image under a newer name is no news.
        also 6.5.2-ubuntu.24.04 6.5.4-ubuntu.24.04
        assert_status alias 0
        version 6.10.0-ubuntu.24.04 two 10.0.20348.2340
        assert_status newer 2
        assert_equal newer "$(jq -r '.images[0] | .newer, .newer_digest' <<<"$output" | paste -sd' ')" \
            "6.10.0-ubuntu.24.04 $(digest_of 6.10.0-ubuntu.24.04)"
        # A version that lacks a platform is none to go to, but the one before it is.
        version 6.11.0-ubuntu.24.04 three
        assert_status newer 2
        assert_equal newer "$(jq -r '.images[0].newer' <<<"$output")" 6.10.0-ubuntu.24.04
        gone 6.10.0-ubuntu.24.04
        gone 6.5.4-ubuntu.24.04
        assert_status platform-missing 2
        assert_match "$(jq -r '.images[0].detail' <<<"$output")" "*windows(10.0.20348.2113)/amd64*"
        gone 6.11.0-ubuntu.24.04
        version 6.5.2-ubuntu.24.04 moved 10.0.20348.2113
        assert_status moved 2
        assert_equal moved "$(jq -r '.images[0].moved_to' <<<"$output")" "$(digest_of 6.5.2-ubuntu.24.04)"
        # Both are told.
        version 6.10.0-ubuntu.24.04 two 10.0.20348.2340
        assert_status moved 2
        assert_equal newer "$(jq -r '.images[0].newer' <<<"$output")" 6.10.0-ubuntu.24.04
        gone 6.5.2-ubuntu.24.04
        assert_status gone 2
        run -2 lock outdated
        assert_match "$output" $'tools\tgone\t6.5.2-ubuntu.24.04\t6.10.0-ubuntu.24.04\t*'
        stop_registry
        assert_status unknown 1
        run -1 lock outdated nobody
        assert_match "$output" "*no entry 'nobody'*"
    }
    CALLERS=ranges each_caller told
}

@test "a tag that is no version can only move" {
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    version latest one
    lock add "$IMAGE"
    also latest 1.0 99
    assert_status ok 0
    version latest two
    assert_status moved 2
    run -2 lock update
    assert_match "$output" "*--moved takes*moved*"
    assert_equal want "$(field tools .want)" "$IMAGE"
    run -0 lock update --moved
    assert_equal digest "$(field tools .digest)" "$(digest_of latest)"
    assert_equal want "$(field tools .want)" "$IMAGE"
    assert_status ok 0
}

@test "a newer tag has to be known for a while, whatever it says of itself" {
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    version 1.0 one
    lock add --min-age 3d "$IMAGE:1.0"
    assert_status ok 0
    version 1.1 two
    assert_status held 0 --dry-run
    assert_equal seen "$(field tools .seen)" null
    assert_status held 0
    assert_equal seen "$(field tools '.seen["1.1"].digest')" "$(digest_of 1.1)"
    run -0 lock update
    assert_match "$output" "*held*first seen*"
    aged() {
        jq -S --arg time "$(date -u -d "$1" +%Y-%m-%dT%H:%M:%SZ)" '.images.tools.seen["1.1"].first_seen = $time' \
            stepcell.lock >aged && mv aged stepcell.lock
    }
    aged '2 days ago'
    assert_status held 0
    aged '4 days ago'
    assert_status newer 2
    # Another image under the tag is seen for the first time.
    version 1.1 three
    assert_status held 0
    aged '4 days ago'
    version 1.2 four
    assert_status newer 2
    assert_equal newer "$(jq -r '.images[0].newer' <<<"$output")" 1.1
    run -0 lock update
    assert_equal tag "$(field tools .tag)" 1.1
    [[ $(field tools .first_seen) < $(field tools .locked_at) ]]
    # Who names a tag has decided.
    run -0 lock update --to 1.2 tools
    assert_equal tag "$(field tools .tag)" 1.2
    # A file that cannot be kept up to date is one that never gets older: that is said.
    version 1.3 five
    chmod 0555 .
    CALLER=plain run -0 --separate-stderr lock outdated
    assert_match "$stderr" "*is not remembered*"
    chmod 0755 .
}

@test "update, rollback, holds and diff" {
    local old
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    version 7.7.2 one
    lock add "$IMAGE:7.7.2"
    lock add "$IMAGE:7" --to 7.7.2 --name rolling --constraint '<8'
    version 7.8.0 two
    version 8.0.0 three
    cp stepcell.lock before
    run -2 lock update --dry-run
    assert_match "$output" "*would be locked*"
    cmp before stepcell.lock
    run -0 lock update --by bob --why "security fixes"
    # A step that asks for a version gets no other; one that asks for the line gets the newest of it.
    assert_equal tools "$(field tools '| [.want, .tag] | join(" ")')" "$IMAGE:8.0.0 8.0.0"
    assert_equal rolling "$(field rolling '| [.want, .tag] | join(" ")')" "$IMAGE:7 7.8.0"
    assert_equal previous "$(field tools '.previous | map(.tag) | join(" ")')" 7.7.2
    run -2 lock diff before
    assert_match "$output" *$'tools\tchanged\ttag\t7.7.2\t8.0.0'*
    assert_match "$output" *$'rolling\tchanged\tlinux/arm64 digest\tsha256:'*
    run -2 lock diff --json - stepcell.lock <before
    assert_equal changes "$(jq -r '.images | map(.name + " " + .change) | join(", ")' <<<"$output")" \
        "rolling changed, tools changed"
    run -0 lock diff stepcell.lock
    assert_equal output "$output" ""
    run -1 lock diff nowhere
    # Back to exactly what it was, held so that no update undoes it.
    run -0 lock rollback tools --by ann --until 2999-01-01 --why "it fails on arm"
    old=$(jq -c '.images.tools | [.want, .tag, .digest, .platforms, .locked_at]' before)
    assert_equal entry "$(jq -c '.images.tools | [.want, .tag, .digest, .platforms, .locked_at]' stepcell.lock)" "$old"
    assert_status held 0
    assert_match "$(jq -r '.images[] | select(.name == "tools").detail' <<<"$output")" \
        "*ann holds this one until 2999-01-01T00:00:00Z: it fails on arm*"
    run -0 lock update
    assert_match "$output" "*tools*held*"
    run -1 lock update tools
    assert_match "$output" "*held by ann: it fails on arm*stepcell lock release tools*"
    run -1 lock rollback tools
    assert_match "$output" "*no version before '7.7.2'*"
    run -0 lock release tools
    assert_status newer 2
    # A hold that is over holds nothing.
    run -0 lock hold rolling --why "until the audit" --until 2999-01-01
    sed -i 's/2999-01-01/2001-01-01/' stepcell.lock
    run -0 lock update rolling
    run -1 lock hold rolling --why over --until 2001-01-01
    run -1 lock hold rolling
    run -0 lock remove tools
    assert_equal entries "$(jq -r '.images | keys | join(" ")' stepcell.lock)" rolling
    run -2 lock diff before
    assert_match "$output" *$'tools\tremoved\ttag\t7.7.2\t-'*
    assert_equal mode "$(stat -c %a stepcell.lock)" 644
}

@test "verify: the file alone, what it names, and its tags" {
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    version 1.0 one
    lock add "$IMAGE:1.0"
    cp stepcell.lock good
    verified() {
        local expected=$1 exit=$2
        shift 2
        run "-$exit" --separate-stderr lock verify --json "$@"
        assert_equal status "$(jq -r '.images[0].status' <<<"$output")" "$expected"
    }
    verified ok 0
    verified ok 0 --online --tags
    # A digest that somebody has written into the file.
    jq -S '.images.tools.platforms["linux/amd64"].digest = "sha256:" + "0" * 64' good >stepcell.lock
    verified ok 0
    verified unknown 1 --online
    jq -S '.images.tools.platforms["linux/s390x"] = .images.tools.platforms["linux/amd64"]' good >stepcell.lock
    verified platform-missing 2 --online
    cp good stepcell.lock
    version 1.0 two
    verified ok 0 --online
    verified moved 2 --tags
    gone 1.0
    verified gone 2 --tags
    rm -r "$REGISTRY_DIR/data/docker/registry/v2/repositories/team/tools/_manifests/revisions/sha256/$(
        field tools '.platforms["linux/arm64"].digest[7:]')"
    verified gone 2 --online
    stop_registry
    verified ok 0
    verified unknown 1 --online
    echo '{}' >stepcell.lock
    run -1 lock verify
    assert_match "$output" "*line 1: *lacks 'images'*"
}

@test "all pages of a list of tags are read, in whatever order" {
    local tag tags=()
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    version 1.0.0 one
    version 1.10.0 two
    for tag in $(seq 200); do
        tags+=("0.$tag.0" "2.0.$tag-alpine")
    done
    also 1.0.0 "${tags[@]}"
    # In front of the registry, with 100 tags on a page and the last ones first.
    start_before front pages
    IMAGE=$(faults front)/team/tools
    lock add "$IMAGE:1.0.0"
    assert_status newer 2
    assert_equal newer "$(jq -r '.images[0].newer' <<<"$output")" 1.10.0
    assert_equal pages "$(requests front .path | grep -c /tags/list)" 5
}

@test "many at once lose nothing, and nobody sees half a file" {
    local i pids=()
    version 1 one
    also 1 2 3 4 5 6 7 8
    cd "$(mktemp -d "$TEST_DIR/work/lock.XXXXXX")"
    lock add "$IMAGE:1"
    for i in 2 3 4 5 6 7 8; do
        lock add --name "tools-$i" "$IMAGE:$i" &
        pids+=($!)
    done
    while kill -0 "${pids[-1]}" 2>/dev/null; do
        jq -e '.images.tools' stepcell.lock >/dev/null
    done
    for i in "${pids[@]}"; do
        wait "$i"
    done
    assert_equal entries "$(jq '.images | length' stepcell.lock)" 8
    assert_equal files "$(ls -A)" stepcell.lock
    # A link stays one.
    mkdir elsewhere
    mv stepcell.lock elsewhere/real.lock
    ln -s elsewhere/real.lock stepcell.lock
    lock hold tools --why "to see the link"
    [ -L stepcell.lock ]
    jq -e '.images.tools.hold' elsewhere/real.lock
}
