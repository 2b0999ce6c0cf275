/* A scratch directory on a disk: a tmpfs may lack user attributes. */
#ifndef STEPCELL_TESTS_UNIT_SCRATCH_H
#define STEPCELL_TESTS_UNIT_SCRATCH_H

#include <limits.h>

struct scratch {
    char path[PATH_MAX];
    int fd;
};

void scratch_make(struct scratch *scratch);
void scratch_remove(struct scratch *scratch);

#endif
