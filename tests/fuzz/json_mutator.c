/*
 * Changes inputs that hold JSON value by value: the reader is a library that no search can look into, so bytes
 * changed at random hardly ever get past it. What stands before the first bracket is kept.
 */
#include "tests/fuzz/fuzz.h"

#include "base/json.h"

#define NODES_MAX 512
#define TEXT_MAX  256 /* bytes of a string that is changed */

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

/* A value and where it is: in an object under `key`, or in an array at `index`. */
struct node {
    json_t *container, *value;
    const char *key;
    size_t index;
};

struct nodes {
    struct node items[NODES_MAX];
    size_t count;
};

static void collect(struct nodes *nodes, json_t *container)
{
    const char *key;
    json_t *value;
    size_t i;

    json_object_foreach (container, key, value) {
        if (nodes->count < NODES_MAX)
            nodes->items[nodes->count++] = (struct node){container, value, key, 0};
        collect(nodes, value);
    }
    json_array_foreach (container, i, value) {
        if (nodes->count < NODES_MAX)
            nodes->items[nodes->count++] = (struct node){container, value, NULL, i};
        collect(nodes, value);
    }
}

/* Another value of the same kind. */
static json_t *changed(const json_t *value, unsigned int seed)
{
    uint8_t text[TEXT_MAX];
    size_t len = json_string_length(value);

    if (json_is_integer(value)) {
        uint64_t number = (uint64_t)json_integer_value(value);

        return json_integer((json_int_t)(seed & 1 ? number + 1 : number * seed));
    }
    if (!json_is_string(value) || len > TEXT_MAX)
        return json_deep_copy(value);
    memcpy(text, json_string_value(value), len);
    len = LLVMFuzzerMutate(text, len, sizeof(text));
    return json_bytes((const char *)text, len);
}

static json_t *sample(unsigned int seed)
{
    static const char *const texts[] = {
        "null", "true", "[]",   "{}",    "0", "-1", "9223372036854775807",
        "1.5",  "\"\"", "[[]]", "\"x\"",
    };

    return json_loads(texts[seed % ARRAY_SIZE(texts)], JSON_DECODE_ANY, NULL);
}

static void put(const struct node *node, json_t *value)
{
    if (!value)
        return;
    if (node->key)
        json_object_set_new(node->container, node->key, value);
    else
        json_array_set_new(node->container, node->index, value);
}

static void change(const struct nodes *nodes, unsigned int seed)
{
    const struct node *node = &nodes->items[seed % nodes->count];
    const struct node *other = &nodes->items[seed / 7 % nodes->count];

    switch (seed / 3 % 6) {
    case 0:
        put(node, sample(seed / 5));
        break;
    case 1:
        put(node, json_deep_copy(other->value));
        break;
    case 2:
        if (node->key)
            json_object_del(node->container, node->key);
        else
            json_array_remove(node->container, node->index);
        break;
    case 3:
        if (json_is_array(node->value))
            json_array_append_new(node->value, json_deep_copy(other->value));
        else if (json_is_object(node->value) && other->key)
            json_object_set_new(node->value, other->key, json_deep_copy(other->value));
        break;
    default:
        put(node, changed(node->value, seed / 11));
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    static struct nodes nodes;
    size_t prefix = 0, len;
    autojson *json = NULL;
    autofree char *text = NULL;

    while (prefix < size && data[prefix] != '{' && data[prefix] != '[')
        prefix++;
    json = json_loadb((const char *)data + prefix, size - prefix, 0, NULL);
    nodes.count = 0;
    collect(&nodes, json);
    if (seed % 8 == 0 || nodes.count == 0)
        return LLVMFuzzerMutate(data, size, max_size);
    change(&nodes, seed / 8);
    text = json_dumps(json, JSON_COMPACT);
    len = text ? strlen(text) : 0;
    if (len == 0 || prefix + len > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    memcpy(data + prefix, text, len);
    return prefix + len;
}
