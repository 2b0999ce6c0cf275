#include "runtime/native/firewall.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/native/tool.h"

#define IP_FORWARD  "/proc/sys/net/ipv4/ip_forward"
#define LIST_MAX    4096
#define SCRIPT_MAX  1024
#define NEW_CHAINS  "made the chains of netavark"
#define NEW_FORWARD "switched forwarding on"
#define MARKER      "-A STEPCELL -m comment --comment \"%s\" -j RETURN\n"

/* The rules of a chain as iptables -S lists them, cut; false without it. */
static bool list_chain(const char *table, const char *chain, struct buf *rules)
{
    const char *const argv[] = {"iptables", "--wait", "4", "-t", table, "-S", chain, NULL};
    struct err ignored;

    return tool_run(argv, NULL, rules, &ignored);
}

/* All of a table's changes, or none. */
static bool change(const char *script, struct err *err)
{
    static const char *const argv[] = {"iptables-restore", "--noflush", "--wait", "4", NULL};

    return tool_run(argv, script, NULL, err);
}

static bool is_forwarding(void)
{
    autobuf text = BUF_INIT(16);
    struct err ignored;

    return !file_read(AT_FDCWD, IP_FORWARD, &text, ERR_ENGINE_FAILED, &ignored) ||
           text.data[0] != '0';
}

bool firewall_open(struct err *err)
{
    autobuf script = BUF_INIT(SCRIPT_MAX);
    bool ok;

    if (list_chain("mangle", "STEPCELL", NULL))
        return true;
    ok = buf_append_text(&script, "*mangle\n:STEPCELL - [0:0]\n"
                                  "-A STEPCELL -i stepcell+ -o stepcell+ -j DROP\n");
    if (ok && !list_chain("filter", "NETAVARK_FORWARD", NULL))
        ok = buf_printf(&script, MARKER, NEW_CHAINS);
    if (ok && !is_forwarding())
        ok = buf_printf(&script, MARKER, NEW_FORWARD);
    ok = ok && buf_append_text(&script, "-A FORWARD -j STEPCELL\nCOMMIT\n");
    if (!ok)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the firewall's rules");
    return change(script.data, err);
}

/*
 * What netavark makes once and leaves: see its source of version 1.4. The tables change one by one;
 * the filter table refuses when somebody else's container has come to use the chains meanwhile, since
 * a chain with rules cannot be removed, and then the others are not touched.
 */
static void remove_netavark_chains(void)
{
    static const char *const scripts[] = {
        "*filter\n"
        "-D FORWARD -m comment --comment \"netavark firewall plugin rules\" -j NETAVARK_FORWARD\n"
        "-X NETAVARK_FORWARD\n"
        "COMMIT\n",
        "*nat\n"
        "-D PREROUTING -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT\n"
        "-D OUTPUT -m addrtype --dst-type LOCAL -j NETAVARK-HOSTPORT-DNAT\n"
        "-D POSTROUTING -j NETAVARK-HOSTPORT-MASQ\n"
        "-D NETAVARK-HOSTPORT-MASQ -m comment --comment \"netavark portfw masq mark\" -m mark "
        "--mark 0x2000/0x2000 -j MASQUERADE\n"
        "-D NETAVARK-HOSTPORT-SETMARK -j MARK --set-xmark 0x2000/0x2000\n"
        "-X NETAVARK-HOSTPORT-DNAT\n"
        "-X NETAVARK-HOSTPORT-MASQ\n"
        "-X NETAVARK-HOSTPORT-SETMARK\n"
        "COMMIT\n",
    };
    struct err others;

    for (size_t i = 0; i < ARRAY_SIZE(scripts); i++) {
        if (!change(scripts[i], &others))
            return;
    }
}

/* Whoever has rules for forwarded packets relies on forwarding, whoever switched it on. */
static bool is_forwarding_needed(void)
{
    autobuf rules = BUF_INIT(LIST_MAX);

    return !list_chain("filter", "FORWARD", &rules) || !rules.data ||
           strstr(rules.data, "-A FORWARD");
}

bool firewall_close(struct err *err)
{
    autobuf rules = BUF_INIT(LIST_MAX);
    autofd setting = -1;

    if (!list_chain("mangle", "STEPCELL", &rules) || !rules.data)
        return true;
    if (strstr(rules.data, NEW_CHAINS))
        remove_netavark_chains();
    if (strstr(rules.data, NEW_FORWARD) && !is_forwarding_needed()) {
        setting = open(IP_FORWARD, O_WRONLY | O_CLOEXEC);
        if (setting < 0 || write(setting, "0\n", 2) != 2)
            return err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", IP_FORWARD);
    }
    /* Last, since it remembers the rest. */
    return change("*mangle\n-D FORWARD -j STEPCELL\n-F STEPCELL\n-X STEPCELL\nCOMMIT\n", err);
}

bool firewall_names(const char *subnet)
{
    static const char *const chains[][2] = {{"filter", "NETAVARK_FORWARD"}, {"nat", "POSTROUTING"}};

    for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
        autobuf rules = BUF_INIT(LIST_MAX);

        /* What was cut may name it. */
        if (list_chain(chains[i][0], chains[i][1], &rules) && rules.data &&
            (rules.len == LIST_MAX || strstr(rules.data, subnet)))
            return true;
    }
    return false;
}
