/* XML: any bytes are read to an end, and what is handed out is within its limits. */
#include "tests/fuzz/fuzz.h"

#include "base/utf8.h"
#include "runtime/image/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    autofree char *text = malloc(size ? size : 1);
    size_t starts = 0, ends = 0;
    enum xml_event event;
    autoxml xml;

    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    xml_begin(&xml, text, size);
    while ((event = xml_next(&xml)) != XML_DONE && event != XML_BROKEN) {
        FUZZ_CHECK(xml.depth > 0 && xml.depth <= XML_DEPTH_MAX);
        FUZZ_CHECK(xml.names[xml.depth - 1].len <= XML_NAME_MAX);
        starts += event == XML_START;
        ends += event == XML_END;
        FUZZ_CHECK(starts >= ends);
        if (event == XML_TEXT && xml.text.len)
            FUZZ_CHECK(xml.text.len <= XML_TEXT_MAX && utf8_valid(xml.text.data, xml.text.len));
    }
    FUZZ_CHECK(event == XML_BROKEN ? xml.why != NULL : starts == ends && starts > 0);
    return 0;
}
