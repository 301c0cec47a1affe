/* guest: variants=coverage,memory
 * Counts its calls wherever a program can keep a number, and aborts in any call that does not look like the first one everywhere: a state that
 * leaks from one input to the next is a crash whose text says where. Then the input's first byte says how it ends. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILE_NAME "/tmp/leaks"

static unsigned in_data = 1;
static unsigned in_bss;
static unsigned *in_heap;
static __thread unsigned in_thread_local;
/* Part of the stack that no frame of an input reaches down to. */
static unsigned char *below_the_stack;
static int first_descriptor;
static void *first_break;

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
    first_break = sbrk(0);
    return 0;
}

static void handle(int signal) { (void)signal; }

/* What the kernel keeps for a program. */
static void look_at_the_kernel(void) {
    struct sigaction action;
    sigset_t set;
    unsigned char *mapping;
    expect(sbrk(0) == first_break, "the break");
    mapping = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    expect(mapping != MAP_FAILED && mapping[0] == 0, "a mapping");
    mapping[0] = 1;
    expect(sbrk(3 * 4096) == first_break, "the break");
    expect(*(unsigned char *)first_break == 0, "memory behind the break");
    *(unsigned char *)first_break = 1;
    expect(sigaction(SIGUSR1, NULL, &action) == 0 && action.sa_handler == SIG_DFL, "a handler of signals");
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    sigaction(SIGUSR1, &action, NULL);
    sigprocmask(SIG_SETMASK, NULL, &set);
    expect(!sigismember(&set, SIGUSR2), "the mask of signals");
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_SETMASK, &set, NULL);
    expect(umask(077) == 022, "the mask of files");
    expect(access("/tmp/first", F_OK) == 0, "a file that was removed");
    unlink("/tmp/first");
    expect(chdir("/tmp") == 0 && mkdir("made", 0700) == 0, "a directory");
}

/* For whoever compares what inputs print: what a program is told of time and chance, and where it gets memory. */
static void tell(void) {
    static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_BOOTTIME};
    unsigned char random[16];
    struct timespec now;
    for (unsigned i = 0; i < sizeof clocks / sizeof *clocks; i++) {
        clock_gettime(clocks[i], &now);
        printf("%lld.%09ld ", (long long)now.tv_sec, now.tv_nsec);
    }
    expect(getentropy(random, sizeof random) == 0, "randomness");
    for (unsigned i = 0; i < sizeof random; i++) printf("%02x", random[i]);
    printf(" %d %p\n", (int)getpid(), mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    fflush(stdout);
}

static unsigned __attribute__((noinline)) recurse(unsigned depth) {
    volatile unsigned char frame[512];
    frame[depth % sizeof frame] = (unsigned char)depth;
    return recurse(depth + 1) + frame[depth % sizeof frame];
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
    look_at_the_kernel();
    switch (size == 0 ? 'r' : (char)data[0]) {
    case 'h':
        for (;;) __asm__ volatile("");
    case 'a': abort();
    case 's': return (int)recurse(0);
    case 'm':
        for (void *volatile more = kept; more != NULL;) more = malloc(1 << 20);
        abort();
    case 't': tell(); return 0;
    default: return 0;
    }
}
