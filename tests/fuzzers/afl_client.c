/* The fuzzer's side of AFL++'s fork server, and nothing of a fuzzer's: afl_client NAME TARGET INPUT...
 *
 *     target ──► 4 bytes of options        client ──► 4 bytes: shared test cases are welcome
 *     each input:  length and bytes into shared memory, the map cleared
 *     client ──► 4 bytes                   target ──► the child's number, its status
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/shm.h>
#include <unistd.h>

#include "corpus.h"

/* AFL++'s config.h and types.h. */
#define CONTROL 198
#define STATUS 199
#define MAP_BYTES (1 << 16)
#define OPTIONS_ENABLED 0x80000001u
#define OPTION_MAP_SIZE 0x40000000u
#define OPTION_SHARED_CASES 0x01000000u

static int control, status;
static pid_t server;
/* The last child; in persistent mode it stands still between two inputs. */
static pid_t child;
static unsigned char *map, *test_case;
static size_t map_bytes = MAP_BYTES;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static unsigned char *share(const char *variable, size_t bytes) {
    char text[32];
    int id = shmget(IPC_PRIVATE, bytes, IPC_CREAT | 0600);
    void *at = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (at == (void *)-1) fail("shared memory");
    snprintf(text, sizeof text, "%d", id);
    setenv(variable, text, 1);
    return at;
}

static uint32_t receive(void) {
    uint32_t word;
    if (read(status, &word, 4) != 4) fail("the target's status");
    return word;
}

static void send_word(uint32_t word) {
    if (write(control, &word, 4) != 4) fail("the target's control");
}

static void start(char *target) {
    int to[2], from[2];
    char *arguments[] = {target, NULL};
    uint32_t options;
    if (pipe(to) != 0 || pipe(from) != 0) fail("pipe");
    server = fork();
    if (server == 0) {
        /* Whoever reads our figures must not wait for it. */
        dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
        dup2(to[0], CONTROL);
        dup2(from[1], STATUS);
        close(to[1]);
        close(from[0]);
        execv(target, arguments);
        fail(target);
    }
    control = to[1];
    status = from[0];
    close(to[0]);
    close(from[1]);
    options = receive();
    if ((options & OPTIONS_ENABLED) == OPTIONS_ENABLED && options & OPTION_MAP_SIZE) map_bytes = ((options & 0xfffffeu) >> 1) + 1;
    if ((options & OPTION_SHARED_CASES) == 0 || map_bytes > MAP_BYTES) {
        fprintf(stderr, "%s: no shared test cases (options %#x)\n", target, options);
        exit(2);
    }
    send_word(OPTIONS_ENABLED | OPTION_SHARED_CASES);
}

static void run(const struct input *input) {
    uint32_t size = (uint32_t)input->size;
    memcpy(test_case, &size, 4);
    memcpy(test_case + 4, input->bytes, input->size);
    memset(map, 0, map_bytes);
    send_word(0);
    child = (pid_t)receive();
    receive();
}

int main(int argc, char **argv) {
    static struct input inputs[MAX_INPUTS];
    size_t count;
    if (argc < 4) return 2;
    count = read_corpus(inputs, argv + 3);
    setenv("__AFL_PERSISTENT", "1", 1);
    setenv("__AFL_DEFER_FORKSRV", "1", 1);
    map = share("__AFL_SHM_ID", MAP_BYTES);
    test_case = share("__AFL_SHM_FUZZ_ID", MAX_INPUT_BYTES + 4);
    start(argv[2]);
    measure(argv[1], run, inputs, count, 20, 20);
    kill(server, SIGKILL);
    kill(child, SIGKILL);
    return 0;
}
