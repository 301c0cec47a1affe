/* guest: variants=glibc flags=-fno-math-errno
 * One piece of computing each: `kernels NAME` prints the nanoseconds that it took by its own clock, after its memory was touched, and
 * a checksum. The kernels call no library: a C library may choose its code by CPU features that a guest does not see. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static uint64_t now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000000 + (uint64_t)at.tv_nsec;
}

/* FIPS 180-4, one block after the other over the same 64 KiB. */
enum { MESSAGE = 64 << 10, PASSES = 120 };
static uint8_t message[MESSAGE];
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t word, int by) { return word >> by | word << (32 - by); }

static void block(uint32_t state[8], const uint8_t *bytes) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        uint32_t word;
        __builtin_memcpy(&word, bytes + 4 * i, 4);
        w[i] = __builtin_bswap32(word);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
        uint32_t b = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
        w[i] = w[i - 16] + a + w[i - 7] + b;
    }
    for (int i = 0; i < 8; i++) s[i] = state[i];
    for (int i = 0; i < 64; i++) {
        uint32_t e = rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25), choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t first = s[7] + e + choice + constants[i] + w[i];
        uint32_t a = rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22);
        uint32_t second = a + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        s[7] = s[6], s[6] = s[5], s[5] = s[4], s[4] = s[3] + first, s[3] = s[2], s[2] = s[1], s[1] = s[0], s[0] = first + second;
    }
    for (int i = 0; i < 8; i++) state[i] += s[i];
}

static uint64_t sha256(void) {
    uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (int pass = 0; pass < PASSES; pass++)
        for (int at = 0; at < MESSAGE; at += 64) block(state, message + at);
    return state[0];
}

/* Five bodies that attract each other. */
enum { BODIES = 5, STEPS = 500000 };
static double body[BODIES][7] = {{0, 0, 0, 0, 0, 0, 39.5},
                                 {4.84, -1.16, -0.10, 0.61, 2.81, -0.02, 0.038},
                                 {8.34, 4.12, -0.40, -1.01, 1.82, 0.01, 0.011},
                                 {12.9, -15.1, -0.22, 1.08, 0.87, -0.01, 0.0017},
                                 {15.4, -25.9, 0.18, 0.98, 0.59, -0.03, 0.0020}};

static uint64_t nbody(void) {
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < BODIES; i++)
            for (int j = i + 1; j < BODIES; j++) {
                double dx = body[i][0] - body[j][0], dy = body[i][1] - body[j][1], dz = body[i][2] - body[j][2];
                double square = dx * dx + dy * dy + dz * dz, pull = 0.001 / (square * sqrt(square));
                for (int k = 0; k < 3; k++) {
                    double d = k == 0 ? dx : k == 1 ? dy : dz;
                    body[i][3 + k] -= d * body[j][6] * pull;
                    body[j][3 + k] += d * body[i][6] * pull;
                }
            }
        for (int i = 0; i < BODIES; i++)
            for (int k = 0; k < 3; k++) body[i][k] += 0.001 * body[i][3 + k];
    }
    return (uint64_t)(int64_t)(body[1][0] * 1e9);
}

/* One cycle through every cache line of 32 MiB, in an order that no prefetcher guesses. */
enum { LINES = (32 << 20) / 64 };
static struct {
    uint32_t next, padding[15];
} line[LINES];

static void shuffle(void) {
    uint64_t state = 88172645463325252;
    for (uint32_t i = 0; i < LINES; i++) line[i].next = i;
    for (uint32_t i = LINES - 1; i > 0; i--) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        uint32_t j = (uint32_t)(state % i), other = line[j].next;
        line[j].next = line[i].next, line[i].next = other;
    }
}

static uint64_t chase(void) {
    uint32_t at = 0;
    for (int i = 0; i < LINES; i++) at = line[at].next;
    return at;
}

static __attribute__((noinline)) uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
static uint64_t recursion(void) { return fib(36); }

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*prepare)(void);
        uint64_t (*run)(void);
    } kernels[] = {{"sha256", 0, sha256}, {"n-body", 0, nbody}, {"pointer chase", shuffle, chase}, {"fib", 0, recursion}};
    for (int i = 0; i < MESSAGE; i++) message[i] = (uint8_t)(i * 7);
    for (unsigned i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (argc != 2 || strcmp(argv[1], kernels[i].name)) continue;
        if (kernels[i].prepare) kernels[i].prepare();
        uint64_t from = now(), result = kernels[i].run(), taken = now() - from;
        printf("%" PRIu64 " %" PRIx64 "\n", taken, result);
        return 0;
    }
    return 2;
}
