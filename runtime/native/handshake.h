/*
 * The messages between stepcell and the first process of a cell (stepcell's own child, or
 * stepcell-join in a container, until it executes stepcell-init), over a SOCK_SEQPACKET pair: one
 * fixed structure per message, never anything else.
 *
 *   stepcell → cell   TREE          with the descriptor (SCM_RIGHTS) of the source of mount `value`
 *   stepcell → cell   MAPPED        the user namespace has its id map, and there are no more trees
 *   cell → stepcell   FAILED        the set-up failed; the process ends. More than one where
 *                                   several things are wrong
 *   cell → stepcell   READY         everything is mounted and proven; with a descriptor of the
 *                                   step's output file, for reading
 *   cell → stepcell   STREAMS       the command's terminal: a descriptor of its master
 *   stepcell → cell   START         run the command; may come before READY
 *   init → stepcell   INIT_FAILED   the command could not be given its user; value is errno
 *   init → stepcell   FILTER_FAILED the kernel did not take the seccomp filter; value is errno
 *   init → stepcell   EXEC_FAILED   the command could not be executed; value is errno
 *   init → stepcell   LEFT_RUNNING  the command left this process behind (its name)
 *   init → stepcell   EXITED        value is the command's wait status
 *   init → stepcell   STAYS         everything of the step has ended, and the cell stays (config)
 *   stepcell → init   END           kill everything of the step, in a cell that stays
 *   stepcell → init   ENTER         run another command, for who has the other end of the socket:
 *                                   with descriptors of an enter_request and of that socket
 *
 * Over the socket of an ENTER:
 *
 *   init → visitor    STREAMS       descriptors of the other ends of the command's: stdout, stderr,
 *                                   and stdin if it has one; or of its terminal's master alone
 *   visitor → init    SIGNAL        value is for the command's process group; its end is a HUP
 *   init → visitor    INIT_FAILED, FILTER_FAILED, EXEC_FAILED, EXITED as above; INIT_FAILED with
 *                     EUSERS when VISITORS_MAX commands run already
 *
 * Both sides are one build; a message of another size or kind is contact lost.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_HANDSHAKE_H
#define STEPCELL_RUNTIME_NATIVE_HANDSHAKE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

enum message_kind {
    MESSAGE_TREE = 1,
    MESSAGE_MAPPED,
    MESSAGE_FAILED,
    MESSAGE_READY,
    MESSAGE_START,
    MESSAGE_INIT_FAILED,
    MESSAGE_FILTER_FAILED,
    MESSAGE_EXEC_FAILED,
    MESSAGE_LEFT_RUNNING,
    MESSAGE_EXITED,
    MESSAGE_STREAMS,
    MESSAGE_STAYS,
    MESSAGE_END,
    MESSAGE_ENTER,
    MESSAGE_SIGNAL,
    MESSAGE_LOOK, /* to a door alone: shim/door.h */
};

#define HANDSHAKE_FDS_MAX 3 /* descriptors that come with one message */

#define MESSAGE_NAME_MAX 64 /* bytes with the NUL; longer names are cut */

struct message {
    uint32_t kind;
    int32_t value;
    char name[MESSAGE_NAME_MAX];
};

/* FAILED alone is this, each in one packet: its sender may be killed at any moment. */
struct message_failure {
    struct message head;
    uint32_t code;
    char message[ERR_MESSAGE_MAX];
    char hint[ERR_HINT_MAX];
    char detail[ERR_DETAIL_MAX];
};

/* Descriptors of stepcell-init when it is executed; 0, 1 and 2 are the command's. */
enum { INIT_CONTROL_FD = 3, INIT_CONFIG_FD = 4 };

#define INIT_GROUPS_MAX  65 /* the primary group and RUN_GROUPS_MAX others */
#define INIT_RLIMITS_MAX 16 /* LIMITS_ULIMITS */

/* Of a terminal; 0 for unknown. */
struct terminal_size {
    uint16_t rows;
    uint16_t columns;
};

/* setrlimit(2) */
struct init_rlimit {
    uint64_t soft;
    uint64_t hard;
    uint32_t resource;
    uint32_t unused;
};

/*
 * What stepcell-init reads from INIT_CONFIG_FD, followed by the instructions of the seccomp filter
 * (struct sock_filter). Its argv[1…] and environment are the command's.
 */
struct init_config {
    uint32_t uid;
    uint32_t gid;
    uint32_t umask;
    uint32_t group_count;
    uint32_t groups[INIT_GROUPS_MAX];
    uint32_t can_set_groups; /* a map with a single id has no setgroups(2) */
    uint32_t scope_sockets;  /* keep to abstract unix sockets of the cell's own */
    uint32_t filter_count;   /* instructions; 0: there is no filter */
    uint32_t rlimit_count;
    uint32_t terminal; /* the command's streams are a terminal */
    uint32_t stays;    /* the cell outlives its command: see MESSAGE_STAYS */
    uint64_t bounding; /* within CAPS_DEFAULT, which stepcell-init itself has */
    uint64_t caps;
    struct init_rlimit rlimits[INIT_RLIMITS_MAX];
};

/*
 * What comes with an ENTER, in memory: this, and then the texts, each with its NUL: the arguments,
 * and entries of the environment ("NAME=VALUE") that count instead of the command's.
 */
struct enter_request {
    uint32_t argument_count;
    uint32_t variable_count;
    uint32_t terminal;
    uint32_t pass_stdin;
    struct terminal_size size;
};

#define ENTER_SIZE_MAX (4 << 20) /* bytes, with the texts */
#define VISITORS_MAX   32        /* commands of ENTER at once */

union message_packet {
    struct message message;
    struct message_failure failure; /* of kind MESSAGE_FAILED */
};

/*
 * Receives one packet of at most `size` bytes (recvmsg(2)), again when a signal comes. *fd is the
 * descriptor that came along, or -1.
 */
ssize_t handshake_receive(int control, void *packet, size_t size, int flags, int *fd);

/* The same with all descriptors that came along; `fds` is filled up with -1. */
ssize_t handshake_receive_several(int control, void *packet, size_t size, int flags,
                                  int fds[HANDSHAKE_FDS_MAX]);

/*
 * A packet of the cell, without waiting: its size, 0 at the end and for nonsense, -1 with errno.
 * *fd is the descriptor that came along, or -1. The end of a cell that has not read everything that
 * was sent to it shows as an error once, before the packets that it has sent.
 */
ssize_t handshake_receive_packet(int control, union message_packet *packet, int *fd);

/* The error in a FAILED. */
void handshake_take_failure(struct message_failure *failure, struct err *err);

/* A message, with a copy of a descriptor unless that is -1; false with errno. */
bool handshake_send(int control, enum message_kind kind, int value, int fd);

/* A message with copies of `count` descriptors, HANDSHAKE_FDS_MAX at the most. */
bool handshake_send_several(int control, enum message_kind kind, int value, const int *fds,
                            size_t count);

/* FAILED with its error. */
void handshake_fail(int control, const struct err *err);

#endif
