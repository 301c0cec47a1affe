/* A plugin that means harm: one function for each way in which a plugin can misbehave. None of them may do more than end its own call. */
#include "ampoule.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The host's directory, as the scoring plugin uses it. */
AMPOULE_IMPORT_TYPED(lookup, "(key: string) -> option<string>");

#define MISBEHAVIOUR(name) static int name(const void *input, size_t size, struct ampoule_reply *reply)

/* The compiler cannot see that it is 0, so it cannot make another crash of it. */
static int *volatile nowhere;
static volatile int yes = 1;

/* Posts an event, so that a host can wait until it runs, and never comes back. */
MISBEHAVIOUR(spins) {
    (void)input, (void)size, (void)reply;
    ampoule_event(1, 0);
    while (yes) {}
    return AMPOULE_OK;
}
AMPOULE_EXPORT(spins);

/* Waits for a signal that nobody can send. */
MISBEHAVIOUR(waits) {
    (void)input, (void)size, (void)reply;
    while (yes) pause();
    return AMPOULE_OK;
}
AMPOULE_EXPORT(waits);

/* Takes memory until it gets no more: that is an ordinary ENOMEM, and the call has a result. */
MISBEHAVIOUR(hoards) {
    size_t mebibytes = 0;
    char text[64];
    (void)input, (void)size;
    for (void *volatile piece; (piece = malloc(1 << 20)) != NULL; mebibytes++) memset(piece, 1, 1 << 20);
    return ampoule_reply_set(reply, text, (size_t)snprintf(text, sizeof text, "malloc said no after %zu MiB", mebibytes));
}
AMPOULE_EXPORT(hoards);

/* Reserves memory, which costs nothing, and then touches all of it. */
MISBEHAVIOUR(eats_memory) {
    size_t room = (size_t)1 << 40;
    volatile char *reserved = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    (void)input, (void)size;
    if (reserved == MAP_FAILED) return ampoule_fail(reply, "nothing was reserved");
    for (size_t i = 0; i < room; i += 4096) reserved[i] = 1;
    return AMPOULE_OK;
}
AMPOULE_EXPORT(eats_memory);

MISBEHAVIOUR(floods_output) {
    (void)input, (void)size, (void)reply;
    while (yes) puts("spam spam spam spam spam spam spam spam spam spam spam spam spam");
    return AMPOULE_OK;
}
AMPOULE_EXPORT(floods_output);

MISBEHAVIOUR(floods_events) {
    (void)input, (void)size, (void)reply;
    for (uint64_t count = 0; yes; count++) ampoule_event(2, count);
    return AMPOULE_OK;
}
AMPOULE_EXPORT(floods_events);

MISBEHAVIOUR(floods_host_calls) {
    static const char key[] = "\4EDDF";
    char answer[64];
    (void)input, (void)size, (void)reply;
    while (yes) ampoule_import(&lookup, key, sizeof key - 1, answer, sizeof answer);
    return AMPOULE_OK;
}
AMPOULE_EXPORT(floods_host_calls);

/* Sends the host's function arguments that are none. The host refuses them, and the plugin is told. */
MISBEHAVIOUR(misleads_the_host) {
    char answer[64];
    (void)input, (void)size;
    if (ampoule_import(&lookup, "\377\377\377\377", 4, answer, sizeof answer) == -AMPOULE_EBADMSG)
        return ampoule_fail(reply, "the host did not believe the arguments");
    return AMPOULE_OK;
}
AMPOULE_EXPORT(misleads_the_host);

MISBEHAVIOUR(dereferences_null) {
    (void)input, (void)size, (void)reply;
    return *nowhere;
}
AMPOULE_EXPORT(dereferences_null);

__attribute__((noinline)) static int deeper(volatile char *above) {
    volatile char here[4096];
    here[0] = *above;
    return yes ? deeper(here) + here[0] : 0;
}

MISBEHAVIOUR(overflows_the_stack) {
    volatile char top = 0;
    (void)input, (void)size, (void)reply;
    return deeper(&top);
}
AMPOULE_EXPORT(overflows_the_stack);

MISBEHAVIOUR(writes_its_code) {
    (void)input, (void)size, (void)reply;
    *(volatile char *)(uintptr_t)deeper = 0;
    return AMPOULE_OK;
}
AMPOULE_EXPORT(writes_its_code);

MISBEHAVIOUR(aborts) {
    (void)input, (void)size, (void)reply;
    abort();
}
AMPOULE_EXPORT(aborts);

MISBEHAVIOUR(exits) {
    (void)input, (void)size, (void)reply;
    exit(3);
}
AMPOULE_EXPORT(exits);

/* What it sends is no u64. */
MISBEHAVIOUR(lies) {
    (void)input, (void)size;
    return ampoule_reply_set(reply, "\377\377\377", 3);
}
AMPOULE_EXPORT_TYPED(lies, "() -> u64");

/* Answers with an outcome that does not exist, past its SDK. */
MISBEHAVIOUR(breaks_the_protocol) {
    (void)input, (void)size, (void)reply;
    syscall(AMPOULE_CALL_NEXT, 77, 0, 0, 0, 0);
    return AMPOULE_OK;
}
AMPOULE_EXPORT(breaks_the_protocol);

/* Answers with more than a message may have. */
MISBEHAVIOUR(answers_too_much) {
    static char much[4 << 20];
    (void)input, (void)size;
    return ampoule_reply_borrow(reply, much, sizeof much);
}
AMPOULE_EXPORT(answers_too_much);

int main(void) {
    ampoule_serve();
    return 2;
}
