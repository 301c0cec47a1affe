/* A function with the SDK that answers with a mark in its file: another text there is another version. It also does what the mark says when it boots. */
#include "ampoule.h"
#include "misbehaviour.h"

enum { SIZE = 32, TIMES = 512 };

/* Found in the file by its beginning, and read when it runs: the compiler does not know it. */
static const volatile char mark[SIZE + 1] = "MARK:...........................";
static char booted[SIZE + 1];

/* The mark as it is in the file now. */
static void read_mark(char *to) {
    for (int i = 0; i < SIZE; i++) to[i] = mark[i];
}

/* What the mark was at the boot and what it is now, by turns: parts of two versions would show. */
static int handle(const void *body, size_t size, struct ampoule_reply *reply) {
    static char text[SIZE * TIMES];
    misbehave(body, size);
    for (int i = 0; i < TIMES; i += 2) {
        memcpy(text + SIZE * i, booted, SIZE);
        read_mark(text + SIZE * (i + 1));
    }
    return ampoule_reply_set(reply, text, sizeof text);
}
AMPOULE_EXPORT(handle);

int main(void) {
    read_mark(booted);
    misbehave(booted + 5, strcspn(booted + 5, "."));
    ampoule_serve();
    return 2;
}
