/* What comes over the API's exec, in two pieces: the first byte says where it is cut. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/visit_frames.h"

struct seen {
    size_t bytes;
    uint8_t again[VISIT_FRAME_MAX];
};

static bool take(void *data, const struct visit_frame *frame)
{
    struct seen *seen = data;

    FUZZ_CHECK(frame->kind > 0 && frame->kind < VISIT_KINDS && frame->len <= VISIT_BYTES_MAX);
    /* What was understood is what would be written. */
    if (frame->kind == VISIT_ENDED)
        seen->bytes += visit_write_end(frame->number, frame->value, seen->again);
    else if (frame->kind == VISIT_SIZE || frame->kind == VISIT_TAKEN)
        seen->bytes += visit_write_number(frame->kind, frame->number, seen->again);
    else
        seen->bytes += visit_write(frame->kind, frame->bytes, frame->len, seen->again);
    FUZZ_CHECK(memcmp(seen->again + VISIT_HEAD_SIZE, frame->bytes, frame->len) == 0);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct seen seen;
    static struct visit_reader reader;
    size_t cut = size * fuzz_choice(&data, &size) / 255;

    seen = (struct seen){0};
    reader = (struct visit_reader){.take = take, .data = &seen};
    cut = cut < size ? cut : size;
    if (visit_reader_feed(&reader, data, cut) && visit_reader_feed(&reader, data + cut, size - cut))
        FUZZ_CHECK(seen.bytes + reader.used == size);
    FUZZ_CHECK(seen.bytes <= size);
    return 0;
}
