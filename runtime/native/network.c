#include "runtime/native/network.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/child.h"
#include "runtime/native/dns.h"
#include "runtime/native/handshake.h"
#include "runtime/native/network_parts.h"

/* How the keeper ends. */
enum { KEEPER_OK, KEEPER_LOST, KEEPER_LEFT };

static bool is_root(void)
{
    return geteuid() == 0;
}

bool network_check(struct err *err)
{
    return is_root() ? network_root_check(err) : network_user_check(err);
}

static bool has_ended(int pidfd)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};

    return poll(&fd, 1, 0) != 0;
}

static void wait_for_end(int pidfd)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};

    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        ;
}

/* Lets the cell go on, or says why it cannot; from here on the sockets are the cell's alone. */
static void tell(const struct network_cell *cell, bool connected, const struct err *err)
{
    if (connected)
        (void)!write(cell->ready, "", 1);
    else if (err->code != ERR_NONE && !has_ended(cell->pidfd))
        handshake_fail(cell->control, err);
    close_fd(cell->control);
    close_fd(cell->ready);
}

/* Waits for the end of the cell; false when the tool that it needs, if any, ends before. */
static bool outlive(struct tool *tool, int pidfd)
{
    bool lost = tool_wait(tool, -1, pidfd, 0) == TOOL_ENDED && !has_ended(pidfd);

    wait_for_end(pidfd);
    tool_end(tool);
    return !lost;
}

static int keep_as_user(const struct network_cell *cell)
{
    autotool tool = TOOL_INIT;
    struct err err = ERR_INIT;

    tell(cell, network_user_connect(cell, &tool, &err), &err);
    return outlive(&tool, cell->pidfd) ? KEEPER_OK : KEEPER_LOST;
}

static int keep_as_root(const struct network_cell *cell)
{
    autotool tool = TOOL_INIT;
    struct err err = ERR_INIT;
    autofd record = -1;
    bool connected = network_root_connect(cell, &record, &err), held;

    tell(cell,
         connected && (cell->asked->count == 0 || dns_start(cell->asked, cell->netns, &tool, &err)),
         &err);
    held = outlive(&tool, cell->pidfd);
    if (!network_root_disconnect(cell, record, connected, &err))
        return KEEPER_LEFT;
    return held ? KEEPER_OK : KEEPER_LOST;
}

pid_t network_start(const struct network_cell *cell, struct err *err)
{
    const int keep[] = {cell->pidfd,   cell->netns,   cell->userns,
                        cell->scratch, cell->control, cell->ready};
    pid_t keeper = fork();

    if (keeper < 0) {
        err_errno(err, ERR_ENGINE_FAILED, "cannot start the keeper of the network");
        return -1;
    }
    if (keeper > 0)
        return keeper;
    /*
     * It outlives a stepcell that is killed: the cell dies with stepcell, and the keeper sees that.
     */
    prctl(PR_SET_NAME, "stepcell-net");
    if (!child_keep_only(keep, ARRAY_SIZE(keep)))
        _exit(KEEPER_LEFT);
    _exit(is_root() ? keep_as_root(cell) : keep_as_user(cell));
}

bool network_stop(pid_t keeper, bool *left, struct err *err)
{
    int status = child_wait(keeper);

    *left = status != KEEPER_OK && status != KEEPER_LOST;
    switch (status) {
    case KEEPER_OK:
        return true;
    case KEEPER_LOST:
        return err_set(err, ERR_ENGINE_FAILED,
                       "the helper of the cell's network ended before the command did");
    default:
        err_set(err, ERR_ENGINE_FAILED, "the network of the cell could not be taken down");
        return err_hint(err, "the next step of the same store tries it again");
    }
}

bool network_undo(int place)
{
    struct stat st;
    pid_t child;

    /* Others may write whatever they like into a store of their own. */
    if (!is_root() || fstatat(place, NETWORK_RECORD, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        st.st_uid != 0)
        return true;
    /* In a process of its own, which may change its network namespace. */
    child = fork();
    if (child == 0) {
        struct err err = ERR_INIT;

        _exit(network_root_undo(place, &err) ? KEEPER_OK : KEEPER_LEFT);
    }
    return child_wait(child) == KEEPER_OK;
}
