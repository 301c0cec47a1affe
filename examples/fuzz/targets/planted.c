/* A small format with bugs that were put there: one of each kind, behind comparisons that an input has to pass.
 *
 *     "AMP!"  { tag, size, bytes }*        tag   N  a name    S  a session    C  a counter */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What is only written would be left out. */
static volatile uint64_t sink;

struct session {
    uint8_t number;
    uint8_t *key;
};

/* A stack overflow: a name has room for 16 bytes, and its size is believed. */
static void name(const uint8_t *bytes, size_t size) {
    char buffer[16];
    if (size < 2 || bytes[0] != '"') return;
    for (size_t i = 1; i < size; i++) buffer[i - 1] = (char)bytes[i];
    sink = (uint64_t)buffer[0];
}

/* A session that is closed twice is freed twice; one that is used after it was closed is used after free. */
static void session(struct session *session, const uint8_t *bytes, size_t size) {
    if (size < 2) return;
    if (bytes[0] == 'O' && session->key == NULL) {
        session->key = malloc(8);
        if (session->key == NULL) return;
        session->number = bytes[1];
        memset(session->key, bytes[1], 8);
    } else if (bytes[0] == 'U' && session->key != NULL && bytes[1] == session->number) {
        sink = session->key[0];
    } else if (bytes[0] == 'C' && session->key != NULL) {
        free(session->key);
    }
}

/* A hang: a counter that counts by a step of 0 never arrives. */
static void counter(const uint8_t *bytes, size_t size) {
    if (size < 3 || bytes[0] != '+') return;
    for (unsigned at = 0; at < bytes[1]; at += bytes[2]) sink = at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct session one = {0, NULL};
    if (size < 4 || memcmp(data, "AMP!", 4) != 0) return 0;
    for (size_t at = 4; size - at >= 2;) {
        uint8_t tag = data[at];
        size_t bytes = data[at + 1];
        const uint8_t *value = data + at + 2;
        if (bytes > size - at - 2) break;
        switch (tag) {
        case 'N': name(value, bytes); break;
        case 'S': session(&one, value, bytes); break;
        case 'C': counter(value, bytes); break;
        default: return 0;
        }
        at += 2 + bytes;
    }
    return 0;
}
