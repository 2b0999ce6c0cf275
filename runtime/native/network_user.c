#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/program.h"
#include "runtime/native/network_parts.h"

#define READY_FD "3" /* TOOL_FD_FIRST */
#define ARGS_MAX 24
#define NETNS_FD "4"
#define TUN      "/dev/net/tun"

/*
 * The helpers, the better one first. Each joins the user namespace of the cell before it is
 * executed, so that it has the right to the network namespace, keeps the signal of its parent's
 * death, and has no capability on the host. Both say on READY_FD that the network is there: pasta
 * by writing its process id, which it does when all is set up.
 */
static const char *const pasta[] = {"pasta", "--foreground", "--stderr", "--config-net",
                                    "--ns-ifname=" NETWORK_INTERFACE, "--no-map-gw",
                                    /* No port of one side is a port of the other. */
                                    "--tcp-ports=none", "--udp-ports=none", "--tcp-ns=none",
                                    "--udp-ns=none", "--pid=/proc/self/fd/" READY_FD,
                                    "--netns-only", "--netns=/proc/self/fd/" NETNS_FD, NULL};

static const char *const slirp4netns[] = {"slirp4netns",
                                          "--configure",
                                          "--mtu=65520",
                                          "--cidr=10.0.2.0/24",
                                          "--disable-host-loopback",
                                          "--enable-seccomp",
                                          "--ready-fd=" READY_FD,
                                          "--netns-type=path",
                                          "/proc/self/fd/" NETNS_FD,
                                          NETWORK_INTERFACE,
                                          NULL};

static const struct {
    const char *const *argv;
    const char *forward_dns; /* the option for it; NULL when it always does */
    const char *sandbox;     /* the option for it, as root of its namespace; NULL likewise */
} helpers[] = {{pasta, "--dns-forward=" RESOLV_USER_DNS, NULL},
               {slirp4netns, NULL, "--enable-sandbox"}};

static bool is_installed(void)
{
    char path[PROGRAM_PATH_MAX];

    for (size_t i = 0; i < ARRAY_SIZE(helpers); i++) {
        if (program_find(helpers[i].argv[0], path))
            return true;
    }
    return false;
}

bool network_user_check(struct err *err)
{
    if (is_installed() && access(TUN, R_OK | W_OK) == 0)
        return true;
    if (is_installed()) {
        err_errno(err, ERR_ENGINE_UNAVAILABLE, "a private network needs '%s'", TUN);
        return err_hint(err, "load the kernel module tun and give the device the mode 0666, or run "
                             "with --network host or none");
    }
    err_set(err, ERR_ENGINE_UNAVAILABLE,
            "a private network needs 'pasta' or 'slirp4netns', and neither is installed");
    return err_hint(err, "install the package passt or slirp4netns, or run with --network host or "
                         "none");
}

/* One try with one helper. */
static enum tool_event try_tool(const struct network_cell *cell, const char *path, size_t index,
                                struct tool *tool, struct err *err)
{
    const char *const *words = helpers[index].argv;
    const char *argv[ARGS_MAX] = {words[0]};
    struct tool_start start = {
        .path = path, .argv = (char *const *)argv, .input = -1, .userns = cell->userns};
    size_t count = 1;
    autofd reader = -1, writer = -1;
    enum tool_event event;
    int pipes[2];

    if (cell->forward_dns && helpers[index].forward_dns)
        argv[count++] = helpers[index].forward_dns;
    if (cell->has_root && helpers[index].sandbox)
        argv[count++] = helpers[index].sandbox;
    while (*++words)
        argv[count++] = *words;
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot make a pipe");
        return TOOL_ENDED;
    }
    reader = pipes[0];
    writer = pipes[1];
    start.fds[0] = writer;
    start.fds[1] = cell->netns;
    if (!tool_start(&start, tool, err))
        return TOOL_ENDED;
    writer = close_fd(writer);
    event = tool_wait(tool, reader, cell->pidfd, clock_now() + TOOL_LIMIT_MS * NS_PER_MS);
    if (event == TOOL_READY)
        return event;
    tool_end(tool);
    if (event != TOOL_STOPPED)
        tool_failed(tool, event, err);
    tool_release(tool);
    *tool = TOOL_INIT;
    return event;
}

bool network_user_connect(const struct network_cell *cell, struct tool *tool, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(helpers); i++) {
        struct err first = *err;
        char path[PROGRAM_PATH_MAX];
        enum tool_event event;

        if (!program_find(helpers[i].argv[0], path))
            continue;
        event = try_tool(cell, path, i, tool, err);
        if (event == TOOL_READY)
            return true;
        if (event == TOOL_STOPPED) {
            *err = ERR_INIT;
            return false;
        }
        if (first.code != ERR_NONE)
            err_context(err, "%s, and then", first.message);
    }
    /* Gone since network_check. */
    return err->code != ERR_NONE ? false : network_user_check(err);
}
