// Exceptions that code without checks throws, through frames whose variables have something poisoned around them.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>

#define WITHOUT_CHECKS __attribute__((noinline, no_sanitize("kernel-address")))

WITHOUT_CHECKS static void give_up() { throw std::runtime_error("given up"); }

// Called by nobody who knows that it does not return.
static void (*volatile called)() = give_up;

static __attribute__((noinline)) int descend(int depth) {
    volatile char room[48] = {0};
    if (depth == 0)
        called();
    else
        room[0] = static_cast<char>(descend(depth - 1));
    return room[0];
}

// What compilers know is copied without a call.
static volatile size_t room_bytes = 4096;

// As a library's: its variables lie where the frames were, and it copies by a function that is checked.
WITHOUT_CHECKS static int copy(const char *from) {
    char room[4096];
    memcpy(room, from, room_bytes);
    return room[17];
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char bytes[4096];
    if (size == 0) return 0;
    try {
        return descend(40);
    } catch (const std::runtime_error &) {
    }
    if (data[0] == 'h') {
        volatile char *block = new char[10];
        block[10] = 1;
    }
    return copy(bytes);
}
