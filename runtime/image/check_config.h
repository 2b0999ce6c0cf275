/* What rules ask of an image's configuration, beyond what a run needs (pure). */
#ifndef STEPCELL_RUNTIME_IMAGE_CHECK_CONFIG_H
#define STEPCELL_RUNTIME_IMAGE_CHECK_CONFIG_H

#include "base/json.h"
#include "runtime/image/store.h"

struct check_config {
    struct image image; /* as image_config_parse fills it */
    struct strv cmd, volumes, onbuild;
    struct strv history; /* the lines that say how each layer was made */
    bool healthcheck;
    char *stop_signal; /* "" for none */
    json_t *labels;    /* an object, or NULL */
};

#define CHECK_CONFIG_INIT ((struct check_config){.image = IMAGE_INIT})

/* As image_config_parse. */
bool check_config_parse(const char *text, size_t len, const char *what, size_t layers,
                        struct check_config *config, struct err *err);
void check_config_release(struct check_config *config);

/* The value of a variable of the image's environment, the last one of the name; NULL for none. */
const char *check_config_env(const struct check_config *config, const char *name);

/* A label, or NULL. */
const char *check_config_label(const struct check_config *config, const char *name);

/* Whether a variable or an argument of this name looks like a secret. */
bool check_name_is_secret(const char *name, size_t len);

#define autocheckconfig CLEANUP(check_config_release) struct check_config

#endif
