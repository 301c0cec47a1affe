//! The system calls that threads make which run guests, and nothing else.
//!
//! What `vm` asks of the kernel follows from the seam: [`seam_needs`] has no arm for a call that it does not know, so that a new one does not compile
//! before somebody has decided what it needs. The rest is what `strace` shows of the test suites, by what it is for.
//!
//! ```text
//! argument looked at          because
//! ioctl: the request          the kernel has thousands; these are KVM's, as far as they are used, and three about streams
//! mmap, mprotect: protection  no memory of the host's becomes executable
//! clone: the flags            a thread of this process, and nothing else
//! tgkill: the process         signals go to this process's own threads
//! prctl, fcntl, seccomp       they are many calls in one
//! prlimit64: the new limits   limits are read, not set
//! sendto: the address         what is connected already, and no other
//! ```

use libc::c_long;

use crate::vm::requests as kvm;
use crate::vm::seam::HostCall;

/// When a call is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// Always.
    Any,
    /// This argument is one of these; the kernel reads 32 bits of it.
    OneOf(u8, &'static [u32]),
    /// What the mask leaves of this argument is that.
    Masked { argument: u8, mask: u64, value: u64 },
    /// This argument is the number of the process.
    OwnProcess(u8),
}

/// A call and when it is allowed.
pub(super) type Allowed = (c_long, Rule);

use Rule::{Any, Masked, OneOf, OwnProcess};

/// What a call of the seam takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Needs {
    /// `ioctl` with these requests.
    Requests(&'static [u32]),
    /// These calls.
    Calls(&'static [Allowed]),
}

/// No memory becomes executable.
const NOT_EXECUTABLE: Rule = Masked { argument: 2, mask: libc::PROT_EXEC.cast_unsigned() as u64, value: 0 };

/// What every thread of a C library is made with: pthread_create(3) of glibc and musl.
const THREAD: u64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID)
    .cast_unsigned() as u64;
/// musl sets it; the kernel has ignored it since Linux 2.6.
const DETACHED: u64 = libc::CLONE_DETACHED.cast_unsigned() as u64;

/// What a call of `vm` takes.
pub(super) fn seam_needs(call: HostCall) -> Needs {
    use Needs::{Calls, Requests};
    match call {
        // The device is open before a filter is there.
        HostCall::OpenDevice | HostCall::SupportedCpuid => Requests(&[]),
        HostCall::Run => Requests(&[kvm::RUN]),
        HostCall::CreateVm => Requests(&[kvm::CREATE_VM, kvm::GET_VCPU_MMAP_SIZE, kvm::CHECK_EXTENSION]),
        HostCall::SetMemory => Requests(&[kvm::SET_USER_MEMORY_REGION]),
        HostCall::CreateVcpu => Requests(&[kvm::CREATE_VCPU]),
        HostCall::EnableCapability => Requests(&[kvm::ENABLE_CAP]),
        HostCall::GetTscKhz => Requests(&[kvm::GET_TSC_KHZ]),
        HostCall::SetTscOffset => Requests(&[kvm::SET_DEVICE_ATTR]),
        HostCall::RegisterCoalesced => Requests(&[kvm::REGISTER_COALESCED_MMIO]),
        HostCall::SetCpuid => Requests(&[kvm::SET_CPUID2]),
        HostCall::SetMsrs => Requests(&[kvm::SET_MSRS]),
        HostCall::SetXcrs => Requests(&[kvm::SET_XCRS]),
        HostCall::GetSregs => Requests(&[kvm::GET_SREGS]),
        HostCall::SetSregs => Requests(&[kvm::SET_SREGS]),
        HostCall::SetEvents => Requests(&[kvm::SET_VCPU_EVENTS]),
        HostCall::GetXsave => Requests(&[kvm::GET_XSAVE]),
        HostCall::SetXsave => Requests(&[kvm::SET_XSAVE]),
        HostCall::SetSignalMask => Requests(&[kvm::SET_SIGNAL_MASK]),
        HostCall::GetDirtyLog => Requests(&[kvm::GET_DIRTY_LOG]),
        HostCall::ClearDirtyLog => Requests(&[kvm::CLEAR_DIRTY_LOG]),
        HostCall::Map => Calls(&[(libc::SYS_mmap, NOT_EXECUTABLE), (libc::SYS_munmap, Any)]),
        HostCall::Advise => Calls(&[(libc::SYS_madvise, Any)]),
        HostCall::TimerCreate => Calls(&[(libc::SYS_timer_create, Any), (libc::SYS_timer_delete, Any)]),
        HostCall::TimerSet => Calls(&[(libc::SYS_timer_settime, Any)]),
        HostCall::SignalMask => Calls(&[
            (libc::SYS_rt_sigprocmask, Any),
            (libc::SYS_rt_sigpending, Any),
            (libc::SYS_rt_sigtimedwait, Any),
            // What was somebody else's is sent again; a cancel token and a listener send the kick.
            (libc::SYS_rt_tgsigqueueinfo, OwnProcess(0)),
            (libc::SYS_tgkill, OwnProcess(0)),
            (libc::SYS_getuid, Any),
        ]),
        HostCall::SignalFd => Calls(&[(libc::SYS_signalfd4, Any)]),
        HostCall::Poll => Calls(&[(libc::SYS_ppoll, Any), (libc::SYS_poll, Any)]),
        HostCall::EpollCreate => Calls(&[(libc::SYS_epoll_create1, Any)]),
        HostCall::EpollControl => Calls(&[(libc::SYS_epoll_ctl, Any)]),
        HostCall::EpollWait => Calls(&[(libc::SYS_epoll_pwait, Any)]),
        HostCall::EventFd => Calls(&[(libc::SYS_eventfd2, Any)]),
        // Among the other forms of fcntl, with the streams.
        HostCall::Duplicate => Calls(&[]),
        HostCall::Random => Calls(&[(libc::SYS_getrandom, Any)]),
        HostCall::Thread => Calls(&[
            (libc::SYS_clone, Masked { argument: 0, mask: !DETACHED, value: THREAD }),
            (libc::SYS_set_robust_list, Any),
            (libc::SYS_rseq, Any),
            (libc::SYS_sigaltstack, Any),
            // pthread_getattr_np(3), for the guard of its stack.
            (libc::SYS_sched_getaffinity, Any),
            (libc::SYS_exit, Any),
        ]),
    }
}

/// What any thread does: its allocator, its locks, its clocks, its end.
pub(super) const LIFE: &[Allowed] = &[
    (libc::SYS_brk, Any),
    (libc::SYS_mprotect, NOT_EXECUTABLE),
    (libc::SYS_mremap, Any),
    (libc::SYS_futex, Any),
    (libc::SYS_sched_yield, Any),
    (libc::SYS_clock_gettime, Any),
    (libc::SYS_clock_getres, Any),
    (libc::SYS_clock_nanosleep, Any),
    (libc::SYS_nanosleep, Any),
    (libc::SYS_gettid, Any),
    (libc::SYS_getpid, Any),
    (libc::SYS_restart_syscall, Any),
    (libc::SYS_rt_sigreturn, Any),
    // abort(3) makes the signal's action the default one.
    (libc::SYS_rt_sigaction, Any),
    (libc::SYS_exit_group, Any),
    // How many descriptors there may be, for an error that says so.
    (libc::SYS_prlimit64, Masked { argument: 2, mask: u64::MAX, value: 0 }),
    // A thread's name, and glibc's for its arenas; the auxiliary vector; no_new_privs, before a filter.
    (
        libc::SYS_prctl,
        OneOf(
            0,
            &[
                libc::PR_SET_NAME.cast_unsigned(),
                libc::PR_SET_VMA.cast_unsigned(),
                PR_GET_AUXV,
                libc::PR_SET_NO_NEW_PRIVS.cast_unsigned(),
            ],
        ),
    ),
    // A thread may always have one more filter: it can only allow less.
    (libc::SYS_seccomp, OneOf(0, &[libc::SECCOMP_SET_MODE_FILTER])),
    // What the backtrace of a panic asks for.
    (libc::SYS_getcwd, Any),
    (libc::SYS_readlink, Any),
];

/// Requests that are not KVM's, asm-generic/ioctls.h. Is this stream a terminal: `TCGETS` and `TCGETS2`, one of which isatty(3) makes. How much
/// is there to read, which a guest may ask of stdin: `FIONREAD`.
pub(super) const STREAM_REQUESTS: [u32; 3] = [0x5401, 0x802c_542a, 0x541b];

/// linux/prctl.h `PR_GET_AUXV`, "AUXV" in ASCII.
const PR_GET_AUXV: u32 = 0x4155_5856;

/// Streams: pipes, files, sockets that are connected; and what wakes who waits for them.
pub(super) const STREAMS: &[Allowed] = &[
    (libc::SYS_read, Any),
    (libc::SYS_write, Any),
    (libc::SYS_readv, Any),
    (libc::SYS_writev, Any),
    (libc::SYS_recvfrom, Any),
    (libc::SYS_sendto, Masked { argument: 4, mask: u64::MAX, value: 0 }),
    (libc::SYS_close, Any),
    (libc::SYS_dup, Any),
    (libc::SYS_pipe2, Any),
    (
        libc::SYS_fcntl,
        OneOf(
            1,
            &[
                libc::F_GETFL.cast_unsigned(),
                libc::F_SETFL.cast_unsigned(),
                libc::F_GETFD.cast_unsigned(),
                libc::F_SETFD.cast_unsigned(),
                libc::F_DUPFD_CLOEXEC.cast_unsigned(),
                libc::F_ADD_SEALS.cast_unsigned(),
                libc::F_OFD_GETLK.cast_unsigned(),
                libc::F_OFD_SETLK.cast_unsigned(),
                libc::F_OFD_SETLKW.cast_unsigned(),
            ],
        ),
    ),
];

/// Files: host directories, snapshot files, regions. Which of them there are is landlock's to say.
pub(super) const FILES: &[Allowed] = &[
    (libc::SYS_openat, Any),
    (libc::SYS_openat2, Any),
    (libc::SYS_fstat, Any),
    (libc::SYS_newfstatat, Any),
    (libc::SYS_statx, Any),
    (libc::SYS_faccessat, Any),
    (libc::SYS_faccessat2, Any),
    (libc::SYS_readlinkat, Any),
    (libc::SYS_getdents64, Any),
    (libc::SYS_lseek, Any),
    (libc::SYS_pread64, Any),
    (libc::SYS_pwrite64, Any),
    (libc::SYS_preadv, Any),
    (libc::SYS_pwritev, Any),
    (libc::SYS_preadv2, Any),
    (libc::SYS_pwritev2, Any),
    (libc::SYS_mkdirat, Any),
    (libc::SYS_unlinkat, Any),
    (libc::SYS_renameat, Any),
    (libc::SYS_renameat2, Any),
    (libc::SYS_linkat, Any),
    (libc::SYS_symlinkat, Any),
    (libc::SYS_ftruncate, Any),
    // Room for a file, and none of the modes that take it away or move it.
    (libc::SYS_fallocate, OneOf(1, &[0])),
    (libc::SYS_fsync, Any),
    (libc::SYS_fdatasync, Any),
    (libc::SYS_flock, Any),
    (libc::SYS_utimensat, Any),
    // Whom the guest sees as the owner of its files.
    (libc::SYS_geteuid, Any),
    (libc::SYS_getegid, Any),
    (libc::SYS_fchmod, Any),
    (libc::SYS_fchmodat, Any),
    (libc::SYS_memfd_create, Any),
    // std::io::copy from a file: Region::from_file.
    (libc::SYS_copy_file_range, Any),
    (libc::SYS_sendfile, Any),
    (libc::SYS_splice, Any),
    // How the C library renames and removes: Snapshot::save.
    (libc::SYS_rename, Any),
    (libc::SYS_unlink, Any),
];

/// What musl's C library asks for where glibc's asks for a later call.
#[cfg(target_env = "musl")]
pub(super) const LIBRARY: &[Allowed] =
    &[(libc::SYS_open, Any), (libc::SYS_stat, Any), (libc::SYS_lstat, Any), (libc::SYS_tkill, Any)];
/// What a C library asks for beside that: glibc nothing.
#[cfg(not(target_env = "musl"))]
pub(super) const LIBRARY: &[Allowed] = &[];
