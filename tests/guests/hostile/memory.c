/* guest: flags=-O1,-Wno-array-bounds
 * Accesses to memory that is not the program's, or not for that: `memory NAME`. Nothing is handled, so each ends the program; one that
 * goes through ends it with 42. */
#include "../check.h"
#include <alloca.h>
#include <sys/mman.h>

static unsigned char data[64] = {0xc3}; /* ret */
static const unsigned char constant[64] = {0xc3};
static volatile unsigned char sink;

static __attribute__((noinline)) void read_at(uintptr_t at) { sink = *(volatile unsigned char *)at; }
static __attribute__((noinline)) void write_at(uintptr_t at) { *(volatile unsigned char *)at = 1; }
static __attribute__((noinline)) void run_at(uintptr_t at) { ((void (*)(void))at)(); }

static __attribute__((noinline)) int recurse(int depth) {
    volatile char room[200];
    room[0] = (char)depth;
    return recurse(depth + 1) + room[0];
}

static uintptr_t page(int protection) {
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(at, 0xc3, 4096);
    mprotect(at, 4096, protection);
    return (uintptr_t)at;
}
static uintptr_t unmapped(void) {
    uintptr_t at = page(PROT_READ);
    munmap((void *)at, 4096);
    return at;
}
static uintptr_t stack(void) {
    unsigned char *at = alloca(64);
    memset(at, 0xc3, 64);
    return (uintptr_t)at;
}

int main(int argc, char **argv) {
    const char *name = argc > 1 ? argv[1] : "";
#define CASE(text, access) else if (!strcmp(name, text)) access
    if (0);
    CASE("read null", read_at(0));
    CASE("write null", write_at(8));
    CASE("run null", run_at(0));
    CASE("write text", write_at((uintptr_t)main));
    CASE("write constant", write_at((uintptr_t)constant));
    CASE("write string", write_at((uintptr_t) "a string"));
    CASE("run data", run_at((uintptr_t)data));
    CASE("run constant", run_at((uintptr_t)constant));
    CASE("run stack", run_at(stack()));
    CASE("run heap", run_at((uintptr_t)memset(malloc(64), 0xc3, 64)));
    CASE("run page", run_at(page(PROT_READ | PROT_WRITE)));
    CASE("read none", read_at(page(PROT_NONE)));
    CASE("write read-only", write_at(page(PROT_READ)));
    CASE("read unmapped", read_at(unmapped()));
    CASE("write unmapped", write_at(unmapped()));
    CASE("run unmapped", run_at(unmapped()));
    CASE("read upper half", read_at(0xffff800000000000));
    CASE("write upper half", write_at(0xffff800000000000));
    CASE("read kernel", read_at(0xffffffff80000000));
    CASE("write kernel", write_at(0xffffffff80000000));
    CASE("run kernel", run_at(0xffffffff80000000));
    CASE("read top", read_at(UINTPTR_MAX));
    CASE("write top", write_at(UINTPTR_MAX));
    CASE("read vsyscall", read_at(0xffffffffff600000));
    CASE("read noncanonical", read_at(0x0000800000000000));
    CASE("write noncanonical", write_at(0x00ffffffffffffff));
    CASE("run noncanonical", run_at(0x8000000000000000));
    CASE("read last page below the hole", read_at(0x00007ffffffff000));
    CASE("run last page below the hole", run_at(0x00007fffffffffff));
    CASE("recurse", recurse(0));
    CASE("kernel, page by page", for (uintptr_t at = 0xffff800000000000; at; at += (uintptr_t)1 << 39) read_at(at));
    else return 2;
    return 42;
}
