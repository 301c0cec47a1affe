/* A function with the SDK that does what the body says, or answers which request of its life this is. */
#include "ampoule.h"
#include "misbehaviour.h"

static unsigned count;

static int handle(const void *body, size_t size, struct ampoule_reply *reply) {
    char text[16];
    count++;
    if (asked("fail", body, size)) return ampoule_fail(reply, "no \033[31mluck");
    misbehave(body, size);
    return ampoule_reply_set(reply, text, (size_t)snprintf(text, sizeof text, "%u", count));
}
AMPOULE_EXPORT(handle);

int main(void) {
    ampoule_serve();
    return 2;
}
