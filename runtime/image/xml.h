/*
 * XML as lists of versions are written in (pure): elements, text, CDATA, comments, character
 * references and the five named entities, in UTF-8. A document type, or a processing instruction
 * other than the declaration, ends the reading: nothing can expand, and nothing can lead elsewhere.
 * Attributes have to be well-formed, and are not handed out.
 *
 *   struct xml xml; xml_begin(&xml, text, len); xml_next(&xml) until XML_DONE or XML_BROKEN
 *   xml_release(&xml) in any case
 */
#ifndef STEPCELL_RUNTIME_IMAGE_XML_H
#define STEPCELL_RUNTIME_IMAGE_XML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

#define XML_DEPTH_MAX 32         /* elements inside of elements */
#define XML_NAME_MAX  128        /* bytes of a name */
#define XML_TEXT_MAX  (64 << 10) /* bytes of a text without an element in it */

enum xml_event {
    XML_START, /* of the innermost element */
    XML_END,   /* of it, which is still the innermost one */
    XML_TEXT,  /* in it: xml->text; what belongs together may come in several pieces */
    XML_DONE,
    XML_BROKEN /* xml->why; what was handed out before is not to be used */
};

struct xml {
    const char *at, *end; /* the text, borrowed */
    struct xml_name {
        const char *at;
        size_t len;
    } names[XML_DEPTH_MAX]; /* of the open elements */
    size_t depth;
    struct buf text;
    const char *why; /* a phrase: "it ends inside of an element" */
    bool has_root;
    bool is_empty; /* the innermost element ends at once */
    bool ended;    /* the innermost element was handed out as ended */
};

void xml_begin(struct xml *xml, const char *text, size_t len);
enum xml_event xml_next(struct xml *xml);
void xml_release(struct xml *xml);

/* Whether the open elements are these: "metadata/versioning". */
bool xml_is_at(const struct xml *xml, const char *path);

#define autoxml CLEANUP(xml_release) struct xml

#endif
