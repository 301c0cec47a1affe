/* A parser of chunks, with a planted bug: what the fuzz targets here share.
 *
 *     "AMPL" │ version │ chunk … chunk           chunk: tag │ length │ content
 *     4        1                                        1     1        length */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct parsed {
    uint32_t sum;
    unsigned numbers;
    unsigned names;
    unsigned depth;
};

static int parse_chunks(struct parsed *to, const uint8_t *at, size_t size);

/* Decimal digits. */
static int parse_number(struct parsed *to, const uint8_t *at, size_t size) {
    uint32_t number = 0;
    for (size_t i = 0; i < size; i++) {
        if (at[i] < '0' || at[i] > '9') return -1;
        number = number * 10 + (at[i] - '0');
    }
    to->sum += number;
    to->numbers++;
    return 0;
}

/* Four letters that each take a branch of their own; all four together are the bug. */
static int parse_name(struct parsed *to, const uint8_t *at, size_t size) {
    to->names++;
    if (size < 4) return 0;
    if (at[0] == 'F')
        if (at[1] == 'U')
            if (at[2] == 'Z')
                if (at[3] == 'Z') abort();
    return 0;
}

/* A word of four bytes that is compared at once. */
static int parse_magic(struct parsed *to, const uint8_t *at, size_t size) {
    uint32_t magic;
    if (size != sizeof magic) return -1;
    memcpy(&magic, at, sizeof magic);
    if (magic == 0xfeedc0de) to->sum += 1000000;
    return 0;
}

static int parse_nested(struct parsed *to, const uint8_t *at, size_t size) {
    int result;
    if (++to->depth > 8) return -1;
    result = parse_chunks(to, at, size);
    to->depth--;
    return result;
}

static int parse_chunks(struct parsed *to, const uint8_t *at, size_t size) {
    while (size >= 2) {
        uint8_t tag = at[0];
        size_t length = at[1];
        int result = 0;
        at += 2, size -= 2;
        if (length > size) return -1;
        switch (tag) {
        case 'n': result = parse_number(to, at, length); break;
        case 's': result = parse_name(to, at, length); break;
        case 'm': result = parse_magic(to, at, length); break;
        case '(': result = parse_nested(to, at, length); break;
        case '#': break;
        default: return -1;
        }
        if (result != 0) return result;
        at += length, size -= length;
    }
    return size == 0 ? 0 : -1;
}

static int parse(struct parsed *to, const uint8_t *at, size_t size) {
    memset(to, 0, sizeof *to);
    if (size < 5 || memcmp(at, "AMPL", 4) != 0 || at[4] != 1) return -1;
    return parse_chunks(to, at + 5, size - 5);
}
