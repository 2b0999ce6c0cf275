#include "shim/image/signed.h"

#include <string.h>

void signed_release(struct signed_image *image)
{
    policy_verdict_release(&image->verdict);
    policy_release(&image->policy);
    json_decref(image->signatures);
    *image = (struct signed_image){0};
}

/* The other name stands for nothing that anybody has signed by the first. */
static bool cannot_rename(const struct reference *reference, const char *rule, struct err *err)
{
    err_set(err, ERR_IMAGE_SIGNATURE,
            "image '%s' has to be signed (%s), and cannot be known to be under another name",
            reference->name, rule);
    return err_hint(err, "use the image by its own name, of a registry");
}

bool signed_begin(struct reference *reference, const struct reference *name_as,
                  struct signed_image *image, struct err *err)
{
    autoverdict source = {0};

    if (!policy_load(&image->policy, err))
        return false;
    if ((image->policy.exists || image->policy.containers) && !reference_resolve(reference, err))
        return false;
    if (!name_as)
        return policy_check_image(&image->policy, reference, &image->verdict, err);
    /* Under the other name it is going to run: both have to be allowed. */
    return policy_check_image(&image->policy, reference, &source, err) &&
           (source.demand_count == 0 || cannot_rename(reference, source.rule, err)) &&
           policy_check_image(&image->policy, name_as, &image->verdict, err);
}

/* The store's own record, without a question to anybody; whatever it says is verified again. */
static bool verify_record(struct signed_image *image, const struct fetch *fetch,
                          const struct signature_request *request)
{
    autojson *record = signature_record_read(fetch->store, fetch->name.manifest_digest);

    image->signatures = record ? signatures_reverify(request, record) : NULL;
    return image->signatures;
}

static bool not_known(const struct fetch *fetch, struct err *err)
{
    err_set(err, ERR_IMAGE_SIGNATURE,
            "the store does not know of a signature that image '%s' needs", fetch->reference->name);
    return err_hint(err, "--pull never forbids to ask the registry; pull it first");
}

bool signed_verify(struct signed_image *image, struct fetch *fetch, struct err *err)
{
    const struct signature_request request = {
        .reference = fetch->reference,
        .digest = fetch->name.digest,
        .manifest_digest = fetch->name.manifest_digest,
        .demands = image->verdict.demands,
        .demand_count = image->verdict.demand_count,
    };

    if (request.demand_count == 0 || verify_record(image, fetch, &request))
        return true;
    if (fetch->policy == FETCH_NEVER)
        return not_known(fetch, err);
    image->is_new = true;
    return signatures_verify(&request, &image->signatures, err) && fetch_indexes(fetch, err);
}

bool signed_finish(const struct signed_image *image, const struct fetch *fetch, struct err *err)
{
    return !image->is_new ||
           signature_record_write(fetch->store, fetch->name.digest, fetch->name.manifest_digest,
                                  &fetch->indexes, image->signatures, err);
}
