# `--network private`: a network of the cell's own with outgoing access alone, in network namespaces that
# play the host and the Internet.

load ../lib/common
load ../lib/networks

setup_file() {
    make_networks
    # Whatever comes to port 8090 of the host's loopback is noted there (contacts).
    serve "$HOST" python3 "$TESTS/lib/contacts.py" 8090 "$NET_DIR/contacts"
    wait_for grep -q listening "$NET_DIR/contacts"
    : >"$NET_DIR/contacts"
}

teardown_file() { remove_networks; }

# As common.bash has it, on the host of these tests.
as() {
    local -x HOME=$TEST_DIR/home/$CALLER STEPCELL_STORE=$TEST_DIR/store/$CALLER \
        TMPDIR=$TEST_DIR/tmp/$CALLER
    case $CALLER in
    root) on_host "$@" ;;
    *)
        local -x USER=stepcell-$CALLER LOGNAME=stepcell-$CALLER
        on_host setpriv --reuid="$USER" --regid="$USER" --init-groups -- "$@"
        ;;
    esac
}

private() { cell --network private -- "$@"; }

# each_network FUNCTION: as each_caller, and the network of the host is as it was
each_network() {
    local state
    state=$(network_state)
    each_caller "$@"
    assert_network_as "$state"
}

# each_network_of FUNCTION: as_caller, and the network of the host is as it was
each_network_of() {
    local state
    state=$(network_state)
    as_caller "$@"
    assert_network_as "$state"
}

# The names of the helpers' files that the caller would use.
helpers() { if [ "$CALLER" = root ]; then echo /usr/lib/podman/netavark; else echo /usr/bin/pasta /usr/bin/slirp4netns; fi; }

with_helpers() { # FILE COMMAND...: each helper is covered by FILE
    local file=$1 helper status=0
    shift
    for helper in $(helpers); do cover "$helper" "$file"; done
    "$@" || status=$?
    for helper in $(helpers); do uncover "$helper"; done
    return $status
}

@test "a private network reaches servers outside and looks names up as the host does" {
    reach() {
        run -0 private wget -q -O - "http://$OUTSIDE/"
        assert_equal page "$output" "from outside"
        run -0 cell --network private --user app -- wget -q -O - "http://$OUTSIDE/"
        assert_equal "page for another user" "$output" "from outside"
        run private nslookup -type=a step.example
        assert_match "$output" "*203.0.113.9*"
        run -0 private cat /etc/resolv.conf
        assert_match "$output" "search step.example*nameserver $OUTSIDE*options timeout:1"
        run -0 private grep -c localhost /etc/hosts
        assert_equal outcome "$(result_field '.cleanup.verified')" true
    }
    each_network reach
}

@test "a private network has its own interface, and lets any user take a port below 1024" {
    own() {
        run -0 private ls /sys/class/net
        assert_equal interfaces "$output" $'eth0\nlo'
        run -0 private sh -c 'ip route | grep -c ^default; cat /proc/sys/net/ipv4/ip_unprivileged_port_start'
        assert_equal "default routes, first port" "$output" $'1\n0'
        # This one knows raw sockets alone, which an ordinary user's cell has not.
        if [ "$CALLER" = root ]; then
            run -0 private ping -c 1 -w 5 127.0.0.1
        fi
        # The sockets of pings.
        musl-gcc -x c -static -o pings - <<<'#include <sys/socket.h>
            int main(void) { return socket(AF_INET, SOCK_DGRAM, 1 /* IPPROTO_ICMP */) < 0; }'
        run -0 cell --network private --user app -- ./pings
    }
    each_network own
}

@test "a private network does not reach the loopback of the host" {
    no_loopback() {
        run -0 cell --network host -- wget -q -O - http://127.0.0.1:8080/
        assert_equal "the control" "$output" "from the loopback"
        run -0 cell --network host -- wget -q -O - 'http://[::1]:8080/'
        assert_equal "the control" "$output" "from the loopback"
        # shellcheck disable=SC2016 # for the cell
        run -0 private sh -c 'gateway=$(ip route | sed -n "s/^default via \([^ ]*\).*/\1/p")
            for host in 127.0.0.1 "[::1]" "$gateway" 203.0.113.2 "[fd00:5c::1]" "[fd00:5c::2]" 10.0.2.2 \
                127.0.0.53; do
                timeout 1 wget -q -O - "http://$host:8080/"
            done 2>/dev/null
            echo asked $gateway'
        assert_match "$output" "asked *.*.*.*"
        run -0 private readlink /proc/self/ns/net
        [ "$output" != "$(on_host readlink /proc/self/ns/net)" ]
    }
    each_network no_loopback
}

# What came to port 8090 of the host's loopback since the last call; a packet may still be on its way.
contacts() {
    sleep 0.3
    sort "$NET_DIR/contacts"
    : >"$NET_DIR/contacts"
}

@test "no socket's interface is a way to the loopback of the host, and an ordinary user's cell makes no packets by hand" {
    by_interface() {
        musl-gcc -O1 -static -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
            -o loopback "$TESTS/lib/loopback.c"
        cell --network host -- ./loopback lo
        assert_equal "the control" "$(contacts)" $'127.0.0.1 tcp\n127.0.0.1 udp\n::1 tcp\n::1 udp'
        run -0 cell --network private --user app -- ./loopback eth0
        assert_equal "as a user" "$output" sent
        assert_equal "contacts" "$(contacts)" ""
        run -0 cell --network private --user 0 --cap-add NET_RAW -- ./loopback eth0
        if [ "$CALLER" = root ]; then
            assert_equal "as root" "$output" $'may make packets\nsent'
        else
            assert_equal "as root" "$output" sent
        fi
        assert_equal "contacts of root" "$(contacts)" ""
        # The cell's own loopback works.
        run -0 --separate-stderr private sh -c 'echo own >index.html
            httpd -p 127.0.0.1:8080; wget -q -O - http://127.0.0.1:8080/
            httpd -p "[::1]:8080"; wget -q -O - "http://[::1]:8080/"'
        assert_equal "the cell's own" "$output" $'own\nown'
    }
    each_network by_interface
    cover /usr/bin/pasta "$NET_DIR/fake/failing" <<<$'#!/bin/sh\nexit 1'
    CALLER=ranges as_caller by_interface
    uncover /usr/bin/pasta
}

# A question over a connection: the length, the header, and "loop.example".
OVER_TCP='printf "\\0\\036\\022\\064\\001\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4loop\\7example\\0\\0\\1\\0\\1" |
    nc -w 5 "$1" 53 | od -An -v -tx1 | tr -d "\n"'

@test "a name server on the host's loopback is asked for the cell" {
    host_asks 127.0.0.53
    through() {
        run private nslookup -type=a loop.example
        assert_match "$output" "*Server:*$1*203.0.113.9*"
        # pasta passes on packets alone.
        if [ "$CALLER" = root ]; then
            run -0 private sh -c "$OVER_TCP" sh "$1"
            assert_match "$output" "*cb 00 71 09*"
        fi
        assert_equal verified "$(result_field .cleanup.verified)" true
        # Without a network of its own the file is the host's.
        run -0 cell --network none -- cat /etc/resolv.conf
        assert_match "$output" "*nameserver 127.0.0.53*"
    }
    CALLER=ranges each_network_of through 10.0.2.3
    CALLER=plain each_network_of through 10.0.2.3
    CALLER=root each_network_of through 127.0.0.11
    host_asks "$OUTSIDE"
}

@test "root's cell has all of the host's name servers, wherever they listen" {
    name_server "$HOST" ::1 six.example
    wait_for on_host busybox nslookup -type=a six.example ::1
    printf 'nameserver ::1\nnameserver %s\nnameserver 127.0.0.77\noptions timeout:1\n' "$OUTSIDE" >"$NET_DIR/resolv.conf"
    all() {
        local before
        run -0 private grep nameserver /etc/resolv.conf
        assert_equal servers "$output" \
            $'nameserver 127.0.0.11\nnameserver 203.0.113.1\nnameserver 127.0.0.12'
        run private nslookup -type=a six.example 127.0.0.11
        assert_match "$output" "*203.0.113.9*"
        run private nslookup -type=a step.example "$OUTSIDE"
        assert_match "$output" "*203.0.113.9*"
        # One that is not there says so at once, as it does on the host.
        before=$SECONDS
        run private sh -c 'nslookup -type=a loop.example 127.0.0.12; echo | nc -w 9 127.0.0.12 53; echo ended'
        assert_match "$output" "*SERVFAIL*ended"
        [ $((SECONDS - before)) -le 5 ]
    }
    CALLER=root each_network_of all
    host_asks "$OUTSIDE"
}

@test "who asks the host's name server for a cell has no rights, and gives the cell no other way" {
    host_asks 127.0.0.53
    forwarder() {
        local pid
        musl-gcc -O1 -static -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
            -o flood "$TESTS/lib/dns_flood.c"
        # Floods and hanging connections are the cell's own affair: afterwards it still is answered.
        run -0 private ./flood 127.0.0.11
        assert_equal output "$output" $'packets: answered\nconnections: answered'
        start_private 'for port in 22 8080; do for host in 127.0.0.11 127.0.0.53; do
            timeout 1 wget -q -O - "http://$host:$port/"; done; done 2>/dev/null; true'
        [[ $(cat "${WORK%/*}/out") == up ]]
        pid=$(pgrep -P "$(keeper)" -x stepcell-dns)
        assert_equal rights "$(awk '/^(Uid|Gid|Groups|CapPrm|CapEff|CapBnd|NoNewPrivs):/ { print $1, $2, $3 }' "/proc/$pid/status")" \
            $'Uid: 2017460224 2017460224\nGid: 2017460224 2017460224\nGroups:  \nCapPrm: 0000000000000000 \nCapEff: 0000000000000000 \nCapBnd: 0000000000000000 \nNoNewPrivs: 1 '
        assert_equal descriptors "$(find "/proc/$pid/fd" -printf '%l\n' | sed 's/:.*//' | sort | uniq -c | tr -s ' ')" \
            $' 1 \n 3 /dev/null\n 1 anon_inode\n 2 socket'
        # Nothing more listens on the host than before.
        [[ $(on_host ss -lntup) != *stepcell* ]]
        touch end
        wait_for is_gone "$STEP"
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    CALLER=root each_network_of forwarder
    host_asks "$OUTSIDE"
}

@test "slirp4netns takes the place of pasta when that cannot work" {
    host_asks 127.0.0.53
    instead() {
        run -0 cell --network private --user app -- wget -q -O - "http://$OUTSIDE/"
        assert_equal page "$output" "from outside"
        run private nslookup -type=a loop.example
        assert_match "$output" "*203.0.113.9*"
        # shellcheck disable=SC2016 # for the cell
        run -0 private sh -c 'for host in 127.0.0.1 10.0.2.2 203.0.113.2; do
                timeout 1 wget -q -O - "http://$host:8080/"
            done 2>/dev/null; ip -o -4 address show eth0'
        assert_match "$output" "[0-9]*inet 10.0.2.*"
    }
    cover /usr/bin/pasta "$NET_DIR/fake/failing" <<<$'#!/bin/sh\nexit 1'
    CALLER=ranges as_caller instead
    CALLER=plain as_caller instead
    uncover /usr/bin/pasta
    host_asks "$OUTSIDE"
}

@test "a helper that is missing, fails or hangs is an error with the cause and the fix" {
    missing() {
        run --separate-stderr with_helpers "$NET_DIR/fake/missing" private true
        assert_refused engine.unavailable
        assert_match "$stderr" "*needs '*hint: install the package *--network host*"
        run with_helpers "$NET_DIR/fake/missing" stepcell doctor
        assert_match "$output" "*warning*network-helpers*install the package*"
    }
    failing() {
        run --separate-stderr with_helpers "$NET_DIR/fake/failing" private true
        assert_refused engine.failed
        assert_match "$stderr" "*could not make the cell's network"$'\n'"*hint: *--network host*"
        [[ $stderr != *moon* ]]
        assert_equal detail "$(result_field .error.detail)" "the moon is full"
        run --separate-stderr with_helpers "$NET_DIR/fake/failing" cell --network private --verbose -- true
        assert_match "$stderr" "*said: the moon is full*"
    }
    hanging() {
        local before=$SECONDS
        run --separate-stderr with_helpers "$NET_DIR/fake/hanging" private true
        assert_refused engine.failed
        assert_match "$stderr" "*did not make the cell's network in 5 seconds*"
        [ $((SECONDS - before)) -le 14 ]
    }
    # A file that cannot be executed, even by root.
    touch "$NET_DIR/fake/missing"
    printf '#!/bin/sh\necho the moon is full >&2\nexit 1\n' >"$NET_DIR/fake/failing"
    printf '#!/bin/sh\nsleep 1000 &\nkill -STOP $$\n' >"$NET_DIR/fake/hanging"
    chmod_missing() { on_host chmod 0644 "$NET_DIR/fake/missing"; }
    each_network failing
    each_network hanging
    cover() { on_host mount --bind "$2" "$1"; }
    chmod_missing
    each_network missing
}

@test "canceling does not wait for a helper of an ordinary user" {
    canceled() {
        local before=$SECONDS code=0
        with_helpers "$NET_DIR/fake/hanging" cancel_soon || code=$?
        assert_equal status "$code" 143
        assert_equal outcome "$(result_field .outcome)" canceled
        [ $((SECONDS - before)) -le 7 ]
    }
    cancel_soon() {
        as timeout --preserve-status --signal TERM 1 "$STEPCELL" run --result "$RESULT" --workdir "$WORK" \
            --progress none --network private "$IMAGE" -- true
    }
    printf '#!/bin/sh\nsleep 1000 &\nkill -STOP $$\n' >"$NET_DIR/fake/hanging"
    each_network canceled
}

# start_private [COMMAND]: a step that sleeps until there is a file "end", and its process as $STEP
start_private() {
    as "$STEPCELL" run --result "$RESULT" --workdir "$WORK" --progress none --network private "$IMAGE" -- \
        sh -c "${1:-true} && echo up; "'until [ -e end ]; do sleep 0.1; done' >"${WORK%/*}/out" 2>&1 3>&- &
    local shell=$!
    wait_for grep -q up "${WORK%/*}/out"
    STEP=$(pgrep -P "$shell" || echo "$shell")
}

# keeper: the process that keeps the network of $STEP
keeper() { pgrep -P "$STEP" -x stepcell-net; }

is_gone() { [ ! -e "/proc/$1" ] || grep -q '^State:.Z' "/proc/$1/status"; }
is_as_before() { [ "$(network_state)" = "$STATE" ]; }

@test "a cell cannot become the router of the host" {
    advertised() {
        musl-gcc -O1 -static -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
            -o advertise "$TESTS/lib/advertise.c"
        # Whatever new interfaces have.
        on_host sh -c 'cd /proc/sys/net/ipv4/conf/default; echo 1 >route_localnet; echo 1 >accept_source_route'
        start_private ./advertise
        on_host sh -c 'cd /proc/sys/net/ipv4/conf/default; echo 0 >route_localnet; echo 0 >accept_source_route'
        # So that the advertisement is dealt with, if it is.
        sleep 0.5
        run on_host ip -6 route show default
        assert_equal "default routes" "$output" "default via fd00:5c::1 dev up0 metric 1024 pref medium"
        run on_host ip -6 address
        assert_match "$output" "*fd00:5c::2*"
        [[ $output != *stepcell* && $output != *fd00:bad:* ]]
        assert_equal settings "$(on_host sh -c 'cd /proc/sys/net/ipv4/conf/stepcell0
            cat rp_filter accept_redirects accept_source_route route_localnet')" $'1\n0\n0\n0'
        for interface in $(on_host ip -o link show master stepcell0 | sed 's/^[0-9]*: \([^@]*\)@.*/\1/'); do
            assert_equal "IPv6 of $interface" \
                "$(on_host cat "/proc/sys/net/ipv6/conf/$interface/disable_ipv6")" 1
        done
        assert_match "$interface" "?*"
        touch end
        wait_for is_gone "$STEP"
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    local state
    state=$(network_state)
    CALLER=root as_caller advertised
    assert_network_as "$state"
}

@test "what the host allows of all its interfaces, it does not allow of a cell's" {
    packets() {
        musl-gcc -O1 -static -idirafter /usr/include -idirafter "/usr/include/$(uname -m)-linux-gnu" \
            -o packets "$TESTS/lib/packets.c"
        # As kube-proxy has it; loose, which is more than the strict one of an interface; and what a new one has.
        on_host sh -c 'cd /proc/sys/net/ipv4/conf/all; echo 1 >route_localnet; echo 2 >rp_filter
            echo 1 >accept_source_route; echo 1 >../default/accept_source_route'
        # As somebody else may send what comes to an address of theirs to the loopback.
        on_host iptables -t nat -A PREROUTING -d 203.0.113.9 -p udp -j DNAT --to-destination 127.0.0.1:8090
        start_private ./packets
        assert_equal contacts "$(contacts)" ""
        dropped() { on_host iptables -t mangle -L "$1" -vnx | awk '/DROP/ { print $1 }'; }
        assert_equal "what was dropped" "$(dropped STEPCELL_IN)" $'1\n1'
        assert_equal "what was dropped on its way in" "$(dropped STEPCELL_LOCAL)" 1
        on_host iptables -t nat -D PREROUTING -d 203.0.113.9 -p udp -j DNAT --to-destination 127.0.0.1:8090
        touch end
        wait_for is_gone "$STEP"
        run -0 private wget -q -O - "http://$OUTSIDE/"
        assert_equal page "$output" "from outside"
        on_host sh -c 'cd /proc/sys/net/ipv4/conf/all; echo 0 >route_localnet; echo 0 >rp_filter
            echo 0 >accept_source_route; echo 0 >../default/accept_source_route'
    }
    CALLER=root each_network_of packets
}

@test "nothing of a private network remains after TERM" {
    ended() {
        start_private
        kill -TERM "$STEP"
        wait_for is_gone "$STEP"
        wait_for test -s "$RESULT"
        assert_equal outcome "$(result_field .outcome)" canceled
        assert_equal verified "$(result_field .cleanup.verified)" true
    }
    each_network ended
}

@test "nothing of a private network remains after stepcell was killed" {
    STATE=$(network_state)
    killed() {
        start_private
        [ "$(network_state)" != "$STATE" ]
        kill -KILL "$STEP"
        wait_for is_as_before
        run -0 cell -- true # the directories
    }
    host_asks 127.0.0.53
    each_network killed
    host_asks "$OUTSIDE"
}

@test "nothing of a private network remains after stepcell and its keeper were killed, and one more call" {
    STATE=$(network_state)
    all_killed() {
        local keeper
        start_private
        keeper=$(keeper)
        kill -KILL "$STEP" "$keeper"
        wait_for is_gone "$keeper"
        wait_for is_gone "$STEP"
        if [ "$CALLER" = root ]; then
            [ "$(network_state)" != "$STATE" ]
            run -0 cell --network host -- true
            assert_network_as "$STATE"
        else
            wait_for is_as_before
            run -0 cell -- true
        fi
    }
    host_asks 127.0.0.53
    each_network all_killed
    host_asks "$OUTSIDE"
}

@test "what passes a user's packets on sees none of the host's files but those that it needs" {
    alone() {
        local pid sees name
        start_private
        pid=$(pgrep -P "$(keeper)")
        name=$(cat "/proc/$pid/comm")
        sees=$(find "/proc/$pid/root/" -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | paste -sd' ')
        touch end
        wait_for is_gone "$STEP"
        assert_match "$name" "$1"
        assert_equal "what '$name' sees" "$sees" "$2"
    }
    local caller
    for caller in ranges plain; do CALLER=$caller each_network_of alone 'pas*' ''; done
    cover /usr/bin/pasta "$NET_DIR/fake/failing" <<<$'#!/bin/sh\nexit 1'
    for caller in ranges plain; do CALLER=$caller each_network_of alone slirp4netns 'etc run'; done
    uncover /usr/bin/pasta
}

@test "a helper that ends before the command is an error" {
    lost() {
        local helper
        start_private
        helper=$(pgrep -P "$(keeper)")
        kill -KILL "$helper"
        wait_for is_gone "$helper"
        touch end
        wait_for is_gone "$STEP"
        assert_equal outcome "$(result_field .outcome)" exited
        assert_equal error "$(result_field .error.code)" engine.failed
        cat "${WORK%/*}/out"
        assert_equal times "$(grep -c "the helper of the cell's network ended before the command did" "${WORK%/*}/out")" 1
    }
    CALLER=ranges as_caller lost
    CALLER=plain as_caller lost
    # Root has one only for names.
    host_asks 127.0.0.53
    CALLER=root each_network_of lost
    host_asks "$OUTSIDE"
}

@test "twenty cells at once have a private network each" {
    at_once() {
        local i pids=()
        for i in {1..20}; do
            as "$STEPCELL_RELEASE" run --result "${WORK%/*}/$i.json" --workdir "$WORK" --progress none \
                --network private "$IMAGE" -- wget -q -O - "http://$OUTSIDE/" >"${WORK%/*}/$i" 2>&1 3>&- &
            pids+=($!)
        done
        for i in "${pids[@]}"; do wait "$i"; done
        for i in {1..20}; do
            assert_equal "page $i" "$(cat "${WORK%/*}/$i")" "from outside"
            assert_equal "cleanup $i" "$(jq .cleanup.verified "${WORK%/*}/$i.json")" true
        done
    }
    each_network at_once
}

@test "cells of root do not reach one another, nor take addresses that the host uses" {
    apart() {
        local first pid
        on_host ip route add 198.18.0.0/30 via "$OUTSIDE"
        as "$STEPCELL" run --workdir "$WORK" --progress none --network private "$IMAGE" -- \
            sh -c 'ip -o -4 address show eth0; nc -l -p 9000 -e echo reached' >"${WORK%/*}/first" 2>&1 3>&- &
        pid=$!
        wait_for grep -q eth0 "${WORK%/*}/first"
        first=$(sed 's,.*inet \([^/]*\)/.*,\1,' "${WORK%/*}/first")
        assert_equal "the first address" "$first" 198.18.0.6
        # The host itself reaches it, so that it could be reached.
        run private sh -c "nc -w 2 $first 9000 </dev/null"
        assert_match "$output" "*timed out*"
        run on_host busybox nc -w 2 "$first" 9000 </dev/null
        assert_equal "the control" "$output" reached
        wait "$pid"
        on_host ip route del 198.18.0.0/30
    }
    local state
    state=$(network_state)
    CALLER=root as_caller apart
    assert_network_as "$state"
}

@test "nobody outside reaches a cell of root's, though the host forwards" {
    inbound() {
        local pid
        outside ip route add 198.18.0.0/16 via 203.0.113.2
        as "$STEPCELL" run --workdir "$WORK" --progress none --network private "$IMAGE" -- \
            sh -c 'echo up; nc -l -p 9000 -e echo reached' >"${WORK%/*}/cell" 2>&1 3>&- &
        pid=$!
        wait_for grep -q up "${WORK%/*}/cell"
        run outside busybox nc -w 2 198.18.0.2 9000 </dev/null
        assert_match "$output" "*timed out*"
        run on_host busybox nc -w 2 198.18.0.2 9000 </dev/null
        assert_equal "the control" "$output" reached
        wait "$pid"
        outside ip route del 198.18.0.0/16
    }
    local state
    state=$(network_state)
    CALLER=root as_caller inbound
    assert_network_as "$state"
}

@test "a flushed firewall is restored by the next cell, and is no obstacle to the last" {
    flushed() {
        local first=$RESULT
        start_private
        on_host iptables -t mangle "$@"
        local RESULT=${WORK%/*}/second.json
        run -0 private true
        assert_equal verified "$(result_field .cleanup.verified)" true
        on_host iptables -t mangle -C FORWARD -j STEPCELL
        on_host iptables -t mangle -C STEPCELL -i stepcell+ -o stepcell+ -j DROP
        on_host iptables -t mangle -C STEPCELL -o stepcell+ -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP
        on_host iptables -t mangle -C PREROUTING -j STEPCELL_IN
        on_host iptables -t mangle -C STEPCELL_IN -i stepcell+ -d 127.0.0.0/8 -j DROP
        on_host iptables -t mangle -C STEPCELL_IN -i stepcell+ -m rpfilter --invert -j DROP
        on_host iptables -t mangle -C INPUT -j STEPCELL_LOCAL
        on_host iptables -t mangle -C STEPCELL_LOCAL -i stepcell+ -d 127.0.0.0/8 -j DROP
        # What is gone when the last ends counts as done.
        on_host iptables -t mangle "$@"
        touch end
        wait_for is_gone "$STEP"
        RESULT=$first
        assert_equal verified "$(result_field .cleanup.verified)" true
        rm end
        run on_host iptables-save -t mangle
        [[ $output != *STEPCELL* ]]
    }
    local state forwarding
    forwarding=$(on_host cat /proc/sys/net/ipv4/ip_forward)
    state=$(network_state)
    CALLER=root as_caller flushed -F
    CALLER=root as_caller flushed -D FORWARD -j STEPCELL
    CALLER=root as_caller flushed -F STEPCELL_IN
    # What the comments knew was lost with the first.
    on_host iptables -t filter -F
    on_host iptables -t filter -X
    on_host iptables -t nat -F
    on_host iptables -t nat -X
    on_host sh -c "echo $forwarding >/proc/sys/net/ipv4/ip_forward"
    assert_network_as "$state"
}

@test "an iptables that fails says nothing about rules: the record stays" {
    unknown() {
        local record
        start_private
        kill -KILL "$STEP" "$(keeper)"
        wait_for is_gone "$STEP"
        record=$(find "$TEST_DIR/store/root/cells" -name network)
        [ -s "$record" ]
        on_host ip link delete stepcell0
        cover /usr/sbin/iptables "$NET_DIR/fake/iptables" <<<$'#!/bin/sh\nexit 1'
        run cell --network host -- true
        uncover /usr/sbin/iptables
        [ -s "$record" ]
        run -0 cell --network host -- true
        [ ! -e "$record" ]
    }
    local state
    state=$(network_state)
    CALLER=root as_caller unknown
    assert_network_as "$state"
}

# put_record TEXT: a dead place with it, as $PLACE
put_record() {
    PLACE=$TEST_DIR/store/root/cells/77
    mkdir -p "$PLACE"
    printf %s "$1" >"$PLACE/network"
}

@test "a record of another time, or of a number that is another cell's now, touches nothing" {
    others() {
        local bridge boot token=0123456789abcdef
        run -0 private true
        start_private
        bridge=$(on_host ip -o link show stepcell0)
        assert_match "$bridge" "*alias [0-9a-f]*"
        state=$(network_state)
        boot=$(cat /proc/sys/kernel/random/boot_id)
        for record in "0 $token $boot" "0 $token 26a5c5b1-f2a5-4e4b-8dd4-5f1d0ab3e2c9" \
            "9 $token 26a5c5b1-f2a5-4e4b-8dd4-5f1d0ab3e2c9"; do
            put_record "$record"
            # Any call of netavark's or iptables' to change something fails here.
            cover /usr/lib/podman/netavark "$NET_DIR/fake/called" <<<"#!/bin/sh
touch $NET_DIR/called; exit 1"
            run -0 as "$STEPCELL" run --workdir "$WORK" --progress none --network host "$IMAGE" -- true
            uncover /usr/lib/podman/netavark
            [ ! -e "$PLACE" ]
            [ ! -e "$NET_DIR/called" ]
            assert_network_as "$state"
        done
        # A record that is not understood stays, and touches nothing either.
        put_record 0
        run -0 as "$STEPCELL" run --workdir "$WORK" --progress none --network host "$IMAGE" -- true
        [ -e "$PLACE/network" ]
        rm -r "$PLACE"
        assert_network_as "$state"
        # Killed before the bridge got its name: it is taken down.
        kill -KILL "$STEP" "$(keeper)"
        wait_for is_gone "$STEP"
        on_host ip link set stepcell0 alias ''
        run -0 cell --network host -- true
        [[ $(on_host ip -o link) != *stepcell* ]]
    }
    local before state
    before=$(network_state)
    CALLER=root as_caller others
    assert_network_as "$before"
}

@test "the rests of dead cells do not keep a step waiting" {
    dead() {
        local place before boot pid
        boot=$(cat /proc/sys/kernel/random/boot_id)
        run -0 cell --network host -- true
        on_host ip link add stepcell9 type bridge
        on_host sh -c 'exec 9>/run/stepcell-network.lock; flock 9; echo locked; exec sleep 30' >"${WORK%/*}/locked" 3>&- &
        pid=$!
        wait_for grep -q locked "${WORK%/*}/locked"
        put_record "9 0123456789abcdef $boot"
        before=$SECONDS
        run -0 as "$STEPCELL" run --workdir "$WORK" --progress none --network host "$IMAGE" -- true
        [ $((SECONDS - before)) -le 4 ]
        [ -e "$PLACE/network" ]
        pkill -P "$pid" || true
        wait "$pid" || true
        # Helpers that hang: as many dead cells cost as much as one.
        for place in {78..81}; do
            mkdir "${PLACE%/*}/$place"
            cp "$PLACE/network" "${PLACE%/*}/$place/network"
        done
        cover /usr/lib/podman/netavark "$NET_DIR/fake/hangs" <<<$'#!/bin/sh\nsleep 1000'
        before=$SECONDS
        run -0 as "$STEPCELL" run --workdir "$WORK" --progress none --network host "$IMAGE" -- true
        [ $((SECONDS - before)) -le 9 ]
        [ -e "$PLACE/network" ]
        uncover /usr/lib/podman/netavark
        run -0 cell --network host -- true
        [ -z "$(find "${PLACE%/*}" -name network)" ]
    }
    local state
    state=$(network_state)
    CALLER=root as_caller dead
    assert_network_as "$state"
}

@test "rules of others stay, and forwarding is as it was" {
    local rule=(NETAVARK_FORWARD -d 10.88.0.0/16 -j ACCEPT) state
    # Somebody's container: netavark's chains are there before the first cell.
    on_host iptables -N NETAVARK_FORWARD
    on_host iptables -A FORWARD -m comment --comment "netavark firewall plugin rules" -j NETAVARK_FORWARD
    on_host iptables -A "${rule[@]}"
    for forwarding in 1 0; do
        on_host sh -c "echo $forwarding >/proc/sys/net/ipv4/ip_forward"
        CALLER=root as_caller private wget -q -O - "http://$OUTSIDE/"
        on_host iptables -C "${rule[@]}"
        run on_host sh -c 'iptables-save; ip link'
        [[ $output != *[Ss][Tt][Ee][Pp][Cc][Ee][Ll][Ll]* ]]
    done
    # Whoever has rules for forwarded packets needs it.
    assert_equal forwarding "$(on_host cat /proc/sys/net/ipv4/ip_forward)" 1
    on_host iptables -F
    on_host iptables -X
    on_host iptables -t nat -F
    on_host iptables -t nat -X
    on_host sh -c "echo 0 >/proc/sys/net/ipv4/ip_forward"
    state=$(network_state)
    CALLER=root as_caller private wget -q -O - "http://$OUTSIDE/"
    assert_network_as "$state"
    assert_match "$state" "*forwarding 0*"
    # Somebody's container that comes while a cell runs: the chains, made for the cell, stay for it.
    late() {
        start_private
        on_host iptables -A "${rule[@]}"
        touch end
        wait_for is_gone "$STEP"
        on_host iptables -C "${rule[@]}"
        on_host iptables -t nat -S NETAVARK-HOSTPORT-DNAT
        run on_host iptables-save
        [[ $output != *STEPCELL* ]]
    }
    CALLER=root as_caller late
}
