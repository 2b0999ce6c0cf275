/*
 * A native cell as stepcell itself sees it, shared by create.c (makes it) and native.c (follows it
 * to its end and takes it down). For these two only.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_NATIVE_PARTS_H
#define STEPCELL_RUNTIME_NATIVE_NATIVE_PARTS_H

#include "runtime/cell_pipes.h"
#include "runtime/engine.h"
#include "runtime/native/cgroup.h"
#include "runtime/native/resolv.h"
#include "runtime/native/tidy.h"

/* What the engine's epoll waits for (data.u32). */
enum native_source { FROM_CONTROL, FROM_PROCESS, FROM_KEEPER, FROM_TIDY, FROM_CLOCK };

struct cell {
    const struct run_spec *spec;
    struct idmap map;
    struct cell_pipes pipes; /* the child's ends until it runs */
    int scratch;             /* spec->scratch */
    char *hosts;
    char *resolv_conf;
    char *init;
    struct cgroup cgroup;
    int *trees;
    int control;
    int pidfd; /* of the first process */
    int userns;
    uint64_t mount_namespace; /* its number in the kernel; 0 where it has none (before 6.11) */
    pid_t pid;                /* 0 when it has been reaped */
    bool forward_dns;         /* see resolv_for_cell */
    struct resolv_servers asked;
    pid_t keeper; /* of a private network; 0 without one */
    struct timespec start;
    struct exit_record record;

    /* the end */
    int events;     /* epoll: what the caller polls */
    int clock;      /* timerfd; -1 until something is waited for that may not come */
    int keeper_end; /* pidfd of the keeper */
    bool runs;      /* the first process is stepcell-init, or about to be */
    bool ending;    /* it was told to end the step, and to stay */
    bool killed, awaited, ended, cleaning;
    bool stuck; /* the kernel does not let its processes end */
    struct tidy tidy;
    struct strv left;
    struct err failure; /* of the clean-up */
};

/* The engine's create. */
bool native_create(const struct run_spec *spec, const struct root_filesystem *root,
                   struct cell **cell, struct err *err);

/* Makes the engine's epoll wait for a descriptor. */
bool native_wait_for(const struct cell *cell, int fd, enum native_source source, struct err *err);

#endif
