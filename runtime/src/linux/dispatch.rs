//! From a system call's number to what serves it.

mod files;
mod process;
mod waiting;

use rustix::io::Errno;

use super::attributes::file_time;
use super::files::abi::AT_FDCWD;
use super::files::{Object, Stream};
use super::identity::{PROCESS, USER};
use super::io::{At, milliseconds, span};
use super::locks::is_lock;
use super::paths::{low, value};
use super::reply::{Refusal, Reply};
use super::{Kernel, descriptor};
use crate::end::End;

/// Generated for each name: the number, from Linux `arch/x86/entry/syscalls/syscall_64.tbl`.
macro_rules! numbers {
    ($($name:ident = $number:literal),+ $(,)?) => {
        $(const $name: u64 = $number;)+
    };
}

use numbers;

numbers! {
    READ = 0, WRITE = 1, OPEN = 2, CLOSE = 3, STAT = 4, FSTAT = 5, LSTAT = 6, POLL = 7, LSEEK = 8, MMAP = 9, MPROTECT = 10,
    MUNMAP = 11, BRK = 12, RT_SIGACTION = 13, RT_SIGPROCMASK = 14, RT_SIGRETURN = 15, IOCTL = 16, PREAD64 = 17, PWRITE64 = 18,
    READV = 19, WRITEV = 20, ACCESS = 21, SCHED_YIELD = 24, MREMAP = 25, MADVISE = 28, DUP = 32, DUP2 = 33, PAUSE = 34,
    NANOSLEEP = 35, GETPID = 39, EXIT = 60, KILL = 62, UNAME = 63, FCNTL = 72, FSYNC = 74, FDATASYNC = 75, FTRUNCATE = 77,
    GETCWD = 79, CHDIR = 80, FCHDIR = 81, MKDIR = 83, RMDIR = 84, CREAT = 85, UNLINK = 87, READLINK = 89, UMASK = 95,
    GETTIMEOFDAY = 96, GETRLIMIT = 97, GETRUSAGE = 98, SYSINFO = 99, TIMES = 100, GETUID = 102, GETGID = 104, SETUID = 105, SETGID = 106, GETEUID = 107,
    GETEGID = 108, GETPPID = 110, GETPGRP = 111, GETGROUPS = 115, GETRESUID = 118, GETRESGID = 120, GETPGID = 121,
    GETSID = 124, RT_SIGPENDING = 127, RT_SIGSUSPEND = 130, SIGALTSTACK = 131, PRCTL = 157, ARCH_PRCTL = 158, SETRLIMIT = 160,
    GETTID = 186, TKILL = 200, TIME = 201, FUTEX = 202, SCHED_GETAFFINITY = 204, GETDENTS64 = 217, SET_TID_ADDRESS = 218,
    CLOCK_GETTIME = 228, CLOCK_GETRES = 229, CLOCK_NANOSLEEP = 230, EXIT_GROUP = 231, TGKILL = 234, OPENAT = 257, MKDIRAT = 258,
    NEWFSTATAT = 262, UNLINKAT = 263, READLINKAT = 267, FACCESSAT = 269, PPOLL = 271, SET_ROBUST_LIST = 273, DUP3 = 292,
    PREADV = 295, PWRITEV = 296, PRLIMIT64 = 302, GETCPU = 309, GETRANDOM = 318, FACCESSAT2 = 439,
}

/// `AT_FDCWD` in a register.
pub(super) const HERE: u64 = (AT_FDCWD as i64).cast_unsigned();
/// `O_CREAT | O_WRONLY | O_TRUNC`, which creat(2) stands for.
const CREAT_FLAGS: u64 = 0o1101;
const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_REMOVEDIR: u64 = 0x200;

impl Kernel<'_> {
    /// Serves the system call in the registers. An errno is the program's to see; the other refusals end the run.
    pub(crate) fn syscall(&mut self) -> Result<(), Refusal> {
        self.process.waits_until = None;
        self.syscall_again()
    }

    /// Serves the system call that was cut short before it had done anything. A time that it waits for is the one that it was begun with.
    pub(crate) fn syscall_again(&mut self) -> Result<(), Refusal> {
        let registers = self.machine.registers();
        let number = registers.rax;
        let arguments = [registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9];
        self.process.waited = false;
        self.process.files.set_time(file_time(&self.process.supply));
        if number == RT_SIGRETURN {
            self.process.counts.count(number);
            self.sys_rt_sigreturn()?;
        } else {
            let served = self.serve(number, arguments);
            if let Err(Refusal::Parked(_)) = served {
                self.process.waited = true;
                return served.map(drop);
            }
            self.process.counts.count(number);
            let result = match served {
                Ok(value) => value,
                Err(Refusal::Errno(errno)) => {
                    if errno == Errno::NOSYS {
                        self.process.counts.mark_unknown(number);
                    }
                    (-i64::from(errno.raw_os_error())).cast_unsigned()
                }
                Err(end) => {
                    let [first, second, ..] = arguments;
                    self.process.waited |= self.only_waits(number, first, second);
                    if self.streams.has_asked() {
                        // Nothing of it has happened: whoever goes on begins to wait.
                        self.process.waits_until = None;
                    }
                    return Err(end);
                }
            };
            self.machine.set_result(result);
        }
        self.deliver_pending()
    }

    /// True if the last system call was cut short before it had done anything: it can be served again.
    pub(crate) fn can_serve_again(&self) -> bool {
        self.process.waited
    }

    /// True if a system call that the run's end cuts short has done nothing yet: it waited.
    fn only_waits(&self, number: u64, first: u64, second: u64) -> bool {
        match number {
            _ if self.streams.has_asked() => true,
            POLL | PPOLL | NANOSLEEP | CLOCK_NANOSLEEP | FUTEX => true,
            _ if waiting::only_waits(number) || files::only_waits(number) => true,
            FCNTL => is_lock(low(second)),
            // What was done is done again, or not needed any more.
            MMAP | MUNMAP | MPROTECT | MADVISE | BRK | GETRANDOM => true,
            // What a stream gives, it gives at once: it was still waiting.
            READ | READV => self.process.files.object(descriptor(first)) == Ok(Object::Stream(Stream::Stdin)),
            _ => false,
        }
    }

    fn serve(&mut self, number: u64, arguments: [u64; 6]) -> Reply {
        let [a, b, c, d, ..] = arguments;
        match number {
            READ => self.read_spans(descriptor(a), &span(b, c), At::Offset),
            WRITE => self.write_spans(descriptor(a), &span(b, c), At::Offset),
            PREAD64 => self.read_spans(descriptor(a), &span(b, c), At::position(d)),
            PWRITE64 => self.write_spans(descriptor(a), &span(b, c), At::position(d)),
            READV | WRITEV | PREADV | PWRITEV => {
                let spans = self.read_vectors(b, c)?;
                match number {
                    READV => self.read_spans(descriptor(a), &spans, At::Offset),
                    WRITEV => self.write_spans(descriptor(a), &spans, At::Offset),
                    PREADV => self.read_spans(descriptor(a), &spans, At::position(d)),
                    _ => self.write_spans(descriptor(a), &spans, At::position(d)),
                }
            }
            POLL => self.sys_poll(a, b, milliseconds(c)),
            PPOLL => {
                let timeout = self.read_timeout(c)?;
                self.sys_poll(a, b, timeout)
            }
            OPEN => self.sys_openat(HERE, a, b, c),
            CREAT => self.sys_openat(HERE, a, CREAT_FLAGS, b),
            OPENAT => self.sys_openat(a, b, c, d),
            CLOSE => self.sys_close(a),
            STAT => self.sys_newfstatat(HERE, a, b, 0),
            LSTAT => self.sys_newfstatat(HERE, a, b, AT_SYMLINK_NOFOLLOW),
            FSTAT => self.sys_fstat(a, b),
            NEWFSTATAT => self.sys_newfstatat(a, b, c, d),
            LSEEK => Ok(self.process.files.lseek(descriptor(a), b.cast_signed(), low(c))?.cast_unsigned()),
            ACCESS => self.sys_faccessat(HERE, a, b, 0),
            FACCESSAT => self.sys_faccessat(a, b, c, 0),
            FACCESSAT2 => self.sys_faccessat(a, b, c, d),
            READLINK => self.sys_readlinkat(HERE, a, b, c),
            READLINKAT => self.sys_readlinkat(a, b, c, d),
            GETCWD => self.sys_getcwd(a, b),
            CHDIR => self.sys_chdir(a),
            FCHDIR => Ok(self.process.files.fchdir(descriptor(a)).map(|()| 0)?),
            MKDIR => self.sys_mkdirat(HERE, a, b),
            MKDIRAT => self.sys_mkdirat(a, b, c),
            UNLINK => self.sys_unlinkat(HERE, a, 0),
            RMDIR => self.sys_unlinkat(HERE, a, AT_REMOVEDIR),
            UNLINKAT => self.sys_unlinkat(a, b, c),
            GETDENTS64 => self.sys_getdents64(a, b, c),
            FTRUNCATE => Ok(self.process.files.ftruncate(descriptor(a), b.cast_signed()).map(|()| 0)?),
            FSYNC | FDATASYNC => Ok(self.process.files.sync(descriptor(a), number == FDATASYNC).map(|()| 0)?),
            FCNTL => self.sys_fcntl(a, b, c),
            DUP => Ok(value(self.process.files.dup(descriptor(a))?)),
            DUP2 => Ok(value(self.process.files.dup2(descriptor(a), descriptor(b))?)),
            DUP3 => Ok(value(self.process.files.dup3(descriptor(a), descriptor(b), low(c))?)),
            IOCTL => self.sys_ioctl(a, b, c),
            UMASK => Ok(u64::from(self.process.files.set_umask(low(a)))),
            BRK => self.sys_brk(a),
            MMAP => self.sys_mmap(arguments),
            MUNMAP => self.sys_munmap(a, b),
            MPROTECT => self.sys_mprotect(a, b, c),
            MREMAP => self.sys_mremap(arguments),
            MADVISE => self.sys_madvise(a, b, c),
            RT_SIGACTION => self.sys_rt_sigaction(a, b, c, d),
            RT_SIGPROCMASK => self.sys_rt_sigprocmask(a, b, c, d),
            RT_SIGPENDING => self.sys_rt_sigpending(a, b),
            RT_SIGSUSPEND => self.sys_rt_sigsuspend(a, b),
            SIGALTSTACK => self.sys_sigaltstack(a, b),
            KILL => self.sys_kill(a, b),
            TKILL => self.sys_tkill(PROCESS, a, b),
            TGKILL => self.sys_tkill(a, b, c),
            // Nothing is pending here: it would have been delivered.
            PAUSE => Err(End::Deadlock.into()),
            FUTEX => self.sys_futex(arguments),
            CLOCK_GETTIME => self.sys_clock_gettime(a, b),
            CLOCK_GETRES => self.sys_clock_getres(a, b),
            CLOCK_NANOSLEEP => self.sys_clock_nanosleep(a, b, c),
            NANOSLEEP => self.sys_nanosleep(a),
            GETTIMEOFDAY => self.sys_gettimeofday(a, b),
            TIME => self.sys_time(a),
            TIMES => self.sys_times(a),
            GETRUSAGE => self.sys_getrusage(a, b),
            GETRANDOM => self.sys_getrandom(a, b, c),
            UNAME => self.sys_uname(a),
            SYSINFO => self.sys_sysinfo(a),
            ARCH_PRCTL => self.sys_arch_prctl(a, b),
            PRCTL => self.sys_prctl(a, b),
            GETRLIMIT => self.sys_prlimit(0, a, 0, b),
            SETRLIMIT => self.sys_prlimit(0, a, b, 0),
            PRLIMIT64 => self.sys_prlimit(a, b, c, d),
            SCHED_GETAFFINITY => self.sys_sched_getaffinity(a, b, c),
            GETCPU => self.sys_getcpu(a, b),
            GETRESUID | GETRESGID => self.sys_getres([a, b, c]),
            GETPID | GETTID | SET_TID_ADDRESS | GETPGRP | GETPGID | GETSID => Ok(PROCESS),
            GETUID | GETGID | GETEUID | GETEGID => Ok(u64::from(USER)),
            SETUID | SETGID if low(a) == USER => Ok(0),
            SETUID | SETGID => Err(Errno::PERM.into()),
            GETPPID | GETGROUPS | SCHED_YIELD | SET_ROBUST_LIST => Ok(0),
            EXIT | EXIT_GROUP => Err(End::Exited(descriptor(a) & 0xff).into()),
            _ => self.serve_files(number, arguments),
        }
    }
}
