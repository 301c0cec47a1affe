//! The seam: every ioctl, mapping and timer call to the kernel passes [`call`], which names it.
//!
//! A name makes an error true ("KVM_CREATE_VCPU failed: …") and makes the nth call fail on demand, so that tests can walk
//! through a whole sandbox life and break each step in turn.

use std::fmt;
use std::io;

use super::error::HostError;

/// A kernel call that Ampoule makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HostCall {
    /// `open("/dev/kvm")`
    OpenDevice,
    /// `KVM_GET_SUPPORTED_CPUID`
    SupportedCpuid,
    /// `KVM_CREATE_VM`
    CreateVm,
    /// `KVM_SET_USER_MEMORY_REGION`
    SetMemory,
    /// `KVM_CREATE_VCPU`
    CreateVcpu,
    /// `KVM_ENABLE_CAP`
    EnableCapability,
    /// `KVM_GET_TSC_KHZ`
    GetTscKhz,
    /// `KVM_SET_DEVICE_ATTR`
    SetTscOffset,
    /// `KVM_REGISTER_COALESCED_MMIO`
    RegisterCoalesced,
    /// `KVM_SET_CPUID2`
    SetCpuid,
    /// `KVM_SET_MSRS`
    SetMsrs,
    /// `KVM_SET_XCRS`
    SetXcrs,
    /// `KVM_GET_SREGS`
    GetSregs,
    /// `KVM_SET_SREGS`
    SetSregs,
    /// `KVM_SET_VCPU_EVENTS`
    SetEvents,
    /// `KVM_GET_XSAVE`
    GetXsave,
    /// `KVM_SET_XSAVE`
    SetXsave,
    /// `KVM_SET_SIGNAL_MASK`
    SetSignalMask,
    /// `KVM_GET_DIRTY_LOG`
    GetDirtyLog,
    /// `KVM_CLEAR_DIRTY_LOG`
    ClearDirtyLog,
    /// `KVM_RUN`
    Run,
    /// `mmap`
    Map,
    /// `madvise`
    Advise,
    /// `timer_create`
    TimerCreate,
    /// `timer_settime`
    TimerSet,
    /// `pthread_sigmask`
    SignalMask,
    /// `signalfd`
    SignalFd,
    /// `ppoll`
    Poll,
    /// `epoll_create1`
    EpollCreate,
    /// `epoll_ctl`
    EpollControl,
    /// `epoll_pwait`
    EpollWait,
    /// `eventfd2`
    EventFd,
    /// `fcntl(F_DUPFD_CLOEXEC)`
    Duplicate,
    /// `getrandom`
    Random,
    /// `clone`, for a thread
    Thread,
}

impl HostCall {
    /// Every one.
    #[cfg(feature = "confine")]
    pub(crate) const ALL: [Self; 35] = [
        Self::OpenDevice,
        Self::SupportedCpuid,
        Self::CreateVm,
        Self::SetMemory,
        Self::GetTscKhz,
        Self::SetTscOffset,
        Self::RegisterCoalesced,
        Self::EnableCapability,
        Self::CreateVcpu,
        Self::SetCpuid,
        Self::SetMsrs,
        Self::SetXcrs,
        Self::GetSregs,
        Self::SetSregs,
        Self::SetEvents,
        Self::GetXsave,
        Self::SetXsave,
        Self::SetSignalMask,
        Self::GetDirtyLog,
        Self::ClearDirtyLog,
        Self::Run,
        Self::Map,
        Self::Advise,
        Self::TimerCreate,
        Self::TimerSet,
        Self::SignalMask,
        Self::SignalFd,
        Self::Poll,
        Self::EpollCreate,
        Self::EpollControl,
        Self::EpollWait,
        Self::EventFd,
        Self::Duplicate,
        Self::Random,
        Self::Thread,
    ];

    /// The call's name as the kernel's documents have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OpenDevice => "open /dev/kvm",
            Self::SupportedCpuid => "KVM_GET_SUPPORTED_CPUID",
            Self::CreateVm => "KVM_CREATE_VM",
            Self::SetMemory => "KVM_SET_USER_MEMORY_REGION",
            Self::GetTscKhz => "KVM_GET_TSC_KHZ",
            Self::SetTscOffset => "KVM_SET_DEVICE_ATTR",
            Self::RegisterCoalesced => "KVM_REGISTER_COALESCED_MMIO",
            Self::EnableCapability => "KVM_ENABLE_CAP",
            Self::CreateVcpu => "KVM_CREATE_VCPU",
            Self::SetCpuid => "KVM_SET_CPUID2",
            Self::SetMsrs => "KVM_SET_MSRS",
            Self::SetXcrs => "KVM_SET_XCRS",
            Self::GetSregs => "KVM_GET_SREGS",
            Self::SetSregs => "KVM_SET_SREGS",
            Self::SetEvents => "KVM_SET_VCPU_EVENTS",
            Self::GetXsave => "KVM_GET_XSAVE",
            Self::SetXsave => "KVM_SET_XSAVE",
            Self::SetSignalMask => "KVM_SET_SIGNAL_MASK",
            Self::GetDirtyLog => "KVM_GET_DIRTY_LOG",
            Self::ClearDirtyLog => "KVM_CLEAR_DIRTY_LOG",
            Self::Run => "KVM_RUN",
            Self::Map => "mmap",
            Self::Advise => "madvise",
            Self::TimerCreate => "timer_create",
            Self::TimerSet => "timer_settime",
            Self::SignalMask => "pthread_sigmask",
            Self::SignalFd => "signalfd",
            Self::Poll => "ppoll",
            Self::EpollCreate => "epoll_create1",
            Self::EpollControl => "epoll_ctl",
            Self::EpollWait => "epoll_pwait",
            Self::EventFd => "eventfd2",
            Self::Duplicate => "fcntl(F_DUPFD_CLOEXEC)",
            Self::Random => "getrandom",
            Self::Thread => "clone",
        }
    }
}

impl fmt::Display for HostCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Makes one kernel call and names its failure.
pub(super) fn call<T, E: Into<io::Error>>(what: HostCall, make: impl FnOnce() -> Result<T, E>) -> Result<T, HostError> {
    raw(what, || make().map_err(Into::into)).map_err(|source| match source.raw_os_error() {
        Some(libc::EMFILE) => {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
            HostError::OutOfDescriptors { call: what, limit }
        }
        _ => HostError::Call { call: what, source },
    })
}

/// As [`call`], for a caller to whom some errno is not a failure.
pub(super) fn raw<T>(what: HostCall, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    #[cfg(test)]
    if let Some(errno) = fault::due(what) {
        return Err(io::Error::from_raw_os_error(errno));
    }
    let _ = what;
    make()
}

/// A libc-style return value: -1 means errno.
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Faults on demand, for this thread only, so that tests stay parallel.
#[cfg(test)]
pub(crate) mod fault {
    use std::cell::{Cell, RefCell};

    use super::HostCall;

    thread_local! {
        static PLAN: Cell<Option<(usize, i32)>> = const { Cell::new(None) };
        static SEEN: RefCell<Vec<HostCall>> = const { RefCell::new(Vec::new()) };
    }

    /// Runs `body` with its `nth` kernel call (from 0) failing with `errno`; returns the calls that were made.
    pub(crate) fn with_nth_failing<T>(nth: Option<usize>, errno: i32, body: impl FnOnce() -> T) -> (T, Vec<HostCall>) {
        SEEN.take();
        PLAN.set(Some((nth.unwrap_or(usize::MAX), errno)));
        let result = body();
        PLAN.set(None);
        (result, SEEN.take())
    }

    pub(super) fn due(what: HostCall) -> Option<i32> {
        let (nth, errno) = PLAN.get()?;
        let index = SEEN.with_borrow_mut(|seen| {
            seen.push(what);
            seen.len() - 1
        });
        (index == nth).then_some(errno)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_says_how_many_there_are() {
        let full = || Err::<(), _>(io::Error::from_raw_os_error(libc::EMFILE));
        let error = call(HostCall::CreateVm, full).unwrap_err();
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap();
        assert!(matches!(error, HostError::OutOfDescriptors { call: HostCall::CreateVm, limit } if limit == allowed));
        assert!(error.to_string().contains(&format!("all {allowed} descriptors")), "{error}");
    }
}
