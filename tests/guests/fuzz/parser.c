/* guest: variants=coverage,memory,guard,plain,outside
 * A parser of chunks with branches to find, and one bug: a name of "FUZZ" aborts. */
#include "parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct parsed parsed;
    return parse(&parsed, data, size) == 0 ? 0 : -1;
}
