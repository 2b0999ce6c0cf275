# shellcheck shell=bash
# Two network namespaces that play the host and the Internet, so that the machine's own network is never
# touched. On the host, which is a mount namespace too, stepcell runs and files of the system can be covered.
#
#   Internet  203.0.113.1, fd00:5c::1: a web server (port 80) and a name server that knows "step.example"
#   host      203.0.113.2, fd00:5c::2: a web server on 127.0.0.1 and ::1 (port 8080), and a name server on
#             127.0.0.53 that knows "loop.example"; it listens on an abstract socket, too

OUTSIDE=203.0.113.1

# hold_namespaces FLAGS NAME: keeps new namespaces open, and sets NAME to the process that does
hold_namespaces() {
    local pid
    # shellcheck disable=SC2086 # words are meant
    unshare $1 --propagation private sleep infinity >/dev/null 2>&1 3>&- &
    pid=$!
    wait_for has_left_namespace "$pid"
    printf -v "$2" %s "$pid"
    echo "$pid" >>"$NET_DIR/servers"
}

has_left_namespace() { [ "$(readlink "/proc/$1/ns/net")" != "$(readlink /proc/self/ns/net)" ]; }

on_host() { nsenter -t "$HOST" -n -m --wdns="$PWD" -- "$@"; }
outside() { nsenter -t "$INTERNET" -n -m -- "$@"; }

# serve NAMESPACES COMMAND...: $! is the server itself; remove_networks ends it, whoever has started it
serve() {
    local holder=$1
    shift
    nsenter -t "$holder" -n -m -- "$@" >/dev/null 2>&1 3>&- &
    echo $! >>"$NET_DIR/servers"
}

# name_server NAMESPACES ADDRESS NAME
name_server() {
    serve "$1" dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --pid-file= --user=root \
        --bind-interfaces --listen-address="$2" --address="/$3/203.0.113.9"
}

# make_networks: sets HOST, INTERNET and NET_DIR, and covers the host's files with those of NET_DIR
make_networks() {
    NET_DIR=$TEST_DIR/net
    mkdir -p "$NET_DIR"/{outside,loopback,fake}
    hold_namespaces "-n -m" INTERNET
    hold_namespaces "-n -m" HOST
    export HOST INTERNET NET_DIR
    on_host ip link set lo up
    outside ip link set lo up
    on_host ip link add up0 type veth peer name eth0 netns "$INTERNET"
    on_host ip address add 203.0.113.2/24 dev up0
    on_host ip link set up0 up
    outside ip address add "$OUTSIDE/24" dev eth0
    outside ip link set eth0 up
    on_host ip route add default via "$OUTSIDE"
    on_host ip address add fd00:5c::2/64 dev up0 nodad
    outside ip address add fd00:5c::1/64 dev eth0 nodad
    on_host ip route add default via fd00:5c::1
    echo "from outside" >"$NET_DIR/outside/index.html"
    echo "from the loopback" >"$NET_DIR/loopback/index.html"
    serve "$INTERNET" busybox httpd -f -p "$OUTSIDE:80" -h "$NET_DIR/outside"
    serve "$HOST" busybox httpd -f -p 127.0.0.1:8080 -h "$NET_DIR/loopback"
    serve "$HOST" busybox httpd -f -p '[::1]:8080' -h "$NET_DIR/loopback"
    name_server "$INTERNET" "$OUTSIDE" step.example
    name_server "$HOST" 127.0.0.53 loop.example
    cover_files
    wait_for outside busybox wget -q -O /dev/null "http://$OUTSIDE/"
    wait_for on_host busybox wget -q -O /dev/null http://127.0.0.1:8080/
    wait_for on_host busybox nslookup -type=a step.example "$OUTSIDE"
    wait_for on_host busybox nslookup -type=a loop.example 127.0.0.53
}

cover_files() {
    touch "$NET_DIR/resolv.conf"
    on_host mount --bind "$NET_DIR/resolv.conf" /etc/resolv.conf
    # Every user may open the device on a usual machine; a test machine may be stricter.
    # Others on this machine may have private networks, too.
    on_host mount -t tmpfs none /run
    mknod "$NET_DIR/tun" c 10 200
    chmod 0666 "$NET_DIR/tun"
    on_host mount --bind "$NET_DIR/tun" /dev/net/tun
    host_asks "$OUTSIDE"
}

# host_asks ADDRESS: what the host's resolv.conf says from now on
host_asks() { printf 'search step.example\nnameserver %s\noptions timeout:1\n' "$1" >"$NET_DIR/resolv.conf"; }

# cover FILE WITH: until uncover; WITH is made of standard input when it does not exist
cover() {
    [ -e "$2" ] || cat >"$2"
    chmod 0755 "$2"
    on_host mount --bind "$2" "$1"
}

uncover() { on_host umount "$1"; }

remove_networks() {
    local servers
    mapfile -t servers <"$NET_DIR/servers"
    kill "${servers[@]}" 2>/dev/null || true
    wait "${servers[@]}" 2>/dev/null || true
    rm -rf "$NET_DIR"
}

# network_state: all that a private network could leave on the host: interfaces, rules, settings, processes
network_state() {
    local directory
    on_host ip -o link | sed 's/^[0-9]*: \([^ ]*\).*/interface \1/'
    on_host ip -o address | sed 's/^[0-9]*: \([^ ]* *[^ ]* *[^ ]*\).*/address \1/'
    on_host ip route
    on_host iptables-save | sed -n '/^-\|^:[^ ]* -/p' | sed 's/ \[.*//'
    echo "forwarding $(on_host cat /proc/sys/net/ipv4/ip_forward)"
    for directory in /proc/[0-9]*; do
        [ "$(readlink "$directory/ns/net" 2>/dev/null)" = "$(readlink "/proc/$HOST/ns/net")" ] || continue
        # The one who looks is there, too.
        case $(cat "$directory/comm" 2>/dev/null) in
        sleep | busybox | dnsmasq | '') ;;
        *) echo "process $(tr '\0' ' ' <"$directory/cmdline")" ;;
        esac
    done
    on_host find /run -mindepth 1
}

assert_network_as() { # STATE
    assert_equal "the host's network" "$(network_state)" "$1"
}
