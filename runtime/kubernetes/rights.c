#include "runtime/kubernetes/rights.h"

bool kube_is_allowed(struct kube_client *client, const char *space, const struct kube_right *right,
                     bool *allowed, struct err *err)
{
    autojson *review = json_pack(
        "{s:s, s:s, s:{s:{s:s, s:s, s:s, s:s*}}}", "apiVersion", "authorization.k8s.io/v1", "kind",
        "SelfSubjectAccessReview", "spec", "resourceAttributes", "namespace", space, "verb",
        right->verb, "resource", right->resource, "subresource", right->subresource);
    const struct kube_call one = {
        .method = "POST",
        .path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        .content = review,
    };
    autokubeanswer answer = {0};

    if (!review)
        return err_set(err, ERR_ENGINE_FAILED, "not enough memory to ask for a right");
    if (!kube_call(client, &one, &answer, err))
        return false;
    *allowed = answer.status != 201 ||
               json_is_true(json_object_get(json_object_get(answer.json, "status"), "allowed"));
    return true;
}
