# shellcheck shell=bash
# Images for the tests, made by tools that have nothing to do with stepcell (umoci, skopeo, buildah,
# mmdebstrap), and some that no tool would make, put together by hand: below $IMAGES.

. "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

EMPTY_LAYOUT='{"schemaVersion":2,"manifests":[]}'
MANIFEST=application/vnd.oci.image.manifest.v1+json
INDEX=application/vnd.oci.image.index.v1+json

# new_layout LAYOUT: an OCI layout without images
new_layout() {
    mkdir -p "$1/blobs/sha256"
    echo '{"imageLayoutVersion":"1.0.0"}' >"$1/oci-layout"
    echo "$EMPTY_LAYOUT" >"$1/index.json"
}

# put_blob LAYOUT TYPE <CONTENT: stores it under its digest, prints its descriptor
put_blob() {
    local file hex
    file=$(mktemp "$1/blob.XXXXXX")
    cat >"$file"
    hex=$(sha256sum <"$file" | cut -c1-64)
    chmod 0644 "$file"
    jq -nc --arg type "$2" --arg digest "sha256:$hex" --argjson size "$(stat -c %s "$file")" \
        '{mediaType: $type, digest: $digest, size: $size}'
    mv "$file" "$1/blobs/sha256/$hex"
}

# blob_path LAYOUT <DESCRIPTOR
blob_path() { echo "$1/blobs/sha256/$(jq -r '.digest[7:]')"; }

# name_image LAYOUT TAG <DESCRIPTOR: gives it the tag in the layout's index
name_image() {
    local index
    index=$(jq -c --arg tag "$2" --slurpfile image /dev/stdin \
        '.manifests += [$image[0] + {annotations: {"org.opencontainers.image.ref.name": $tag}}]' \
        "$1/index.json")
    echo "$index" >"$1/index.json"
}

# put_image LAYOUT CONFIG LAYER.tar...: prints the descriptor of its manifest
put_image() {
    local layout=$1 config=$2 layers=() diff_ids=() layer
    shift 2
    for layer in "$@"; do
        diff_ids+=("sha256:$(sha256sum <"$layer" | cut -c1-64)")
        layers+=("$(gzip -nc "$layer" | put_blob "$layout" application/vnd.oci.image.layer.v1.tar+gzip)")
    done
    config=$(jq -c '{architecture: "amd64", os: "linux"} + . +
            {rootfs: {type: "layers", diff_ids: $ARGS.positional}}' <<<"$config" --args "${diff_ids[@]}" |
        put_blob "$layout" application/vnd.oci.image.config.v1+json)
    jq -nc --arg type "$MANIFEST" --argjson config "$config" \
        '{schemaVersion: 2, mediaType: $type, config: $config, layers: $ARGS.positional}' \
        --jsonargs "${layers[@]}" | put_blob "$layout" "$MANIFEST"
}

# put_index LAYOUT MANIFEST...: an index of these descriptors, prints its own
put_index() {
    local layout=$1
    shift
    jq -nc --arg type "$INDEX" '{schemaVersion: 2, mediaType: $type, manifests: $ARGS.positional}' \
        --jsonargs "$@" | put_blob "$layout" "$INDEX"
}

# on_platform OS ARCH <DESCRIPTOR
on_platform() { jq -c --arg os "$1" --arg arch "$2" '. + {platform: {os: $os, architecture: $arch}}'; }

# The variants of busybox's configuration, by umoci; what umoci cannot say, by hand.
make_variants() {
    local layout=$IMAGES/busybox
    mkdir "$layout"
    cp -r "$(busybox_image | sed 's/^oci:\(.*\):latest$/\1/')/." "$layout"
    variant() {
        local tag=$1
        shift
        umoci config --image "$layout:latest" --tag "$tag" "$@"
    }
    variant entrypoint --config.entrypoint /bin/echo --config.entrypoint entered \
        --history.created_by 'ENTRYPOINT ["/bin/echo" "entered"]'
    variant user-app --config.user app
    variant user-tools --config.user app:tools
    variant user-numeric --config.user 1234
    variant user-unknown --config.user nobody-knows
    variant user-huge --config.user 4294967296
    variant workdir --config.workingdir /srv/elsewhere
    variant environment --config.env FROM_IMAGE=yes --config.env PATH=/bin
    variant cmd --config.cmd /bin/false

    local tag filter manifest config
    while read -r tag filter; do
        manifest=$(jq -c '.manifests[] | select(.annotations[] == "latest")' "$layout/index.json")
        config=$(jq -c .config "$(blob_path "$layout" <<<"$manifest")")
        config=$(jq -c "$filter" "$(blob_path "$layout" <<<"$config")" |
            put_blob "$layout" application/vnd.oci.image.config.v1+json)
        jq -c --argjson config "$config" '.config = $config' "$(blob_path "$layout" <<<"$manifest")" |
            put_blob "$layout" "$MANIFEST" | name_image "$layout" "$tag"
    done <<'END'
entrypoint-null .config.Entrypoint = null
entrypoint-none .config.Entrypoint = []
entrypoint-blank .config.Entrypoint = [""]
environment-hostile .config.Env = ["HOST_SECRET", "HOST_*", "=x", "GOOD=1"]
386 .architecture = "386"
volumes-hostile .config.Volumes = {"/../../../etc": {}, "": {}, "/proc": {}}
END
}

# An image without a shell: one static program.
make_static() {
    mkdir -p "$1/root/bin"
    cp "$(command -v busybox)" "$1/root/bin/true"
    tar -C "$1/root" --numeric-owner --owner=0 --group=0 -cf "$1/layer.tar" .
    new_layout "$IMAGES/static"
    put_image "$IMAGES/static" '{}' "$1/layer.tar" | name_image "$IMAGES/static" latest
}

# Indexes: several platforms with the attestations that buildx adds, and the ones without ours.
make_platforms() {
    local layout=$IMAGES/platforms linux arm windows attestation
    new_layout "$layout"
    echo linux/amd64 >"$1/platform"
    tar -C "$1" --numeric-owner --owner=0 --group=0 --mode=0644 -cf "$1/amd64.tar" platform
    tar -C "$(dirname "$(command -v busybox)")" --numeric-owner --owner=0 --group=0 \
        --transform 's,^,bin/,' -cf "$1/busybox.tar" busybox
    linux=$(put_image "$layout" '{}' "$1/busybox.tar" "$1/amd64.tar" | on_platform linux amd64)
    arm=$(put_image "$layout" '{"architecture":"arm64","variant":"v8"}' "$1/busybox.tar" |
        on_platform linux arm64)
    windows=$(put_image "$layout" '{"os":"windows","os.version":"10.0.20348.2227"}' "$1/amd64.tar" |
        on_platform windows amd64 | jq -c '.platform["os.version"] = "10.0.20348.2227"')
    attestation=$(put_image "$layout" '{"architecture":"unknown","os":"unknown"}' "$1/amd64.tar" |
        on_platform unknown unknown | jq -c '.annotations =
            {"vnd.docker.reference.type": "attestation-manifest"}')
    put_index "$layout" "$attestation" "$windows" "$arm" "$linux" | name_image "$layout" latest
    put_index "$layout" "$windows" "$attestation" | name_image "$layout" windows
    put_index "$layout" "$arm" "$attestation" | name_image "$layout" arm64
    put_image "$layout" '{"architecture":"arm64"}' "$1/busybox.tar" | name_image "$layout" arm64-manifest
    # The index promises what the configuration does not keep.
    put_index "$layout" "$(on_platform linux amd64 <<<"$windows")" | name_image "$layout" liar
}

# Two layers with everything that a layer can say of the one below.
make_layers() (
    layout=$IMAGES/layers
    new_layout "$layout"
    mkdir -p "$1/lower" "$1/upper"
    cd "$1/lower"
    mkdir -p bin opaque/below gone kept replaced
    cp "$(command -v busybox)" bin/busybox
    ln -s busybox bin/sh
    echo 1 | tee opaque/old opaque/below/old gone/file kept/file kept/removed replaced/file >/dev/null
    echo hard >kept/hard
    ln kept/hard kept/hard-too
    ln -s ../kept/file gone/link
    ln -s /etc/absolute kept/absolute
    echo one >kept/owned
    chown 12:34 kept/owned
    chmod 4751 kept/owned
    echo x >kept/attribute
    setfattr -n user.colour -v green kept/attribute
    setcap cap_net_raw+ep bin/busybox
    tar --numeric-owner --xattrs --xattrs-include='*' -cf "$1/lower.tar" .
    cd "$1/upper"
    mkdir -p opaque kept
    touch opaque/.wh..wh..opq .wh.gone kept/.wh.removed
    echo 2 | tee opaque/new replaced >/dev/null
    ln -s file kept/link
    mkfifo kept/fifo
    tar --numeric-owner -cf "$1/upper.tar" .
    put_image "$layout" '{}' "$1/lower.tar" "$1/upper.tar" | name_image "$layout" latest
    # The same base below another top: the base must be stored and unpacked once.
    mkdir "$1/other"
    touch "$1/other/other"
    tar -C "$1/other" --numeric-owner -cf "$1/other.tar" .
    put_image "$layout" '{}' "$1/lower.tar" "$1/other.tar" | name_image "$layout" sibling
)

# Archives and images of other makers.
make_foreign() {
    local container mountpoint
    skopeo copy --quiet "oci:$IMAGES/busybox:latest" \
        "docker-archive:$IMAGES/busybox.docker.tar:example.test/busybox:1"
    tar -C "$IMAGES/busybox" -cf "$IMAGES/busybox.oci.tar" .
    local buildah=(buildah --root "$1/buildah" --runroot "$1/buildah-run" --storage-driver vfs)
    container=$("${buildah[@]}" from scratch)
    mountpoint=$("${buildah[@]}" mount "$container")
    mkdir -p "$mountpoint/bin"
    cp "$(command -v busybox)" "$mountpoint/bin/sh"
    "${buildah[@]}" config --user 1000 --env MADE_BY=buildah "$container"
    "${buildah[@]}" commit --quiet "$container" "oci:$IMAGES/buildah:latest" >/dev/null
    "${buildah[@]}" rm "$container" >/dev/null
    umount "$1/buildah" 2>/dev/null || true
    mkdir "$IMAGES/execution"
    cp -r "$(execution_image | sed 's/^oci:\(.*\):latest$/\1/')/." "$IMAGES/execution"
}

# Damage of the transport: what a digest, a size or a diff id has to find. One layout each.
make_damaged() {
    local name layout manifest layer config
    mkdir -p "$1/root/bin"
    cp "$(command -v busybox)" "$1/root/bin/sh"
    for name in flipped-layer truncated-layer longer-layer missing-layer flipped-config \
        flipped-manifest wrong-size wrong-diff-id broken-stream; do
        layout=$IMAGES/damaged/$name
        new_layout "$layout"
        # No two share a blob: one that the store has already would not be read again.
        echo "$name" >"$1/root/name"
        tar -C "$1/root" --numeric-owner --owner=0 --group=0 -cf "$1/layer.tar" .
        manifest=$(put_image "$layout" '{}' "$1/layer.tar")
        config=$(jq -c .config "$(blob_path "$layout" <<<"$manifest")" | blob_path "$layout")
        layer=$(jq -c '.layers[0]' "$(blob_path "$layout" <<<"$manifest")" | blob_path "$layout")
        case $name in
        flipped-layer) flip "$layer" 1000 ;;
        truncated-layer) truncate -s -100 "$layer" ;;
        longer-layer) echo more >>"$layer" ;;
        missing-layer) rm "$layer" ;;
        flipped-config) sed -i 's/amd64/amd46/' "$config" ;;
        flipped-manifest)
            sed -i 's/sha256:0/sha256:1/; t; s/sha256:./sha256:0/' "$(blob_path "$layout" <<<"$manifest")"
            ;;
        wrong-size) manifest=$(changed_manifest "$layout" "$manifest" '.layers[0].size += 1') ;;
        wrong-diff-id)
            config=$(jq -c '.rootfs.diff_ids[0] = "sha256:" + "0" * 64' "$config" |
                put_blob "$layout" application/vnd.oci.image.config.v1+json)
            manifest=$(changed_manifest "$layout" "$manifest" ".config = $config")
            ;;
        broken-stream)
            config=$(head -c 300000 "$layer" |
                put_blob "$layout" application/vnd.oci.image.layer.v1.tar+gzip)
            manifest=$(changed_manifest "$layout" "$manifest" ".layers[0] = $config")
            ;;
        esac
        name_image "$layout" latest <<<"$manifest"
    done
}

# flip FILE OFFSET: turns all bits of one byte
flip() {
    local byte
    byte=$(od -An -tu1 -j "$2" -N 1 "$1")
    # shellcheck disable=SC2059 # the format is the byte
    printf "\\x$(printf %02x $((byte ^ 255)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# changed_manifest LAYOUT DESCRIPTOR FILTER: a copy of the manifest, changed, with right digest and size
changed_manifest() {
    jq -c "$3" "$(blob_path "$1" <<<"$2")" | put_blob "$1" "$MANIFEST"
}

# corpus_layout KIND NAME LAYOUT: an image with the corpus entry in place of its good part
#   manifests/NAME.jq, configs/NAME.jq   change the good one
#   manifests/NAME.raw, configs/NAME.raw stand for it as they are; @CONFIG@ and @LAYER@ are descriptors
#   layers/NAME.sh                       writes layer.tar into the current, empty directory
corpus_layout() {
    local entry=$TESTS/corpus/$1/$2 layout=$3 work manifest config layer
    work=$(mktemp -d "$TEST_DIR/corpus.XXXXXX")
    mkdir -p "$work/root/bin"
    cp "$(command -v busybox)" "$work/root/bin/sh"
    tar -C "$work/root" --numeric-owner --owner=0 --group=0 -cf "$work/base.tar" .
    new_layout "$layout"
    if [ "$1" = layers ]; then
        mkdir "$work/layer"
        (cd "$work/layer" && CANARY=$CANARY bash -eu "$entry.sh")
        manifest=$(put_image "$layout" '{}' "$work/base.tar" "$work/layer/layer.tar")
    else
        manifest=$(put_image "$layout" '{}' "$work/base.tar")
    fi
    config=$(jq -c .config "$(blob_path "$layout" <<<"$manifest")")
    layer=$(jq -c '.layers[0]' "$(blob_path "$layout" <<<"$manifest")")
    case $1 in
    manifests)
        corpus_text "$entry" "$(blob_path "$layout" <<<"$manifest")" "$config" "$layer" >"$work/text"
        manifest=$(put_blob "$layout" "$MANIFEST" <"$work/text")
        ;;
    configs)
        corpus_text "$entry" "$(blob_path "$layout" <<<"$config")" "$config" "$layer" >"$work/text"
        config=$(put_blob "$layout" application/vnd.oci.image.config.v1+json <"$work/text")
        manifest=$(changed_manifest "$layout" "$manifest" ".config = $config")
        ;;
    esac
    name_image "$layout" latest <<<"$manifest"
    rm -rf "$work"
}

# corpus_text ENTRY GOOD CONFIG LAYER: the text of a corpus entry
corpus_text() {
    if [ -e "$1.jq" ]; then
        jq -c -f "$1.jq" "$2"
    else
        sed -e "s|@CONFIG@|$3|g" -e "s|@LAYER@|$4|g" "$1.raw"
    fi
}

# make_images: all of the above
make_images() {
    local maker work
    mkdir -p "$IMAGES"
    for maker in variants static platforms layers foreign damaged; do
        work=$(mktemp -d "$TEST_DIR/make.XXXXXX")
        "make_$maker" "$work"
        rm -rf "$work"
    done
    chmod -R a+rX "$IMAGES"
}
