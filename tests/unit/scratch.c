#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "tests/unit/unit.h"

void scratch_make(struct scratch *scratch)
{
    const char *base = getenv("STEPCELL_TEST_DIR");

    snprintf(scratch->path, sizeof(scratch->path), "%s/stepcell-unit-XXXXXX",
             base ? base : "/var/tmp");
    assert_non_null(mkdtemp(scratch->path));
    scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(scratch->fd >= 0);
}

void scratch_remove(struct scratch *scratch)
{
    close(scratch->fd);
    assert_true(file_remove_tree(AT_FDCWD, scratch->path));
}
