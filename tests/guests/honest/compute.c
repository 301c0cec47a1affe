/* Plain work: sorting, searching, hashing, text. What it prints depends on all of it. */
#include "../check.h"
#include <ctype.h>

enum { COUNT = 50000 };

static int ascending(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}
static uint64_t fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

int main(void) {
    uint32_t *numbers = malloc(COUNT * sizeof *numbers), state = 3;
    for (int i = 0; i < COUNT; i++) numbers[i] = next_number(&state);
    qsort(numbers, COUNT, sizeof *numbers, ascending);
    for (int i = 1; i < COUNT; i++)
        if (numbers[i - 1] > numbers[i]) return 1;
    printf("sorted: %u %u %u, sum %08x\n", numbers[0], numbers[COUNT / 2], numbers[COUNT - 1],
           checksum(CHECKSUM_START, numbers, COUNT * sizeof *numbers));
    CHECK(bsearch(&numbers[777], numbers, COUNT, sizeof *numbers, ascending) != NULL);
    printf("fib(24) = %llu\n", (unsigned long long)fib(24));
    static char sieve[200001];
    int primes = 0;
    for (int i = 2; i <= 200000; i++) {
        if (sieve[i]) continue;
        primes++;
        for (long j = (long)i * i; j <= 200000; j += i) sieve[j] = 1;
    }
    printf("%d primes\n", primes);
    uint32_t crc = ~0u;
    for (int i = 0; i < COUNT; i++) {
        crc ^= numbers[i] & 0xff;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    printf("crc %08x\n", ~crc);
    char text[] = "The quick brown fox jumps over the lazy dog";
    int words = 0;
    for (char *save, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save), words++) word[0] = toupper(word[0]);
    printf("%d words, %s\n", words, text);
    return 0;
}
