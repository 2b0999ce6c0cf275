# Images that are built: by the real buildah, on bases of a real registry; and what an image was built on.

load ../lib/common
load ../lib/registry
load ../lib/images

setup_file() {
    export PARTS=$TEST_DIR/build
    mkdir -p "$PARTS/root/etc"
}

teardown_file() { rm -rf "$PARTS"; }

setup() {
    unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY REGISTRY_AUTH_FILE SOURCE_DATE_EPOCH
    start_registry
    cat >"$PARTS/registries.conf" <<END
[[registry]]
location = "$REGISTRY"
insecure = true
END
    export CONTAINERS_REGISTRIES_CONF=$PARTS/registries.conf
    BASE=$REGISTRY/team/base:1 IMAGE=$REGISTRY/team/tools
}

teardown() {
    stop_registry
    [ -z "${DAEMON:-}" ] || stop_peers "$DAEMON" || true
    rm -rf "${DAEMON:-}"
}

# base CONTENT [NAME:TAG]: busybox with a layer of its own on it
base() {
    local layer=$PARTS/base.tar
    echo "$1" >"$PARTS/root/etc/content"
    tar -C "$PARTS/root" --numeric-owner --owner=0 --group=0 -cf "$layer" etc
    rm -rf "$PARTS/layout"
    cp -r "$IMAGES/busybox" "$PARTS/layout"
    umoci raw add-layer --image "$PARTS/layout:latest" "$layer"
    push "oci:$PARTS/layout:latest" "${2:-team/base:1}"
}

# context [LINE...]: $WORK/context, with a Containerfile of these lines behind its FROM and ARGs
context() {
    mkdir -p "$WORK/context"
    printf '%s\n' 'ARG BASE=scratch' 'FROM $BASE' 'ARG TOOL_VERSION' "$@" >"$WORK/context/Containerfile"
    chown -R "$(caller_name):" "$WORK/context"
}

# build [OPTION...]: of $WORK/context, on $BASE
build() {
    stepcell image build --builder "${BUILDER:-buildah}" --profile plain --build-arg "BASE=$BASE" "$@" "$WORK/context"
}

# end_build SIGNAL: begins a build, and ends it once its step has begun
end_build() {
    local background
    # A shell has its background ignore SIGINT, and what is ignored stays so.
    as env --default-signal=INT sh -c 'echo $$ >"$1"; shift; exec "$@"' sh "$WORK/pid" "$STEPCELL" image build --builder "${BUILDER:-buildah}" \
        --verbose --profile plain --build-arg "BASE=$BASE" --name "$IMAGE" "$WORK/context" >"$WORK/said" 2>&1 3>&- &
    background=$!
    wait_for grep -q 'stepcell: begun' "$WORK/said"
    kill -"$1" "$(cat "$WORK/pid")"
    wait "$background" || true
}
no_sleeper() { ! grep -qsa 'sleep[^n]6543' /proc/[0-9]*/cmdline; }
digest_there() { skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$REGISTRY/$1"; }
# labels NAME:TAG: of the image in the registry
labels() { skopeo inspect --config --tls-verify=false "docker://$REGISTRY/$1" | jq -S .config.Labels; }

@test "an image is built, tagged after its version, labelled, checked, kept and pushed" {
    base one
    made() {
        context 'RUN echo tool $TOOL_VERSION >/tool; ln -s busybox /bin/tool' 'ENTRYPOINT []'
        run -0 --separate-stderr build --build-arg TOOL_VERSION=1.2+3 --version-arg TOOL_VERSION \
            --tag '{version}-linux' --tag latest --push "$IMAGE" --label team=tools
        assert_equal output "$output" "$(digest_there team/tools:1.2_3-linux) pushed"
        assert_equal stderr "$stderr" "stepcell: buildah builds '$WORK/context'"
        assert_equal latest "$(digest_there team/tools:latest)" "$(digest_there team/tools:1.2_3-linux)"
        assert_equal labels "$(labels team/tools:latest | jq -c 'del(.["io.buildah.version"], .["org.opencontainers.image.created"])')" \
            "$(jq -nSc --arg name "$BASE" --arg digest "$(digest_there team/base:1)" '{
                "org.opencontainers.image.base.name": $name, "org.opencontainers.image.base.digest": $digest,
                "org.opencontainers.image.version": "1.2+3", team: "tools"}')"
        assert_match "$(labels team/tools:latest | jq -r '.["org.opencontainers.image.created"]')" "20??-??-??T??:??:??Z"
        # It is in the store under both names, and runs.
        run -0 stepcell run --pull never --progress none --workdir "$WORK" "$IMAGE:1.2_3-linux" -- cat /tool /etc/content
        assert_equal run "$output" $'tool 1.2+3\none'
        run -0 stepcell image inspect "$IMAGE:latest"
        run -0 stepcell image base "$IMAGE:latest"
        assert_equal base "$output" "same: '$IMAGE:latest' is built on '$BASE'"
        # A child that has no version does not have that of its base.
        context 'ENTRYPOINT []'
        BASE=$IMAGE:latest build --push "$REGISTRY/team/child" --tag 1
        assert_equal version "$(labels team/child:1 | jq -r '.["org.opencontainers.image.version"]')" ''
    }
    CALLERS="root ranges" each_caller made
}

@test "the same build at the same time gives the same image, and what is known by name alone is not told" {
    base one
    same() {
        local -x SOURCE_DATE_EPOCH=1000000000 API_TOKEN="very'secret"
        context 'ARG API_TOKEN' 'RUN exec 2>&1; set -x; echo $API_TOKEN | md5sum >/sum; echo "token $API_TOKEN"; env' 'ENTRYPOINT []'
        run -0 --separate-stderr build --build-arg TOOL_VERSION=1 --version-arg TOOL_VERSION --build-arg API_TOKEN \
            --name "$IMAGE" --json --ignore env-secrets
        first=$output
        assert_equal schema "$(jq -r '[.schema, .builder, .version, .tags[0], .check.verdict, .base.name] | join(" ")' <<<"$first")" \
            "stepcell.build/1 buildah 1 1 fit $BASE"
        assert_equal push "$(jq -c .push <<<"$first")" null
        run -0 --separate-stderr build --build-arg TOOL_VERSION=1 --version-arg TOOL_VERSION --build-arg API_TOKEN \
            --name "$IMAGE" --verbose --ignore env-secrets
        assert_equal digest "$output" "$(jq -r .digest <<<"$first")"
        assert_match "$stderr" "*stepcell: STEP *stepcell: token [*][*][*][*][*][*][*][*]*"
        [[ $stderr != *very* ]]
        # Nothing was pushed.
        run -1 skopeo inspect --tls-verify=false "docker://$IMAGE:1"
    }
    CALLERS=root each_caller same
}

@test "labels of git, unless something is changed" {
    labelled() {
        context 'COPY hello /hello'
        BASE=scratch
        echo hello >"$WORK/context/hello"
        as git -C "$WORK/context" init -q
        as git -C "$WORK/context" remote add origin https://me:token@git.example.test/team/tools.git
        as git -C "$WORK/context" add .
        as git -C "$WORK/context" -c user.name=n -c user.email=e@example.test commit -q -m one
        # Whatever other repository the caller works with.
        as git init -q "$WORK/other"
        GIT_DIR=$WORK/other/.git GIT_WORK_TREE=$WORK/other run -0 build --push "$IMAGE" --ignore shell
        assert_equal revision "$(labels team/tools:latest | jq -r '.["org.opencontainers.image.revision"]')" \
            "$(as git -C "$WORK/context" rev-parse HEAD)"
        assert_equal source "$(labels team/tools:latest | jq -r '.["org.opencontainers.image.source"]')" \
            https://git.example.test/team/tools.git
        assert_equal base "$(labels team/tools:latest | jq -r '.["org.opencontainers.image.base.name"]')" null
        echo changed >"$WORK/context/hello"
        run -0 build --push "$IMAGE" --ignore shell
        assert_equal revision "$(labels team/tools:latest | jq -r '.["org.opencontainers.image.revision"]')" null
    }
    CALLERS=root each_caller labelled
}

@test "what is unfit, fails or lies is neither kept nor pushed" {
    base one
    refused() {
        nothing_kept() {
            run -1 skopeo inspect --tls-verify=false "docker://$IMAGE:latest"
            run -0 stepcell image list
            [[ $output != *"$IMAGE"* ]]
        }
        # The line that set it is shown, and none that holds a secret.
        context 'ARG API_TOKEN' 'ENTRYPOINT ["/bin/sh"]' 'RUN echo ENTRYPOINT'
        run -2 --separate-stderr build --push "$IMAGE" --build-arg API_TOKEN=very-secret
        assert_match "$output" "*: unfit *error    entrypoint *set by '*ENTRYPOINT [[]*/bin/sh*'*"
        [[ $output$stderr != *very-secret* ]]
        assert_match "$stderr" "*stepcell: the image is not kept: the check says that it is unfit*hint: *"
        nothing_kept
        context 'RUN exit 3'
        run -125 --separate-stderr build --push "$IMAGE"
        assert_match "$stderr" "*stepcell: buildah cannot build '$WORK/context': it ends with status 3*hint: --verbose *"
        nothing_kept
        # Whoever has the image can read in its history what it was built with.
        context 'ARG API_TOKEN' 'RUN true' 'ENTRYPOINT []' 'VOLUME /v-$API_TOKEN'
        run -2 --separate-stderr build --push "$IMAGE" --fail-on warning --build-arg API_TOKEN=very-secret
        assert_match "$output" "*warning  env-secrets *API_TOKEN*"
        # The value is shown nowhere, also where the image has it in what is found.
        assert_match "$output" "*warning *: /v-[*][*][*][*][*][*][*][*]"$'\n'"*"
        [[ $output$stderr != *very-secret* ]]
        nothing_kept
        # It is told of a fit one, too.
        run -0 --separate-stderr build --name "$REGISTRY/team/kept" --build-arg API_TOKEN=very-secret
        assert_match "$stderr" "*stepcell: warning: env-secrets: *API_TOKEN*stepcell: hint: *"
        [[ $stderr != *very-secret* ]]
        run -0 --separate-stderr build --name "$REGISTRY/team/kept" --build-arg API_TOKEN=very-secret --quiet
        assert_equal quiet "$stderr" ""
        # A registry that has no such base.
        context
        BASE=$REGISTRY/team/none:1
        run -125 --separate-stderr build --push "$IMAGE"
        assert_match "$stderr" "*stepcell: the labels of the base are left out: it cannot be asked for*buildah cannot build*"
        nothing_kept
    }
    CALLERS=root each_caller refused
    # Files of other owners are not what an image has to be without: where they cannot be made, there is none.
    without_ids() {
        context
        run -125 --separate-stderr build --push "$IMAGE"
        assert_match "$stderr" "*buildah cannot build*hint: *ranges of ids in /etc/subuid*"
    }
    CALLERS=plain each_caller without_ids
}

@test "options that cannot be meant are refused before anything is built" {
    refused() {
        # PATTERN OPTION...
        says() {
            local pattern=$1
            shift
            run -125 --separate-stderr build "$@"
            assert_match "$stderr" "stepcell: $pattern"
        }
        context
        says "the image has no name*"
        says "'x:1' is no repository of a registry*" --push x:1
        says "the build argument 'TOOL_VERSION' has no value*" --push "$IMAGE" --version-arg TOOL_VERSION
        says "*has no ARG OTHER*hint: write 'ARG OTHER'*" --push "$IMAGE" --version-arg OTHER --build-arg OTHER=1
        says "no tag can be made of the version 'a/b'*" --push "$IMAGE" --version-arg TOOL_VERSION --build-arg TOOL_VERSION=a/b
        says "the tag '{version}' needs --version-arg*" --push "$IMAGE" --tag '{version}'
        says "'a b' is not a tag*" --push "$IMAGE" --tag 'a b'
        says "'1A' is no name of a build argument*" --push "$IMAGE" --build-arg 1A=b
        says "the label 'x' is not KEY=VALUE*" --push "$IMAGE" --label x
        says "'none' is no builder*hint: give buildah or docker*" --push "$IMAGE" --builder none
        says "'none' is no value for --fail-on*" --push "$IMAGE" --fail-on none
        mkdir "$WORK/a:b"
        BUILDER=docker says "*the archive of a daemon cannot lie in '$WORK/a:b/*', which has a ':'*hint: *--store*" --push "$IMAGE" --store "$WORK/a:b"
        SOURCE_DATE_EPOCH=yesterday says "SOURCE_DATE_EPOCH is no number*" --push "$IMAGE"
        echo 'RUN true' >"$WORK/context/Containerfile"
        says "'$WORK/context/Containerfile' has no FROM*" --push "$IMAGE"
        rm "$WORK/context/Containerfile"
        says "'$WORK/context' holds no Containerfile*hint: name it with --file*" --push "$IMAGE"
    }
    CALLERS=root each_caller refused
}

@test "a build that is ended leaves nothing: no process, no directory, no mount" {
    base one
    ended() {
        context 'RUN echo begun; sleep 6543 & sleep 6543'
        end_build "$1"
        wait_for no_sleeper
    }
    CALLERS=ranges each_caller ended TERM
    CALLERS=root each_caller ended INT
}

@test "which base an image is on, and whether that has moved" {
    base one
    base other team/other:1
    told() {
        context 'RUN echo tool >/tool' 'ENTRYPOINT []'
        run -0 build --push "$IMAGE"
        was=$(digest_there team/base:1)
        run -0 stepcell image base --base "$REGISTRY/team/other:1" "$IMAGE"
        assert_equal same "$output" "same: '$IMAGE' is built on '$BASE'
other: '$IMAGE' was built for linux/amd64 on other layers than those of '$REGISTRY/team/other:1'"
        base two
        run -2 stepcell image base "$IMAGE"
        assert_equal moved "$output" "moved: '$IMAGE' was built for linux/amd64 on '$BASE', which has other layers now"
        run -2 stepcell image base --json "$IMAGE"
        assert_equal json "$(jq -c '[.schema, .status, .base, .candidates[0].labelled, .candidates[0].built_on, .candidates[0].digest]' <<<"$output")" \
            "$(jq -nc --arg base "$BASE" --arg was "$was" --arg now "$(digest_there team/base:1)" \
                '["stepcell.image-base/1", "moved", $base, true, $was, $now]')"
        # The base has no image for one of the platforms.
        umoci config --image "$PARTS/layout:latest" --architecture arm64
        run -0 stepcell manifest create "$REGISTRY/team/two:1" "$BASE" "oci:$PARTS/layout:latest"
        run -0 stepcell image base --base "$BASE" "$REGISTRY/team/two:1"
        assert_equal missing "$output" "same: '$REGISTRY/team/two:1' is built on '$BASE', which has no image for linux/arm64"
        run -0 stepcell image base --json --base "$BASE" "$REGISTRY/team/two:1"
        assert_equal missing "$(jq -c '.candidates[0].missing' <<<"$output")" '["linux/arm64"]'
        # What the label names is gone: it alone proves nothing, nor does one without a digest.
        curl -sf --noproxy '*' -X DELETE "http://$REGISTRY/v2/team/base/manifests/$was"
        run -1 --separate-stderr stepcell image base "$IMAGE"
        assert_match "$output" "unknown: '$IMAGE' says that it was built for linux/amd64 on '$BASE@$was': *"
        context "LABEL org.opencontainers.image.base.name=$BASE"
        BASE=scratch run -0 build --push "$IMAGE" --ignore shell
        run -1 --separate-stderr stepcell image base "$IMAGE"
        assert_match "$output" "unknown: '$IMAGE' says that it was built for linux/amd64 on '$BASE', and not on which digest of it"
        # A label that lies: it names a digest that the image is not on.
        context "LABEL org.opencontainers.image.base.name=$REGISTRY/team/other:1 org.opencontainers.image.base.digest=$(digest_there team/other:1)"
        BASE=scratch run -0 build --push "$IMAGE" --ignore shell
        run -2 stepcell image base "$IMAGE"
        assert_match "$output" "other: '$IMAGE' says that it was built for linux/amd64 on '$REGISTRY/team/other:1', and is on other layers"
        # A label that names no base says nothing, and is no reason against another candidate.
        context "ENTRYPOINT []"
        run -0 build --push "$IMAGE" --label org.opencontainers.image.base.name=oci:/x
        run -1 --separate-stderr stepcell image base "$IMAGE"
        assert_match "$output" "unknown: the label org.opencontainers.image.base.name of '$IMAGE': the base 'oci:/x' is in no registry"
        run -0 stepcell image base --json --base "$BASE" "$IMAGE"
        assert_equal label "$(jq -c '[.status, .base, (.candidates[] | .name, .labelled, .status)]' <<<"$output")" \
            "$(jq -nc --arg base "$BASE" '["same", $base, "oci:/x", true, "unknown", $base, false, "same"]')"
        # Nothing to go by, or a registry that does not answer, is no answer.
        context
        BASE=scratch run -0 build --push "$IMAGE" --ignore shell
        run -1 --separate-stderr stepcell image base "$IMAGE"
        assert_match "$stderr" "*'$IMAGE' does not say what it was built on*hint: *--base*"
        run -1 --separate-stderr stepcell image base --base "$REGISTRY/team/none:1" "$IMAGE"
        assert_match "$output" "unknown: *"
        base one
    }
    CALLERS=root each_caller told
}

# with_daemon: docker's own daemon, in $DAEMON, with its client in $DOCKER
with_daemon() {
    . "$TESTS/../scripts/peers.sh"
    # What is mounted below is the daemon's own.
    mkdir -p "$TEST_DIR/engine"
    DAEMON=$(mktemp -d "$TEST_DIR/engine/d.XXX")
    start_docker "$DAEMON" 3>&-
    export DOCKER_HOST=unix://$DAEMON/docker.sock BUILDER=docker
}

@test "a daemon of docker builds the same, of what .dockerignore lets in, and keeps nothing" {
    base one
    with_daemon
    made() {
        context 'COPY . /context' 'RUN echo tool $TOOL_VERSION >/tool; ls -R /context; echo "no line end"' 'ENTRYPOINT []'
        mkdir -p "$WORK/context/"{kept,left/out}
        touch "$WORK/context/"{kept/a.log,kept/a.txt,left/b,left/out/c,"kept/$(printf 'long%.0s' {1..40})"}
        ln -s a.txt "$WORK/context/kept/link"
        printf '%s\n' '# what is left out' '**/*.log' 'left/*' '!left/out' >"$WORK/context/.dockerignore"
        run -0 --separate-stderr build --build-arg TOOL_VERSION=2.0 --version-arg TOOL_VERSION --push "$IMAGE" --verbose
        assert_equal output "$output" "$(digest_there team/tools:2.0) pushed"
        assert_match "$stderr" "*stepcell: docker builds '$WORK/context'*stepcell: Step 1/*stepcell: no line end*"
        assert_equal labels "$(labels team/tools:2.0 | jq -r '[.["org.opencontainers.image.base.name"], .["org.opencontainers.image.version"]] | join(" ")')" \
            "$BASE 2.0"
        run -0 stepcell run --pull never --progress none --workdir "$WORK" "$IMAGE:2.0" -- \
            sh -c 'cat /tool; cd /context; find . -type f -o -type l | sort; readlink kept/link'
        assert_equal run "$output" "tool 2.0
./.dockerignore
./Containerfile
./kept/a.txt
./kept/link
./kept/$(printf 'long%.0s' {1..40})
./left/out/c
a.txt"
        assert_equal images "$("${DOCKER[@]}" images -q | wc -l)" 1
        context 'RUN exit 3'
        run -125 --separate-stderr build --push "$IMAGE"
        assert_match "$stderr" "*stepcell: docker cannot build '$WORK/context'*hint: --verbose *"
        # A long error, wherever it is cut: no part of a secret is in it.
        context "RUN exit 3; : $(printf '%.0s sekret-value-of-a-token' {1..200})"
        run -125 --separate-stderr build --push "$IMAGE" --verbose --build-arg API_TOKEN=sekret-value-of-a-token
        assert_match "$stderr" "*stepcell: The command *[*][*][*][*][*][*][*][*]*"
        [[ $stderr != *sekr* ]]
        cp "$WORK/context/Containerfile" "$WORK/outside"
        run -125 --separate-stderr build --push "$IMAGE" --file "$WORK/outside"
        assert_match "$stderr" "*'$WORK/outside' is not in '$WORK/context', which is all that a daemon is sent*hint: *"
        # Much at once, every byte of it escaped; and a secret that two writes are made of.
        context 'ARG API_TOKEN' 'RUN head -c 40000 /dev/zero | tr "\\0" "\\033"; printf "\\none very"; sleep 1; echo "-secret two"' 'ENTRYPOINT []'
        API_TOKEN=very-secret run -0 --separate-stderr build --build-arg API_TOKEN --name "$IMAGE" --verbose
        assert_match "$stderr" "*one [*][*][*][*][*][*][*][*] two*"
        # Ended in the middle.
        context 'RUN echo begun; sleep 6543'
        end_build TERM
        wait_for no_sleeper
        wait_for no_container
    }
    no_container() { [ -z "$("${DOCKER[@]}" ps -aq)" ]; }
    CALLERS=root each_caller made
    unset DOCKER_HOST BUILDER
}
