#!/usr/bin/env bats
# That the cluster of scripts/kubernetes is one: what the tests of the engine build on.

load ../lib/common
load ../lib/kubernetes

setup() { make_namespace; }
teardown() { remove_namespace; }

# busybox_by_digest [REGISTRY]: as the first registry has it
busybox_by_digest() {
    local digest
    digest=$(in_cluster skopeo inspect --cert-dir "$CLUSTER/certs.d/$CLUSTER_REGISTRY" --format '{{.Digest}}' \
        "docker://$CLUSTER_REGISTRY/busybox:latest")
    echo "${1:-$CLUSTER_REGISTRY}/busybox@$digest"
}

# work_volume: a filter that gives a Pod $WORK of the host, at the same path
work_volume() {
    echo '.spec.volumes = [{name: "work", hostPath: {path: "'"$WORK"'", type: "Directory"}}]
        | .spec.containers[0].volumeMounts = [{name: "work", mountPath: "'"$WORK"'"}]'
}

# worker_may VERB RESOURCE: as the plain user
worker_may() { [ "$(kube_as worker auth can-i "$1" "$2" -n "$NAMESPACE")" = yes ]; }

node_is() { kube get node "$1" | grep -q "^$1 *$2 "; }
log_has() { kube -n "$NAMESPACE" logs "$1" | grep -qx "$2"; }

@test "a Pod runs by digest on each node: its log, its exit code, its limits and a path of the host" {
    local node image
    image=$(busybox_by_digest)
    work_dir
    for node in n1 n2; do
        node_is "$node" Ready
        pod "$node" "$image" "echo out; echo err >&2; echo $node >'$WORK/$node'; exit 7" \
            '.spec.nodeName = "'"$node"'" | '"$(work_volume)"
    done
    pod greedy "$image" 'head -c 64m /dev/zero | tail -n 1' '.spec.containers[0].resources = {limits: {memory: "16Mi"}}'
    for node in n1 n2; do
        wait_for_exit "$node" 7
        assert_equal "log of $node" "$(kube -n "$NAMESPACE" logs "$node" | sort | xargs)" "err out"
        assert_equal "node of $node" "$(cat "$WORK/$node") $(pod_field "$node" .spec.nodeName)" "$node $node"
    done
    wait_for_pod greedy Failed
    assert_equal reason "$(pod_field greedy '.status.containerStatuses[0].state.terminated.reason')" OOMKilled
}

@test "a user may do what a role says and no more; an administrator comes by token or by certificate" {
    kube_as admin-certificate auth can-i '*' '*'
    run -1 kube_as worker -n "$NAMESPACE" get pods
    assert_match "$output" '*forbidden*"worker"*'
    kube -n "$NAMESPACE" create role steps --verb=create,get --resource=pods
    kube -n "$NAMESPACE" create rolebinding steps --role=steps --group=workers
    worker_may create pods
    worker_may get pods
    run -1 worker_may delete pods
    run -1 worker_may get secrets
    run -1 kube_as worker -n default get pods
}

@test "a service account's token works inside a Pod, within its role" {
    local image script
    image=$(busybox_by_digest)
    # shellcheck disable=SC2016 # for the shell in the Pod
    script='cd /var/run/secrets/kubernetes.io/serviceaccount && test -s ca.crt && wget -qO /dev/null \
        --no-check-certificate --header "Authorization: Bearer $(cat token)" \
        "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/namespaces/$(cat namespace)/pods" 2>&1'
    pod stranger "$image" "$script"
    kube -n "$NAMESPACE" create serviceaccount reader
    kube -n "$NAMESPACE" create role pods --verb=list --resource=pods
    kube -n "$NAMESPACE" create rolebinding pods --role=pods --serviceaccount="$NAMESPACE:reader"
    pod reader "$image" "$script" '.spec.serviceAccountName = "reader"'
    wait_for_exit reader 0
    wait_for_exit stranger 1
    assert_match "$(kube -n "$NAMESPACE" logs stranger)" "*403 Forbidden*"
}

@test "a registry with a password gives an image only with a pull secret" {
    local image
    image=$(busybox_by_digest "$CLUSTER_AUTH_REGISTRY")
    kube -n "$NAMESPACE" create secret docker-registry puller --docker-server="$CLUSTER_AUTH_REGISTRY" \
        --docker-username=puller --docker-password=secret
    pod without "$image" true
    pod with "$image" 'exit 3' '.spec.imagePullSecrets = [{name: "puller"}]'
    wait_for_exit with 3
    wait_for pod_waits_for without 'ErrImagePull|ImagePullBackOff'
}
pod_waits_for() { [[ $(pod_field "$1" '.status.containerStatuses[0].state.waiting.reason') =~ ^($2)$ ]]; }

@test "the API comes back after its server was killed, and a Pod has not noticed" {
    work_dir
    pod steady "$(busybox_by_digest)" "echo begun; until [ -e '$WORK/go' ]; do sleep 0.1; done; echo done; exit 4" \
        "$(work_volume)"
    wait_for log_has steady begun
    stop_part apiserver
    run -1 kube get nodes
    touch "$WORK/go"
    start_part apiserver
    wait_for kube get nodes
    wait_for_exit steady 4
    assert_equal log "$(kube -n "$NAMESPACE" logs steady | xargs)" "begun done"
}

@test "nothing is left of a cluster, and the host's settings and directories are as they were" {
    local other=$TEST_DIR/cluster-2 before
    before=$(host_state)
    "$SCRIPTS/kubernetes" up "$other" 3>&- 4>&-
    "$SCRIPTS/kubernetes" exec "$other" kubectl get nodes
    "$SCRIPTS/kubernetes" down "$other"
    assert_equal "the host" "$(host_state)" "$before"
    [ ! -e "$other" ]
    run -1 pgrep -f "$other"
}
# host_state: what a node would change of the host, were it not kept from it
host_state() {
    ls -d /sys/fs/cgroup/*/kubernetes-nodes-* /var/lib/{kubelet,cni} /var/log/{pods,containers} /run/containerd
    grep -r . /proc/sys/vm/overcommit_memory /proc/sys/vm/panic_on_oom /proc/sys/kernel/panic* \
        /proc/sys/kernel/keys /proc/sys/net/ipv4/ip_forward
    ip -o link show
    cat /proc/self/mountinfo
} 2>/dev/null
