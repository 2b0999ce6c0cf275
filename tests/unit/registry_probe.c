/*
 * Asks a registry through the client alone, for the tests with faulty servers.
 *
 * usage: registry-probe top REFERENCE                          the digest of what it names
 *        registry-probe blob REFERENCE DIGEST SIZE [THREADS]   the blob, on standard output
 *        registry-probe tags REFERENCE
 *        registry-probe referrers REFERENCE DIGEST [TYPE]
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <signal.h>
#include <stdlib.h>

#include "base/digest.h"
#include "base/num.h"
#include "runtime/image/referrers.h"
#include "runtime/image/source.h"
#include "runtime/image/tags.h"

static int failed(const struct err *err)
{
    fprintf(stderr, "%s: %s\n", err_code_text(err->code), err->message);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return 1;
}

static int top(const struct reference *reference, struct err *err)
{
    autosource *source = source_open(reference, NULL, err);
    autotop found = SOURCE_TOP_INIT;
    char digest[DIGEST_TEXT_MAX];

    if (!source || !source->ops->top(source, &found, err))
        return failed(err);
    digest_of(found.text.data, found.text.len, digest);
    printf("%s %s\n", digest, found.media_type ? found.media_type : "-");
    return 0;
}

static bool write_out(void *data, const void *bytes, size_t len, struct err *err)
{
    (void)err;
    return fwrite(bytes, 1, len, data) == len;
}

/* Several threads on one source. */
struct worker {
    pthread_t thread;
    struct source *source;
    const struct descriptor *blob;
    char *text;
    size_t len;
    bool ok;
    struct err err;
};

static void *work(void *data)
{
    struct worker *worker = data;
    FILE *out = open_memstream(&worker->text, &worker->len);
    const struct source_sink sink = {.write = write_out, .data = out};

    worker->ok = worker->source->ops->blob(worker->source, worker->blob, &sink, &worker->err);
    fclose(out);
    return NULL;
}

static int together(struct source *source, const struct descriptor *blob, size_t count)
{
    struct worker *workers = calloc(count, sizeof(*workers));
    int status = 0;

    for (size_t i = 0; i < count; i++) {
        workers[i] = (struct worker){.source = source, .blob = blob};
        pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    }
    for (size_t i = 0; i < count; i++) {
        char digest[DIGEST_TEXT_MAX];

        pthread_join(workers[i].thread, NULL);
        digest_of(workers[i].text, workers[i].len, digest);
        puts(digest);
        if (!workers[i].ok)
            status = failed(&workers[i].err);
        free(workers[i].text);
    }
    free(workers);
    return status;
}

static int blob(const struct reference *reference, char **arguments, struct err *err)
{
    autosource *source = source_open(reference, NULL, err);
    struct descriptor descriptor = {.digest = arguments[0]};
    const struct source_sink sink = {.write = write_out, .data = stdout};
    uint64_t threads = 0;

    if (!arguments[0] || !arguments[1] || !num_parse(arguments[1], UINT64_MAX, &descriptor.size) ||
        (arguments[2] && !num_parse(arguments[2], 64, &threads)))
        return 2;
    if (!source)
        return failed(err);
    if (threads)
        return together(source, &descriptor, threads);
    return source->ops->blob(source, &descriptor, &sink, err) ? 0 : failed(err);
}

static int tags(const struct reference *reference, struct err *err)
{
    autostrv list = {0};

    if (!tags_list(reference, &list, err))
        return failed(err);
    for (size_t i = 0; i < list.count; i++)
        puts(list.items[i]);
    return 0;
}

static int referrers(const struct reference *reference, char **arguments, struct err *err)
{
    autoreferrers list = {0};

    if (!arguments[0] || !referrers_list(reference, arguments[0], arguments[1], &list, err))
        return failed(err);
    for (size_t i = 0; i < list.count; i++)
        printf("%.9s %s\n", list.items[i].digest, list.items[i].artifact_type);
    return 0;
}

int main(int argc, char **argv)
{
    autoreference reference = {0};
    struct err err = ERR_INIT;

    signal(SIGPIPE, SIG_IGN);
    if (argc < 3)
        return 2;
    if (!reference_parse(argv[2], "/", &reference, &err))
        return failed(&err);
    if (strcmp(argv[1], "top") == 0)
        return top(&reference, &err);
    if (strcmp(argv[1], "blob") == 0)
        return blob(&reference, argv + 3, &err);
    if (strcmp(argv[1], "tags") == 0)
        return tags(&reference, &err);
    if (strcmp(argv[1], "referrers") == 0)
        return referrers(&reference, argv + 3, &err);
    return 2;
}
