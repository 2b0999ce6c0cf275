#include "runtime/native/firewall.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "runtime/native/tool.h"

#define IP_FORWARD  "/proc/sys/net/ipv4/ip_forward"
#define TABLE_MAX   (16 << 20) /* for a host with very many services */
#define SCRIPT_MAX  1024
#define MANGLE      "*mangle\n"
#define NEW_CHAINS  "made the chains of netavark"
#define NEW_FORWARD "switched forwarding on"
#define RULES_MAX   2 /* of a chain */
#define MARKER      "-A STEPCELL -m comment --comment \"%s\" -j RETURN\n"

/*
 * Our chains of the table mangle; the rules, without "-A ", as iptables -S lists them. What a cell
 * sends to the loopback goes neither by others' translation of such addresses nor, where the last
 * look is, by theirs or by a source route that leads there.
 */
static const struct chain {
    const char *name;
    const char *jump;
    const char *rules[RULES_MAX];
} chains[] = {
    {"STEPCELL",
     "FORWARD -j STEPCELL",
     {"STEPCELL -i stepcell+ -o stepcell+ -j DROP",
      "STEPCELL -o stepcell+ -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP"}},
    {"STEPCELL_IN",
     "PREROUTING -j STEPCELL_IN",
     {"STEPCELL_IN -d 127.0.0.0/8 -i stepcell+ -j DROP",
      "STEPCELL_IN -i stepcell+ -m rpfilter --invert -j DROP"}},
    {"STEPCELL_LOCAL",
     "INPUT -j STEPCELL_LOCAL",
     {"STEPCELL_LOCAL -d 127.0.0.0/8 -i stepcell+ -j DROP"}},
};

/*
 * A whole table as iptables -S lists it. Asked for a single chain, iptables 1.8.9 says of one that
 * is missing the same as of one that it cannot show; in a whole list, what is not there is absent.
 */
static bool list_table(const char *table, struct buf *rules, struct err *err)
{
    const char *const argv[] = {"iptables", "--wait", "4", "-t", table, "-S", NULL};

    if (!tool_run(argv, NULL, rules, err))
        return false;
    if (rules->len > 0 && rules->len < rules->max)
        return true;
    return err_set(err, ERR_ENGINE_FAILED, "iptables gave %s for the table '%s'",
                   rules->len ? "too much" : "nothing", table);
}

/* How many lines of a list are this command ("-N", "-A") with this text. */
static int count_lines(const struct buf *rules, const char *command, const char *text)
{
    size_t head = strlen(command), tail = strlen(text);
    int count = 0;

    for (const char *line = rules->data; *line;
         line += strcspn(line, "\n"), line += *line == '\n') {
        if (strcspn(line, "\n") == head + 1 + tail && strncmp(line, command, head) == 0 &&
            line[head] == ' ' && strncmp(line + head + 1, text, tail) == 0)
            count++;
    }
    return count;
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

/* The comments of a new chain: what is not there and will be. */
static bool add_markers(struct buf *script, struct err *err)
{
    autobuf rules = BUF_INIT(TABLE_MAX);

    if (!list_table("filter", &rules, err))
        return false;
    if ((count_lines(&rules, "-N", "NETAVARK_FORWARD") > 0 ||
         buf_printf(script, MARKER, NEW_CHAINS)) &&
        (is_forwarding() || buf_printf(script, MARKER, NEW_FORWARD)))
        return true;
    return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the firewall's rules");
}

/* Writes what lacks of a chain: itself, its rules in front of what it remembers, its jump. */
static bool restore(const struct buf *rules, const struct chain *chain, struct buf *script)
{
    bool ok = count_lines(rules, "-N", chain->name) > 0 ||
              buf_printf(script, ":%s - [0:0]\n", chain->name);

    for (size_t i = 0; ok && i < RULES_MAX && chain->rules[i]; i++)
        ok = count_lines(rules, "-A", chain->rules[i]) > 0 ||
             buf_printf(script, "-I %s\n", chain->rules[i]);
    return ok && (count_lines(rules, "-A", chain->jump) > 0 ||
                  buf_printf(script, "-A %s\n", chain->jump));
}

bool firewall_open(struct err *err)
{
    autobuf script = BUF_INIT(SCRIPT_MAX), rules = BUF_INIT(TABLE_MAX);
    bool ok = buf_append_text(&script, MANGLE);

    if (!list_table("mangle", &rules, err))
        return false;
    for (size_t i = 0; ok && i < ARRAY_SIZE(chains); i++)
        ok = restore(&rules, &chains[i], &script);
    if (ok && script.len == strlen(MANGLE))
        return true;
    /* Of a chain that somebody emptied nobody knows what it remembered. */
    if (ok && count_lines(&rules, "-N", chains[0].name) == 0 && !add_markers(&script, err))
        return false;
    if (!ok || !buf_append_text(&script, "COMMIT\n"))
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory for the firewall's rules");
    return change(script.data, err);
}

/*
 * What netavark makes once and leaves: see its source of version 1.4. The tables change one by one;
 * the filter table refuses when somebody else's container has come to use the chains meanwhile,
 * since a chain with rules cannot be removed, and then the others are not touched.
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
static bool switch_forwarding_off(struct err *err)
{
    autobuf rules = BUF_INIT(TABLE_MAX);
    autofd setting = -1;

    if (!list_table("filter", &rules, err))
        return false;
    if (strstr(rules.data, "-A FORWARD "))
        return true;
    setting = open(IP_FORWARD, O_WRONLY | O_CLOEXEC);
    if (setting < 0 || write(setting, "0\n", 2) != 2)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", IP_FORWARD);
    return true;
}

/* Writes how a chain goes; somebody may have taken away a part of it. */
static bool take_away(const struct buf *rules, const struct chain *chain, struct buf *script)
{
    bool ok = true;

    if (count_lines(rules, "-N", chain->name) == 0)
        return true;
    for (int jumps = count_lines(rules, "-A", chain->jump); ok && jumps > 0; jumps--)
        ok = buf_printf(script, "-D %s\n", chain->jump);
    return ok && buf_printf(script, "-F %s\n-X %s\n", chain->name, chain->name);
}

bool firewall_close(struct err *err)
{
    autobuf script = BUF_INIT(SCRIPT_MAX), rules = BUF_INIT(TABLE_MAX);
    bool ok = buf_append_text(&script, MANGLE);

    if (!list_table("mangle", &rules, err))
        return false;
    for (size_t i = 0; ok && i < ARRAY_SIZE(chains); i++)
        ok = take_away(&rules, &chains[i], &script);
    if (ok && script.len == strlen(MANGLE))
        return true;
    if (strstr(rules.data, NEW_CHAINS))
        remove_netavark_chains();
    if (strstr(rules.data, NEW_FORWARD) && !switch_forwarding_off(err))
        return false;
    /* Last, since it remembers the rest. */
    if (!ok || !buf_append_text(&script, "COMMIT\n"))
        return err_set(err, ERR_ENGINE_FAILED, "too many rules lead to the chains of stepcell");
    return change(script.data, err);
}

bool firewall_names(const char *subnet, bool *named, struct err *err)
{
    static const char *const tables[] = {"filter", "nat"};

    *named = false;
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        autobuf rules = BUF_INIT(TABLE_MAX);

        if (!list_table(tables[i], &rules, err))
            return false;
        *named = *named || strstr(rules.data, subnet);
    }
    return true;
}
