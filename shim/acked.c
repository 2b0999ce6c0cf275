#include "shim/acked.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

#define ACKED_MAX 4096 /* bytes of the file */

bool acked_read(int dirfd, struct acked *acked, struct err *err)
{
    autojson *json = json_read_file(dirfd, STEP_ACKED, ACKED_MAX, ERR_ENGINE_FAILED, err);
    const json_t *offset = json_object_get(json, "offset"), *seq = json_object_get(json, "seq");

    if (!json && errno == ENOENT) {
        *acked = ACKED_NONE;
        return true;
    }
    if (!json)
        return false;
    if (!json_is_integer(offset) || json_integer_value(offset) < 0 || !json_is_integer(seq))
        return err_set(err, ERR_ENGINE_FAILED, "'%s' does not say what was confirmed", STEP_ACKED);
    *acked = (struct acked){(uint64_t)json_integer_value(offset), json_integer_value(seq)};
    return true;
}

bool acked_write(int dirfd, const struct acked *acked, struct err *err)
{
    autofree char *text = text_printf("{\"offset\": %llu, \"seq\": %lld}\n",
                                      (unsigned long long)acked->offset, (long long)acked->seq);

    if (!text)
        return err_errno(err, ERR_ENGINE_FAILED, "cannot write '%s'", STEP_ACKED);
    return file_replace(dirfd, STEP_ACKED, text, strlen(text), 0600, ERR_ENGINE_FAILED, err);
}
