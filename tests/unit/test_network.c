/*
 * What of a cell's network is pure, its resolv.conf and its addresses; and the tools that are run.
 */
#include "tests/unit/unit.h"

#include "runtime/native/network_record.h"
#include "runtime/native/resolv.h"
#include "runtime/native/subnet.h"
#include "runtime/native/tool.h"

static bool is_own(const char *address)
{
    return strcmp(address, "192.0.2.5") == 0 || strcmp(address, "2001:db8::5") == 0;
}

/* An ordinary user's cell, root's, and an ordinary user's on a host without IPv6. */
static const struct resolv_host user = {is_own, true, "10.0.2.3"};
static const struct resolv_host root = {NULL, false, NULL};
static const struct resolv_host four = {is_own, false, "10.0.2.3"};

static const struct {
    const struct resolv_host *host;
    const char *text;
    const char *expected;
} files[] = {
    {&user, "", ""},
    {&root, "", ""},
    {&user, "nameserver 192.0.2.1\n", "nameserver 192.0.2.1\n"},
    {&root, "nameserver 192.0.2.1", "nameserver 192.0.2.1\n"},
    {&user, "nameserver\t 192.0.2.1 \n", "nameserver\t 192.0.2.1 \n"},
    {&user, "# a\nsearch a.example b\noptions ndots:2 edns0\nnameserver 192.0.2.1\n",
     "# a\nsearch a.example b\noptions ndots:2 edns0\nnameserver 192.0.2.1\n"},
    /* Only the host reaches these. */
    {&user, "nameserver 127.0.0.53\nsearch x\n", "nameserver 10.0.2.3\nsearch x\n"},
    {&user, "nameserver 127.1.2.3\r\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver 127.0.0.1\nnameserver ::1\nnameserver 0.0.0.0\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver 192.0.2.5\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver 2001:db8::5\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver fe80::1%eth0\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver fe80::1\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver ::ffff:127.0.0.1\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver localhost\n", "nameserver 10.0.2.3\n"},
    {&user, "nameserver \n", "nameserver 10.0.2.3\n"},
    {&root, "nameserver 127.0.0.53\n", "nameserver 127.0.0.11\n"},
    {&root, "search x\nnameserver 127.0.0.53\noptions y\nnameserver ::1\n",
     "search x\nnameserver 127.0.0.11\noptions y\nnameserver 127.0.0.12\n"},
    {&root, "nameserver 2001:db8::1\n", "nameserver 127.0.0.11\n"},
    {&root, "nameserver fe80::1%lo\nnameserver 0.0.0.0\n",
     "nameserver 127.0.0.11\nnameserver 127.0.0.12\n"},
    {&root, "nameserver ::1\nnameserver ::2\nnameserver ::3\nnameserver ::4\nsearch x\n",
     "nameserver 127.0.0.11\nnameserver 127.0.0.12\nnameserver 127.0.0.13\nsearch x\n"},
    /* What is nobody's address is none in the cell either. */
    {&root, "nameserver localhost\nnameserver \nnameserver ::1::\n",
     "nameserver localhost\nnameserver \nnameserver ::1::\n"},
    {&root, "nameserver 192.0.2.5\n", "nameserver 192.0.2.5\n"},
    {&four, "nameserver 2001:db8::1\n", "nameserver 10.0.2.3\n"},
    /* Order stays; the forwarder stands for all. */
    {&user, "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch x\n",
     "nameserver 192.0.2.1\nnameserver 2001:db8::1\nsearch x\n"},
    {&user, "search x\nnameserver 192.0.2.1\nnameserver 127.0.0.1\noptions y\nnameserver ::1\n",
     "search x\nnameserver 10.0.2.3\noptions y\n"},
    {&root, "nameserver 127.0.0.1\nnameserver 192.0.2.1\nnameserver ::1\n",
     "nameserver 127.0.0.11\nnameserver 192.0.2.1\nnameserver 127.0.0.12\n"},
    /* No servers, as the resolver reads it. */
    {&root, " nameserver 127.0.0.1\n#nameserver 127.0.0.1\nnameservers 127.0.0.1\n",
     " nameserver 127.0.0.1\n#nameserver 127.0.0.1\nnameservers 127.0.0.1\n"},
    {&root, "nameserver:127.0.0.1\n", "nameserver:127.0.0.1\n"},
    {&user, "\n\n", "\n\n"},
};

static bool has_forwarder(const char *text)
{
    return strstr(text, "10.0.2.3") || strstr(text, "127.0.0.11");
}

static void resolv_keeps_what_a_cell_reaches(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        autobuf out = BUF_INIT(RESOLV_MAX);
        struct resolv_servers asked;
        enum resolv_verdict verdict = resolv_make(files[i].text, files[i].host, &out, &asked);

        if (verdict != (has_forwarder(files[i].expected) ? RESOLV_FORWARDED : RESOLV_OK))
            fail_msg("row %zu: verdict %d", i, verdict);
        assert_string_equal(out.data ? out.data : "", files[i].expected);
        assert_true(asked.count == 0 || strstr(files[i].expected, "127.0.0.11"));
    }
}

static void servers_to_be_asked_are_named(void **state)
{
    autobuf out = BUF_INIT(RESOLV_MAX);
    struct resolv_servers asked;

    (void)state;
    resolv_make("nameserver 127.0.0.53\nnameserver fe80::1%7\nnameserver 192.0.2.1\n", &root, &out,
                &asked);
    assert_int_equal(asked.count, 2);
    assert_int_equal(asked.items[0].four.sin_family, AF_INET);
    assert_int_equal(ntohl(asked.items[0].four.sin_addr.s_addr), 0x7f000035);
    assert_int_equal(ntohs(asked.items[0].four.sin_port), 53);
    assert_int_equal(asked.items[1].six.sin6_family, AF_INET6);
    assert_int_equal(asked.items[1].six.sin6_addr.s6_addr[15], 1);
    assert_int_equal(asked.items[1].six.sin6_scope_id, 7);
    assert_int_equal(ntohs(asked.items[1].six.sin6_port), 53);
}

static void resolv_is_bounded(void **state)
{
    char text[200];
    autobuf out = BUF_INIT(64);
    struct resolv_servers asked;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    assert_int_equal(resolv_make(text, &user, &out, &asked), RESOLV_TOO_LONG);
    /* An address that is longer than any. */
    memcpy(text, "nameserver ", 11);
    out.max = RESOLV_MAX;
    assert_int_equal(resolv_make(text, &root, &out, &asked), RESOLV_OK);
    assert_int_equal(asked.count, 0);
}

static void subnets_do_not_overlap(void **state)
{
    char text[SUBNET_TEXT];

    (void)state;
    subnet_text(subnet_network(0) + 1, text);
    assert_string_equal(text, "198.18.0.1");
    subnet_text(subnet_network(16383), text);
    assert_string_equal(text, "198.18.255.252");
    subnet_text(subnet_network(16384), text);
    assert_string_equal(text, "100.127.0.0");
    subnet_text(subnet_network(SUBNET_COUNT - 1), text);
    assert_string_equal(text, "10.213.255.252");
    for (uint32_t i = 1; i < SUBNET_COUNT; i++)
        assert_true(subnet_network(i) != subnet_network(i - 1) && subnet_network(i) % 4 == 0);
}

static void subnets_of_the_host_are_left_alone(void **state)
{
    static const struct {
        struct subnet_use use;
        uint32_t number;
        bool used;
    } rows[] = {
        {{0, 0}, 0, false}, /* the default route */
        {{0xc6120000, 0xfffffffc}, 0, true},
        {{0xc6120000, 0xfffffffc}, 1, false},
        {{0xc6120006, 0xffffffff}, 1, true}, /* a single address in it */
        {{0xc6120006, 0xffffffff}, 2, false},
        {{0xc6120000, 0xfffe0000}, 16383, true}, /* a wide route */
        {{0xc6120000, 0xfffe0000}, 16384, false},
        {{0x0a000000, 0xff000000}, SUBNET_COUNT - 1, true},
        {{0x80000000, 0x80000000}, 0, true}, /* half of everything, as some tunnels have it */
        {{0x80000000, 0x80000000}, 16384, false},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (subnet_is_used(rows[i].number, &rows[i].use, 1) != rows[i].used)
            fail_msg("row %zu", i);
    }
    assert_false(subnet_is_used(0, NULL, 0));
}

static void routes_are_read(void **state)
{
    static const char *const bad[] = {
        "",
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT",
        "eth0\t000212C6",
        "eth0\t000212C6\t00000000\t0001\t0\t0\t0",
        "eth0\txyz\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0",
    };
    struct subnet_use use;

    (void)state;
    assert_true(
        subnet_parse_route("eth0\t000212C6\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0", &use));
    assert_int_equal(use.address, 0xc6120200);
    assert_int_equal(use.mask, 0xffffff00);
    assert_true(
        subnet_parse_route("up0\t00000000\t0171CBCB\t0003\t0\t0\t0\t00000000\t0\t0\t0\n", &use));
    assert_int_equal(use.mask, 0);
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (subnet_parse_route(bad[i], &use))
            fail_msg("accepted '%s'", bad[i]);
    }
}

#define TOKEN "0123456789abcdef"
#define BOOT  "26a5c5b1-f2a5-4e4b-8dd4-5f1d0ab3e2c9"

static void records_are_strict(void **state)
{
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"0 " TOKEN " " BOOT, true},
        {"49151 " TOKEN " " BOOT, true},
        {"49152 " TOKEN " " BOOT, false},
        {"", false},
        {"3", false},
        {"3 " TOKEN, false},
        {"3 " TOKEN " ", false},
        {TOKEN " " BOOT, false},
        {"03 " TOKEN " " BOOT, false},
        {"-3 " TOKEN " " BOOT, false},
        {"+3 " TOKEN " " BOOT, false},
        {" 3 " TOKEN " " BOOT, false},
        {"3  " TOKEN " " BOOT, false},
        {"3\t" TOKEN " " BOOT, false},
        {"3\n" TOKEN " " BOOT, false},
        {"3 " TOKEN "\n" BOOT, false},
        {"3 " TOKEN " " BOOT " ", false},
        {"3 " TOKEN " " BOOT "\n", false},
        {"3 " TOKEN " " BOOT "0", false},
        {"3 " TOKEN "0 " BOOT, false},
        {"3 0123456789abcde " BOOT, false},
        {"3 0123456789abcdeg " BOOT, false},
        {"3 0123456789ABCDEF " BOOT, false},
        {"3 " TOKEN " 26a5c5b1f2a54e4b8dd45f1d0ab3e2c9", false},
        {"3 " TOKEN " 26a5c5b1-f2a5-4e4b-8dd4-5f1d0ab3e2c", false},
        {"3 " TOKEN " 26a5c5b1-f2a5-4e4b-8dd45-f1d0ab3e2c9", false},
        {"3 " TOKEN " 26a5c5b1-f2a5-4e4b-8dd4-5f1d0ab3e2c/", false},
        {"3 " TOKEN " ------------------------------------", false},
    };
    struct network_record record, other;
    char text[NETWORK_RECORD_SIZE];
    struct err err;

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (network_record_parse(rows[i].text, &record) != rows[i].ok)
            fail_msg("row %zu: '%s'", i, rows[i].text);
    }
    assert_ok(network_record_make(49151, &record, &err));
    assert_ok(network_record_make(49151, &other, &err));
    assert_string_not_equal(record.token, other.token);
    network_record_text(&record, text);
    assert_true(network_record_parse(text, &other));
    assert_int_equal(other.number, 49151);
    assert_string_equal(other.token, record.token);
    assert_string_equal(other.boot, record.boot);
}

static void tools_are_run_to_their_end(void **state)
{
    static const char *const missing[] = {"no-such-tool", NULL};
    static const char *const fails[] = {"sh", "-c", "echo first; echo the cause >&2; exit 3", NULL};
    static const char *const netavark[] = {"sh", "-c", "echo '{\"error\":\"as JSON\"}'; exit 1",
                                           NULL};
    static const char *const killed[] = {"sh", "-c", "kill -9 $$", NULL};
    static const char *const copy[] = {"cat", NULL};
    static const char *const much[] = {"head", "-c", "1000000", "/dev/zero", NULL};
    static const char *const lines[] = {"seq", "10000", NULL};
    static const char *const clean[] = {"sh", "-c", "echo $HOME$USER; ls /proc/self/fd | wc -l",
                                        NULL};
    autobuf text = BUF_INIT(1 << 16), many = BUF_INIT(4096), seen = BUF_INIT(1 << 16),
            all = BUF_INIT(1 << 20);
    struct err err;

    (void)state;
    assert_refused(tool_run(missing, NULL, NULL, &err), ERR_ENGINE_UNAVAILABLE);
    assert_refused(tool_run(fails, NULL, NULL, &err), ERR_ENGINE_FAILED);
    assert_string_equal(err.detail, "the cause");
    assert_null(strstr(err.message, "cause"));
    assert_refused(tool_run(netavark, NULL, NULL, &err), ERR_ENGINE_FAILED);
    assert_string_equal(err.detail, "as JSON");
    assert_refused(tool_run(killed, NULL, NULL, &err), ERR_ENGINE_FAILED);
    assert_ok(tool_run(copy, "what it gets", &text, &err));
    assert_string_equal(text.data, "what it gets");
    /* Nobody waits for whoever reads, and what is kept is bounded. */
    assert_ok(tool_run(much, NULL, &many, &err));
    assert_int_equal(many.len, many.max);
    assert_ok(tool_run(lines, NULL, &all, &err));
    assert_int_equal(all.len, 48894);
    /* No environment of the caller, and 0, 1, 2 and that of ls. */
    assert_ok(tool_run(clean, NULL, &seen, &err));
    assert_string_equal(seen.data, "\n4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resolv_keeps_what_a_cell_reaches),
        cmocka_unit_test(servers_to_be_asked_are_named),
        cmocka_unit_test(resolv_is_bounded),
        cmocka_unit_test(subnets_do_not_overlap),
        cmocka_unit_test(subnets_of_the_host_are_left_alone),
        cmocka_unit_test(routes_are_read),
        cmocka_unit_test(records_are_strict),
        cmocka_unit_test(tools_are_run_to_their_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
