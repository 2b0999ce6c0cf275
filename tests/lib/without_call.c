/*
 * Runs a command on a kernel, or below a filter, that lacks a system call.
 *
 *   without_call CALL ERRNO COMMAND [ARG...]       CALL is one of the table, ERRNO a number
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
    const char *name;
    unsigned int number;
} calls[] = {
    {"openat2", SYS_openat2}, {"mount_setattr", SYS_mount_setattr},
    {"fsopen", SYS_fsopen},   {"pidfd_open", SYS_pidfd_open},
    {"clone3", SYS_clone3},   {"landlock_create_ruleset", SYS_landlock_create_ruleset},
    {"seccomp", SYS_seccomp},
};

static unsigned int number_of(const char *name)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (strcmp(calls[i].name, name) == 0)
            return calls[i].number;
    }
    fprintf(stderr, "without_call: no '%s' in the table\n", name);
    exit(125);
}

int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, argc > 3 ? number_of(argv[1]) : 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (argc > 3 ? (unsigned int)atoi(argv[2]) : 0)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

    if (argc < 4 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        perror("without_call");
        return 125;
    }
    execvp(argv[3], argv + 3);
    perror(argv[3]);
    return 127;
}
