/*
 * Root's way: netavark makes a bridge for the cell alone, a pair of interfaces and the address
 * translation. All of it is named by one number, which names a subnet too (subnet.h); the kernel's
 * interfaces are the register of the numbers in use, so that there is no other state that could be
 * wrong. Whose a bridge is says its alias, the token of the record. Everything happens under one
 * lock of the host, which only those share who take down the network of a cell and nothing else:
 * the kernel takes its time for that.
 */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/num.h"
#include "base/program.h"
#include "runtime/native/firewall.h"
#include "runtime/native/link.h"
#include "runtime/native/network_parts.h"
#include "runtime/native/network_record.h"
#include "runtime/native/subnet.h"

/* Removed when it is given up, so that nothing remains. Only root can make files there. */
#define LOCK_PATH     "/run/stepcell-network.lock"
#define LOCK_LIMIT_MS 180000 /* for hundreds of cells that start and end at once */
#define LOCK_STEP_MS  5
#define ROUTES_MAX    (8 << 20) /* bytes of /proc/net/route */
#define BRIDGE        "stepcell"
#define CONFIG_MAX    2048

bool network_root_check(struct err *err)
{
    static const struct {
        const char *program, *package;
    } needed[] = {
        {"netavark", "netavark"}, {"iptables", "iptables"}, {"iptables-restore", "iptables"}};
    char path[PROGRAM_PATH_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(needed); i++) {
        if (program_find(needed[i].program, path))
            continue;
        err_set(err, ERR_ENGINE_UNAVAILABLE, "a private network needs '%s', which is not installed",
                needed[i].program);
        return err_hint(err, "install the package %s, or run with --network host or none",
                        needed[i].package);
    }
    return true;
}

/* The lock (LOCK_SH, LOCK_EX) or -1 with errno: EWOULDBLOCK when others have it. */
static int try_lock(int kind)
{
    autofd lock = open(LOCK_PATH, O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct stat st;

    if (lock < 0 || flock(lock, kind | LOCK_NB) < 0 || fstat(lock, &st) < 0)
        return -1;
    if (st.st_nlink > 0)
        return TAKE_FD(lock);
    /* A file that was removed meanwhile is nobody's lock. */
    errno = EWOULDBLOCK;
    return -1;
}

/* Waits for the lock; -1 also when `stop` becomes readable, then without err. */
static int take_lock(int kind, int stop, struct err *err)
{
    int64_t deadline = clock_now() + LOCK_LIMIT_MS * NS_PER_MS;

    do {
        int lock = try_lock(kind);
        struct pollfd fd = {.fd = stop, .events = POLLIN};

        if (lock >= 0)
            return lock;
        if (errno != EWOULDBLOCK) {
            err_errno(err, ERR_ENGINE_FAILED, "cannot lock '%s'", LOCK_PATH);
            return -1;
        }
        if (poll(&fd, 1, LOCK_STEP_MS) > 0)
            return -1;
    } while (clock_now() < deadline);
    err_set(err, ERR_ENGINE_FAILED, "other cells held the lock '%s' for more than %d seconds",
            LOCK_PATH, LOCK_LIMIT_MS / 1000);
    err_hint(err, "look for a 'stepcell' that hangs, or run with --network host");
    return -1;
}

static void drop_lock(const int *lock)
{
    if (*lock >= 0 && flock(*lock, LOCK_EX | LOCK_NB) == 0)
        unlink(LOCK_PATH);
    close_fd(*lock);
}
#define autolock CLEANUP(drop_lock) int

struct uses {
    struct subnet_use *items;
    size_t count;
};

static bool add_use(struct uses *uses, const struct subnet_use *use)
{
    if (!uses->items)
        uses->items = malloc(SUBNET_MAX_USE * sizeof(*uses->items));
    if (!uses->items || uses->count == SUBNET_MAX_USE)
        return false;
    uses->items[uses->count++] = *use;
    return true;
}

static bool find_routes(struct uses *uses)
{
    autobuf text = BUF_INIT(ROUTES_MAX);
    struct err ignored;

    if (!file_read(AT_FDCWD, "/proc/self/net/route", &text, ERR_ENGINE_FAILED, &ignored))
        return false;
    for (const char *line = text.data; *line; line += strcspn(line, "\n"), line += *line == '\n') {
        struct subnet_use use;

        if (subnet_parse_route(line, &use) && !add_use(uses, &use))
            return false;
    }
    return true;
}

static bool find_addresses(struct uses *uses)
{
    struct ifaddrs *list;
    bool ok = true;

    if (getifaddrs(&list) < 0)
        return false;
    for (const struct ifaddrs *item = list; item && ok; item = item->ifa_next) {
        struct subnet_use use;

        if (!item->ifa_addr || !item->ifa_netmask || item->ifa_addr->sa_family != AF_INET)
            continue;
        use.address = ntohl(((const struct sockaddr_in *)item->ifa_addr)->sin_addr.s_addr);
        use.mask = ntohl(((const struct sockaddr_in *)item->ifa_netmask)->sin_addr.s_addr);
        ok = add_use(uses, &use);
    }
    freeifaddrs(list);
    return ok;
}

/* The lowest number whose bridge and addresses nobody uses. */
static bool choose_number(uint32_t *number, struct err *err)
{
    struct uses uses = {0};
    bool looked = find_routes(&uses) && find_addresses(&uses);
    bool found = false;

    for (uint32_t i = 0; looked && !found && i < SUBNET_COUNT; i++) {
        char name[IF_NAMESIZE];

        snprintf(name, sizeof(name), BRIDGE "%u", i);
        found = !subnet_is_used(i, uses.items, uses.count) && if_nametoindex(name) == 0;
        *number = i;
    }
    free(uses.items);
    if (found)
        return true;
    err_set(err, ERR_ENGINE_FAILED, "there are no addresses left for the network of the cell");
    return err_hint(err, "the host has routes to 198.18.0.0/16, 100.127.0.0/16 and 10.213.0.0/16; "
                         "free a part of one, or run with --network host");
}

/* Whether a cell of this network namespace has a bridge. */
static bool has_bridges(void)
{
    struct if_nameindex *list = if_nameindex();
    bool found = !list; /* what cannot be looked at may be there */

    for (const struct if_nameindex *item = list; item && item->if_name && !found; item++) {
        uint64_t number;

        found = strncmp(item->if_name, BRIDGE, strlen(BRIDGE)) == 0 &&
                num_parse(item->if_name + strlen(BRIDGE), SUBNET_COUNT, &number);
    }
    if (list)
        if_freenameindex(list);
    return found;
}

static bool run_netavark(const char *verb, uint32_t number, int netns, struct err *err)
{
    autobuf config = BUF_INIT(CONFIG_MAX);
    char path[40], subnet[SUBNET_TEXT], gateway[SUBNET_TEXT], own[SUBNET_TEXT];
    const char *const argv[] = {"netavark", verb, path, NULL};
    uint32_t network = subnet_network(number);

    /* The number of the descriptor here, in whoever opens it. */
    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)getpid(), netns);
    subnet_text(network, subnet);
    subnet_text(network + 1, gateway);
    subnet_text(network + 2, own);
    if (!buf_printf(&config,
                    "{\"container_id\":\"" BRIDGE "%u\",\"container_name\":\"" BRIDGE "%u\","
                    "\"networks\":{\"" BRIDGE "%u\":{\"static_ips\":[\"%s\"],"
                    "\"interface_name\":\"" NETWORK_INTERFACE "\"}},\"network_info\":{\"" BRIDGE
                    "%u\":{"
                    "\"name\":\"" BRIDGE "%u\",\"id\":\"%064u\",\"driver\":\"bridge\","
                    "\"network_interface\":\"" BRIDGE "%u\",\"subnets\":[{\"subnet\":\"%s/30\","
                    "\"gateway\":\"%s\"}],\"ipv6_enabled\":false,\"internal\":false,"
                    "\"dns_enabled\":false,\"ipam_options\":{\"driver\":\"host-local\"}}}}",
                    number, number, number, own, number, number, number, number, subnet, gateway))
        return err_set(err, ERR_ENGINE_FAILED, "cannot describe the network of the cell");
    return tool_run(argv, config.data, NULL, err);
}

/* Writes a setting of an interface, or nothing where the kernel has none of the family. */
static bool set(const char *family, const char *interface, const char *name, const char *value,
                struct err *err)
{
    char path[96];
    autofd setting = -1;

    snprintf(path, sizeof(path), "/proc/sys/net/%s", family);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return true;
    snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, interface, name);
    setting = open(path, O_WRONLY | O_CLOEXEC);
    if (setting >= 0 && write(setting, value, strlen(value)) == (ssize_t)strlen(value))
        return true;
    return err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", path);
}

struct ports {
    size_t count;
    struct err *err;
};

static bool harden_port(void *data, const struct link *port)
{
    struct ports *ports = data;

    ports->count++;
    return set("ipv6", port->name, "disable_ipv6", "1", ports->err);
}

/*
 * Before the cell can send anything: what it says as a router must not become the host's routes and
 * addresses (CVE-2020-13401), by advertisements or by redirects, nor may it send as somebody else,
 * or to the loopback (CVE-2020-8558), or say itself by which way a packet goes on.
 */
static bool harden(uint32_t number, struct err *err)
{
    char bridge[IF_NAMESIZE];
    struct ports ports = {.err = err};

    snprintf(bridge, sizeof(bridge), BRIDGE "%u", number);
    if (!set("ipv6", bridge, "disable_ipv6", "1", err) ||
        !set("ipv4", bridge, "rp_filter", "1", err) ||
        !set("ipv4", bridge, "accept_redirects", "0", err) ||
        !set("ipv4", bridge, "accept_source_route", "0", err) ||
        !set("ipv4", bridge, "route_localnet", "0", err))
        return false;
    if (link_each_port(bridge, harden_port, &ports) && ports.count > 0)
        return true;
    if (err->code == ERR_NONE)
        err_errno(err, ERR_ENGINE_FAILED, "cannot find the host's end of '%s'", bridge);
    return false;
}

static bool write_record(int scratch, const struct network_record *record, struct err *err)
{
    char text[NETWORK_RECORD_SIZE];

    network_record_text(record, text);
    return file_replace(scratch, NETWORK_RECORD, text, strlen(text), 0600, ERR_ENGINE_FAILED, err);
}

/* The record, locked, or -1. Under the lock of the host, so nobody comes in between. */
static int hold_record(int place)
{
    autofd record = file_open_own(place, NETWORK_RECORD, O_RDONLY);

    return record >= 0 && flock(record, LOCK_EX | LOCK_NB) == 0 ? TAKE_FD(record) : -1;
}

static bool read_record(int fd, struct network_record *record, struct err *err)
{
    autobuf text = BUF_INIT(NETWORK_RECORD_SIZE);

    if (!file_read_fd(fd, NETWORK_RECORD, &text, ERR_ENGINE_FAILED, err))
        return false;
    return network_record_parse(text.data ? text.data : "", record) ||
           err_set(err, ERR_ENGINE_FAILED, "the record of the network cannot be understood");
}

/*
 * Whether what the record names can be its cell's: made since the host was started, and no bridge
 * of another cell's, which got the number later. A bridge without an alias is one whose keeper was
 * killed before it gave the name.
 */
static bool find_owner(const struct network_record *record, bool *own, struct err *err)
{
    char boot[NETWORK_BOOT_SIZE], bridge[IF_NAMESIZE];
    struct link link;

    if (!network_boot(boot, err))
        return false;
    *own = strcmp(boot, record->boot) == 0;
    snprintf(bridge, sizeof(bridge), BRIDGE "%u", record->number);
    if (!*own || if_nametoindex(bridge) == 0)
        return true;
    if (!link_find(bridge, &link))
        return err_errno(err, ERR_ENGINE_FAILED, "cannot look at '%s'", bridge);
    *own = !*link.alias || strcmp(link.alias, record->token) == 0;
    return true;
}

static bool name_bridge(const struct network_record *record, struct err *err)
{
    char bridge[IF_NAMESIZE];

    snprintf(bridge, sizeof(bridge), BRIDGE "%u", record->number);
    return link_set_alias(bridge, record->token) ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot name '%s'", bridge);
}

/* Whether something that netavark makes for it is there; false when that cannot be told. */
static bool find_rest(uint32_t number, bool *rest, struct err *err)
{
    char bridge[IF_NAMESIZE], address[SUBNET_TEXT], subnet[SUBNET_TEXT + 4];

    snprintf(bridge, sizeof(bridge), BRIDGE "%u", number);
    subnet_text(subnet_network(number), address);
    snprintf(subnet, sizeof(subnet), "%s/30", address);
    *rest = if_nametoindex(bridge) != 0;
    return *rest || firewall_names(subnet, rest, err);
}

/*
 * Takes down what may be there in part, and without a cell: netavark stops at the first piece that
 * is missing, so all is made whole first, in a network namespace of nobody.
 */
static bool take_down_rest(const struct network_record *record, struct err *err)
{
    uint32_t number = record->number;
    autofd host = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    autofd empty = -1;
    bool own, rest = false, ok;

    if (!find_owner(record, &own, err) || (own && !find_rest(number, &rest, err)))
        return false;
    if (!rest)
        return true;
    ok = host >= 0 && unshare(CLONE_NEWNET) == 0;
    if (ok) {
        empty = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        ok = setns(host, CLONE_NEWNET) == 0 && empty >= 0;
    }
    if (!ok)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot make a network namespace");
    return firewall_open(err) && run_netavark("setup", number, empty, err) &&
           run_netavark("teardown", number, empty, err);
}

/* What is common to all cells goes with the last of them; then the record. */
static bool finish(int place, struct err *err)
{
    if (!has_bridges() && !firewall_close(err))
        return false;
    return unlinkat(place, NETWORK_RECORD, 0) == 0 || errno == ENOENT ||
           err_errno(err, ERR_ENGINE_FAILED, "cannot remove the record of the network");
}

static bool clear_up(int place, const struct network_record *record, bool down, struct err *err)
{
    autolock lock = take_lock(LOCK_EX, -1, err);

    return lock >= 0 && (down || take_down_rest(record, err)) && finish(place, err);
}

bool network_root_connect(const struct network_cell *cell, int *held, struct err *err)
{
    autolock lock = take_lock(LOCK_EX, cell->pidfd, err);
    struct network_record record;
    uint32_t number;

    if (lock < 0 || !choose_number(&number, err) || !network_record_make(number, &record, err) ||
        !write_record(cell->scratch, &record, err))
        return false;
    *held = hold_record(cell->scratch);
    if (*held < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot lock the record of the network");
    return firewall_open(err) && run_netavark("setup", number, cell->netns, err) &&
           name_bridge(&record, err) && harden(number, err);
}

bool network_root_disconnect(const struct network_cell *cell, int held, bool connected,
                             struct err *err)
{
    struct network_record record;
    bool down = false;

    if (held < 0)
        return true; /* nothing was begun */
    if (!read_record(held, &record, err))
        return false;
    if (connected) {
        autolock shared = take_lock(LOCK_SH, -1, err);
        bool own;

        down = shared >= 0 && find_owner(&record, &own, err) && own &&
               run_netavark("teardown", record.number, cell->netns, err);
    }
    return clear_up(cell->scratch, &record, down, err);
}

bool network_root_undo(int place, struct err *err)
{
    autolock lock = try_lock(LOCK_EX);
    struct network_record record;
    autofd held = -1;

    if (lock < 0)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot lock '%s'", LOCK_PATH);
    /* Its keeper may have done it in the meantime. */
    if (faccessat(place, NETWORK_RECORD, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        return true;
    held = hold_record(place);
    if (held < 0)
        return err_set(err, ERR_ENGINE_FAILED, "the keeper of the network is at it");
    return read_record(held, &record, err) && take_down_rest(&record, err) && finish(place, err);
}
