# shellcheck shell=bash
# What the files of attacks share: hostile images, hostile programs, and a trap on the host.
#
#   ATTACKS  a directory of this file's own
#   ATTACK   tests/lib/attack.c, static, so that it runs in any image
#   TRAP     a directory of the host at which attacks aim; everybody may write to it

# To be called by setup_file.
make_attacks() {
    local manifest
    ATTACKS=$(mktemp -d "$TEST_DIR/attacks.XXXXXX")
    export ATTACKS ATTACK=$ATTACKS/attack LAYOUT=$ATTACKS/layout TRAP=$ATTACKS/trap
    chmod 755 "$ATTACKS"
    musl-gcc -static -O1 -o "$ATTACK" "$TESTS/lib/attack.c"
    cp -r "$IMAGES/busybox" "$LAYOUT"
    manifest=$(jq -c '.manifests[] | select(.annotations[] == "latest")' "$LAYOUT/index.json")
    manifest=$(blob_path "$LAYOUT" <<<"$manifest")
    BASE_LAYER=$(jq -c '.layers[0]' "$manifest")
    BASE_ID=$(jq -r '.rootfs.diff_ids[0]' "$(jq -c .config "$manifest" | blob_path "$LAYOUT")")
    export BASE_LAYER BASE_ID
    echo "$EMPTY_LAYOUT" >"$LAYOUT/index.json"
    make_trap
}

make_trap() {
    mkdir "$TRAP" "$TRAP/directory"
    mkfifo "$TRAP/fifo"
    echo untouched >"$TRAP/file"
    chmod -R a+rwX "$TRAP"
    look_at_trap >"$ATTACKS/trap-before"
}

# To be called by teardown_file.
remove_attacks() { rm -rf "$ATTACKS"; }

look_at_trap() {
    find "$TRAP" -printf '%P %y %m %U:%G %s %T@\n' | sort
    cat "$TRAP/file"
}

# assert_trap_untouched: nothing was created, changed, given away or removed there
assert_trap_untouched() { look_at_trap | diff "$ATTACKS/trap-before" -; }

# hostile_image NAME CONFIG [LAYER [+gzip]]: busybox, with this layer above it and this configuration, as
# $IMAGE. It is made once; each caller gets it for itself. The diff id of a compressed layer is wrong: it
# is for layers that have to be refused before their end.
hostile_image() {
    local name=$1 config=$2 layer='' id=''
    IMAGE=oci:$LAYOUT:$name
    jq -e --arg name "$name" 'any(.manifests[]; .annotations[] == $name)' "$LAYOUT/index.json" >/dev/null &&
        return
    if [ -n "${3:-}" ]; then
        id=sha256:$(sha256sum <"$3" | cut -c1-64)
        layer=$(put_blob "$LAYOUT" "application/vnd.oci.image.layer.v1.tar${4:-}" <"$3")
    fi
    config=$(jq -c --arg base "$BASE_ID" --arg id "$id" '{architecture: "amd64", os: "linux"} + . +
            {rootfs: {type: "layers", diff_ids: [$base, $id | select(. != "")]}}' <<<"$config" |
        put_blob "$LAYOUT" application/vnd.oci.image.config.v1+json)
    jq -nc --arg type "$MANIFEST" --argjson config "$config" \
        '{schemaVersion: 2, mediaType: $type, config: $config, layers: $ARGS.positional}' \
        --jsonargs "$BASE_LAYER" ${layer:+"$layer"} | put_blob "$LAYOUT" "$MANIFEST" | name_image "$LAYOUT" "$name"
    chmod -R a+rX "$LAYOUT"
}

# layer_of DIRECTORY: its content as a layer, owned by root; prints the archive
layer_of() {
    tar -C "$1" --numeric-owner --owner=0 --group=0 --sort=name -cf "$1.tar" .
    echo "$1.tar"
}

# special KIND PATH: makes something at PATH that is not what an engine expects there
special() {
    mkdir -p "$(dirname "$2")"
    case $1 in
    link) ln -s "$TRAP" "$2" ;;
    link-to-file) ln -s "$TRAP/file" "$2" ;;
    link-to-fifo) ln -s "$TRAP/fifo" "$2" ;;
    link-upwards) ln -s "../../../../../../../../../..$TRAP/directory" "$2" ;;
    link-to-new) ln -s "$TRAP/new" "$2" ;;
    link-to-itself) ln -s "$(basename "$2")" "$2" ;;
    link-to-root) ln -s / "$2" ;;
    link-to-proc) ln -s /proc "$2" ;;
    link-to-fd) ln -s /proc/self/fd "$2" ;;
    fifo) mkfifo "$2" ;;
    file) echo "a file" >"$2" ;;
    directory) mkdir "$2" ;;
    full-directory) mkdir -p "$2/sub" ;;
    hard-link)
        echo "another's" >"$(dirname "$2")/other"
        ln "$(dirname "$2")/other" "$2"
        ;;
    *) return 1 ;;
    esac
}
