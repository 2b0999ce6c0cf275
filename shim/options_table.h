/* The table of options of `run` and `start`; for options.c alone. */
#ifndef STEPCELL_SHIM_OPTIONS_TABLE_H
#define STEPCELL_SHIM_OPTIONS_TABLE_H

#include <string.h>

#include "shim/options.h"

/* One option; `set` gets the value, or NULL for a flag, and the option's spelling for messages. */
struct option {
    const char *name;
    char letter;
    const char *value; /* its name in the help text; NULL for a flag */
    bool repeatable;
    bool (*set)(struct run_options *options, const char *name, const char *value, struct err *err);
    const char *help;
};

const struct option *options_table(size_t *count);

/* NULL when there is none. */
const struct option *option_find(const char *name, size_t len);
const struct option *option_find_letter(char letter);

static inline bool option_is(const struct option *option, const char *name)
{
    return strcmp(option->name, name) == 0;
}

/* Its place in the table. */
size_t option_index(const struct option *option);

/* Whether it concerns who calls, and not what the step is. */
bool option_is_callers(const struct option *option);

bool options_set_text(char **out, const char *name, const char *value, struct err *err);
bool options_no_memory(struct err *err);

#endif
