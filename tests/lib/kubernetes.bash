# shellcheck shell=bash
# A cluster of two nodes (scripts/kubernetes), started once for a whole run with ENGINE=kubernetes, as $CLUSTER.

CLUSTER_REGISTRY=10.99.0.1:5000
CLUSTER_AUTH_REGISTRY=10.99.0.1:5001
SCRIPTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../scripts" && pwd)

# The init image; the images of the tests are in the same registry.
INIT=$CLUSTER_REGISTRY/stepcell-init:1
TEST_IMAGES="busybox static"

# start_cluster: sets CLUSTER; what it starts would keep bats waiting. STEPCELL becomes a program before the real
# one, as for a daemon (engine.bash), and the tests of all engines find their images by IMAGES_AT.
start_cluster() {
    export CLUSTER=$TEST_DIR/cluster
    "$SCRIPTS/kubernetes" up "$CLUSTER" 3>&- 4>&-
    mkdir -p "$TEST_DIR/home/root/.config/containers"
    ln -sfn "$CLUSTER/certs.d" "$TEST_DIR/home/root/.config/containers/certs.d"
    push_test_images
    export IMAGES_AT=$CLUSTER_REGISTRY STEPCELL_PROGRAM=$STEPCELL RELEASE_PROGRAM=$STEPCELL_RELEASE CALLERS=root
    STEPCELL=$(wrap_for_cluster "$STEPCELL" stepcell)
    STEPCELL_RELEASE=$(wrap_for_cluster "$STEPCELL_RELEASE" stepcell-release)
    export STEPCELL STEPCELL_RELEASE
    HOME=$TEST_DIR/home/root STEPCELL_STORE=$TEST_DIR/store/root "$STEPCELL" image init "$INIT"
}

# push_test_images: those of images.bash that the tests of all engines name
push_test_images() {
    local layout tag
    for layout in $TEST_IMAGES; do
        for tag in $(jq -r '.manifests[].annotations["org.opencontainers.image.ref.name"]' "$IMAGES/$layout/index.json"); do
            in_cluster skopeo copy --quiet --dest-cert-dir "$CLUSTER/certs.d/$CLUSTER_REGISTRY" \
                "oci:$IMAGES/$layout:$tag" "docker://$CLUSTER_REGISTRY/$layout:$tag"
        done
    done
}

# wrap_for_cluster PROGRAM NAME: prints the path of what stands before it
wrap_for_cluster() {
    local words='' word
    for word in --engine kubernetes --kubernetes-volume "$TEST_DIR=hostPath" \
        --kubernetes-ship "$CLUSTER_REGISTRY/shipped"; do
        words+="\"$word\", "
    done
    musl-gcc -O1 -static -DOPTIONS="$words" -DPROGRAM="\"$1\"" -DNETWORK="\"/proc/$(cat "$CLUSTER/pid")/ns/net\"" \
        -DCONFIG="\"$CLUSTER/kubeconfig/admin\"" -o "$TEST_DIR/$2" "$(dirname "${BASH_SOURCE[0]}")/engine_words.c"
    echo "$TEST_DIR/$2"
}

stop_cluster() {
    [ -e "${CLUSTER:-}/pid" ] || return 0
    "$SCRIPTS/kubernetes" down "$CLUSTER"
}

# start_part PART, stop_part PART: of scripts/kubernetes, such as n2 or apiserver
start_part() { "$SCRIPTS/kubernetes" start "$CLUSTER" "$1" 3>&- 4>&-; }
stop_part() { "$SCRIPTS/kubernetes" stop "$CLUSTER" "$1"; }

# in_cluster COMMAND...: in its network
in_cluster() { "$SCRIPTS/kubernetes" exec "$CLUSTER" "$@"; }

# kube ARG...: kubectl, as an administrator; kube_as NAME ARG...: by another file of $CLUSTER/kubeconfig
kube() { in_cluster kubectl "$@"; }
kube_as() { KUBECONFIG=$CLUSTER/kubeconfig/$1 in_cluster kubectl "${@:2}"; }

# objects_of_steps: what steps have in all namespaces
objects_of_steps() { kube get pods,secrets -A -l app.kubernetes.io/managed-by=stepcell -o name; }

# make_namespace: an empty one, as $NAMESPACE, that Pods may be created in
make_namespace() {
    NAMESPACE=test-$BATS_TEST_NUMBER-$RANDOM
    kube create namespace "$NAMESPACE"
    wait_for kube -n "$NAMESPACE" get serviceaccount default
}

remove_namespace() { kube delete namespace "$NAMESPACE" --wait=false; }

# pod NAME IMAGE SCRIPT [FILTER]: runs a script of sh, with what jq's FILTER makes of the Pod
pod() {
    jq -n --arg name "$1" --arg image "$2" --arg script "$3" '{apiVersion: "v1", kind: "Pod",
        metadata: {name: $name}, spec: {restartPolicy: "Never", terminationGracePeriodSeconds: 0,
        containers: [{name: "main", image: $image, command: ["sh", "-c", $script]}]}} | '"${4:-.}" |
        kube -n "$NAMESPACE" create -f -
}

# pod_field NAME FILTER: of jq, from what the API says of it
pod_field() { kube -n "$NAMESPACE" get pod "$1" -o json | jq -r "$2"; }

# shellcheck disable=SC2053 # a pattern is meant
pod_is() { [[ $(pod_field "$1" .status.phase) = $2 ]]; }
# wait_for_pod NAME PHASES: a pattern
wait_for_pod() { wait_for pod_is "$@"; }

# wait_for_node NODE STATUS: of its condition Ready: true, or unknown when nobody has heard of it for a while
wait_for_node() { kube wait --for="condition=Ready=$2" --timeout=60s "node/$1"; }

# wait_for_exit NAME CODE
wait_for_exit() {
    wait_for_pod "$1" '@(Succeeded|Failed)'
    assert_equal "exit code of $1" "$(pod_field "$1" '.status.containerStatuses[0].state.terminated.exitCode')" "$2"
}
