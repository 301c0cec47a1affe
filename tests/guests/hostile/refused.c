/* Asks for what a sealed program must not get: processes, threads, networks, devices, the host. Each call's outcome is printed, and the
 * program ends with 1 if any was granted. Arguments are chosen so that none would do harm if it were. */
#include "../check.h"
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static int granted;
static long ask(const char *name, long result) {
    int reason = errno;
    if (result == -1)
        printf("%s: refused (%s)\n", name, strerror(reason));
    else
        granted++, printf("%s: GRANTED (%ld)\n", name, result);
    return result;
}
#define ASK(call, ...) ask(#call, syscall(SYS_##call, __VA_ARGS__))

/* A child that came to be leaves at once. */
static void ask_child(const char *name, long result) {
    if (result == 0) _exit(0);
    ask(name, result);
}

int main(int argc, char **argv) {
    static char zeros[4096];
    if (argc > 1) return printf("%s: GRANTED\n", argv[1]), 1;
    const char *again[] = {"refused", "execve", NULL}, *shell[] = {"sh", "-c", "echo execveat: GRANTED; exit 1", NULL}, *none[] = {NULL};
    ask_child("fork", syscall(SYS_fork));
    ask_child("clone", syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
    static uint64_t clone_args[11] = {[4] = SIGCHLD};
    ask_child("clone3", syscall(SYS_clone3, clone_args, sizeof clone_args));
    fflush(stdout);
    ASK(execve, "/proc/self/exe", again, none);
    ASK(execveat, AT_FDCWD, "/bin/sh", shell, none, 0);
    ASK(wait4, -1, zeros, 0, 0);
    ASK(socket, AF_INET, SOCK_STREAM, 0);
    ASK(socket, AF_UNIX, SOCK_STREAM, 0);
    ASK(socket, AF_NETLINK, SOCK_RAW, 0);
    ASK(socketpair, AF_INET, SOCK_STREAM, 0, zeros);
    ASK(socketpair, AF_UNIX, SOCK_DGRAM, 0, zeros);
    ASK(sendmsg, 0, zeros, 0);
    ASK(timer_create, 0, 0, zeros);
    ASK(alarm, 1);
    ASK(connect, 0, zeros, 16);
    ASK(accept, 0, 0, 0);
    ASK(ptrace, 16 /* PTRACE_ATTACH */, 1, 0, 0);
    ASK(process_vm_readv, 1, zeros, 1, zeros, 1, 0);
    ASK(kill, getpid() + 1, 0);
    ASK(kill, -2, 0);
    ASK(tgkill, getpid() + 1, getpid() + 1, 0);
    ASK(mount, "none", "/absent", "tmpfs", 0, 0);
    ASK(umount2, "/absent", 0);
    ASK(pivot_root, "/absent", "/absent");
    ASK(chroot, "/absent");
    ASK(unshare, 0x40000001); /* CLONE_NEWNET and a bit that is none */
    ASK(setns, -1, 0);
    ASK(bpf, 0, 0, 0);
    ASK(perf_event_open, zeros, -1, -1, -1, 0);
    ASK(io_uring_setup, 1, 0);
    ASK(userfaultfd, -1);
    ASK(memfd_create, 0, 0);
    ASK(open_by_handle_at, -1, zeros, 0);
    ASK(init_module, zeros, 0, 0);
    ASK(kexec_load, 0, 0, 0, -1);
    ASK(reboot, 0, 0, 0, 0);
    ASK(swapon, "/absent", 0);
    ASK(settimeofday, (long)-1, 0);
    ASK(iopl, 9);
    ASK(ioperm, 0, 0xfffffffffffffffful, 1);
    ASK(modify_ldt, 1, zeros, 0);
    ASK(setuid, -1);
    ASK(keyctl, -1, 0, 0, 0, 0);
    ASK(shmget, 0, 0, 0);
    ASK(add_key, 0, 0, 0, 0, 0);
    const char *paths[] = {"/dev/kvm",        "/dev/mem",          "/etc/passwd",       "/etc/shadow",        "/proc/1/environ",
                           "/proc/self/mem",  "/proc/1/maps",      "/sys/kernel/vmcoreinfo", "/../../../etc/passwd", "../../etc/passwd",
                           "/root/.ssh",      "/home",             "/bin/sh",           "/tmp/../etc/passwd", "/lib64/ld-linux-x86-64.so.2"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) ask(paths[i], open(paths[i], O_RDONLY));
    printf("%d granted\n", granted);
    return granted != 0;
}
