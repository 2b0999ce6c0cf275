/*
 * The secrets of a step: what --secret-env, --secret-file and --mask-file name, gathered once,
 * before anything is started.
 *
 * Everything lies in memory of its own that is locked where the limit of the caller allows it, left
 * out of core dumps, and wiped at release. Nothing of it is ever printed or written to a disk; what
 * messages name are variables and files.
 */
#ifndef STEPCELL_SHIM_SECRETS_H
#define STEPCELL_SHIM_SECRETS_H

#include "base/errs.h"
#include "base/loop.h"
#include "runtime/run_spec.h"
#include "shim/options.h"

#define SECRET_FILE_MAX (64 << 10) /* bytes of a --secret-file: what can be masked */
#define MASK_FILE_MAX   (1 << 20)  /* bytes of a --mask-file */
#define SECRETS_MAX     65536      /* values to be masked */

struct secret_block;
struct secret_value;

struct secrets {
    struct secret_block *blocks; /* all bytes */
    size_t block_count;
    struct secret_value *values;
    size_t value_count;
    struct secret_file *files; /* for the run spec */
    size_t file_count;
    bool incomplete;    /* something was refused, and so there is more to mask than is known */
    struct strv places; /* where the files of --secret-file lie, resolved; a pipe lies nowhere */
};

/*
 * Reads what the options name; `caller` is an environ. The loop is run while a pipe (/dev/fd/N) is
 * read, so that signals are heard: one that stops the loop ends it with an error. What cannot be
 * had joins `refused`, with option.invalid, and the rest is gathered all the same. To be released
 * in any case.
 */
bool secrets_gather(struct secrets *secrets, const struct run_options *options, char **caller,
                    struct loop *loop, struct errs *refused, struct err *err);
void secrets_release(struct secrets *secrets);

/*
 * The values to be masked: of the variables, of the files, of each line of the mask files. None is
 * empty, and none ends with a line break: a shell has taken it off before it prints the value. They
 * may hold line breaks and NUL bytes, and come more than once. Valid until release.
 */
size_t secrets_count(const struct secrets *secrets);
const char *secrets_value(const struct secrets *secrets, size_t i, size_t *len);

#define autosecrets CLEANUP(secrets_release) struct secrets

#endif
