/* What docker.c and docker_create.c share. */
#ifndef STEPCELL_RUNTIME_DOCKER_DOCKER_PARTS_H
#define STEPCELL_RUNTIME_DOCKER_DOCKER_PARTS_H

#include <sys/types.h>

#include "runtime/cell_pipes.h"
#include "runtime/docker/container.h"
#include "runtime/docker/daemon_channel.h"
#include "runtime/docker/join_setup.h"
#include "runtime/engine.h"

#define CELL_DIRECTORY  "run" /* in the scratch: JOIN_DIR of the container */
#define CELL_TICK_S     1
#define CELL_JOIN_TICKS 60 /* that a started container may take to connect */

/* What struct epoll_event.data says. */
enum docker_source { FROM_DAEMON, FROM_LISTENER, FROM_CONTROL, FROM_CLOCK };

/*
 * A target of the plan, and what has to lie there. An overlay is known by being one, and not the
 * root's: the daemon made it. The root itself comes first.
 */
struct shown {
    enum { SHOWN_ROOT, SHOWN_SAME, SHOWN_OVERLAY } kind;
    const char *target;
    dev_t dev;
    ino_t ino;
};

struct cell {
    const struct run_spec *spec;
    const char *engine;
    struct exit_record record;
    char name[CONTAINER_NAME_MAX];
    char *directory;    /* CELL_DIRECTORY, absolute */
    int scratch, place; /* both directories */
    int events, clock;
    int daemon;                        /* stepcell-docker's, or -1 when it is gone */
    int listener;                      /* until the container has connected */
    int control;                       /* then this, until its first process ends */
    pid_t helper;                      /* stepcell-docker, or 0 */
    struct cell_pipes pipes;           /* stepcell's ends; the others are among the descriptors */
    int descriptors[JOIN_DESCRIPTORS]; /* until they are handed over */
    struct shown *shown;
    size_t shown_count, shown_next;
    dev_t root;      /* of the cell */
    int status;      /* of the command, once `has_status` */
    bool has_status; /* the first process has reported it */
    bool start_asked, joined, ready, ended, killed, cleaning, removed;
    bool silent;        /* the daemon has been waited for in vain, and will not be again */
    unsigned int ticks; /* while the container has not connected */
    int64_t deadline;   /* until which the daemon has to have answered, or 0 */
    struct strv left;
    struct err failure; /* of the clean-up */
};

bool docker_create(const char *engine, const struct run_spec *spec,
                   const struct root_filesystem *root, struct cell **cell, struct err *err);

bool docker_wait_for(const struct cell *cell, int fd, enum docker_source source, struct err *err);

#endif
