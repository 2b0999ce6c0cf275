# shellcheck shell=bash
# An administrator's policy that this machine never sees: whoever is the caller of the moment runs in a mount
# namespace of its own, with a copy of /etc.
#
#   ETC      the copy; the policy is $ETC/stepcell/policy.json
#   POLICY   the policy

# policy_setup: to be called by setup_file, with common.bash loaded before
policy_setup() {
    export POLICY_DIR ETC POLICY
    POLICY_DIR=$(mktemp -d "$TEST_DIR/policy.XXXXXX")
    chmod 755 "$POLICY_DIR"
    ETC=$POLICY_DIR/etc POLICY=$POLICY_DIR/etc/stepcell/policy.json
    cp -a /etc "$ETC"
    rm -rf "$ETC/stepcell" "$ETC/containers/policy.json"
    mkdir -p "$ETC/stepcell" "$ETC/containers"
}

policy_teardown() { rm -rf "$POLICY_DIR"; }

# governed COMMAND...: with the copy of /etc
governed() {
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount --propagation private -- \
        sh -c 'etc=$1; shift; mount --bind "$etc" /etc && exec "$@"' sh "$ETC" "$@"
}

# as COMMAND...: as common.bash has it, and governed
as() {
    local -x HOME=$TEST_DIR/home/$CALLER STEPCELL_STORE=${STORE-$TEST_DIR/store/$CALLER} \
        TMPDIR=$TEST_DIR/tmp/$CALLER
    [ -n "$STEPCELL_STORE" ] || unset STEPCELL_STORE
    case $CALLER in
    root) governed "$@" ;;
    *)
        local -x USER=stepcell-$CALLER LOGNAME=stepcell-$CALLER
        governed setpriv --reuid="$USER" --regid="$USER" --init-groups -- "$@"
        ;;
    esac
}

# policy JSON: with the schema, and this run's stores unless it names some
policy() {
    jq --arg stores "$TEST_DIR/store/*" '{schema: "stepcell.policy/1", stores: [$stores]} + .' <<<"$1" >"$POLICY"
}

no_policy() { rm -f "$POLICY" "$ETC/containers/policy.json"; }

# containers_policy JSON
containers_policy() { echo "$1" >"$ETC/containers/policy.json"; }
