#include "runtime/kubernetes/visit_frames.h"

#include <string.h>

#define NUMBER_SIZE 4

static void put_number(uint32_t number, uint8_t bytes[NUMBER_SIZE])
{
    for (size_t i = 0; i < NUMBER_SIZE; i++)
        bytes[i] = (uint8_t)(number >> (8 * (NUMBER_SIZE - 1 - i)));
}

static uint32_t get_number(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

size_t visit_write(enum visit_kind kind, const void *bytes, size_t len,
                   uint8_t frame[VISIT_FRAME_MAX])
{
    put_number((uint32_t)kind << 24 | (uint32_t)len, frame);
    if (len > 0)
        memcpy(frame + VISIT_HEAD_SIZE, bytes, len);
    return VISIT_HEAD_SIZE + len;
}

size_t visit_write_number(enum visit_kind kind, uint32_t number, uint8_t frame[VISIT_FRAME_MAX])
{
    uint8_t bytes[NUMBER_SIZE];

    put_number(number, bytes);
    return visit_write(kind, bytes, sizeof(bytes), frame);
}

size_t visit_write_end(uint32_t how, uint32_t value, uint8_t frame[VISIT_FRAME_MAX])
{
    uint8_t bytes[2 * NUMBER_SIZE];

    put_number(how, bytes);
    put_number(value, bytes + NUMBER_SIZE);
    return visit_write(VISIT_ENDED, bytes, sizeof(bytes), frame);
}

/* Whether a frame of this kind may be so long. */
static bool fits(uint32_t kind, size_t len)
{
    static const struct {
        size_t min, max;
    } sizes[VISIT_KINDS] = {
        [VISIT_REQUEST] = {1, VISIT_BYTES_MAX},
        [VISIT_IN] = {1, VISIT_BYTES_MAX},
        [VISIT_OUT] = {1, VISIT_BYTES_MAX},
        [VISIT_ERR] = {1, VISIT_BYTES_MAX},
        [VISIT_CLOSE] = {NUMBER_SIZE, NUMBER_SIZE},
        [VISIT_SIGNAL] = {NUMBER_SIZE, NUMBER_SIZE},
        [VISIT_SIZE] = {NUMBER_SIZE, NUMBER_SIZE},
        [VISIT_TAKEN] = {NUMBER_SIZE, NUMBER_SIZE},
        [VISIT_ENDED] = {2 * NUMBER_SIZE, 2 * NUMBER_SIZE},
    };

    return kind > 0 && kind < VISIT_KINDS && len >= sizes[kind].min && len <= sizes[kind].max;
}

static bool take(struct visit_reader *reader, uint32_t kind, size_t len)
{
    const uint8_t *bytes = reader->frame + VISIT_HEAD_SIZE;
    const struct visit_frame frame = {
        .kind = (enum visit_kind)kind,
        .bytes = bytes,
        .len = len,
        .number = len >= NUMBER_SIZE ? get_number(bytes) : 0,
        .value = len >= 2 * NUMBER_SIZE ? get_number(bytes + NUMBER_SIZE) : 0,
    };

    reader->used = 0;
    return reader->take(reader->data, &frame);
}

bool visit_reader_feed(struct visit_reader *reader, const void *bytes, size_t len)
{
    const uint8_t *at = bytes, *end = at + len;
    uint32_t head;
    size_t size, piece;

    while (at < end) {
        if (reader->used < VISIT_HEAD_SIZE) {
            reader->frame[reader->used++] = *at++;
            if (reader->used < VISIT_HEAD_SIZE)
                continue;
        }
        head = get_number(reader->frame);
        size = head & 0xffffff;
        if (!fits(head >> 24, size))
            return false;
        piece = VISIT_HEAD_SIZE + size - reader->used;
        if (piece > (size_t)(end - at))
            piece = (size_t)(end - at);
        memcpy(reader->frame + reader->used, at, piece);
        reader->used += piece;
        at += piece;
        if (reader->used == VISIT_HEAD_SIZE + size && !take(reader, head >> 24, size))
            return false;
    }
    return true;
}
