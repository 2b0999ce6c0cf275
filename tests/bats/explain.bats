# `stepcell explain`: what a step would be, and everything that keeps it from starting; and the same pre-flight in `run`.

load ../lib/common
. "$BATS_TEST_DIRNAME/../lib/registry.bash"

teardown() { stop_registry; }

# explain OPTION... : of a step in $IMAGE and $WORK, as JSON in ../plan; the command is `true` without a --script
explain() {
    local words=(true)
    [[ " $* " != *" --script "* ]] || words=()
    as "$STEPCELL" explain --json --workdir "$WORK" --progress none "$@" "$IMAGE" "${words[@]}" >../plan
}
plan() { jq -r "$1" ../plan; }
# codes: of all violations, in their order
codes() { jq -r '.explain.violations | map(.code) | join(" ")' ../plan; }
violations() { jq -r '.violations | map(.code) | join(" ")' "$RESULT"; }

SHAPE='.schema == "stepcell.step/1" and (.image | type == "string") and (.command | type == "array")
    and (.explain | .schema == "stepcell.explain/1" and (.can_start | type == "boolean")
    and (.violations | all(.[]; (.code | length > 0) and (.message | length > 0) and (.hint | length > 0)))
    and (.looked_inside | type == "boolean")
    and (.image | has("reference") and has("digest") and has("manifest_digest") and has("platform"))
    and (.entrypoint.verdict | IN("none", "refused", "cleared", "unknown"))
    and (.configuration | all(.[]; (.name | type == "string") and (.value | type == "string")
        and (.from | IN("option", "step file", "default", "image config", "passwd of the image", "script"))))
    and (.command | type == "array") and (.command_found | IN(true, false, null))
    and (.mounts | all(.[]; (.target | startswith("/")) and (.access | IN("read-only", "read-write", "copy-on-write"))
        and (.type | IN("bind", "tmpfs", "own", "alias"))))
    and (.environment | all(.[]; (.name | length > 0) and (.withheld == (.value == null))))
    and (.limits | type == "object") and (.docker == null or (.docker.line | startswith("docker run "))))'

shaped() { jq -e "$SHAPE" ../plan >/dev/null || { cat ../plan && return 1; }; }
from() { jq -r --arg name "$1" '.explain.configuration[] | select(.name == $name) | "\(.value) (\(.from))"' ../plan; }

@test "the plan is shown, nothing runs, and nothing is left" {
    whole() {
        mkdir ../package
        explain --package "DB=../package" --package-cow /usr/share --tmpfs /scratch --timeout 64m -e A=b
        shaped
        assert_equal can_start "$(plan .explain.can_start)" true
        assert_equal looked "$(plan .explain.looked_inside)" true
        assert_match "$(plan .explain.image.digest)" "sha256:*"
        assert_equal platform "$(from platform)" "linux/amd64 (image config)"
        assert_equal workdir "$(from workdir)" "$WORK (option)"
        assert_equal home "$(from home)" "/root (passwd of the image)"
        assert_equal timeout "$(from timeout) $(plan .explain.limits.timeout_ms)" "64m (option) 3840000"
        assert_equal command "$(plan '.explain.command | join(" ")')" true
        assert_equal package "$(plan '.explain.mounts[] | select(.role == "package") | "\(.access) \(.target)"' | sort)" \
            "$(printf 'copy-on-write /usr/share\nread-only %s/package' "${WORK%/*}")"
        assert_equal order "$(plan '.explain.mounts[].target')" "$(plan '.explain.mounts[].target' | LC_ALL=C sort)"
        assert_equal owner "$(plan '.explain.mounts[] | select(.role == "workdir") | .owner.host | join(":")')" \
            "$(stat -c %u:%g .)"
        assert_equal env "$(plan '.explain.environment[] | select(.name == "A") | "\(.value) \(.from)"')" "b env"
        # Ids go on behind 2^31.
        if [ "$CALLER" = root ]; then
            chown 3000000000:3000000001 ../package
            explain --package ../package
            assert_equal "large ids" "$(plan '.explain.mounts[] | select(.role == "package") | .owner.host | join(":")')" \
                3000000000:3000000001
        fi
        explain --read-only
        assert_equal home "$(plan '.explain.mounts[0] | "\(.target) \(.role) \(.access)"')" "/root home read-write"
        assert_match "$(plan '.explain.docker.differs | join("\n")')" "*'/root' can be written to in the cell*"
        run -0 cell --read-only -- sh -c 'touch ~/file && ! touch /file'
        [ -z "$(ls -A)" ]
    }
    each_caller whole
}

@test "the text says the same, and the exit status whether the step can start" {
    text() {
        run -0 --separate-stderr stepcell explain --workdir "$WORK" --progress none "$IMAGE" true
        assert_match "$output" "The step can start.*sha256:*Mounts, in order*$WORK (workdir)*docker run *"
        run -125 --separate-stderr stepcell explain --workdir "$WORK" --package nowhere "$IMAGE" true
        assert_match "$output" "The step cannot start: 1 thing is wrong with it."$'\n'*mount.source-missing*fix:*
        assert_equal stderr "$stderr" ""
        run -125 --separate-stderr stepcell explain --memory much "$IMAGE" true
        run -0 stepcell explain --help
        assert_match "$output" "Usage: stepcell explain *--json*"
        run -125 stepcell run --json "$IMAGE" true
    }
    CALLER=plain as_caller text
}

@test "a step with a terminal is explained as any other" {
    with_terminal() {
        run -0 --separate-stderr as timeout 20 "$STEPCELL" explain -t --workdir "$WORK" "$IMAGE" true
        assert_match "$output" "The step can start.*"
        # Nobody sits there, and nobody has to.
        run -0 stepcell explain -it --workdir "$WORK" "$IMAGE" true </dev/null
    }
    CALLER=plain as_caller with_terminal
}

@test "a command that the cell does not have is told" {
    missing() {
        local command
        as sh -c 'echo true >tool; chmod +x tool'
        for command in nowhere /none/there ./gone ./tool /bin/ls true; do
            run -0 --separate-stderr as "$STEPCELL" explain --json --workdir "$WORK" "$IMAGE" "$command"
            assert_equal "$command" "$(jq .explain.command_found <<<"$output")" \
                "$([[ $command == *@(tool|ls|true) ]] && echo true || echo false)"
        done
        run -0 stepcell explain --workdir "$WORK" "$IMAGE" nowhere
        assert_match "$output" "The step can start.*warning *127 or 126*"
        run explain --package gone --script gone
        assert_equal found "$(plan .explain.command_found)" null
    }
    each_caller missing
}

@test "values come from where they were given" {
    origins() {
        echo '{"user": "1000", "network": "none", "hostname": "there"}' >../step
        explain --step ../step --hostname here
        assert_equal user "$(from user)" "1000 (step file)"
        assert_equal network "$(from network)" "none (step file)"
        assert_equal hostname "$(from hostname)" "here (option)"
        assert_equal pull "$(from pull)" "missing (default)"
        IMAGE=oci:$IMAGES/busybox:user-app explain
        assert_equal user "$(from user)" "app (image config)"
        assert_equal uid "$(plan .explain.user.uid)" 1000
    }
    CALLER=ranges as_caller origins
}

@test "everything that is wrong is said at once, by explain and by run" {
    all() {
        local wrong=(--package gone --package-rw "also gone" -v "$WORK:/proc/x" -v "$WORK:/t" --tmpfs /t
            --env-file nothing --script script --shell "nosh") expected
        echo true >script
        IMAGE=oci:$IMAGES/busybox:entrypoint
        run explain --user nobody-knows "${wrong[@]}"
        assert_equal status "$status" 125
        shaped
        assert_equal home "$(plan '[.explain.environment[] | select(.name == "HOME")] | length')" 0
        expected="mount.source-missing mount.source-missing image.entrypoint user.unknown option.invalid mount.denied mount.conflict"
        assert_equal codes "$(codes)" "$expected"
        run --separate-stderr script_cell --user nobody-knows "${wrong[@]}"
        assert_refused mount.source-missing
        assert_equal violations "$(violations)" "$expected"
        assert_equal fixes "$(grep -c '^stepcell: hint: ' <<<"$stderr")" 7
        assert_equal first "$(jq -c '.error == .violations[0]' "$RESULT")" true
        # Where result and events go, too; nothing is made there.
        RESULT=/nonexist/x run --separate-stderr cell --package gone --user nobody-knows -- true
        assert_match "$stderr" "*cannot write '/nonexist/x'*gone*nobody-knows*"
        run --separate-stderr cell --events file:/nonexist/e --package gone -- true
        assert_equal violations "$(violations)" "option.invalid mount.source-missing image.entrypoint"
        run explain --result /nonexist/x --events file:/nonexist/e --package gone
        assert_equal codes "$(codes)" "option.invalid option.invalid mount.source-missing image.entrypoint"
        explain --entrypoint clear --result new.json --events file:new.ndjson
        assert_equal codes "$(codes)" ""
        [ ! -e new.json ]
        [ ! -e new.ndjson ]
        # What only a cell shows comes with the rest, where a cell can be made.
        run --separate-stderr script_cell --package gone --script script --shell "env -S nosh"
        assert_equal violations "$(violations)" "mount.source-missing image.entrypoint image.shell-missing"
        run --separate-stderr script_cell --entrypoint clear --script script --shell "no/env also-none"
        assert_equal violations "$(violations)" "image.shell-missing image.shell-missing"
        assert_equal error "$(result_field .error.code)" image.shell-missing
        run --separate-stderr script_cell --entrypoint clear --script script --shell nosh --user nobody-knows
        assert_equal violations "$(violations)" "user.unknown image.shell-missing"
    }
    each_caller all
}

@test "the contract: what the user cannot use is refused, and a disk without room" {
    contract() {
        local user=()
        as mkdir -m 0700 ../closed
        run explain --package ../closed
        assert_equal "own package" "$(codes)" ""
        # To a step of root's the owner is the step's user; otherwise it is the caller.
        if [ "$CALLER" = root ]; then
            chmod 0600 ../closed
            user=(--user 1000)
        else
            chown root: ../closed
        fi
        run explain --package ../closed "${user[@]}"
        assert_equal codes "$(codes)" mount.denied
        assert_match "$(plan '.explain.violations[0].message')" "*user *cannot enter '${WORK%/*}/closed' (mode 0?00, of user 0)"
        assert_match "$(plan '.explain.violations[0] | .message + .hint')" "$([ "$CALLER" = root ] && echo '*--user' || echo 'the caller, *the caller in')"
        run --separate-stderr cell --package ../closed "${user[@]}" -- true
        assert_refused mount.denied
        rmdir ../closed
    }
    each_caller contract
    unwritable() {
        chown root: .
        run -0 --separate-stderr cell -- true
        assert_match "$stderr" "*cannot write to '$WORK'*"
        chown "$(caller_name):" .
    }
    CALLER=plain as_caller unwritable
}

@test "limits that cannot be enforced are all named" {
    limits() {
        run explain --memory 64m --cpus 1 --pids-limit 100 --ulimit nofile=1000000000 # of a caller without any
        assert_equal codes "$(codes)" "engine.unavailable engine.unavailable engine.unavailable option.invalid"
        assert_match "$(plan '.explain.violations | map(.message) | join(" ")')" "*--memory*--cpus*--pids-limit*nofile*"
        run --separate-stderr cell --memory 64m --cpus 1 --pids-limit 100 --ulimit nofile=1000000000 --network none -- true
        assert_equal status "$status" 125
        assert_equal violations "$(violations)" "$(codes)"
        assert_equal error "$(jq -c '.error == .violations[0]' "$RESULT")" true
        # What only a cell shows, too, with the script that came from stdin.
        echo true >../script
        run --separate-stderr script_cell --memory 64m --network none --script - --shell nosh <../script
        assert_equal violations "$(violations)" "engine.unavailable image.shell-missing"
    }
    CALLER=plain as_caller limits
}

@test "what needs neither a user nor a plan is looked at without them; so are secrets" {
    surroundings() {
        local network
        explain --network private || true
        network=$(codes) # there may be all that it needs
        explain --user ghost --memory 100m --ulimit nofile=999999999 --network private || true
        assert_equal codes "$(codes)" "user.unknown engine.unavailable option.invalid${network:+ $network}"
        explain -v "$WORK:/x" --tmpfs /x --ulimit nofile=999999999 || true
        assert_equal codes "$(codes)" "mount.conflict option.invalid"
        local missing=(--secret-env NOPE --secret-env NEITHER --mask-file nothing -e SEEN=x)
        run --separate-stderr explain "${missing[@]}" -v /no:/x --user ghost
        assert_equal status "$status" 125
        shaped
        assert_equal codes "$(codes)" "option.invalid option.invalid option.invalid mount.source-missing user.unknown"
        # Nobody knows what the file would have masked.
        assert_equal withheld "$(plan '[.explain.environment[] | select(.value != null) | .name] | join(" ")')" ""
        run --separate-stderr cell "${missing[@]}" -v /no:/x --user ghost -- true
        assert_refused option.invalid
        assert_equal violations "$(violations)" "$(codes)"
        run --separate-stderr cell --id no-secrets "${missing[@]}" -- true
        assert_refused option.invalid
        assert_equal violations "$(violations)" "option.invalid option.invalid option.invalid"
        run -0 cell --id no-secrets -- true
    }
    CALLER=plain as_caller surroundings
}

@test "secrets are withheld" {
    withheld() {
        printf secret-of-file >../secret
        as env TOKEN=secret-of-env https_proxy=http://me:secret-proxy@host "$STEPCELL" explain --json --workdir "$WORK" \
            --secret-env TOKEN --secret-file "key=${WORK%/*}/secret" -e "URL=x?secret-of-env" -e "PLAIN=seen" \
            "$IMAGE" -- echo secret-of-env >../plan 2>/dev/null
        shaped
        run ! grep -E 'secret-(of|proxy)' ../plan
        assert_equal names "$(plan '[.explain.environment[] | select(.withheld) | .name] | sort | join(" ")')" "TOKEN URL https_proxy"
        assert_equal env "$(plan '.env | sort | join(" ")')" "PLAIN=seen URL https_proxy"
        assert_match "$(plan .explain.docker.line)" "* --env URL * --env TOKEN *"
        as env TOKEN=secret-of-env "$STEPCELL" explain --secret-env TOKEN "$IMAGE" -- echo secret-of-env >../text
        run ! grep secret-of ../text
    }
    each_caller withheld
}

@test "the JSON is the same step again" {
    again() {
        mkdir "../p,k g"
        printf 'echo "$1 $A $B $STEPCELL_PACKAGE_DB"; cat /x /t/none "$(pwd)/f"; exit 7' >script.sh
        echo file >f
        echo 'B=from file' >../env
        as env A='of the caller' "$STEPCELL" explain --json -e A --env-file ../env --package "DB=../p,k g" -v ./f:/x:ro \
            --tmpfs /t --pids-limit 0 --timeout 1m --script ./script.sh --progress none "$IMAGE" "it's" >../plan
        shaped
        assert_equal keys "$(jq -r 'keys_unsorted | join(" ")' ../plan)" \
            "schema image command workdir package mount tmpfs env no_proxy_env script pids_limit timeout explain"
        cd /
        run -7 --separate-stderr stepcell run --step "$WORK/../plan" --progress none
        cd "$WORK"
        assert_equal lines "$output" "$(printf "it's of the caller from file %s\nfile\nfile" "${WORK%/*}/p,k g")"
        as "$STEPCELL" explain --json --step ../plan >../second
        assert_equal again "$(jq -S 'del(.explain)' ../second)" "$(jq -S 'del(.explain)' ../plan)"
        assert_equal mounts "$(jq -c .explain.mounts ../second)" "$(jq -c .explain.mounts ../plan)"
        assert_equal from "$(jq -r '.explain.configuration[] | select(.name == "timeout") | .from' ../second)" "step file"
    }
    each_caller again
}

@test "a step whose environment is not known stays as it was given" {
    unknown() {
        run explain --env-file nothing -e "A=b" -e HOME
        assert_equal step "$(plan '[.env, .env_file, .no_proxy_env] | tojson')" "[[\"A=b\",\"HOME\"],[\"$WORK/nothing\"],null]"
        assert_equal docker "$(plan .explain.docker)" null
        run -125 --separate-stderr stepcell run --step ../plan
        assert_match "$stderr" "*nothing'*"
        # Nobody can tell which value holds a secret.
        run explain --env-file nothing --secret-env NOPE -e "A=b"
        assert_equal env "$(plan '.env | tojson')" '["A"]'
    }
    CALLER=root as_caller unknown
}

@test "a step that explain had to mask is not taken for the step itself" {
    masked() {
        export TOKEN=hidden-value
        run explain --secret-env TOKEN
        assert_equal masked "$(plan .explain.masked)" false
        as "$STEPCELL" explain --json --secret-env TOKEN --workdir "$WORK" "$IMAGE" echo "--token=$TOKEN" >../masked
        assert_equal words "$(jq -c '[.command[1], .explain.masked]' ../masked)" '["--token=********",true]'
        jq -e '.explain.docker.differs | any(startswith("where there was a secret is ********"))' ../masked
        run -125 --separate-stderr stepcell run --step ../masked
        mkdir '../say "hi"'
        export TOKEN='say "hi"'
        explain --secret-env TOKEN -v "$(realpath '../say "hi"'):/x"
        assert_equal path "$(plan '[.mount[0], .explain.masked] | tojson')" "[\"type=bind,\\\"source=${WORK%/*}/********\\\",target=/x\",true]"
        run ! grep 'say ' ../plan
        assert_match "$stderr" "*where there was a secret*--secret-env*"
    }
    CALLER=root as_caller masked
}

@test "what cannot stand in JSON is refused, and not changed" {
    no_utf8() {
        local bytes=$'\xff\xfe' words
        for words in "-e A=$bytes" "-e B" "--package $bytes"; do
            # shellcheck disable=SC2086 # several words
            run -125 --separate-stderr as env B="$bytes" "$STEPCELL" explain --json $words "$IMAGE" true
            assert_equal output "$output" ""
            assert_match "$stderr" "*is no UTF-8*"
        done
        run -125 --separate-stderr stepcell explain --json "$IMAGE" echo "$bytes"
        run -0 --separate-stderr stepcell explain "$IMAGE" echo "$bytes"
    }
    CALLER=plain as_caller no_utf8
}

@test "an image of a registry is pinned, and is got as --pull says" {
    start_registry
    push "oci:$IMAGES/busybox:latest" tools/box:1
    pinned() {
        IMAGE=$REGISTRY/tools/box:1
        run explain --pull never
        assert_equal codes "$(codes)" image.not-found
        assert_equal image "$(plan '.image + " " + .explain.image.platform')" "$IMAGE "
        # Known not to start: then only who wants to know everything gets the image.
        run --separate-stderr cell --package gone -- true
        assert_equal violations "$(violations)" mount.source-missing
        run ! stepcell image inspect "$IMAGE"
        run explain --package gone
        assert_equal codes "$(codes)" mount.source-missing
        assert_equal image "$(plan .image)" "$IMAGE@$(plan .explain.image.digest)"
        assert_match "$(plan .explain.docker.line)" "* $IMAGE@sha256:* true"
        jq 'del(.package)' ../plan >../step
        run -0 --separate-stderr stepcell run --step ../step --progress none
        assert_equal digest "$(stepcell image inspect --json "$(plan .image)" | jq -r .digest)" "$(plan .explain.image.digest)"
        stepcell image remove "$IMAGE" "$(plan .image)" || stepcell image list
    }
    CALLER=ranges as_caller pinned
}

@test "what a cluster cannot do is said without one, by run as well" {
    start_registry
    push "oci:$IMAGES/busybox:latest" tools/box:1
    clustered() {
        local -a cluster=(--engine kubernetes --user "$(stat -c %u:%g .)")
        IMAGE=$REGISTRY/tools/box:1
        explain "${cluster[@]}" --kubernetes-volume "$WORK=hostPath"
        assert_equal codes "$(codes) $(plan .explain.can_start)" " true"
        assert_equal network "$(from network)" "pod (default)"
        run ! grep -e --network <<<"$(plan .explain.docker.line)"
        explain "${cluster[@]}" --kubernetes-volume "$WORK=hostPath" --network host
        assert_equal network "$(from network)" "host (option)"
        assert_match "$(plan .explain.docker.line)" "* --network host *"
        run explain "${cluster[@]}"
        assert_equal "no volume" "$status $(codes)" "125 mount.denied"
        assert_match "$(plan '.explain.violations[0].message')" "'$WORK' is in no volume that the nodes * share"
        run explain "${cluster[@]}" --device /dev/null:/dev/other --network none --pids-limit 5
        assert_equal all "$status $(codes)" "125 option.invalid option.invalid option.invalid mount.denied"
        run -125 --separate-stderr cell "${cluster[@]}" --device /dev/null:/dev/other --network none --pids-limit 5 -- true
        assert_equal run "$(violations)" "$(codes)"
        assert_equal outcome "$(jq -r .outcome "$RESULT")" refused
    }
    CALLER=ranges as_caller clustered
}

@test "the docker line can be pasted into a shell, whatever is in it" {
    pasted() {
        local shell word
        local -a hostile=("it's" '$(touch pwned)' '`touch pwned`' '"; touch pwned; "' $'new\nline' $'\e[201~touch pwned\r' '!!' '~' '=ls'
            '' $'\x03' '\' '*' '#x' '{a,b}' $'tab\t' '&& touch pwned' '##teamcity[x]' $'\u202eabc')
        mkdir ../bin "../pa'th, \$(x)"
        printf '#!/bin/sh\nfor word; do printf "%%s\\0" "$word"; done >"%s"\n' "${WORK%/*}/words" >../bin/docker
        chmod +x ../bin/docker
        as "$STEPCELL" explain --json --package "../pa'th, \$(x)" -e 'VALUE=a b$(touch pwned)' --progress none "$IMAGE" -- \
            echo "${hostile[@]}" >../plan
        plan .explain.docker.line >../line
        run ! grep -P '[\x00-\x08\x0b-\x1f\x7f]' ../line
        assert_equal lines "$(wc -l <../line)" 1
        for shell in "bash" "bash -i" "bash --posix"; do
            rm -f ../words
            PATH=${WORK%/*}/bin:$PATH as env HISTFILE= $shell <../line >/dev/null 2>&1
            mapfile -d '' -t words <../words
            assert_equal count "${#words[@]}" "$((${#words[@]}))"
            assert_equal first "${words[0]}" run
            for ((word = 1; word <= ${#hostile[@]}; word++)); do
                assert_equal "$shell: word" "${words[-word]}" "${hostile[-word]}"
            done
            printf '%s\n' "${words[@]}" | grep -qxF 'VALUE=a b$(touch pwned)'
            printf '%s\n' "${words[@]}" | grep -qF "\"source=${WORK%/*}/pa'th, \$(x)\""
        done
        # As if it was typed: at a terminal, with an editor of the line that knows pastes.
        rm -f ../words
        { sleep 1; printf '\e[200~%s\e[201~\n' "$(cat ../line)"; sleep 2; printf 'exit\n'; } |
            PATH=${WORK%/*}/bin:$PATH as env HISTFILE= script -qec 'bash --norc -i' /dev/null >/dev/null 2>&1
        mapfile -d '' -t words <../words
        for ((word = 1; word <= ${#hostile[@]}; word++)); do
            assert_equal "terminal: word" "${words[-word]}" "${hostile[-word]}"
        done
        [ ! -e pwned ]
    }
    CALLER=plain as_caller pasted
}
