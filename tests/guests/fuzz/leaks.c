/* guest: variants=coverage,memory
 * Counts its calls wherever a program can keep a number, and aborts in any call that does not look like the first one everywhere: a state that
 * leaks from one input to the next is a crash whose text says where. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_NAME "/tmp/leaks"

static unsigned in_data = 1;
static unsigned in_bss;
static unsigned *in_heap;
static __thread unsigned in_thread_local;
/* Part of the stack that no frame of an input reaches down to. */
static unsigned char *below_the_stack;
static int first_descriptor;

static void fail(const char *where) {
    fprintf(stderr, "leaks: %s\n", where);
    abort();
}

static void expect(int first, const char *where) {
    if (!first) fail(where);
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    unsigned char here;
    (void)argc, (void)argv;
    in_heap = malloc(sizeof *in_heap);
    *in_heap = 0;
    /* Where that is, the compiler need not know. */
    __asm__("lea -65536(%1), %0" : "=r"(below_the_stack) : "r"(&here));
    memset(below_the_stack, 0, 4096);
    first_descriptor = open("/tmp/first", O_CREAT | O_RDWR, 0600);
    close(first_descriptor);
    setenv("LEAKS", "0", 1);
    return 0;
}

static unsigned in_xmm(void) {
    unsigned was;
    /* XMM15 is nobody's across a call, and a static program without vector code leaves it alone. */
    __asm__ volatile("movd %%xmm15, %0" : "=r"(was));
    __asm__ volatile("movd %0, %%xmm15" : : "r"(was + 1));
    return was;
}

static void count_in_file(void) {
    int descriptor = open(FILE_NAME, O_CREAT | O_EXCL | O_RDWR, 0600);
    expect(descriptor >= 0 || errno != EEXIST, "a file that is there already");
    if (descriptor < 0) return;
    expect(write(descriptor, "x", 1) == 1 && lseek(descriptor, 0, SEEK_END) == 1, "the contents of a file");
    /* It stays open: the next call would get another number. */
    expect(descriptor == first_descriptor, "an open file");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void *kept;
    unsigned i;
    (void)data;
    expect(in_xmm() == 0, "XMM15");
    expect(in_data++ == 1, "initialised data");
    expect(in_bss++ == 0, "zeroed data");
    expect((*in_heap)++ == 0, "the heap");
    expect(in_thread_local++ == 0, "thread-local data");
    for (i = 0; i < 4096; i++) expect(below_the_stack[i] == 0, "the stack");
    memset(below_the_stack, 1, 4096);
    expect(strcmp(getenv("LEAKS"), "0") == 0, "the environment");
    setenv("LEAKS", "1", 1);
    expect(kept == NULL, "a pointer");
    kept = malloc(size + 1);
    expect(errno == 0, "errno");
    errno = 77;
    count_in_file();
    return 0;
}
