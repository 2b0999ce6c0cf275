#!/usr/bin/env bats
# `--kubernetes-ship`: what the nodes do not have of a step, against the cluster of scripts/kubernetes.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

SHIPPED=$CLUSTER_REGISTRY/shipped

setup_file() {
    mkdir -p "$TEST_DIR/home/root/.config/containers"
    ln -sfn "$CLUSTER/certs.d" "$TEST_DIR/home/root/.config/containers/certs.d"
}

setup() {
    make_namespace
    work_dir
    # Nodes see the host's files, but for these.
    PACKAGE=$(mktemp -d /run/stepcell-package.XXXXXX)
    chmod 755 "$PACKAGE"
}

teardown() {
    rm -rf "$PACKAGE"
    remove_namespace
}

# shipping_cell DIR [OPTION...] -- COMMAND [ARG...]: one step as a Pod, in that working directory
shipping_cell() {
    local workdir=$1 options=()
    shift
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    as in_cluster "$STEPCELL" run --result "$RESULT" --workdir "$workdir" --engine kubernetes \
        --kubernetes-namespace "$NAMESPACE" --kubernetes-ship "$SHIPPED" "${options[@]}" \
        "$CLUSTER_REGISTRY/busybox:latest" "$@"
}

# ship_cell [OPTION...] -- COMMAND [ARG...]: in $WORK, which the nodes have at the same path; return_cell: in
# $PACKAGE/work, which no node has, and whose changes come back
ship_cell() { shipping_cell "$WORK" --kubernetes-volume "$WORK=hostPath" "$@"; }
return_cell() { shipping_cell "$PACKAGE/work" --kubernetes-return "$@"; }

# layers: how many blobs of what was shipped the registry has; deleted: it has no manifest of it
layers() { find "$CLUSTER/registry/docker/registry/v2/repositories/shipped/_layers" -name link | wc -l; }
deleted() { [ -z "$(find "$CLUSTER/registry/docker/registry/v2/repositories/shipped/_manifests" -name link)" ]; }

@test "a package goes along: content, modes, links and times, read-only, at its path and by its other name" {
    local before
    mkdir -p "$PACKAGE/a/b" "$PACKAGE/closed"
    printf 'hello\377' >"$PACKAGE/a/b/file"
    printf '#!/bin/sh\necho ran\n' >"$PACKAGE/a/run"
    chmod 755 "$PACKAGE/a/run"
    chmod 500 "$PACKAGE/closed"
    ln -s a/b/file "$PACKAGE/link"
    ln -s /nowhere "$PACKAGE/dangling"
    mkfifo "$PACKAGE/fifo"
    touch "$PACKAGE/$(printf 'long%.0s' {1..50})" "$PACKAGE/a b"$'\n'c
    touch -d '2001-02-03 04:05:06 UTC' "$PACKAGE/a/b/file" "$PACKAGE/a"
    ln -sfn "$PACKAGE" "$TEST_DIR/other"
    # shellcheck disable=SC2016
    run -0 --separate-stderr ship_cell --package "App=$TEST_DIR/other" -- sh -c '
        cd "$1" && a/run && cat link | od -An -tx1 && readlink dangling && stat -c "%a %Y %n" a a/b/file closed && ls | wc -l
        touch x 2>/dev/null || echo read-only; [ "$STEPCELL_PACKAGE_APP" = "$2" ]; cat "$2/a/run" | wc -l' \
        - "$PACKAGE" "$TEST_DIR/other"
    assert_equal stdout "$output" "ran
 68 65 6c 6c 6f ff
/nowhere
755 981173106 a
644 981173106 a/b/file
700 $(stat -c %Y "$PACKAGE/closed") closed
6
read-only
2"
    deleted
}

@test "a copy can be written to, and what the host has stays as it was; an unchanged package is not pushed again" {
    local count
    echo one >"$PACKAGE/file"
    chown 1234:1234 "$WORK"
    # shellcheck disable=SC2016
    run -0 ship_cell --user 1234:1234 --package-cow "$PACKAGE" -- sh -c 'cd "$1" && echo two >file && echo >new && id -u && cat file' - "$PACKAGE"
    assert_equal output "$output" $'1234\ntwo'
    assert_equal host "$(cat "$PACKAGE/file") $(ls "$PACKAGE")" "one file"
    count=$(layers)
    run -0 ship_cell --user 1234:1234 --package-cow "$PACKAGE" -- cat "$PACKAGE/file"
    assert_equal output "$output" one
    assert_equal layers "$(layers)" "$count"
    deleted
}

@test "a working directory goes along: of the step's user, without what other mounts hide, and what is changed stays there" {
    mkdir -p "$PACKAGE/work/package/deep" "$PACKAGE/work/volume"
    echo script >"$PACKAGE/work/file"
    echo package >"$PACKAGE/work/package/deep/file"
    echo hidden >"$PACKAGE/work/volume/file"
    echo 'pwd; id -u; cat file package/deep/file; ls volume; echo new >new; echo changed >file; exit 5' \
        >"$PACKAGE/work/script.sh"
    chmod 600 "$PACKAGE/work/file"
    run -5 --separate-stderr as in_cluster "$STEPCELL" run --result "$RESULT" --workdir "$PACKAGE/work" --user 1234:1234 \
        --engine kubernetes --kubernetes-namespace "$NAMESPACE" --kubernetes-ship "$SHIPPED" \
        --kubernetes-volume "$WORK=hostPath" --package "$PACKAGE/work/package" --volume "$WORK:$PACKAGE/work/volume:ro" \
        --script "$PACKAGE/work/script.sh" "$CLUSTER_REGISTRY/busybox:latest"
    assert_equal stdout "$output" "$PACKAGE/work
1234
script
package"
    assert_match "$stderr" "*stays in its Pod*"
    assert_equal host "$(cat "$PACKAGE/work/file") $(cd "$PACKAGE/work" && echo *)" "script file package script.sh volume"
    deleted
}

# tree: what the working directory holds
tree() { (cd "$PACKAGE/work" && find . -mindepth 1 -printf '%y %m %U:%G %P %l\n' | LC_ALL=C sort); }

@test "what is changed in a working directory that was shipped comes back: added, changed, deleted, with modes, times and owner" {
    local work=$PACKAGE/work
    mkdir -p "$work/stays" "$work/goes/deep" "$work/becomes-file/sub" "$work/closed" "$work/package/in" "$work/moved"
    echo same >"$work/stays/same"
    echo old >"$work/stays/edited"
    echo 1234 >"$work/stays/quiet"
    echo x | tee "$work/goes/a" "$work/goes/deep/b" "$work/becomes-file/sub/c" "$work/becomes-directory" "$work/gone" \
        "$work/closed/f" "$work/moved/m" >/dev/null
    echo package >"$work/package/in/file"
    ln -s gone "$work/link"
    ln "$work/gone" "$work/goes/gone"
    ln "$work/stays/same" "$work/goes/same"
    ln "$work/stays/same" "$work/linked"
    touch -d '2001-02-03 04:05:06 UTC' "$work"/*/* "$work"/*
    chmod 600 "$work/stays/edited"
    chmod 500 "$work/closed"
    cat >"$work/run.sh" <<'END'
set -e
printf 'new\377' >stays/edited
touch -d '2010-01-01 00:00:00' stays/edited
sleep 0.1
printf '9999\n' >stays/quiet
touch -d '2001-02-03 04:05:06' stays/quiet
rm -r goes gone becomes-file becomes-directory
echo other >linked
echo file >becomes-file
mkdir -p becomes-directory/below empty
chmod 711 empty
echo y >becomes-directory/below/y
ln -sfn /nowhere/else link
echo new >closed/new
mv moved renamed
mkfifo fifo
echo exec >program
chmod 4755 program
chmod 000 program
chmod 750 program
echo blanks >"a  b
c"
echo bytes >"$(printf 'h\303\244')"
echo hidden >package/in/more 2>/dev/null || echo read-only
dd if=/dev/urandom of=big bs=1M count=50 2>/dev/null
sha256sum <big
exit 7
END
    chown -R 1234:4321 "$work"
    run -7 --separate-stderr return_cell --user 77:78 --package "$work/package" --script "$work/run.sh" --
    assert_equal stdout "$output" "read-only
$(sha256sum <"$work/big")"
    assert_equal tree "$(tree)" "$(cat <<'END'
c 
d 500 1234:4321 closed 
d 711 1234:4321 empty 
d 755 1234:4321 becomes-directory 
d 755 1234:4321 becomes-directory/below 
d 755 1234:4321 package 
d 755 1234:4321 package/in 
d 755 1234:4321 renamed 
d 755 1234:4321 stays 
f 600 1234:4321 stays/edited 
f 644 1234:4321 a  b
f 644 1234:4321 becomes-directory/below/y 
f 644 1234:4321 becomes-file 
f 644 1234:4321 big 
f 644 1234:4321 closed/f 
f 644 1234:4321 closed/new 
f 644 1234:4321 hä 
f 644 1234:4321 linked 
f 644 1234:4321 package/in/file 
f 644 1234:4321 renamed/m 
f 644 1234:4321 run.sh 
f 644 1234:4321 stays/quiet 
f 644 1234:4321 stays/same 
f 750 1234:4321 program 
l 777 1234:4321 link /nowhere/else
END
)"
    assert_equal contents "$(cat "$work/stays/quiet" "$work/renamed/m" "$work/becomes-file" "$work/package/in/file" \
        "$work/stays/same" "$work/linked")" "9999
x
file
package
same
other"
    run ! grep -e others <<<"$stderr"
    assert_equal bytes "$(od -An -tx1 "$work/stays/edited")" " 6e 65 77 ff"
    assert_equal times "$(stat -c %Y "$work/stays/edited" "$work/stays/quiet" "$work/stays/same" "$work/closed/f" "$work/package")" "1262304000
981173106
981173106
981173106
981173106"
    deleted
}

@test "what others do in the working directory meanwhile stays, or is told of" {
    local work=$PACKAGE/work
    mkdir -p "$work/dir"
    echo shipped | tee "$work/both" "$work/deleted" "$work/dir/f" >/dev/null
    return_cell -- sh -c 'echo up; until [ -e /.stepcell/home/go ]; do sleep 0.1; done; echo step >both; rm -r deleted dir; exit 3' \
        >"$work.out" 2>"$work.err" 3>&- 4>&- &
    CELL=$!
    wait_for grep -qx up "$work.out"
    echo host >"$work/both"
    echo host >"$work/deleted"
    echo host >"$work/dir/theirs"
    echo host >"$work/added"
    kube -n "$NAMESPACE" exec "$(basename "$(the_pod)")" -c step -- touch /.stepcell/home/go
    ended_as 3 exited
    assert_equal tree "$(cd "$work" && grep -r '' | LC_ALL=C sort)" "added:host
both:step
deleted:host
dir/theirs:host"
    assert_match "$(cat "$work.err")" "*'$work/both' was changed by others*'$work/deleted' stays*'$work/dir' stays*"
}

@test "a working directory that has become another one while the step ran is left alone, and the step has failed" {
    local work=$PACKAGE/work
    mkdir -p "$PACKAGE/p/etc" "$PACKAGE/else/etc"
    ln -s p/etc "$work"
    echo shipped | tee "$work/file" "$work/gone" >/dev/null
    echo theirs | tee "$PACKAGE/else/etc/file" "$PACKAGE/else/etc/gone" >/dev/null
    return_cell -- sh -c 'echo up; until [ -e /.stepcell/home/go ]; do sleep 0.1; done; echo step | tee file new; rm gone' \
        >"$work.out" 2>"$work.err" 3>&- 4>&- &
    CELL=$!
    wait_for grep -qx up "$work.out"
    mv "$PACKAGE/p" "$PACKAGE/old"
    ln -s else "$PACKAGE/p"
    kube -n "$NAMESPACE" exec "$(basename "$(the_pod)")" -c step -- touch /.stepcell/home/go
    ended_as 125 failed
    assert_equal code "$(result_field .error.code)" mount.conflict
    assert_match "$(cat "$work.err")" "*'$PACKAGE/p/etc' has become another directory*"
    assert_equal else "$(cd "$PACKAGE/else/etc" && grep -r '' | LC_ALL=C sort)" "file:theirs
gone:theirs"
}

@test "changes come back after a timeout, too, and a step whose changes do not come back has failed" {
    local work=$PACKAGE/work
    mkdir "$work"
    run -124 --separate-stderr return_cell --timeout 3s --grace 8s -- \
        sh -c 'trap "echo late >late; exit 3" TERM; echo early >early; sleep 60 & wait'
    assert_equal outcome "$(result_field .outcome)" timed-out
    assert_equal tree "$(cd "$work" && grep -r '' | LC_ALL=C sort)" "early:early
late:late"
    # Deeper than what is brought back.
    # shellcheck disable=SC2016
    run -125 --separate-stderr return_cell -- sh -c 'echo lost >early; mkdir -p "$(printf "d/%.0s" $(seq 140))"'
    assert_equal outcome "$(result_field '"\(.outcome) \(.error.code)"')" "failed engine.failed"
    assert_match "$stderr" "*did not come back*"
    assert_equal kept "$(cat "$work/early")" early
    run -127 --separate-stderr return_cell -- /no/such/program
    run -4 --separate-stderr return_cell -- sh -c 'rm early late; exit 4'
    assert_equal empty "$(tree)" ""
    nothing_left
}

@test "what a step leaves where its changes are taken from keeps none of them back" {
    local work=$PACKAGE/work in_its_way
    mkdir "$work"
    for in_its_way in 'mkdir -p return/in-its-way; chmod 0 return' 'ln -s / return'; do
        run -0 --separate-stderr return_cell --user 1234:1234 -- sh -c "echo '$in_its_way' >file; cd /.stepcell; $in_its_way"
        assert_equal changed "$(cat "$work/file")" "$in_its_way"
    done
    nothing_left
}

@test "the API server is killed while changes come back, and nothing is missing" {
    local work=$PACKAGE/work
    mkdir "$work"
    return_cell -- sh -c 'dd if=/dev/urandom of=big bs=1M count=100 2>/dev/null; sha256sum <big' \
        >"$work.out" 2>"$work.err" 3>&- 4>&- &
    CELL=$!
    comes_back() { [ -n "$(find "$TEST_DIR/store/root" -name changes -size +1M)" ]; }
    wait_for comes_back
    stop_part apiserver
    [ "$(cat "$TEST_DIR"/store/root/cells/*/changes | wc -c)" -lt $((100 << 20)) ]
    sleep 1
    start_part apiserver
    ended_as 0 exited
    assert_equal content "$(sha256sum <"$work/big")" "$(cat "$work.out")"
    nothing_left
}

# ended_while_applied INJECTION STATUS OUTCOME [SIGNAL...]: a step whose changes are written to closed/, while
# INJECTION befalls the first file that gets its name there, and stepcell gets signals
ended_while_applied() {
    local work=$PACKAGE/work signal STEPCELL=$TEST_DIR/traced
    rm -rf "$work" "$TEST_DIR/traced.pid"
    mkdir -p "$work/closed"
    chmod 500 "$work/closed"
    cat >"$STEPCELL" <<END
#!/bin/sh
exec strace -qq -f -o /dev/null -P '$work/closed' -e trace=renameat -e 'inject=renameat:$1' \\
    sh -c 'echo \$\$ >$TEST_DIR/traced.pid; exec "\$@"' sh '$STEPCELL_PROGRAM' "\$@"
END
    chmod 755 "$STEPCELL"
    return_cell -- sh -c 'echo a >closed/a; head -c 300000 /dev/zero >closed/b' >"$work.out" 2>"$work.err" 3>&- 4>&- &
    CELL=$!
    applies() { [ -n "$(find "$work/closed" -name '.stepcell-return.tmp*')" ]; }
    [ $# = 3 ] || wait_for applies
    for signal in "${@:4}"; do
        kill -"$signal" "$(cat "$TEST_DIR/traced.pid")"
        sleep 0.5
    done
    ended_as "$2" "$3"
}

@test "changes that are being written are not torn apart by who asks once; who asks twice gets a part, and knows it; so does whose helper is killed" {
    local work=$PACKAGE/work
    ended_while_applied signal=KILL 125 failed
    assert_match "$(result_field '"\(.cleanup.verified) \(.cleanup.left) \(.error.hint)"')" \
        "false \[\"$work/closed/.stepcell-return.tmp????????\"\] a part of what the step has changed may be there*'$work'"
    ended_while_applied delay_enter=3000000 125 failed TERM TERM
    assert_match "$(result_field '"\(.cleanup) \(.error.hint)"')" \
        '{"verified":true,"left":\[\]} a part of what the step has changed may be there*'
    assert_equal part "$(tree)" "$(printf '%s \n' 'd 500 0:0 closed' 'f 644 0:0 closed/a')"
    ended_while_applied delay_enter=2000000 0 exited TERM
    assert_equal whole "$(tree)" "$(printf '%s \n' 'd 500 0:0 closed' 'f 644 0:0 closed/a' 'f 644 0:0 closed/b')"
    assert_equal result "$(result_field .cleanup.verified)" true
    nothing_left
}

@test "who may not exec in Pods is refused before the step" {
    mkdir "$PACKAGE/work"
    worker() { KUBECONFIG=$CLUSTER/kubeconfig/worker return_cell "$@"; }
    sed -n '/^   apiVersion: rbac/,/^   ```/p' "$TESTS/../docs/kubernetes.md" | sed '/```/d; s/^   //; /pods\/exec/d' |
        kube -n "$NAMESPACE" create -f -
    kube -n "$NAMESPACE" create rolebinding stepcell --role=stepcell --group=workers
    run -125 --separate-stderr worker -- touch file
    assert_equal code "$(result_field .error.code)" engine.unavailable
    assert_match "$stderr" "*pods/exec*"
    kube -n "$NAMESPACE" create role exec --verb=create,get --resource=pods/exec
    kube -n "$NAMESPACE" create rolebinding exec --role=exec --group=workers
    run -0 worker -- touch file
    [ -e "$PACKAGE/work/file" ]
}

@test "what cannot be shipped is refused with a reason, and without a repository it is as before" {
    touch "$PACKAGE/.wh.file"
    run -125 --separate-stderr ship_cell --package "$PACKAGE" -- true
    assert_match "$stderr" "*'$PACKAGE/.wh.file' cannot be shipped*"
    run -125 --separate-stderr ship_cell --package-rw "$PACKAGE" -- true
    assert_equal code "$(result_field .error.code)" mount.denied
    SHIPPED=$CLUSTER_REGISTRY/shipped:tag run -125 --separate-stderr ship_cell --package "$PACKAGE" -- true
    assert_equal code "$(result_field '"\(.outcome) \(.error.code)"')" "refused option.invalid"
    run -125 --separate-stderr as in_cluster "$STEPCELL" run --workdir "$WORK" --engine kubernetes \
        --kubernetes-init x --kubernetes-volume "$WORK=hostPath" --package "$PACKAGE" "$CLUSTER_REGISTRY/busybox:latest" true
    assert_match "$stderr" "*--kubernetes-ship*"
}
