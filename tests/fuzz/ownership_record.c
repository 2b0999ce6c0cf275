/* The record in the scratch of a cell whose step may leave files to other ids. */
#include "tests/fuzz/fuzz.h"

#include "runtime/native/ownership_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autobuf text = BUF_INIT(OWNERSHIP_RECORD_MAX);
    struct ownership_record record;

    if (!buf_append(&text, data, size))
        return 0;
    if (ownership_record_parse(&text, &record)) {
        for (size_t i = 0; i < record.plan.count; i++)
            FUZZ_CHECK(record.plan.mounts[i].source.resolved[0] == '/');
    }
    ownership_record_release(&record);
    return 0;
}
