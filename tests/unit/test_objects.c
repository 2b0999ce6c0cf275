#include "tests/unit/unit.h"

#include "runtime/kubernetes/pod_setup.h"
#include "runtime/kubernetes/pod_spec.h"
#include "shim/kubernetes/objects.h"

#define SPACE "/api/v1/namespaces/space"

/* One call that is expected, and what the API answers. */
struct turn {
    const char *method, *path;
    long status;         /* 0: no answer */
    const char *owner;   /* label of what is there; of a DELETE: NULL */
    const char *version; /* of what is there; of a DELETE: that it asks for, NULL: of any */
};

static const struct turn *next;

static json_t *answer_of(const struct turn *turn)
{
    return turn->owner
               ? json_pack("{s:{s:s, s:s, s:{s:s, s:s}}, s:{}, s:{s:s}}", "metadata", "uid", "uid",
                           "resourceVersion", turn->version, "labels", LABEL_POD_STEP, "step",
                           LABEL_POD_OWNER, turn->owner, "status", "data", POD_DIGEST, "digest")
               : json_object();
}

static void check_deletion(const struct turn *turn, const json_t *options)
{
    const json_t *preconditions = json_object_get(options, "preconditions");

    if (!turn->version) {
        assert_null(preconditions);
        return;
    }
    assert_string_equal(json_text(preconditions, "uid"), "uid");
    assert_string_equal(json_text(preconditions, "resourceVersion"), turn->version);
}

/* Stands in for the API (the linker's --wrap). */
bool __wrap_kube_call(struct kube_client *client, const struct kube_call *call,
                      struct kube_answer *answer, struct err *err);
bool __wrap_kube_call(struct kube_client *client, const struct kube_call *call,
                      struct kube_answer *answer, struct err *err)
{
    const struct turn *turn = next;
    const char *method = call->method ? call->method : "GET";

    (void)client;
    if (!turn->method)
        fail_msg("not expected: %s %s", method, call->path);
    next++;
    assert_string_equal(method, turn->method);
    assert_string_equal(call->path, turn->path);
    if (strcmp(method, "DELETE") == 0)
        check_deletion(turn, call->content);
    if (!turn->status)
        return err_set(err, ERR_ENGINE_UNAVAILABLE, "no answer");
    *answer = (struct kube_answer){.status = turn->status, .json = answer_of(turn)};
    return true;
}

#define REACHED                                                                                    \
    {                                                                                              \
        "GET", "/version", 200, NULL, NULL                                                         \
    }
#define SEEN(kind, owner, version)                                                                 \
    {                                                                                              \
        "GET", SPACE kind "/name", 200, owner, version                                             \
    }
#define GONE(kind)                                                                                 \
    {                                                                                              \
        "GET", SPACE kind "/name", 404, NULL, NULL                                                 \
    }
#define DELETED(kind, code, version)                                                               \
    {                                                                                              \
        "DELETE", SPACE kind "/name", code, NULL, version                                          \
    }

static const struct {
    const char *what;
    struct turn turns[12];
} failures[] = {
    {"nothing came of it", {REACHED, {"POST", SPACE "/secrets", 0, NULL, NULL}, GONE("/secrets")}},
    {"another worker's lock stays",
     {REACHED, {"POST", SPACE "/secrets", 0, NULL, NULL}, SEEN("/secrets", "other", "1")}},
    {"also where the answer of the look was lost",
     {REACHED,
      {"POST", SPACE "/secrets", 409, NULL, NULL},
      {"GET", SPACE "/secrets/name", 0, NULL, NULL},
      SEEN("/secrets", "other", "1")}},
    {"and where another worker's Pod is looked for in vain",
     {REACHED,
      {"POST", SPACE "/secrets", 409, NULL, NULL},
      SEEN("/secrets", "other", "1"),
      {"GET", SPACE "/pods/name", 0, NULL, NULL},
      SEEN("/secrets", "other", "1")}},
    {"the own one goes, as it was seen",
     {REACHED,
      {"POST", SPACE "/secrets", 504, NULL, NULL},
      SEEN("/secrets", "own", "1"),
      DELETED("/secrets", 409, "1"),
      SEEN("/secrets", "own", "2"),
      DELETED("/secrets", 200, "2"),
      GONE("/secrets")}},
    {"a refusal has made nothing", {REACHED, {"POST", SPACE "/secrets", 403, NULL, NULL}}},
    {"a Pod that another worker has adopted keeps its Secret",
     {REACHED,
      {"POST", SPACE "/secrets", 201, NULL, NULL},
      {"POST", SPACE "/pods", 0, NULL, NULL},
      SEEN("/pods", "other", "1")}},
    {"what is known to be the own one goes by its name",
     {REACHED,
      {"POST", SPACE "/secrets", 201, NULL, NULL},
      {"POST", SPACE "/pods", 0, NULL, NULL},
      GONE("/pods"),
      DELETED("/secrets", 200, NULL),
      GONE("/secrets")}},
    {"a half adoption",
     {REACHED,
      {"POST", SPACE "/secrets", 409, NULL, NULL},
      SEEN("/secrets", "other", "1"),
      SEEN("/pods", "other", "1"),
      {"PATCH", SPACE "/pods/name", 0, NULL, NULL},
      SEEN("/pods", "other", "1")}},
};

static struct kube_config config = {.space = "space", .server = "http://127.0.0.1"};

static void test_failures(void **state)
{
    const struct turn own = {.owner = "own", .version = ""};
    autojson *body = answer_of(&own);
    struct kube_client *client = NULL;
    struct err err = ERR_INIT;

    (void)state;
    assert_ok(kube_client_open(&config, NULL, &client, &err));
    for (size_t i = 0; i < COUNT(failures); i++) {
        struct objects objects = {.config = &config, .name = "name", .client = client};
        struct pod_state pod;

        print_message("%s\n", failures[i].what);
        next = failures[i].turns;
        assert_false(objects_make(&objects, body, NULL, body, NULL, &pod, &err));
        assert_ok(objects_remove(&objects, false, &err));
        assert_null(next->method);
    }
    kube_client_close(client);
}

static const struct {
    const char *what;
    struct turn turns[8];
} sweeps[] = {
    {"both go",
     {SEEN("/pods", "own", "1"), DELETED("/pods", 200, "1"), GONE("/pods"),
      SEEN("/secrets", "own", "2"), DELETED("/secrets", 200, "2"), GONE("/secrets")}},
    {"a Pod that was adopted meanwhile keeps its Secret, be that adopted or not yet",
     {SEEN("/pods", "own", "1"), DELETED("/pods", 409, "1"), SEEN("/pods", "other", "2")}},
    {"a Pod that is made again is not waited for",
     {SEEN("/pods", "own", "1"), DELETED("/pods", 200, "1"), SEEN("/pods", "other", "3"),
      SEEN("/secrets", "other", "4")}},
};

static void test_sweeps(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(sweeps); i++) {
        struct objects objects = {.config = &config,
                                  .name = "name",
                                  .step = "step",
                                  .owner = "own",
                                  .has_pod = OBJECT_UNSURE,
                                  .has_secret = OBJECT_UNSURE};
        struct err err = ERR_INIT;

        print_message("%s\n", sweeps[i].what);
        next = sweeps[i].turns;
        assert_ok(objects_remove(&objects, false, &err));
        assert_null(next->method);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_failures),
                                       cmocka_unit_test(test_sweeps)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
