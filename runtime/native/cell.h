/*
 * The inside of a cell's creation: what the first process of the new namespaces does between
 * clone(2) and the execution of stepcell-init. Everything here runs in the child; the parent's half
 * is native.c.
 */
#ifndef STEPCELL_RUNTIME_NATIVE_CELL_H
#define STEPCELL_RUNTIME_NATIVE_CELL_H

#include "mounts/idmap.h"
#include "runtime/native/cgroup.h"
#include "runtime/run_spec.h"

struct cell_setup {
    const struct run_spec *spec;
    const struct root_filesystem *root;
    const struct idmap *map;
    const struct cgroup *cgroup;
    int *trees;          /* per mount of the plan: a detached clone that the parent made, or -1 */
    const char *scratch; /* belongs to the root of the cell, which writes to it */
    const char *hosts;   /* what becomes /etc/hosts */
    const char *resolv_conf; /* what becomes /etc/resolv.conf */
    int network;      /* a private network is there when a byte can be read from it; else -1 */
    const char *init; /* path of stepcell-init */
    int control;      /* the child's end of the control socket */
    mode_t umask;     /* the caller's; set by cell_main */
    int output;       /* the step's output file, for reading; set by cell_main */
    bool refused;     /* something is wrong, which has been said; set by cell_main */
    int in, out, err; /* the command's streams; -1 for none */
};

/* Never returns: executes stepcell-init, or reports why not and exits. */
_Noreturn void cell_main(struct cell_setup *setup);

#endif
