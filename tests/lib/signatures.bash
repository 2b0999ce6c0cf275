# shellcheck shell=bash
# Signatures as cosign makes them and lays them out in a registry, by openssl and curl. With registry.bash
# loaded before.

BUNDLE_TYPE=application/vnd.dev.sigstore.bundle.v0.3+json

# make_key NAME: NAME.key and NAME.pub
make_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"
    openssl pkey -in "$1.key" -pubout -out "$1.pub"
    chmod 644 "$1.pub"
}

# put_registry_blob REPOSITORY <CONTENT: prints digest and size
put_registry_blob() {
    local file digest location
    file=$(mktemp "$REGISTRY_DIR/blob.XXXXXX")
    cat >"$file"
    digest=sha256:$(sha256sum <"$file" | cut -c1-64)
    location=$(curl -sf --noproxy '*' -X POST -o /dev/null -w '%header{location}' "http://$REGISTRY/v2/$1/blobs/uploads/")
    curl -sf --noproxy '*' -o /dev/null -X PUT -H 'Content-Type: application/octet-stream' \
        --data-binary "@$file" "$location&digest=$digest" || return
    echo "$digest $(stat -c %s "$file")"
}

# put_registry_manifest REPOSITORY TAG TYPE <JSON: prints digest and size; without TAG under its digest
put_registry_manifest() {
    local file digest
    file=$(mktemp "$REGISTRY_DIR/manifest.XXXXXX")
    cat >"$file"
    digest=sha256:$(sha256sum <"$file" | cut -c1-64)
    curl -sf --noproxy '*' -o /dev/null -X PUT -H "Content-Type: $3" --data-binary "@$file" \
        "http://$REGISTRY/v2/$1/manifests/${2:-$digest}" || return
    echo "$digest $(stat -c %s "$file")"
}

# registry_digest REPOSITORY REFERENCE: of what the registry has there
registry_digest() {
    curl -sf --noproxy '*' -H 'Accept: application/vnd.oci.image.index.v1+json' \
        -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://$REGISTRY/v2/$1/manifests/$2" |
        sha256sum | sed 's/^\(.\{64\}\).*/sha256:\1/'
}

simple_payload() { # REPOSITORY DIGEST
    printf '{"critical":{"identity":{"docker-reference":"%s"},"image":{"docker-manifest-digest":"%s"},"type":"%s"},"optional":null}' \
        "$REGISTRY/$1" "$2" "cosign container image signature"
}

# simple_layer KEY REPOSITORY <PAYLOAD: pushes it, prints its descriptor with the signature
simple_layer() {
    local file digest size
    file=$(mktemp "$REGISTRY_DIR/payload.XXXXXX")
    cat >"$file"
    read -r digest size < <(put_registry_blob "$2" <"$file")
    jq -nc --arg digest "$digest" --argjson size "$size" \
        --arg signature "$(openssl dgst -sha256 -sign "$1.key" "$file" | base64 -w0)" \
        '{mediaType: "application/vnd.dev.cosign.simplesigning.v1+json", digest: $digest, size: $size,
          annotations: {"dev.cosignproject.cosign/signature": $signature}}'
}

# put_signatures REPOSITORY DIGEST LAYER...: at the tag that cosign gives them
put_signatures() {
    local repository=$1 tag=${2/:/-}.sig digest size
    shift 2
    read -r digest size < <(printf '{}' | put_registry_blob "$repository")
    jq -nc --arg digest "$digest" --argjson size "$size" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json",
          config: {mediaType: "application/vnd.oci.image.config.v1+json", digest: $digest, size: $size},
          layers: $ARGS.positional}' --jsonargs "$@" |
        put_registry_manifest "$repository" "$tag" application/vnd.oci.image.manifest.v1+json >/dev/null
}

# sign KEY REPOSITORY DIGEST: as `cosign sign --key`, in the older format
sign() { put_signatures "$2" "$3" "$(simple_payload "$2" "$3" | simple_layer "$1" "$2")"; }

# statement DIGEST [PREDICATE_TYPE]
statement() {
    jq -nc --arg hex "${1#sha256:}" --arg type "${2:-https://sigstore.dev/cosign/sign/v1}" \
        '{_type: "https://in-toto.io/Statement/v1", subject: [{digest: {sha256: $hex}}],
          predicateType: $type, predicate: {}}' | tr -d '\n'
}

# bundle KEY <STATEMENT: prints the bundle
bundle() {
    local file type=application/vnd.in-toto+json
    file=$(mktemp "$REGISTRY_DIR/statement.XXXXXX")
    cat >"$file"
    { printf 'DSSEv1 %s %s %s ' "${#type}" "$type" "$(stat -c %s "$file")" && cat "$file"; } >"$file.pae"
    jq -nc --arg media "$BUNDLE_TYPE" --arg type "$type" --arg payload "$(base64 -w0 "$file")" \
        --arg signature "$(openssl dgst -sha256 -sign "$1.key" "$file.pae" | base64 -w0)" \
        '{mediaType: $media, verificationMaterial: {publicKey: {hint: ""}},
          dsseEnvelope: {payload: $payload, payloadType: $type, signatures: [{sig: $signature}]}}'
}

# refer REPOSITORY DIGEST <BUNDLE: as a further referrer of the image, by the tag of registries without the API
refer() {
    local repository=$1 subject=$2 bundle size empty manifest manifest_size there
    read -r bundle size < <(put_registry_blob "$repository")
    read -r empty _ < <(printf '{}' | put_registry_blob "$repository")
    read -r manifest manifest_size < <(jq -nc --arg type "$BUNDLE_TYPE" --arg bundle "$bundle" --argjson size "$size" \
        --arg empty "$empty" --arg subject "$subject" \
        '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", artifactType: $type,
          config: {mediaType: "application/vnd.oci.empty.v1+json", digest: $empty, size: 2},
          layers: [{mediaType: $type, digest: $bundle, size: $size}],
          subject: {mediaType: "application/vnd.oci.image.index.v1+json", digest: $subject, size: 1},
          annotations: {"dev.sigstore.bundle.content": "dsse-envelope"}}' |
        put_registry_manifest "$repository" "" application/vnd.oci.image.manifest.v1+json)
    there=$(curl -sf --noproxy '*' -H 'Accept: application/vnd.oci.image.index.v1+json' \
        "http://$REGISTRY/v2/$repository/manifests/${subject/:/-}" ||
        echo '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []}')
    jq -c --arg type "$BUNDLE_TYPE" --arg digest "$manifest" --argjson size "$manifest_size" \
        '.manifests += [{mediaType: "application/vnd.oci.image.manifest.v1+json", digest: $digest, size: $size,
                         artifactType: $type}]' <<<"$there" |
        put_registry_manifest "$repository" "${subject/:/-}" application/vnd.oci.image.index.v1+json >/dev/null
}

# sign_bundle KEY REPOSITORY DIGEST [PREDICATE_TYPE]: as `cosign sign --key` since its version 3
sign_bundle() { statement "$3" "${@:4}" | bundle "$1" | refer "$2" "$3"; }
