#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#define STAT_MAX     4096        /* bytes */
#define FIRST_PID_NS 0xeffffffcU /* the inode of every kernel (PROC_PID_INIT_INO) */

static bool read_boot(char boot[PROCESS_BOOT_MAX])
{
    autobuf text = BUF_INIT(PROCESS_BOOT_MAX - 1);
    struct err ignored;

    if (!file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &text, ERR_ENGINE_FAILED,
                   &ignored) ||
        !text.data)
        return false;
    text.data[strcspn(text.data, "\n")] = '\0';
    snprintf(boot, PROCESS_BOOT_MAX, "%s", text.data);
    return true;
}

static bool look(pid_t pid, struct process *process, char *state)
{
    struct process found = {.pid = pid};
    autobuf text = BUF_INIT(STAT_MAX);
    char path[64];
    struct err ignored;
    const char *rest;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!file_read(AT_FDCWD, path, &text, ERR_ENGINE_FAILED, &ignored) || !text.data)
        return false;
    /* The name, in brackets, may hold anything. */
    rest = strrchr(text.data, ')');
    if (!rest || sscanf(rest + 1,
                        " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
                        "%*d %" SCNu64,
                        state, &found.start) != 2)
        return false;
    if (!read_boot(found.boot))
        return false;
    *process = found;
    return true;
}

bool process_look(pid_t pid, struct process *process)
{
    char state;

    return look(pid, process, &state);
}

bool process_lives(const struct process *process)
{
    struct process now;
    char state;

    return look(process->pid, &now, &state) && state != 'Z' && state != 'X' &&
           now.start == process->start && strcmp(now.boot, process->boot) == 0;
}

static bool pid_namespace(uint64_t *inode)
{
    struct stat st;

    if (stat("/proc/self/ns/pid", &st) < 0)
        return false;
    *inode = st.st_ino;
    return true;
}

bool process_sees_machine(void)
{
    uint64_t inode;

    return pid_namespace(&inode) && inode == FIRST_PID_NS;
}

bool process_text(char text[PROCESS_TEXT_MAX], struct err *err)
{
    struct process process;
    uint64_t namespace;

    if (!process_look(getpid(), &process) || !pid_namespace(&namespace))
        return err_set(err, ERR_ENGINE_FAILED, "cannot look at the process of stepcell itself");
    snprintf(text, PROCESS_TEXT_MAX, "%d.%" PRIu64 ".%" PRIu64 ".%.60s", (int)process.pid,
             process.start, namespace, process.boot);
    return true;
}

/* /proc need not show other users' processes: one that the kernel knows is not known to be gone. */
static bool is_hidden(pid_t pid)
{
    struct process seen;

    return kill(pid, 0) < 0 && errno == EPERM && !process_look(pid, &seen);
}

enum process_fate process_fate(const char *text)
{
    struct process process, self;
    uint64_t namespace, mine;
    int pid, end = 0;

    if (strlen(text) >= PROCESS_TEXT_MAX ||
        sscanf(text, "%d.%" SCNu64 ".%" SCNu64 ".%60[0-9a-f-]%n", &pid, &process.start, &namespace,
               process.boot, &end) != 4 ||
        text[end] != '\0' || pid <= 0 || !process_look(getpid(), &self) || !pid_namespace(&mine))
        return PROCESS_MAY_LIVE;
    process.pid = pid;
    if (strcmp(process.boot, self.boot) != 0)
        return PROCESS_OTHER_BOOT;
    return namespace != mine || process_lives(&process) || is_hidden(pid) ? PROCESS_MAY_LIVE
                                                                          : PROCESS_GONE;
}
