/* A protocol over several inputs, each of which is a message: hello, then login with the right word, then a command; only then "crash" does. A message out of
 * its turn begins anew. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static enum { CLOSED, GREETED, LOGGED_IN } state;
static unsigned messages;

static int is(const uint8_t *data, size_t size, const char *word) { return size == strlen(word) && memcmp(data, word, size) == 0; }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    messages++;
    switch (state) {
    case CLOSED:
        if (is(data, size, "hello")) state = GREETED;
        return 0;
    case GREETED:
        if (is(data, size, "login swordfish"))
            state = LOGGED_IN;
        else if (!is(data, size, "wait"))
            state = CLOSED;
        return 0;
    case LOGGED_IN:
        if (is(data, size, "crash")) abort();
        /* The third message at the earliest; how many there were tells whether a state was kept. */
        if (is(data, size, "crash after three") && messages == 3) abort();
        if (is(data, size, "bye")) state = CLOSED;
        return 0;
    }
    return 0;
}
