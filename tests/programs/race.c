/* Times two commands, one after the other, many times over, and prints both minima and their ratio.
 *
 *   race first|end ROUNDS INPUT COMMAND... -- COMMAND...
 *
 * From the start of the process until its first line is there (`first`), or until it ended (`end`); its stdin is INPUT, its stdout a pipe
 * that is read to the end in pieces of 64 KiB. Minima, because what else the machine does only ever adds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static void fail(const char *what)
{
	perror(what);
	exit(2);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* One run, in milliseconds. */
static double timed(char **command, const char *input, int until_first_line)
{
	static char buffer[1 << 16];
	posix_spawn_file_actions_t actions;
	int ends[2], status;
	pid_t child;
	if (pipe2(ends, O_CLOEXEC) != 0)
		fail("pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, input, O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
	double started = now(), first = 0;
	if (posix_spawn(&child, command[0], &actions, NULL, command, environ) != 0)
		fail(command[0]);
	close(ends[1]);
	for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
		if (first == 0 && memchr(buffer, '\n', got))
			first = now();
	if (waitpid(child, &status, 0) != child || status != 0 || first == 0) {
		fprintf(stderr, "%s: wait status %#x, %s\n", command[0], status, first ? "some output" : "no line");
		exit(2);
	}
	double ended = now();
	close(ends[0]);
	posix_spawn_file_actions_destroy(&actions);
	return (until_first_line ? first : ended) - started;
}

int main(int argc, char **argv)
{
	int between = 4;
	while (between < argc && strcmp(argv[between], "--") != 0)
		between++;
	if (between + 1 >= argc) {
		fprintf(stderr, "usage: %s first|end ROUNDS INPUT COMMAND... -- COMMAND...\n", argv[0]);
		return 2;
	}
	argv[between] = NULL;
	char **commands[] = {argv + 4, argv + between + 1};
	double least[2] = {1e9, 1e9};
	for (int round = atoi(argv[2]); round > 0; round--)
		for (int i = 0; i < 2; i++) {
			double taken = timed(commands[i], argv[3], strcmp(argv[1], "first") == 0);
			if (taken < least[i])
				least[i] = taken;
		}
	printf("%.3f %.3f %.3f\n", least[0], least[1], least[0] / least[1]);
	return 0;
}
