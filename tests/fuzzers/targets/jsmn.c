/* jsmn: an input is a text, cut into tokens. */
#include <jsmn.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    jsmn_parser parser;
    jsmntok_t tokens[512];
    jsmn_init(&parser);
    return jsmn_parse(&parser, (const char *)data, size, tokens, 512) < -3;
}
