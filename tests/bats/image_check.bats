# stepcell image check: whether an image is fit, told without running or storing it.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

setup_file() {
    export CHECKS=$TEST_DIR/checks REPORTS=$BATS_FILE_TMPDIR/reports
    mkdir -p "$CHECKS" "$REPORTS"
    make_root "$CHECKS/root"
    new_layout "$CHECKS/layout"
    make_image fit '{}' "$CHECKS/root"
    chmod -R a+rX "$CHECKS"
}

teardown() {
    stop_registry
    FAULTS_DIR=${FAULTS_DIR:-} stop_faults
}

# make_root DIRECTORY: what an execution container for Octopus needs, in few bytes. Programs are this
# machine's own, for their loader; packages are what dpkg's data base says.
make_root() {
    local name
    mkdir -p "$1"/{bin,etc,lib64,root,sbin,tmp,usr/{bin,lib,sbin,local/{bin,sbin}},var/lib/dpkg}
    cp /bin/dash "$1/bin/sh"
    for name in bash openssl curl; do
        printf '#!/bin/sh\n' >"$1/usr/bin/$name"
        chmod 0755 "$1/usr/bin/$name"
    done
    cp -L /lib64/ld-linux-x86-64.so.2 "$1/lib64/"
    printf '%s\n' 'NAME="Ubuntu"' ID=ubuntu 'VERSION_ID="24.04"' >"$1/usr/lib/os-release"
    ln -s ../usr/lib/os-release "$1/etc/os-release"
    printf '%s\n' root:x:0:0:root:/root:/bin/sh app:x:1000:1000::/:/bin/sh >"$1/etc/passwd"
    for name in wget unzip apt-utils curl software-properties-common ca-certificates libc6 libgcc-s1 \
        libgssapi-krb5-2 libicu74 libssl3t64 libstdc++6 tzdata zlib1g; do
        printf 'Package: %s\nStatus: install ok installed\nVersion: 1.2-3\n\n' "$name"
    done >"$1/var/lib/dpkg/status"
}

# make_image TAG CONFIG DIRECTORY...: one layer of each directory, the lowest first
make_image() {
    local tag=$1 config layers=() layer
    config=$(jq -c 'if has("config") or has("os") then . else {config: .} end' <<<"$2")
    shift 2
    for layer in "$@"; do
        tar -C "$layer" --numeric-owner --owner=0 --group=0 -cf "$layer.tar" .
        layers+=("$layer.tar")
    done
    put_image "$CHECKS/layout" "$config" "${layers[@]}" | name_image "$CHECKS/layout" "$tag"
}

# make_variant TAG CONFIG: the fit image with another configuration
make_variant() {
    local manifest config
    manifest=$(jq -c '.manifests[] | select(.annotations[] == "fit")' "$CHECKS/layout/index.json")
    config=$(jq -c .config "$(blob_path "$CHECKS/layout" <<<"$manifest")")
    config=$(jq -c --argjson config "$2" '.config = $config' "$(blob_path "$CHECKS/layout" <<<"$config")" |
        put_blob "$CHECKS/layout" application/vnd.oci.image.config.v1+json)
    changed_manifest "$CHECKS/layout" "$manifest" ".config = $config" | name_image "$CHECKS/layout" "$1"
}

# layer NAME: an empty directory for one, in $LAYER
layer() {
    LAYER=$CHECKS/layers/$BATS_TEST_NUMBER/$1
    mkdir -p "$LAYER"
}

# check STATUS TAG|REFERENCE [OPTION...]: as JSON into $REPORT, with this exit status
check() {
    local expected=$1 reference=$2 status=0
    shift 2
    case $reference in
    *:*) ;;
    *) reference=oci:$CHECKS/layout:$reference ;;
    esac
    REPORT=$(mktemp "$REPORTS/XXXXXX")
    stepcell image check --json "$@" "$reference" >"$REPORT" || status=$?
    jq -c '[.verdict, (.findings[] | select(.level != "skipped") | [.id, .level, .message])]' "$REPORT"
    assert_equal "exit status" "$status" "$expected"
    assert_equal verdict "$(jq -r .verdict "$REPORT")" "$(verdict_of "$expected")"
}

verdict_of() { case $1 in 0) echo fit ;; 2) echo unfit ;; *) echo unknown ;; esac; }

# says ID LEVEL [PATTERN]: the report has such a finding
says() {
    local found
    found=$(jq -r --arg id "$1" --arg level "$2" \
        '[.findings[] | select(.id == $id and (.level == $level or .reason == $level)) | .message][0]' "$REPORT")
    assert_match "$1 $2: $found" "$1 $2: ${3:-*}"
    [ "$found" != null ]
}

passed() { jq -e --arg id "$1" '.passed | index($id)' "$REPORT" >/dev/null; }

layers_read() { jq -r '.images[0] | "\(.layers_read)/\(.layers)"' "$REPORT"; }

@test "a fit image is fit for every caller, and nothing is stored" {
    fit() {
        local before
        before=$(find "$TEST_DIR/store/$CALLER" | sort)
        check 0 fit
        assert_equal stored "$(find "$TEST_DIR/store/$CALLER" | sort)" "$before"
        passed libc && passed distro && passed packages && passed dotnet-deps && passed shell
        says win-age not-applicable
        says setuid off
    }
    each_caller fit
}

@test "a real Debian has its packages and .NET's needs, and a busybox does not" {
    check 0 "oci:$IMAGES/execution:latest"
    passed packages
    passed libc
    passed dotnet-deps
    says distro warning "*debian*"
    check 2 "oci:$IMAGES/busybox:latest"
    says packages error "*curl*"
    says libc error
    says dotnet-deps error "*libicu*"
    passed shell
}

@test "what a configuration can have wrong" {
    local id level config status
    while IFS='|' read -r id level config; do
        status=0
        [ "$level" != error ] || status=2
        make_variant "config-$id-$level" "$config"
        check $status "config-$id-$level"
        says "$id" "$level"
    done <<'END_TABLE'
entrypoint|error|{"Entrypoint":["/bin/sh","-c"]}
cmd|warning|{"Cmd":["nginx","-g","daemon off;"]}
workdir|warning|{"WorkingDir":"/app"}
user|warning|{"User":"app"}
user|error|{"User":"nobody-knows"}
user|info|{"User":"root"}
volume|warning|{"Volumes":{"/data":{}}}
volume|error|{"Volumes":{"/proc":{}}}
onbuild|info|{"OnBuild":["COPY . ."]}
healthcheck|info|{"Healthcheck":{"Test":["CMD","true"]}}
stopsignal|info|{"StopSignal":"SIGKILL"}
env-secrets|warning|{"Env":["API_TOKEN=do-not-print-me"]}
labels|info|{}
END_TABLE
    ! grep -q do-not-print-me "$REPORT"
}

@test "the history line that set the entrypoint is named" {
    make_image history '{"config":{"Entrypoint":["/app"]},"history":[{"created_by":"ENTRYPOINT [\"/app\"]"}]}' \
        "$CHECKS/root"
    check 2 history
    says entrypoint error "*'/app', set by 'ENTRYPOINT*"
}

@test "what files can have wrong, in an upper layer" {
    layer musl
    mkdir "$LAYER/bin"
    echo 'int main(void) { return 0; }' | musl-gcc -x c - -o "$LAYER/bin/sh"
    make_image musl '{}' "$CHECKS/root" "$LAYER"
    check 2 musl
    says libc error "*musl*"

    layer no-shell
    mkdir "$LAYER/bin"
    touch "$LAYER/bin/.wh.sh"
    make_image no-shell '{}' "$CHECKS/root" "$LAYER"
    check 2 no-shell
    says shell error

    layer foreign
    mkdir -p "$LAYER/usr/local/bin"
    head -c 4096 /bin/dash >"$LAYER/usr/local/bin/helm"
    printf '\267' | dd of="$LAYER/usr/local/bin/helm" bs=1 seek=18 conv=notrunc status=none
    chmod 0755 "$LAYER/usr/local/bin/helm"
    make_image foreign '{}' "$CHECKS/root" "$LAYER"
    check 0 foreign
    says arch-of-binaries warning "*helm"

    layer startup
    mkdir -p "$LAYER/root" "$LAYER/etc/profile.d"
    echo 'export PATH="/opt/tool/bin:$PATH"' >"$LAYER/root/.bashrc"
    echo 'eval "$(rbenv init -)"' >"$LAYER/etc/profile.d/rbenv.sh"
    make_image startup '{}' "$CHECKS/root" "$LAYER"
    check 0 startup
    says bashrc-path warning "*/opt/tool/bin"
    assert_equal count "$(jq '[.findings[] | select(.id == "bashrc-path")] | length' "$REPORT")" 2
}

@test "a whiteout deletes a package, and an opaque directory all of them" {
    layer one
    mkdir -p "$LAYER/var/lib/dpkg" "$LAYER/usr/bin"
    awk -v RS= -v ORS='\n\n' '!/^Package: curl\n/' "$CHECKS/root/var/lib/dpkg/status" >"$LAYER/var/lib/dpkg/status"
    touch "$LAYER/usr/bin/.wh.curl"
    make_image without-curl '{}' "$CHECKS/root" "$LAYER"
    check 2 without-curl
    says packages error "*: curl"

    # The data base says no, and a program on PATH is there.
    rm "$LAYER/usr/bin/.wh.curl"
    make_image with-program '{}' "$CHECKS/root" "$LAYER"
    check 0 with-program

    layer removed
    mkdir -p "$LAYER/var/lib/dpkg"
    sed '/^Package: unzip/,/^$/s/install ok installed/deinstall ok config-files/' \
        "$CHECKS/root/var/lib/dpkg/status" >"$LAYER/var/lib/dpkg/status"
    make_image removed '{}' "$CHECKS/root" "$LAYER"
    check 2 removed
    says packages error "*: unzip"

    layer opaque
    mkdir -p "$LAYER/var/lib/dpkg"
    touch "$LAYER/var/lib/dpkg/.wh..wh..opq"
    make_image opaque '{}' "$CHECKS/root" "$LAYER"
    check 2 opaque
    says packages error "*wget*"
}

@test "links are followed inside the image, over layers, and not out of it or for ever" {
    layer base
    cp -a "$CHECKS/root/." "$LAYER"
    rm -r "${LAYER:?}/bin"
    ln -s usr/bin "$LAYER/bin"
    local base=$LAYER
    layer top
    mkdir -p "$LAYER/usr/bin"
    cp /bin/dash "$LAYER/usr/bin/dash"
    ln -s dash "$LAYER/usr/bin/sh"
    make_image usrmerge '{}' "$base" "$LAYER"
    check 0 usrmerge
    passed shell

    layer escape
    mkdir -p "$LAYER"/{etc,bin,lib64,usr/lib}
    touch "$LAYER/usr/lib/.wh.os-release"
    ln -s ../../../../../etc/os-release "$LAYER/etc/os-release"
    ln -s ../../../../../../../bin/bash "$LAYER/bin/sh"
    ln -s /proc/self/root/lib64/ld-linux-x86-64.so.2 "$LAYER/lib64/ld-linux-x86-64.so.2"
    make_image escape '{}' "$CHECKS/root" "$LAYER"
    check 2 escape
    says distro error
    says shell error
    says libc error

    layer unread
    mkdir -p "$LAYER/etc" "$LAYER/opt"
    ln -s /opt/os-release "$LAYER/etc/os-release"
    echo ID=ubuntu >"$LAYER/opt/os-release"
    make_image unread '{}' "$CHECKS/root" "$LAYER"
    check 1 unread
    says distro unreadable
}

@test "no more is asked of a registry than the answers need" {
    FAULTS_DIR=$BATS_TEST_TMPDIR/faults
    start_registry
    layer lower
    head -c 200000 /dev/urandom >"$LAYER/large"
    make_image two '{}' "$LAYER" "$CHECKS/root"
    make_image three '{}' "$CHECKS/root" "$LAYER"
    push "oci:$CHECKS/layout:two" two:1.0
    push "oci:$CHECKS/layout:three" three:1.0
    start_before counted
    local server log
    server=$(faults counted) log=$FAULTS_DIR/counted/log
    asked() {
        jq -r '.path | select(contains("/blobs/") or contains("/manifests/")) | split("/")[-2]' "$log" |
            sort | uniq -c | awk '{ printf "%s%s %s", sep, $1, $2; sep = ", " }'
        : >"$log"
    }

    # The top layer says everything that matters: one configuration, one layer.
    check 0 "$server/two:1.0"
    assert_equal asked "$(asked)" "2 blobs, 1 manifests"
    assert_equal read "$(layers_read)" 1/2
    # So it does by what is asked alone: what is no error is not looked for further down.
    says waste not-needed
    check 0 "$server/two:1.0" --all-layers
    assert_equal asked "$(asked)" "3 blobs, 1 manifests"
    passed waste
    # The answer lies in the lowest layer.
    check 0 "$server/three:1.0"
    assert_equal asked "$(asked)" "3 blobs, 1 manifests"
    # No rule about files: no layer at all.
    echo '{"extends":"plain","levels":{"shell":"off"}}' >"$BATS_TEST_TMPDIR/config.json"
    check 0 "$server/two:1.0" --profile "$BATS_TEST_TMPDIR/config.json"
    assert_equal asked "$(asked)" "1 blobs, 1 manifests"
    [ ! -e "$TEST_DIR/store/$CALLER/blobs/sha256/$(jq -r '.digest[7:]' "$REPORT")" ]
    says digest info
    passed latest
}

@test "tag, label and key software agree, or it is said" {
    start_registry
    make_image labelled '{"Labels":{"org.opencontainers.image.version":"1.2"},"Env":["TOOL_VERSION=1.3"]}' "$CHECKS/root"
    push "oci:$CHECKS/layout:labelled" tool:1.2-ubuntu.2404
    push "oci:$CHECKS/layout:labelled" tool:1.3
    push "oci:$CHECKS/layout:labelled" tool:latest
    check 0 "$REGISTRY/tool:1.2-ubuntu.2404"
    passed version
    check 0 "$REGISTRY/tool:1.3"
    says version warning "*'1.3'*'1.2'"
    check 0 "$REGISTRY/tool:latest"
    says latest warning
    says version not-applicable
    echo '{"key_package":"curl","key_env":"TOOL_VERSION"}' >"$BATS_TEST_TMPDIR/key.json"
    check 0 "$REGISTRY/tool:1.2-ubuntu.2404" --profile "$BATS_TEST_TMPDIR/key.json"
    assert_equal count "$(jq '[.findings[] | select(.id == "version")] | length' "$REPORT")" 1
    says version warning "*variable*'1.3'"
    check 2 "$REGISTRY/tool:1.3" --fail-on warning
}

@test "an index is checked for every platform of the workers, without its attestations" {
    check 2 "oci:$IMAGES/platforms:latest" --profile plain
    says shell error
    passed os
    check 2 "oci:$IMAGES/platforms:latest" --profile plain --platform linux/amd64,linux/arm64,linux/s390x
    says os error "*no image for linux/s390x: it offers windows(10.0.20348.2227)/amd64, linux/arm64, linux/amd64"
    assert_equal images "$(jq -r '[.images[].platform] | join(" ")' "$REPORT")" \
        "linux/amd64 linux/arm64 linux/s390x"
    [ "$(jq '[.findings[] | select(.id == "shell" and .platform)] | length' "$REPORT")" = 3 ]
    check 2 "oci:$IMAGES/platforms:liar"
    says os error "*the index says linux/amd64*windows*"
    check 2 "oci:$IMAGES/platforms:windows"
    says os error "*it offers windows*"
    says shell not-applicable
}

@test "of an index without platforms the configurations say which image is looked at" {
    local layout=$BATS_TEST_TMPDIR/unnamed index digest named
    cp -r "$IMAGES/platforms" "$layout"
    index=$(jq -c '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == "latest")' "$layout/index.json")
    jq -c 'del(.manifests[].platform)' "$layout/blobs/sha256/$(jq -r '.digest[7:]' <<<"$index")" >"$layout/new"
    digest=$(sha256sum "$layout/new" | cut -d' ' -f1)
    jq -nc --argjson i "$index" --arg d "sha256:$digest" --argjson s "$(stat -c %s "$layout/new")" \
        '{schemaVersion: 2, manifests: [$i | .digest = $d | .size = $s]}' >"$layout/index.json"
    mv "$layout/new" "$layout/blobs/sha256/$digest"
    check 2 "oci:$IMAGES/platforms:latest" --profile plain --platform linux/amd64,linux/arm64
    named=$(jq -c '.images' "$REPORT")
    check 2 "oci:$layout:latest" --profile plain --platform linux/amd64,linux/arm64
    assert_equal images "$(jq -c '.images' "$REPORT")" "$named"
}

@test "Windows images: builds, age, and what cannot be looked at" {
    local base=$BATS_TEST_TMPDIR/windows
    mkdir -p "$base/Files" "$base/Hives"
    windows() { make_image "$1" "{\"os\":\"windows\",\"os.version\":\"$2\",\"config\":{\"Cmd\":[\"c:\\\\windows\\\\system32\\\\cmd.exe\"]}}" "$base"; }
    windows ltsc2022 10.0.20348.2227
    windows ltsc2016 10.0.14393.6614
    windows nameless ''
    check 0 ltsc2022 --platform windows/amd64
    passed os-version
    passed win-age
    passed cmd
    says libc not-applicable
    says packages not-applicable "*registry*"
    assert_equal read "$(layers_read)" 0/1
    check 0 ltsc2022 --platform 'windows(10.0.20348.1)/amd64'
    check 2 ltsc2022 --platform 'windows(10.0.17763.1)/amd64'
    says os error
    check 0 ltsc2016 --platform windows/amd64
    says win-age warning
    check 0 nameless --platform windows/amd64
    says os-version warning
    check 2 ltsc2022
    says os error "*no image for linux/amd64: it is one for windows(10.0.20348.2227)/amd64"
}

@test "what cannot be read is unknown, and never fit" {
    local name
    for name in flipped-layer truncated-layer longer-layer missing-layer wrong-size wrong-diff-id broken-stream; do
        check 1 "oci:$IMAGES/damaged/$name:latest" --profile plain
        says image unreadable
        says shell unreadable
        passed entrypoint
    done
    for name in flipped-config flipped-manifest; do
        check 1 "oci:$IMAGES/damaged/$name:latest"
        assert_equal findings "$(jq -c '[.findings[].id]' "$REPORT")" '["image"]'
    done
    check 1 127.0.0.1:1/away:1
    check 1 "oci:$CHECKS/nowhere:1"
    check 1 example.test/not-here:1 --pull never
    # Whatever is not asked.
    check 1 127.0.0.1:1/away:1 --ignore image
    says image unreadable
    check 1 "oci:$IMAGES/damaged/flipped-layer:latest" --profile plain --ignore image,user,os
    check 1 "oci:$CHECKS/layout:fit" --ignore os --platform linux/s390x
    # An error that is certain is one whatever the rest is.
    local manifest
    manifest=$(put_image "$CHECKS/layout" '{"config":{"Entrypoint":["/app"]}}' "$CHECKS/root.tar")
    cp -r "$CHECKS/layout" "$BATS_TEST_TMPDIR/layout"
    name_image "$BATS_TEST_TMPDIR/layout" torn <<<"$manifest"
    flip "$(jq -c '.layers[0]' "$(blob_path "$BATS_TEST_TMPDIR/layout" <<<"$manifest")" |
        blob_path "$BATS_TEST_TMPDIR/layout")" 1000
    check 2 "oci:$BATS_TEST_TMPDIR/layout:torn"
    says entrypoint error
    says libc unreadable
}

@test "the store's image is the one that is checked, unless the registry is asked" {
    start_registry
    push "oci:$CHECKS/layout:fit" stored:1
    stepcell image pull -q "$REGISTRY/stored:1" >/dev/null
    local reference=$REGISTRY/stored:1 blob
    # What is damaged in the store is looked for where it came from.
    blob=$TEST_DIR/store/$CALLER/blobs/sha256/$(skopeo inspect --raw --tls-verify=false "docker://$reference" |
        jq -r '.config.digest[7:]')
    cp -p "$blob" "$BATS_TEST_TMPDIR/config"
    sed -i s/linux/lunix/ "$blob"
    check 0 "$reference"
    check 1 "$reference" --pull never
    cp -p "$BATS_TEST_TMPDIR/config" "$blob"
    stop_registry
    check 0 "$reference"
    check 0 "$reference" --pull never
    check 1 "$reference" --pull always
    stepcell image remove "$reference"
}

@test "archives are checked as they are" {
    skopeo copy --quiet "oci:$CHECKS/layout:fit" "docker-archive:$BATS_TEST_TMPDIR/docker.tar:example.test/fit:1"
    skopeo copy --quiet "oci:$CHECKS/layout:fit" "oci-archive:$BATS_TEST_TMPDIR/oci.tar:fit"
    check 0 "docker-archive:$BATS_TEST_TMPDIR/docker.tar"
    check 0 "oci-archive:$BATS_TEST_TMPDIR/oci.tar:fit"
}

@test "waste, package lists and large layers" {
    layer lower
    cp -a "$CHECKS/root/." "$LAYER"
    mkdir -p "$LAYER/opt" "$LAYER/var/lib/apt/lists"
    head -c 20000000 /dev/zero >"$LAYER/opt/installer"
    head -c 2000000 /dev/zero >"$LAYER/var/lib/apt/lists/packages"
    local lower=$LAYER
    layer upper
    mkdir "$LAYER/opt"
    touch "$LAYER/opt/.wh.installer"
    make_image wasteful '{}' "$lower" "$LAYER"
    check 0 wasteful
    says waste warning "*package lists*"
    assert_match "$(jq -r '.findings[] | select(.id == "waste") | .message' "$REPORT")" "*'opt/installer' the largest*"
    echo '{"size_max":1000,"layer_max":1000}' >"$BATS_TEST_TMPDIR/small.json"
    check 0 wasteful --profile "$BATS_TEST_TMPDIR/small.json"
    assert_equal count "$(jq '[.findings[] | select(.id == "size")] | length' "$REPORT")" 2
}

@test "profiles: built in and one's own, levels, what is ignored, set-id programs" {
    cat >"$BATS_TEST_TMPDIR/own.json" <<'END'
{"extends": "octopus", "name": "ours", "levels": {"setuid": "warning", "sudo": "error", "labels": "error"},
 "tools": ["openssl", "kubectl"], "shells": ["bash"], "distributions": ["ubuntu"], "packages": ["wget"]}
END
    layer setuid
    mkdir -p "$LAYER/usr/bin"
    printf '#!/bin/sh\n' >"$LAYER/usr/bin/sudo"
    chmod 4755 "$LAYER/usr/bin/sudo"
    make_image own '{}' "$CHECKS/root" "$LAYER"
    check 2 own --profile "$BATS_TEST_TMPDIR/own.json"
    says setuid warning "*sudo"
    says sudo error
    says labels error
    says path error "*kubectl"
    assert_equal profile "$(jq -r .profile "$REPORT")" ours
    check 0 own --profile "$BATS_TEST_TMPDIR/own.json" --ignore sudo,labels,path
    says sudo off
    check 2 own --fail-on warning --profile "$BATS_TEST_TMPDIR/own.json" --ignore sudo,labels,path
    check 2 fit --fail-on info
    check 0 "oci:$IMAGES/busybox:latest" --profile plain
}

@test "what is asked wrongly is refused" {
    refused() {
        run -125 --separate-stderr stepcell image check "$@"
        assert_equal stdout "$output" ''
        assert_match "$stderr" "stepcell: *"
    }
    refused
    refused a b
    refused --profile mine "oci:$CHECKS/layout:fit"
    refused --profile ./missing.json "oci:$CHECKS/layout:fit"
    refused --fail-on fatal "oci:$CHECKS/layout:fit"
    refused --fail-on off "oci:$CHECKS/layout:fit"
    refused --ignore unknown "oci:$CHECKS/layout:fit"
    refused --format html "oci:$CHECKS/layout:fit"
    refused --platform x "oci:$CHECKS/layout:fit"
    refused --pull sometimes "oci:$CHECKS/layout:fit"
    echo '{"levels":{"cmd":"fatal"}}' >"$BATS_TEST_TMPDIR/bad.json"
    refused --profile "$BATS_TEST_TMPDIR/bad.json" "oci:$CHECKS/layout:fit"
    assert_match "$stderr" "*the level of 'cmd'*"
}

@test "text, JUnit and SARIF say the same, whatever an image's texts hold" {
    local entrypoint='a\u001b[31m<&>\"'"'"' ##octopus[setVariable] \u007f ü'
    make_image hostile "{\"Entrypoint\":[\"$entrypoint\"],\"User\":\"<b>\"}" "$CHECKS/root"
    run -2 stepcell image check "oci:$CHECKS/layout:hostile"
    assert_match "$output" "*: unfit (profile octopus, sha256:*"
    assert_match "$output" "*error *entrypoint *hint:*"
    assert_match "$output" "*passed: *"
    [[ $output != *$'\e'* && $output != *$'\x7f'* && $output != *'##'* && $output != *ü* ]]
    run -2 stepcell image check --json "oci:$CHECKS/layout:hostile"
    [[ $output != *'##'* ]]
    assert_match "$(jq -r '.findings[] | select(.id == "entrypoint") | .message' <<<"$output")" '*##octopus*ü*'
    run -2 stepcell image check --format junit "oci:$CHECKS/layout:hostile"
    run -0 /usr/bin/python3 "$TESTS/lib/check_report.py" junit <<<"$output"
    assert_match "$output" "*entrypoint failure*"
    assert_match "$output" "*os-version skipped*"
    run -2 stepcell image check --format sarif "oci:$CHECKS/layout:hostile"
    run -0 /usr/bin/python3 "$TESTS/lib/check_report.py" sarif <<<"$output"
    assert_match "$output" "*entrypoint fail error*"
    assert_match "$output" "*os-version notApplicable none*"
    assert_match "$output" "*packages pass none*"
    # And of an image that cannot be read.
    run -1 stepcell image check --format sarif "oci:$IMAGES/damaged/flipped-layer:latest" --profile plain
    run -0 /usr/bin/python3 "$TESTS/lib/check_report.py" sarif <<<"$output"
    assert_match "$output" "*shell open none*"
    run -1 stepcell image check --format junit "oci:$IMAGES/damaged/flipped-layer:latest" --profile plain
    run -0 /usr/bin/python3 "$TESTS/lib/check_report.py" junit <<<"$output"
    assert_match "$output" "*shell error*"
}

@test "a large layer needs little memory, and nothing on the disk" {
    local STEPCELL=$STEPCELL_RELEASE kib
    layer zeros
    cp -a "$CHECKS/root/." "$LAYER"
    head -c 150000000 /dev/zero >"$LAYER/zeros"
    make_image zeros '{}' "$LAYER"
    rm "$LAYER/zeros" "$LAYER.tar"
    as time --quiet -f %M -o "$BATS_TEST_TMPDIR/peak" "$STEPCELL" image check "oci:$CHECKS/layout:zeros" >/dev/null
    kib=$(tail -n 1 "$BATS_TEST_TMPDIR/peak")
    echo "peak: $kib KiB"
    [ "$kib" -le 40960 ]
}

@test "all reports so far have the documented shape" {
    check 2 "oci:$IMAGES/platforms:latest" --platform linux/amd64,linux/s390x
    run -0 /usr/bin/python3 "$TESTS/lib/check_report.py" json "$REPORTS"/*
    assert_match "$output" "*os error*"
}

@test "docs/image-check.md has every rule and its levels, and no other" {
    local levels
    levels=$(join <(stepcell image check --list-rules | awk '{ print $1, $2 }' | sort) \
        <(stepcell image check --list-rules --profile plain | awk '{ print $1, $2 }' | sort))
    diff <(sort <<<"$levels") \
        <(sed -n 's/^| `\([a-z-]*\)` | \([a-z]*\) | \([a-z]*\) |.*/\1 \2 \3/p' "$TESTS/../docs/image-check.md" | sort)
    run -0 stepcell image check --list-rules --json
    assert_equal schema "$(jq -r .schema <<<"$output")" stepcell.image-rules/1
}
