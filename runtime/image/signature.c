#include "runtime/image/signature.h"

#include <string.h>

#include "base/buf.h"
#include "base/path.h"

void signature_demand_release(struct signature_demand *demand)
{
    for (size_t i = 0; i < demand->key_count; i++) {
        free(demand->keys[i].file);
        free(demand->keys[i].pem);
    }
    free(demand->keys);
    free(demand->name);
    *demand = (struct signature_demand){0};
}

const struct signature_key *signature_demand_key(const struct signature_demand *demand,
                                                 const char *id)
{
    for (size_t i = 0; id && i < demand->key_count; i++) {
        if (strcmp(demand->keys[i].id, id) == 0)
            return &demand->keys[i];
    }
    return NULL;
}

bool signature_names(const struct signature_demand *demand, const char *docker_reference)
{
    autoreference reference = {0};
    autofree char *repository = NULL;
    struct err ignored;

    if (demand->identity == IDENTITY_ANY)
        return true;
    if (!docker_reference || !reference_parse(docker_reference, "/", &reference, &ignored) ||
        reference.transport != TRANSPORT_REGISTRY)
        return false;
    /* A name without a tag stands for none, not for "latest". */
    if (demand->identity == IDENTITY_EXACT)
        return strchr(path_name(docker_reference), ':') && !reference.digest &&
               strcmp(reference.name, demand->name) == 0;
    repository = text_printf("%s/%s", reference.host, reference.path);
    return repository && strcmp(repository, demand->name) == 0;
}

json_t *signature_record_read(const struct store *store, const char *manifest_digest)
{
    autofree char *path = text_printf("images/%s/" SIGNATURE_RECORD, digest_hex(manifest_digest));
    struct err ignored;
    autojson *record =
        path ? json_read_file(store->fd, path, RECORD_MAX, ERR_IMAGE_CORRUPT, &ignored) : NULL;
    const char *schema = json_text(record, "schema"), *digest = json_text(record, "digest");
    const char *of = json_text(record, "manifest_digest");

    if (!schema || strcmp(schema, SIGNATURE_RECORD_SCHEMA) != 0 || !digest_is_valid(digest) ||
        !of || strcmp(of, manifest_digest) != 0)
        return NULL;
    return TAKE_PTR(record);
}

json_t *signature_find(json_t *signatures, const struct signature_demand *demand,
                       const char *digest, const char *manifest_digest)
{
    json_t *signature;
    size_t i;

    json_array_foreach (signatures, i, signature) {
        const char *of = json_text(signature, "digest");

        if (of &&
            ((digest && strcmp(of, digest) == 0) ||
             (manifest_digest && strcmp(of, manifest_digest) == 0)) &&
            signature_demand_key(demand, json_text(signature, "key")) &&
            signature_names(demand, json_text(signature, "docker_reference")))
            return signature;
    }
    return NULL;
}
