#include "base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"

#define BUF_FIRST 256

static bool reserve(struct buf *buf, size_t more)
{
    size_t capacity = buf->capacity ? buf->capacity : BUF_FIRST;
    char *data;

    if (more > buf->max || buf->len > buf->max - more)
        return false;
    while (capacity < buf->len + more + 1)
        capacity *= 2;
    if (capacity == buf->capacity)
        return true;
    data = realloc(buf->data, capacity);
    if (!data)
        return false;
    buf->data = data;
    buf->capacity = capacity;
    return true;
}

char *buf_reserve(struct buf *buf, size_t len)
{
    return reserve(buf, len) ? buf->data + buf->len : NULL;
}

void buf_added(struct buf *buf, size_t len)
{
    buf->len += len;
    buf->data[buf->len] = '\0';
}

bool buf_append(struct buf *buf, const void *bytes, size_t len)
{
    if (!reserve(buf, len))
        return false;
    if (len)
        memcpy(buf->data + buf->len, bytes, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return true;
}

bool buf_append_text(struct buf *buf, const char *text)
{
    return buf_append(buf, text, strlen(text));
}

bool buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args;
    int need;

    va_start(args, format);
    need = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (need < 0 || !reserve(buf, (size_t)need))
        return false;
    va_start(args, format);
    vsnprintf(buf->data + buf->len, (size_t)need + 1, format, args);
    va_end(args);
    buf->len += (size_t)need;
    return true;
}

void buf_release(struct buf *buf)
{
    free(buf->data);
    *buf = BUF_INIT(buf->max);
}

char *buf_take(struct buf *buf)
{
    char *data;

    if (!reserve(buf, 0))
        return NULL;
    buf->data[buf->len] = '\0';
    data = TAKE_PTR(buf->data);
    *buf = BUF_INIT(buf->max);
    return data;
}

bool strv_take(struct strv *strv, char *item)
{
    size_t max = strv->max ? strv->max : STRV_MAX;
    char **items;

    /* Room doubles at powers of two, counted with the final NULL. */
    if (!item || strv->count >= max)
        goto fail;
    if (((strv->count + 1) & strv->count) == 0) {
        items = realloc(strv->items, 2 * (strv->count + 1) * sizeof(*items));
        if (!items)
            goto fail;
        strv->items = items;
    }
    strv->items[strv->count++] = item;
    strv->items[strv->count] = NULL;
    return true;
fail:
    free(item);
    return false;
}

bool strv_add(struct strv *strv, const char *item)
{
    return strv_take(strv, strdup(item));
}

bool strv_contains(const struct strv *strv, const char *item)
{
    for (size_t i = 0; i < strv->count; i++) {
        if (strcmp(strv->items[i], item) == 0)
            return true;
    }
    return false;
}

void strv_release(struct strv *strv)
{
    for (size_t i = 0; i < strv->count; i++)
        free(strv->items[i]);
    free(strv->items);
    *strv = (struct strv){.max = strv->max};
}

char *text_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    return text;
}
