# upstream check: feeds served from files, images in a real registry, and faults of both.

load ../lib/common
load ../lib/registry
load ../lib/images
load ../lib/faults

setup_file() {
    export MADE=$TEST_DIR/upstream
    local name
    mkdir -p "$MADE"
    for name in base newer tool; do
        echo "$name" >"$MADE/$name"
        tar -C "$MADE" --numeric-owner --owner=0 --group=0 -cf "$MADE/$name.tar" "$name"
    done
    new_layout "$MADE/layout"
}

setup() {
    PIDS=() FAULT_PIDS=()
    FAULTS_DIR=$(mktemp -d "$TEST_DIR/faults.XXXXXX")
    FEED_DIR=$(mktemp -d "$TEST_DIR/feeds.XXXXXX")
    chmod a+rx "$FEED_DIR"
    start_registry
    IMAGE=$REGISTRY/team/tool
    serve feed
}

teardown() {
    local pid
    for pid in "${PIDS[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    stop_faults
    stop_registry
    rm -rf "$FEED_DIR"
}

# serve NAME [OPTION...]: a server with faults; `at NAME` is its URL
serve() {
    local directory=$FEED_DIR/$1
    shift
    mkdir -p "$directory/www"
    touch "$directory/log" "$directory/faults"
    /usr/bin/python3 "$TESTS/lib/feed_server.py" "$directory" "$@" >"$directory/out" 2>&1 3>&- &
    PIDS+=("$!")
    wait_for test -s "$directory/port"
}
at() { echo "http://127.0.0.1:$(cat "$FEED_DIR/$1/port")"; }
fault() { echo "${*:2}" >>"$FEED_DIR/$1/faults"; }
no_faults() { : >"$FEED_DIR/$1/faults"; }
asked() { jq -r "$2" "$FEED_DIR/$1/log"; }

# maven VERSION...: the feed, as Maven has it; its latest and release are the last one
maven() {
    {
        echo "<?xml version=\"1.0\" encoding=\"UTF-8\"?><metadata><versioning><latest>${*: -1}</latest>"
        echo "<release>${*: -1}</release><versions>"
        printf '<version>%s</version>\n' "$@"
        echo "</versions></versioning></metadata>"
    } >"$FEED_DIR/feed/www/maven-metadata.xml"
}

# made LAYERS PLATFORM: the descriptor of an image of these layers, which is put together once; windows:VERSION is one of Windows
made() {
    local file=$MADE/made-${1// /+}-${2//\//+} layers os=${2%/*} arch=${2#*/} version=''
    if [ ! -e "$file" ]; then
        read -ra layers <<<"$1"
        layers=("${layers[@]/#/$MADE/}")
        [[ $2 != windows:* ]] || os=windows arch=amd64 version=${2#*:}
        put_image "$MADE/layout" "$(jq -nc --arg os "$os" --arg arch "$arch" --arg version "$version" \
            '{os: $os, architecture: $arch} + if $version == "" then {} else {"os.version": $version} end')" \
            "${layers[@]/%/.tar}" | on_platform "$os" "$arch" | jq -c --arg version "$version" \
            'if $version == "" then . else .platform["os.version"] = $version end' >"$file"
    fi
    cat "$file"
}

# image TAG REPOSITORY LAYERS PLATFORM...: in the registry
image() {
    local layout=$MADE/layout images=() platform
    for platform in "${@:4}"; do images+=("$(made "$3" "$platform")"); done
    echo "$EMPTY_LAYOUT" >"$layout/index.json"
    put_index "$layout" "${images[@]}" | name_image "$layout" image
    push "oci:$layout:image" "$2:$1"
}

check() { stepcell upstream check --image "$IMAGE" "$@"; }
maven_check() { check --feed "maven:$(at feed)/maven-metadata.xml" "$@"; }

# answers DECISION REASON VERSION COMMAND...: with the exit status that goes with it; sets output
answers() {
    local exit=0
    [ "$1" != unknown ] || exit=1
    run "-$exit" --separate-stderr "${@:4}" --json
    assert_equal answer "$(jq -r '[.schema, .decision, .reason, .version // "", .message != ""] | join(" ")' <<<"$output")" \
        "stepcell.upstream-check/1 $1 $2 $3 true"
    # What is unknown is said as any error, with a hint.
    [ "$1" != unknown ] || assert_match "$stderr" "stepcell: *"
}

@test "a new version, the same one, and a half-failed build" {
    maven 7.9.9 7.10.0 8.0.0-beta1 7.8.0
    answers yes new-version 7.10.0 maven_check
    assert_equal tag "$(jq -r .tag <<<"$output")" 7.10.0
    assert_equal previous "$(jq -r .previous <<<"$output")" null
    image 7.9.9 team/tool "base tool" linux/amd64 windows:10.0.20348.2113
    # The platforms' own tags came, and the one for all of them did not.
    image 7.10.0-ubuntu.2204 team/tool "base tool" linux/amd64
    answers yes new-version 7.10.0 maven_check
    assert_equal previous "$(jq -r .previous <<<"$output")" 7.9.9
    image 7.10.0 team/tool "base tool" linux/amd64
    answers no up-to-date 7.10.0 maven_check
    assert_equal previous "$(jq -r .previous <<<"$output")" 7.10.0
    # One that lacks what it should have is not there.
    answers yes platform-missing 7.10.0 maven_check --platform linux/amd64,windows/amd64
    image 7.10.0 team/tool "base tool" linux/amd64 windows:10.0.20348.2113
    answers no up-to-date 7.10.0 maven_check --platform linux/amd64,windows/amd64
    answers no up-to-date 7.10.0 maven_check --platform 'windows(10.0.20348)/amd64'
    answers yes platform-missing 7.10.0 maven_check --platform 'windows(10.0.26100)/amd64'
    answers yes platform-missing 7.10.0 maven_check --platform linux/arm64
    answers yes forced 7.10.0 maven_check --force
    # Another template is another tag.
    answers yes new-version 7.10.0 maven_check --tag '{version}-win.2022'
    answers no up-to-date 7.10.0 maven_check --tag '{version}-ubuntu.2204'
    run -0 --separate-stderr maven_check
    assert_equal text "$output" "no: up-to-date: there is '7.10.0' already"
}

@test "an index that names what is not there any more is no image" {
    local digest
    maven 1.0
    image 1.0 team/tool "base tool" linux/amd64 linux/arm64
    digest=$(skopeo inspect --raw --tls-verify=false "docker://$IMAGE:1.0" | jq -r '.manifests[1].digest')
    curl -sf -X DELETE "http://$REGISTRY/v2/team/tool/manifests/$digest"
    answers yes platform-missing 1.0 maven_check
    assert_match "$(jq -r .message <<<"$output")" "*lacks what it names"
}

@test "what an index says of an image is compared with it, and every part of it has to be there" {
    local layout=$MADE/layout lie config layer
    maven 1.0
    # tagged DESCRIPTOR: what the tag 1.0 is from now on
    tagged() {
        echo "$EMPTY_LAYOUT" >"$layout/index.json"
        put_index "$layout" "$1" | name_image "$layout" image
        push "oci:$layout:image" team/tool:1.0
    }
    lie=$(made "base tool" linux/arm64 | jq -c '.platform.architecture = "amd64"')
    tagged "$lie"
    answers yes platform-missing 1.0 maven_check --platform linux/amd64
    # The index names a newer Windows than the image's own configuration, or none.
    image latest team/base "base" windows:10.0.20348.9
    tagged "$(made "base tool" windows:10.0.20348.5 | jq -c '.platform["os.version"] = "10.0.20348.9"')"
    answers yes windows-behind 1.0 maven_check --base "$REGISTRY/team/base:latest"
    tagged "$(made "base tool" windows:10.0.20348.9 | jq -c 'del(.platform["os.version"])')"
    answers no up-to-date 1.0 maven_check --base "$REGISTRY/team/base:latest" --platform 'windows(10.0.20348)/amd64'
    for part in .config.digest '.layers[1].digest'; do
        image 1.0 team/tool "base tool" linux/amd64
        answers no up-to-date 1.0 maven_check
        part=$(made "base tool" linux/amd64 | blob_path "$layout" | xargs jq -r "$part")
        curl -sf --noproxy '*' -X DELETE "http://$REGISTRY/v2/team/tool/blobs/$part"
        answers yes platform-missing 1.0 maven_check
    done
}

@test "a base that moved, and Windows that was patched" {
    local windows=windows:10.0.20348
    maven 1.0
    image latest team/base "base" linux/amd64 $windows.2113
    image 1.0 team/tool "base tool" linux/amd64 $windows.2113
    answers no up-to-date 1.0 maven_check --base "$REGISTRY/team/base:latest"
    image latest team/base "newer" linux/amd64 $windows.2113
    answers yes base-changed 1.0 maven_check --base "$REGISTRY/team/base:latest"
    image 1.0 team/tool "newer tool" linux/amd64 $windows.2113
    answers no up-to-date 1.0 maven_check --base "$REGISTRY/team/base:latest"
    assert_equal baseless "$(jq -c .baseless <<<"$output")" '[]'
    # 2031 is less than 2113, and 989 than both.
    image latest team/windows "newer" $windows.2031
    answers no up-to-date 1.0 maven_check --base "$REGISTRY/team/windows:latest"
    # Of what no base has nothing is known.
    assert_equal baseless "$(jq -c '[.message, .baseless]' <<<"$output")" \
        "$(jq -nc '["there is '"'1.0'"' already; nothing is known for linux/amd64, which no base has", ["linux/amd64"]]')"
    image latest team/windows "newer" $windows.20310
    answers yes windows-behind 1.0 maven_check --base "$REGISTRY/team/windows:latest"
    # Beside a newer Windows that the image is not built for.
    image latest team/windows "newer" windows:10.0.26100.1 $windows.2113
    answers no up-to-date 1.0 maven_check --base "$REGISTRY/team/base:latest,$REGISTRY/team/windows:latest"
    assert_equal baseless "$(jq -c .baseless <<<"$output")" '[]'
    # An image that cannot say which Windows it is for.
    image 1.0 team/tool "newer tool" linux/amd64 windows/amd64
    answers yes windows-behind 1.0 maven_check --base "$REGISTRY/team/windows:latest"
    answers unknown base-failed 1.0 maven_check --base "$REGISTRY/team/gone:latest"
    image arm team/base "base" linux/arm64
    answers unknown base-failed 1.0 maven_check --base "$REGISTRY/team/base:arm"
}

@test "a registry that does not say is never taken for one without the tag" {
    local status
    maven 1.0
    image 0.9 team/tool "base tool" linux/amd64
    serve front --upstream "http://$REGISTRY"
    IMAGE=$(at front)/team/tool
    IMAGE=${IMAGE#http://}
    answers yes new-version 1.0 maven_check
    # 404 is what any web server says: here without a registry's words.
    for status in 401 403 404 long:429 400 405; do
        no_faults front
        fault front "/manifests/1.0 $status"
        answers unknown registry-failed 1.0 maven_check
        no_faults front
        fault front "/tags/list $status"
        [ "$status" = 404 ] || answers unknown registry-failed 1.0 maven_check
    done
    no_faults front
    fault front "/manifests/1.0 once:503"
    answers yes new-version 1.0 maven_check
    no_faults front
    image 1.0 team/tool "base tool" linux/amd64
    fault front "/blobs/ 403"
    answers unknown registry-failed 1.0 maven_check
    FRONT=$IMAGE IMAGE=$REGISTRY/team/tool
    answers unknown base-failed 1.0 maven_check --base "$FRONT:0.9"
    # A tag that is listed, and is not there.
    rm -r "$REGISTRY_DIR/data/docker/registry/v2/repositories/team/tool/_manifests/revisions"
    answers unknown registry-failed 1.0 maven_check
    assert_match "$(jq -r .message <<<"$output")" "*lists the tag '1.0', and has none"
    # No registry at all.
    IMAGE=$(at feed)/team/tool
    IMAGE=${IMAGE#http://}
    answers unknown registry-failed 1.0 maven_check
    stop_registry
    IMAGE=127.0.0.1:$(free_port)/team/tool
    answers unknown registry-failed 1.0 maven_check
}

@test "a mirror does not say what a tag is, even one that may for a pull" {
    local config=$FEED_DIR/config
    maven 1.0
    image 0.9 team/tool "base tool" linux/amd64
    image 1.0 mirrored/team/tool "base tool" linux/amd64
    mkdir -p "$config/stepcell"
    echo "{\"registries\": {\"$REGISTRY\": {\"mirrors\": [{\"location\": \"$REGISTRY/mirrored\", \"resolve\": true}]}}}" \
        >"$config/stepcell/config.json"
    export XDG_CONFIG_HOME=$config
    run -0 stepcell image pull -q --store "$FEED_DIR/store" "$IMAGE:1.0"
    answers yes new-version 1.0 maven_check
    run -125 stepcell manifest create "$IMAGE:all" "$IMAGE:1.0"
}

@test "the tag is asked for, however many pages of tags there are" {
    local tags new=()
    maven 0.9.5
    image 0.9.5 team/tool "base tool" linux/amd64
    tags=$REGISTRY_DIR/data/docker/registry/v2/repositories/team/tool/_manifests/tags
    new=("$tags"/0.{1,2,3}.{0..70}/current)
    mkdir -p "${new[@]}"
    tee "${new[@]/%//link}" <"$tags/0.9.5/current/link" >/dev/null
    start_before pages pages
    IMAGE=$(faults pages)/team/tool
    answers no up-to-date 0.9.5 maven_check
    assert_equal pages "$(requests_of_pages)" 3
    # The newest one is on the last page: a feed behind it is seen.
    maven 0.9.4
    answers unknown feed-behind 0.9.4 maven_check
    assert_match "$(jq -r .message <<<"$output")" "*'0.9.5'*"
}
requests_of_pages() { jq -r 'select(.path | contains("/tags/list")).path' "$FAULTS_DIR/pages/log" | wc -l; }

@test "a feed that goes back, is stale, or mixes versions is no answer" {
    image 7.10.0 team/tool "base tool" linux/amd64
    maven 7.9.9
    answers unknown feed-behind 7.9.9 maven_check
    assert_equal previous "$(jq -r .previous <<<"$output")" 7.10.0
    answers yes new-version 7.9.9 maven_check --exclude 7.10.0
    answers unknown feed-behind 7.9.9 maven_check --exclude 7.10.0 --at-least 7.9.10
    # Another line of the same image.
    maven 6.9 7.9.9
    answers yes new-version 6.9 maven_check --constraint '<7'
    maven 2.1 20240101
    answers unknown feed-mixed "" maven_check --scheme docker
    answers unknown feed-behind 2.1 maven_check --scheme docker --at-least 2.0
    maven 8.0.0-beta1 latest
    answers unknown feed-empty "" maven_check
    answers yes new-version 8.0.0-beta1 maven_check --prereleases
}

@test "a broken feed is no answer, and says so" {
    local status feed=$FEED_DIR/feed/www
    image 1.0 team/tool "base tool" linux/amd64
    echo '<html><body>We moved. Version 9.9</body></html>' >"$feed/page"
    : >"$feed/empty"
    echo '<metadata><versioning><versions/></versioning></metadata>' >"$feed/none.xml"
    printf '<!DOCTYPE m [<!ENTITY v SYSTEM "file://%s">]><metadata><versioning><versions><version>&v;</version></versions></versioning></metadata>' \
        "$feed/page" >"$feed/entity.xml"
    answers unknown feed-invalid "" check --feed "maven:$(at feed)/page"
    answers unknown feed-invalid "" check --feed "maven:$(at feed)/empty"
    answers unknown feed-empty "" check --feed "maven:$(at feed)/none.xml"
    answers unknown feed-invalid "" check --feed "maven:$(at feed)/entity.xml"
    answers unknown feed-invalid "" check --feed "github:$(at feed)/page"
    answers unknown feed-invalid "" check --feed "npm:$(at feed)/empty"
    answers unknown feed-invalid "" check --feed "apt:$(at feed)/page#tool"
    answers unknown feed-empty "" check --feed "text:$(at feed)/page#tool-([0-9.]+)"
    answers unknown feed-failed "" check --feed "maven:$(at feed)/gone"
    answers unknown feed-failed "" check --feed "maven:file:///gone/maven-metadata.xml"
    answers unknown feed-failed "" check --feed "maven:http://127.0.0.1:$(free_port)/"
    maven 1.1
    answers unknown feed-failed "" check --feed "tags:$REGISTRY/team/gone"
    for status in 401 403 404 long:429 cut; do
        no_faults feed
        fault feed "/maven $status"
        answers unknown feed-failed "" maven_check
    done
    no_faults feed
    fault feed "/maven once:503"
    answers yes new-version 1.1 maven_check
}

@test "every kind of feed leads to the same answer" {
    local feed=$FEED_DIR/feed/www url layers
    url=$(at feed)
    image 7.9.9 team/tool "base tool" linux/amd64
    echo '[{"tag_name": "v7.9.9"}, {"tag_name": "v9.0", "draft": true}, {"tag_name": "nightly"}]' >"$feed/releases"
    echo '[{"tag_name": "v7.10.0"}, {"tag_name": "v8.0.0", "prerelease": true}]' >"$feed/more"
    fault feed "/releases link:/more?page=2"
    answers yes new-version 7.10.0 check --feed "github:$url/releases"
    assert_equal accept "$(asked feed 'select(.path == "/releases").accept')" \
        "application/vnd.github+json, application/json"
    # A page that is not had is no end.
    fault feed "/more 500"
    answers unknown feed-failed "" check --feed "github:$url/releases"
    no_faults feed
    fault feed "/releases link:http://localhost:1/more"
    answers unknown feed-failed "" check --feed "github:$url/releases"
    no_faults feed
    fault feed "/releases link:/releases"
    answers unknown feed-failed "" check --feed "github:$url/releases"
    echo '{"dist-tags": {"latest": "7.10.0"}, "versions": {"7.10.0": {}, "7.9.9": {}, "8.0.0": {}}}' >"$feed/npm"
    answers yes new-version 7.10.0 check --feed "npm:$url/npm"
    echo '{"releases": {"7.10.0": [{"yanked": false}], "8.0": [{"yanked": true}], "9.0": [], "8.1rc1": [{}]}}' >"$feed/pypi"
    answers yes new-version 7.10.0 check --feed "pypi:$url/pypi"
    printf 'Package: tool\nVersion: 7.10.0-1~noble\n\nPackage: tool\nVersion: 7.9.9-1~noble\n' >"$feed/Packages"
    gzip -k "$feed/Packages"
    printf '\xfd7zXZ\0' >"$feed/Packages.xz"
    answers yes new-version 7.10.0-1~noble check --feed "apt:$url/Packages#tool"
    answers yes new-version 7.10.0-1~noble check --feed "apt:$url/Packages.gz#tool"
    assert_equal tag "$(jq -r .tag <<<"$output")" 7.10.0-1-noble
    answers unknown feed-invalid "" check --feed "apt:$url/Packages.xz#tool"
    head -c 60 "$feed/Packages.gz" >"$feed/cut.gz"
    answers unknown feed-invalid "" check --feed "apt:$url/cut.gz#tool"
    echo '{"releases": [{"v": "7.9.9"}, {"v": "7.10.0"}]}' >"$feed/index.json"
    answers yes new-version 7.10.0 check --feed "json:$url/index.json#/releases/*/v"
    echo '<a href="tool-7.10.0.tar.gz">tool</a> <a href="tool-7.9.9.tar.gz">' >"$feed/page"
    answers yes new-version 7.10.0 check --feed "text:$url/page#tool-([0-9.]+)\.tar"
    answers yes new-version 7.10.0 check --feed "text:file://$feed/page#tool-([0-9.]+)\.tar"
    layers=$(push "oci:$MADE/layout:image" team/other:7.10.0-ubuntu.24.04 && push "oci:$MADE/layout:image" team/other:latest &&
        push "oci:$MADE/layout:image" team/other:8.0.0-windows.ltsc2022)
    assert_equal pushed "$layers" ""
    answers yes new-version 7.10.0 check --feed "tags:$REGISTRY/team/other" --suffix -ubuntu.24.04
}

@test "a token goes to the feed alone" {
    local feed=$FEED_DIR/feed/www
    maven 1.0
    echo s3cret >"$FEED_DIR/token"
    echo worker:s3cret >"$FEED_DIR/password"
    fault feed "/maven need:Bearer s3cret"
    answers unknown feed-failed "" maven_check
    answers yes new-version 1.0 maven_check --token-file "$FEED_DIR/token"
    no_faults feed
    fault feed "/maven need:Basic d29ya2VyOnMzY3JldA=="
    answers yes new-version 1.0 maven_check --token-file "$FEED_DIR/password"
    # A redirect elsewhere does not take it along.
    serve other
    cp "$feed/maven-metadata.xml" "$FEED_DIR/other/www/"
    no_faults feed
    fault feed "/maven to:$(at other)/maven-metadata.xml"
    answers yes new-version 1.0 maven_check --token-file "$FEED_DIR/token"
    assert_equal "authorization there" "$(asked other .authorization)" ""
    run -1 --separate-stderr check --feed "maven:http://feed.example.org/m" --token-file "$FEED_DIR/token"
    assert_match "$stderr" "*plain HTTP*"
    run ! grep s3cret <<<"$output$stderr"
    printf 'a\nb\n' >"$FEED_DIR/token"
    run -125 --separate-stderr maven_check --token-file "$FEED_DIR/token"
    : >"$FEED_DIR/token"
    run -125 --separate-stderr maven_check --token-file "$FEED_DIR/token"
}

@test "a feed behind TLS has to be trusted, by certs.d for its host" {
    local -x XDG_CONFIG_HOME=$FEED_DIR/config
    local host
    CONFIG=$XDG_CONFIG_HOME
    make_authority
    make_certificate feed IP:127.0.0.1
    serve secure --tls "$CERTS/feed.cert" "$CERTS/feed.key"
    host=$(at secure)
    host=${host#http://}
    maven 1.0
    cp "$FEED_DIR/feed/www/maven-metadata.xml" "$FEED_DIR/secure/www/"
    answers unknown feed-failed "" check --feed "maven:https://$host/maven-metadata.xml"
    trust "$host"
    answers yes new-version 1.0 check --feed "maven:https://$host/maven-metadata.xml"
    # Down to plain HTTP leads no redirect.
    fault secure "/maven to:$(at feed)/maven-metadata.xml"
    answers unknown feed-failed "" check --feed "maven:https://$host/maven-metadata.xml"
    assert_equal "asked there" "$(asked feed .path)" ""
}

@test "outputs for each system, with chosen names" {
    local names=(--name-version CURRENT_FLYWAY_VERSION --name-continue Continue)
    maven 7.10.0
    export GITHUB_OUTPUT=$FEED_DIR/github
    echo "before=1" >"$GITHUB_OUTPUT"
    run -0 --separate-stderr maven_check --output github "${names[@]}"
    assert_match "$output" "yes: new-version: *"
    assert_equal github "$(cat "$GITHUB_OUTPUT")" $'before=1\nCURRENT_FLYWAY_VERSION=7.10.0\nContinue=Yes'
    # Behind a line without an end.
    printf before=2 >"$GITHUB_OUTPUT"
    run -0 --separate-stderr maven_check --output github "${names[@]}" --at-least v7.9
    assert_equal github "$(cat "$GITHUB_OUTPUT")" $'before=2\nCURRENT_FLYWAY_VERSION=7.10.0\nContinue=Yes'
    run -0 --separate-stderr maven_check --output gitlab "${names[@]}"
    assert_equal gitlab "$output" $'CURRENT_FLYWAY_VERSION=7.10.0\nContinue=Yes'
    run -0 --separate-stderr maven_check --output azure
    assert_match "$output" "*##vso\[task.setvariable variable=CURRENT_VERSION;isOutput=true\]7.10.0*Continue;isOutput=true\]Yes"
    run -0 --separate-stderr maven_check --output teamcity "${names[@]}"
    assert_equal teamcity "$output" "##teamcity[setParameter name='CURRENT_FLYWAY_VERSION' value='7.10.0']
##teamcity[setParameter name='Continue' value='Yes']"
    run -0 --separate-stderr maven_check --output octopus "${names[@]}"
    assert_equal octopus "$output" "##octopus[setVariable name='$(printf CURRENT_FLYWAY_VERSION | base64)' value='$(printf 7.10.0 | base64)']
##octopus[setVariable name='$(printf Continue | base64)' value='$(printf Yes | base64)']"
    run -0 --separate-stderr maven_check --output json
    assert_equal json "$(jq -r .decision <<<"$output")" yes
    # No, and unknown: no one goes on, and unknown fails the job.
    image 7.10.0 team/tool "base tool" linux/amd64
    run -0 --separate-stderr maven_check --output gitlab "${names[@]}"
    assert_equal no "$output" $'CURRENT_FLYWAY_VERSION=7.10.0\nContinue=No'
    run -1 --separate-stderr check --feed "maven:$(at feed)/gone" --output gitlab "${names[@]}"
    assert_equal unknown "$output" Continue=No
    run -1 --separate-stderr check --feed "maven:$(at feed)/gone" --output github
    assert_equal github "$(tail -n 1 "$GITHUB_OUTPUT")" Continue=No
    unset GITHUB_OUTPUT
    run -125 --separate-stderr maven_check --output github
    assert_match "$stderr" "*GITHUB_OUTPUT*"
    GITHUB_OUTPUT=$FEED_DIR/gone/file run -125 --separate-stderr maven_check --output github
}

@test "no version reaches an output that is more than a version" {
    local feed=$FEED_DIR/feed/www
    export GITHUB_OUTPUT=$FEED_DIR/github
    jq -n '[{tag_name: "v9.0\nContinue=Yes"}, {tag_name: "v9.1]##vso[x]"}, {tag_name: "v9.2;rm -rf"},
        {tag_name: "v9.3$(id)"}, {tag_name: "v9.4\u001b[31m"}, {tag_name: "v9.5|n"}, {tag_name: "v9.6<<EOF"},
        {tag_name: "v9.7\u202e"}, {tag_name: ("v9." + "1" * 200)}]' >"$feed/hostile"
    run -1 --separate-stderr check --feed "github:$(at feed)/hostile" --output github
    assert_equal github "$(cat "$GITHUB_OUTPUT")" Continue=No
    jq '. + [{tag_name: "v1.0"}]' "$feed/hostile" >"$feed/mixed"
    answers yes new-version 1.0 check --feed "github:$(at feed)/mixed"
}

@test "options that cannot be meant are refused" {
    maven 1.0
    local bad
    for bad in "--feed nuget:http://x/" "--image $IMAGE:1.0" "--image oci:/x" "--tag latest" "--scheme natural" \
        "--constraint soon" "--at-least abc" "--platform linux" "--base oci:/x" "--output jenkins" "--name-version 1A" \
        "--name-continue A=B" "--name-continue current_version" "--json --output gitlab" "--expression x" "--token-file /gone" "--feed tags:$IMAGE --token-file /dev/null" word; do
        # shellcheck disable=SC2086 # options
        run -125 --separate-stderr maven_check $bad
        assert_match "$stderr" "stepcell: *"
        assert_equal stdout "$output" ""
    done
    run -125 --separate-stderr stepcell upstream check --image "$IMAGE"
    run -125 --separate-stderr stepcell upstream look
}
