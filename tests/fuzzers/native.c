/* The target in this process: called, and called in a child of its own. */
#include <sys/wait.h>
#include <unistd.h>

#include "corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void call(const struct input *input) { LLVMFuzzerTestOneInput(input->bytes, input->size); }

static void call_in_child(const struct input *input) {
    pid_t child = fork();
    if (child == 0) {
        call(input);
        _exit(0);
    }
    if (child < 0 || waitpid(child, NULL, 0) != child) {
        perror("fork");
        exit(2);
    }
}

int main(int argc, char **argv) {
    static struct input inputs[MAX_INPUTS];
    size_t count = read_corpus(inputs, argv + 1);
    if (argc < 2) return 2;
    measure("direct call", call, inputs, count, 100, 20);
    measure("fork()", call_in_child, inputs, count, 10, 10);
    return 0;
}
