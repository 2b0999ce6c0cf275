/* What the child that looks into a layer says to its parent, who does not trust it. */
#include "tests/fuzz/fuzz.h"

#include "runtime/image/check_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = ERR_INIT;
    autochecktree *tree = check_tree_new(&err);
    autofd records = check_records_new(&err);

    FUZZ_CHECK(tree && records >= 0);
    FUZZ_CHECK(pwrite(records, data, size, 0) == (ssize_t)size);
    if (!check_records_read(records, tree, &err))
        FUZZ_SAID(err);
    return 0;
}
