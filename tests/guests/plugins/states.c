/* What a guest can change of itself, so that a test sees whether a restore undoes it; and nothing else, so that a benchmark sees what that
 * costs. It calls nothing of the host's. */
#include "../../../sdk/c/ampoule.c"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
#define PAGES 1024

static unsigned char pages[PAGES][PAGE] __attribute__((aligned(PAGE)));
static uint64_t calls = 1;
static __thread uint64_t thread_calls = 1;

/* Up to two numbers in decimal. */
static void numbers(const void *input, size_t size, uint64_t *first, uint64_t *second) {
    char text[48] = "", *end;
    memcpy(text, input, size < sizeof text ? size : sizeof text - 1);
    *first = strtoull(text, &end, 10);
    *second = strtoull(end, NULL, 10);
}

/* Which call this is, as static memory, thread-local memory, the heap and a file have it. */
static int count(const void *input, size_t size, struct ampoule_reply *to) {
    static uint64_t *heap;
    (void)input, (void)size;
    if (heap == NULL && (heap = calloc(1, sizeof *heap)) == NULL) return ampoule_fail(to, "no memory");
    int file = open("/tmp/count", O_CREAT | O_RDWR | O_APPEND, 0600);
    if (file < 0 || write(file, "x", 1) != 1) return ampoule_fail(to, "no file");
    uint64_t length = (uint64_t)lseek(file, 0, SEEK_END);
    close(file);
    uint64_t counts[4] = {calls++, thread_calls++, ++*heap, length};
    return ampoule_reply_set(to, counts, sizeof counts);
}
AMPOULE_EXPORT(count);

/* Writes to so many pages, from a certain one on. The reply is what the first byte of the first was. */
static int dirty(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t wanted, from;
    numbers(input, size, &wanted, &from);
    unsigned char before = pages[from % PAGES][0];
    for (uint64_t i = 0; i < wanted; i++) pages[(from + i) % PAGES][0]++;
    return ampoule_reply_set(to, &before, 1);
}
AMPOULE_EXPORT(dirty);

/* The sum of all first bytes. */
static int sum(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t total = 0;
    (void)input, (void)size;
    for (int i = 0; i < PAGES; i++) total += pages[i][0];
    return ampoule_reply_set(to, &total, sizeof total);
}
AMPOULE_EXPORT(sum);

/* Makes so many pages read-only, from a certain one on. */
static int protect(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t wanted, from;
    numbers(input, size, &wanted, &from);
    if (from > PAGES || wanted > PAGES - from) return AMPOULE_BAD_ARGUMENTS;
    if (mprotect(pages[from], wanted * PAGE, PROT_READ) != 0) return ampoule_fail(to, "mprotect failed");
    return ampoule_reply_set(to, "", 0);
}
AMPOULE_EXPORT(protect);

/* Maps so many pages, writes to each, and leaves them. The reply is their address. */
static int maps(const void *input, size_t size, struct ampoule_reply *to) {
    uint64_t wanted, unused;
    numbers(input, size, &wanted, &unused);
    unsigned char *mapped = mmap(NULL, wanted * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return ampoule_fail(to, "no memory");
    for (uint64_t i = 0; i < wanted; i++) {
        if (mapped[i * PAGE] != 0) return ampoule_fail(to, "somebody's memory");
        mapped[i * PAGE] = 0xa5;
    }
    return ampoule_reply_set(to, &mapped, sizeof mapped);
}
AMPOULE_EXPORT(maps);

/* Never comes to an end, and changes a page in every round. */
static int spins(const void *input, size_t size, struct ampoule_reply *to) {
    (void)input, (void)size, (void)to;
    for (uint64_t i = 0;; i++) ((volatile unsigned char *)pages[i % PAGES])[1]++;
}
AMPOULE_EXPORT(spins);

/* The number of this life, and its seed. */
static int life(const void *input, size_t size, struct ampoule_reply *to) {
    struct {
        uint64_t generation;
        unsigned char seed[32], random[32];
    } now;
    (void)input, (void)size;
    now.generation = ampoule_entropy(now.seed);
    if (getentropy(now.random, sizeof now.random) != 0) return ampoule_fail(to, "no randomness");
    return ampoule_reply_set(to, &now, sizeof now);
}
AMPOULE_EXPORT(life);

int main(void) {
    ampoule_serve();
    return 2;
}
