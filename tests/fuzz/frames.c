/* The log of a Pod, in two pieces: the first byte says where it is cut. */
#include "tests/fuzz/fuzz.h"

#include "runtime/kubernetes/frames.h"

struct seen {
    uint64_t bytes[3];
    bool ended;
};

static bool take(void *data, const struct frame *frame, struct err *err)
{
    struct seen *seen = data;

    (void)err;
    FUZZ_CHECK(!seen->ended);
    if (frame->kind >= FRAME_OUT && frame->kind <= FRAME_VAR) {
        FUZZ_CHECK(frame->len > 0 && frame->len <= FRAME_BYTES_MAX);
        seen->bytes[frame->kind - FRAME_OUT] += frame->len;
    }
    if (frame->kind == FRAME_FAIL)
        FUZZ_SAID(frame->error);
    seen->ended = frame->kind == FRAME_END;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t choice = fuzz_choice(&data, &size);
    size_t cut = size * choice / 255;
    struct seen seen = {0};
    struct frame_reader reader = {.take = take, .data = &seen, .gives_up = choice & 1};
    struct err err = ERR_INIT;
    enum frame_progress progress = frame_reader_feed(&reader, data, cut, &err);

    if (progress == FRAMES_MORE)
        progress = frame_reader_feed(&reader, data + cut, size - cut, &err);
    if (progress == FRAMES_WRONG)
        FUZZ_SAID(err);
    if (progress == FRAMES_ENDED)
        FUZZ_CHECK(seen.ended && reader.ended);
    for (size_t i = 0; i < 3; i++)
        FUZZ_CHECK(seen.bytes[i] == reader.counts[i]);
    return 0;
}
