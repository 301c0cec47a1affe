/* Imports a function with types and says so in no note, so that nobody compared them; its argument is a sequence that claims 2^32 elements.
 * See raw.h. */
#include "raw.h"

static int unnoted_bomb(void) {
    static const unsigned char count[] = {0x80, 0x80, 0x80, 0x80, 0x10};
    struct answer answer = raw(AMPOULE_CALL_IMPORT, 0, AT(count), sizeof count, AT(buffer), sizeof buffer);
    REQUIRE(answer.rax < 0);
    return 0;
}

static const struct misbehaviour misbehaviours[] = {
    {"unnoted bomb", "answered", unnoted_bomb},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "list") == 0) return list(misbehaviours);
    attach("export misbehave\nimport lookup\n", 0);
    serve(misbehaviours, NULL);
}
