/* What zlib deflates, in whatever pieces it arrives, comes out of the inflater as it went in. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include "base/file.h"
#include "runtime/image/inflate.h"

#define PLAIN_SIZE (3 << 20)
#define GZIP_SIZE  (8 << 20)

struct text {
    unsigned char *plain, *gzip;
    size_t gzip_len;
};

/* Runs of bytes and noise, so that there are blocks of every kind; the same in every run. */
static int make_text(void **state)
{
    struct text *text = calloc(1, sizeof(*text));
    unsigned int seed = 1;

    text->plain = malloc(PLAIN_SIZE);
    text->gzip = malloc(GZIP_SIZE);
    for (size_t i = 0; i < PLAIN_SIZE; i++) {
        seed = seed * 1103515245 + 12345;
        text->plain[i] = (unsigned char)(i % 40000 < 20000 ? i / 7 : seed >> 16);
    }
    *state = text;
    return 0;
}

static int free_text(void **state)
{
    struct text *text = *state;

    free(text->plain);
    free(text->gzip);
    free(text);
    return 0;
}

/* Members of `size` bytes each, at levels that take turns. */
static void deflate_members(struct text *text, size_t size)
{
    text->gzip_len = 0;
    for (size_t from = 0, n = 0; from < PLAIN_SIZE; from += size, n++) {
        size_t len = PLAIN_SIZE - from < size ? PLAIN_SIZE - from : size;
        z_stream stream = {.next_in = text->plain + from,
                           .avail_in = (unsigned int)len,
                           .next_out = text->gzip + text->gzip_len,
                           .avail_out = (unsigned int)(GZIP_SIZE - text->gzip_len)};

        assert_int_equal(
            deflateInit2(&stream, (int)(n % 10), Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
        text->gzip_len += stream.total_out;
        deflateEnd(&stream);
    }
}

/* A pipe into which a child writes `piece` bytes at a time. */
static int feed(const struct text *text, size_t len, size_t piece, pid_t *child)
{
    int pipes[2];

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    *child = fork();
    if (*child == 0) {
        for (size_t i = 0; i < len; i += piece) {
            if (!file_write_all(pipes[1], text->gzip + i, len - i < piece ? len - i : piece))
                _exit(1);
        }
        _exit(0);
    }
    close(pipes[1]);
    return pipes[0];
}

static bool inflates(const struct text *text, size_t len, size_t piece, size_t ask)
{
    pid_t child;
    int fd = feed(text, len, piece, &child);
    struct err err;
    struct inflater *inflater = inflater_new(fd, -1, COMPRESSION_GZIP, &err);
    unsigned char *out = malloc(ask);
    size_t total = 0, n = 0;
    bool ok;

    do {
        ok = inflater_read(inflater, out, ask, &n, &err);
        if (!ok)
            break;
        assert_true(total + n <= PLAIN_SIZE);
        assert_memory_equal(out, text->plain + total, n);
        total += n;
    } while (n == ask);
    if (ok) {
        assert_int_equal(total, PLAIN_SIZE);
        assert_int_equal(inflater_consumed(inflater), len);
    } else {
        assert_int_equal(err.code, ERR_IMAGE_CORRUPT);
    }
    free(out);
    inflater_free(inflater);
    close(fd);
    waitpid(child, NULL, 0);
    return ok;
}

static void members_of_any_size_in_pieces_of_any_size(void **state)
{
    static const size_t members[] = {777, 10007, 300000, PLAIN_SIZE};
    static const size_t pieces[] = {13, 4096, 65536, 1 << 20};
    static const size_t asks[] = {1000, 262144, PLAIN_SIZE + 1};

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        deflate_members(*state, members[i]);
        for (size_t k = 0; k < sizeof(pieces) / sizeof(pieces[0]); k++) {
            const struct text *text = *state;

            assert_true(inflates(text, text->gzip_len, pieces[k], asks[(i + k) % 3]));
        }
    }
}

static void what_is_cut_off_or_changed_is_found(void **state)
{
    struct text *text = *state;

    deflate_members(text, 300000);
    for (size_t cut = 1; cut < 40; cut += 3)
        assert_false(inflates(text, text->gzip_len - cut, 65536, 262144));
    assert_false(inflates(text, text->gzip_len / 2, 65536, 262144));
    /* The checksum of the last member, and its length. */
    for (size_t back = 1; back <= 8; back++) {
        text->gzip[text->gzip_len - back] ^= 1;
        assert_false(inflates(text, text->gzip_len, 65536, 262144));
        text->gzip[text->gzip_len - back] ^= 1;
    }
    memcpy(text->gzip + text->gzip_len, "more", 4);
    assert_false(inflates(text, text->gzip_len + 4, 65536, 262144));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_any_size_in_pieces_of_any_size),
        cmocka_unit_test(what_is_cut_off_or_changed_is_found),
    };

    return cmocka_run_group_tests(tests, make_text, free_text);
}
