#!/usr/bin/env bats
# What of a cluster's API a step as a Pod makes use of, besides the Pod: credentials, accounts, labels, nodes.

load ../lib/common
load ../lib/kubernetes
load ../lib/pods

# configure JSON: "kubernetes" of the user's config.json
configure() {
    export XDG_CONFIG_HOME=${WORK%/*}/config DOCKER_CONFIG=${WORK%/*}/docker
    mkdir -p "$XDG_CONFIG_HOME/stepcell" "$XDG_CONFIG_HOME/containers" "$DOCKER_CONFIG"
    ln -sfn "$CLUSTER/certs.d" "$XDG_CONFIG_HOME/containers/certs.d"
    jq -n --argjson kubernetes "$1" '{kubernetes: $kubernetes}' >"$XDG_CONFIG_HOME/stepcell/config.json"
}

# log_in USER:PASSWORD: to the registry that wants one, and to another
log_in() {
    jq -n --arg registry "$CLUSTER_AUTH_REGISTRY" --arg auth "$(printf %s "$1" | base64)" \
        '{auths: {($registry): {auth: $auth}, "other.example": {auth: "b3RoZXI6d29yZA=="}}}' >"$DOCKER_CONFIG/config.json"
}

# private_image: sets POD_IMAGE to one that no node has got yet, of the registry that wants a password
private_image() {
    local name=private-$BATS_TEST_NUMBER-$RANDOM
    in_cluster skopeo copy --quiet --src-cert-dir "$CLUSTER/certs.d/$CLUSTER_REGISTRY" \
        --dest-cert-dir "$CLUSTER/certs.d/$CLUSTER_REGISTRY" "docker://$CLUSTER_REGISTRY/busybox:latest" \
        "docker://$CLUSTER_REGISTRY/$name:latest"
    POD_IMAGE=$CLUSTER_AUTH_REGISTRY/$name:latest
}

pull_secrets() { kube -n "$NAMESPACE" get secrets --field-selector type=kubernetes.io/dockerconfigjson -o json; }

# lent: the images that nodes have credentials for
lent() {
    pull_secrets | jq -r '.items[].data[".dockerconfigjson"] | @base64d | fromjson | .auths | keys | join(" ")'
}

@test "nodes get the caller's credentials for the image and no others, and they are gone with the Pod" {
    local secrets lent
    configure '{}'
    log_in puller:secret
    private_image
    configure '{"pull_secret": false}'
    run -125 --separate-stderr pod_cell -- true
    assert_equal code "$(result_field .error.code)" pod.image-not-pulled
    nothing_left
    # Where something could be shipped, and nothing is.
    configure "$(jq -n --arg ship "$CLUSTER_AUTH_REGISTRY/shipped" '{ship: $ship}')"
    begin_cell "$TEST_DIR/private" \
        sh -c 'echo up; until [ -e go ]; do sleep 0.1; done; exit 3'
    secrets=$(pull_secrets) lent=$(lent)
    touch "$WORK/go"
    ended_as 3 exited
    assert_equal auths "$lent" "${POD_IMAGE%:latest}"
    assert_equal owner "$(jq -r '.items[0].metadata.ownerReferences[0].kind' <<<"$secrets")" Pod
    nothing_left
}

@test "nodes get the credentials of the repository to ship to when something is shipped, and then none for the init image" {
    local lent package
    configure "$(jq -n --arg registry "$CLUSTER_AUTH_REGISTRY" \
        '{ship: "\($registry)/shipped", init: "\($registry)/stepcell-init:1"}')"
    log_in puller:secret
    begin_cell "$TEST_DIR/unshipped" sh -c 'echo up; until [ -e go ]; do sleep 0.1; done'
    lent=$(lent)
    touch "$WORK/go"
    ended_as 0 exited
    assert_equal unshipped "$lent" "$CLUSTER_AUTH_REGISTRY/stepcell-init"
    rm "$WORK/go"
    package=$(mktemp -d /run/stepcell-package.XXXXXX)
    chmod 755 "$package"
    echo content >"$package/file"
    pod_cell --package "$package" -- sh -c 'cat "$1/file"; until [ -e go ]; do sleep 0.1; done' sh "$package" \
        >"$TEST_DIR/shipped" 3>&- 4>&- &
    CELL=$!
    wait_for grep -qx content "$TEST_DIR/shipped"
    lent=$(lent)
    touch "$WORK/go"
    ended_as 0 exited
    assert_equal shipped "$lent" "$CLUSTER_AUTH_REGISTRY/shipped"
    rm -r "$package"
    nothing_left
}

@test "config.json says where: namespace, init image, volumes, service account, labels and nodes" {
    local seen
    kube -n "$NAMESPACE" create serviceaccount deployer
    kube label node n2 pool=steps --overwrite
    configure "$(jq -n --arg namespace "$NAMESPACE" --arg init "$INIT" --arg work "$WORK" '{namespace: $namespace,
        init: $init, volumes: ["\($work)=hostPath"], service_account: "deployer", node_selector: {pool: "steps"},
        labels: {team: "x", stage: "test"}}')"
    in_stepcell run --result "$RESULT" --workdir "$WORK" --engine kubernetes --label stage=production --label 'free text' \
        "$CLUSTER_REGISTRY/busybox:latest" -- \
        sh -c 'cut -c1 /var/run/secrets/kubernetes.io/serviceaccount/token; echo up; until [ -e go ]; do sleep 0.1; done' \
        >"$TEST_DIR/where" 3>&- 4>&- &
    CELL=$!
    wait_for grep -qx up "$TEST_DIR/where"
    seen=$(kube -n "$NAMESPACE" get pods -l app.kubernetes.io/managed-by=stepcell,team=x,stage=production -o json)
    touch "$WORK/go"
    ended_as 0 exited
    assert_equal account "$(jq -r '.items[0].spec | "\(.serviceAccountName) \(.nodeName)"' <<<"$seen")" "deployer n2"
    assert_equal token "$(head -n 1 "$TEST_DIR/where")" e
    nothing_left
    configure '{"service-account": "deployer"}'
    run -125 --separate-stderr pod_cell -- true
    assert_match "$stderr" "stepcell: 'service-account' of 'kubernetes' in *"
    assert_equal code "$(result_field .error.code)" config.invalid
    run -125 --separate-stderr pod_cell --label app.kubernetes.io/managed-by=me -- true
    nothing_left
}

# under_policy [OPTION...] -- COMMAND...: in a mount namespace with the administrator's files of $ETC
under_policy() {
    local options=()
    while [ "$1" != -- ]; do
        options+=("$1")
        shift
    done
    HOME=$TEST_DIR/home/root STEPCELL_STORE=$TEST_DIR/store/root in_cluster unshare --mount --propagation private -- \
        sh -c 'mount --bind "$0" /etc && exec "$@"' "$ETC" "$STEPCELL" run --result "$RESULT" --workdir "$WORK" \
        --engine kubernetes "${options[@]}" "${POD_IMAGE:-$CLUSTER_REGISTRY/busybox:latest}" "$@"
}

# administer: makes $ETC, with a kubeconfig for the policy to name, and where Pods are made
administer() {
    ETC=$TEST_DIR/etc-$BATS_TEST_NUMBER
    cp -a /etc "$ETC"
    mkdir -p "$ETC/stepcell" "$ETC/containers"
    rm -rf "$ETC/containers/policy.json" "$ETC/containers/certs.d"
    ln -s "$CLUSTER/certs.d" "$ETC/containers/certs.d"
    install -m 600 "$CLUSTER/kubeconfig/admin" "$ETC/stepcell/kubeconfig"
    jq -n --arg namespace "$NAMESPACE" --arg init "$INIT" --arg work "$WORK" \
        '{kubernetes: {namespace: $namespace, init: $init, volumes: ["\($work)=hostPath"]}}' >"$ETC/stepcell/config.json"
}

# policy JSON: the administrator's
policy() {
    jq --arg stores "$TEST_DIR/store/*" '{schema: "stepcell.policy/1", stores: [$stores]} + .' <<<"$1" \
        >"$ETC/stepcell/policy.json"
}

@test "a policy that allows the engine: its kubeconfig, the administrator's cluster, and its rules for what the Pod gets" {
    local package
    administer
    policy '{"engines": {"native": true}}'
    run -125 --separate-stderr under_policy -- true
    assert_equal engine "$(result_field .error.code)" policy.denied
    policy "$(jq -n --arg work "$WORK" '{engines: {kubernetes: "/etc/stepcell/kubeconfig"}, users: ["0"], groups: ["0"],
        capabilities: ["CHOWN"], mounts: [{tree: $work, access: "write"}], limits: {memory: {max: "64m"}}}')"
    # The caller's own would lead nowhere.
    KUBECONFIG=/nowhere run -0 --separate-stderr under_policy --memory 32m --cap-drop ALL --cap-add CHOWN -- \
        grep CapBnd /proc/self/status
    assert_match "$output" "*0000000000000001"
    for option in "--kubernetes-init $CLUSTER_REGISTRY/other:1" "--kubernetes-volume /etc=hostPath" \
        "--kubernetes-ship $CLUSTER_REGISTRY/theirs" "--kubernetes-namespace default" "--memory 65m" "--user 0:7" "--cap-add SETUID"; do
        # shellcheck disable=SC2086 # two words
        run -125 --separate-stderr under_policy --memory 32m --cap-drop ALL $option -- true
        assert_equal "$option" "$(result_field .error.code)" policy.denied
    done
    # Shipped is what the mounts of the policy allow, to the administrator's repository alone.
    package=$(mktemp -d /run/stepcell-package.XXXXXX)
    echo content >"$package/file"
    jq --arg ship "$CLUSTER_REGISTRY/shipped" '.kubernetes.ship = $ship' "$ETC/stepcell/config.json" >"$ETC/new"
    mv "$ETC/new" "$ETC/stepcell/config.json"
    run -125 --separate-stderr under_policy --memory 32m --cap-drop ALL --package "$package" -- cat "$package/file"
    assert_equal package "$(result_field .error.code)" mount.denied
    policy "$(jq --arg package "$package" 'del(.schema, .stores) | .mounts += [{tree: $package, access: "read"}]' \
        "$ETC/stepcell/policy.json")"
    run -0 --separate-stderr under_policy --memory 32m --cap-drop ALL --package "$package" -- cat "$package/file"
    assert_equal shipped "$output" content
    rm -r "$package"
    chmod 666 "$ETC/stepcell/kubeconfig"
    run -125 --separate-stderr under_policy --memory 32m --cap-drop ALL -- true
    assert_equal file "$(result_field .error.code)" config.invalid
    nothing_left
    rm -rf "$ETC"
}

# grouped_image: sets POD_IMAGE to one whose own file has root and app in a group
grouped_image() {
    local layout=$TEST_DIR/grouped certificates=$CLUSTER/certs.d/$CLUSTER_REGISTRY
    in_cluster skopeo copy --quiet --src-cert-dir "$certificates" "docker://$CLUSTER_REGISTRY/busybox:latest" "oci:$layout:latest"
    printf '%s\n' root:x:0: tools:x:20:root,app app:x:1000: >"$TEST_DIR/group"
    umoci insert --image "$layout:latest" "$TEST_DIR/group" /etc/group
    POD_IMAGE=$CLUSTER_REGISTRY/grouped:latest
    in_cluster skopeo copy --quiet --dest-cert-dir "$certificates" "oci:$layout:latest" "docker://$POD_IMAGE"
}

@test "where a policy judges groups a Pod has no other one, whatever the image says" {
    administer
    grouped_image
    judges() { policy "{\"engines\": {\"kubernetes\": \"/etc/stepcell/kubeconfig\"}, \"groups\": $1}"; }
    judges '["0", "1000"]'
    run -0 --separate-stderr under_policy -- id -G
    assert_equal root "$output" 0
    chown 1000:1000 "$WORK"
    run -125 --separate-stderr under_policy --user 1000:1000 -- touch ran
    assert_equal number "$(result_field .error.code)" policy.denied
    assert_match "$stderr" "*adds group 20 *"
    [ ! -e "$WORK/ran" ]
    run -125 --separate-stderr under_policy --user app -- true
    assert_match "$stderr" "*to run as group 20*"
    judges '["20", "1000"]'
    run -0 --separate-stderr under_policy --user app -- id -G
    assert_equal name "$output" "1000 20"
    nothing_left
    rm -rf "$ETC"
}
