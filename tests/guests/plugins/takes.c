/* A plugin whose function is fuzzed: the input's first byte says how it ends. */
#include "../../../sdk/c/ampoule.c"

#include <stdlib.h>

static unsigned calls;
static unsigned char room[100000];

static int takes(const void *input, size_t size, struct ampoule_reply *to) {
    const unsigned char *bytes = input;
    if (calls++ != 0) abort();
    switch (size == 0 ? 0 : bytes[0]) {
    case 'f': return ampoule_fail(to, "it is an f");
    case 'b': return AMPOULE_BAD_ARGUMENTS;
    case 'l': return ampoule_reply_borrow(to, room, sizeof room);
    case 'a': abort();
    case 'e': exit(4);
    default: return ampoule_reply_set(to, input, size);
    }
}
AMPOULE_EXPORT(takes);

int main(void) {
    ampoule_serve();
    return 2;
}
