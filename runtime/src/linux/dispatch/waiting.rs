//! System calls that wait for several things, and what is waited for: `select`, `epoll`, event counters, sockets.

use rustix::io::Errno;

use crate::linux::Kernel;
use crate::linux::io::milliseconds;
use crate::linux::reply::Reply;
use crate::linux::select::Unit;

super::numbers! {
    SELECT = 23, SOCKET = 41, CONNECT = 42, ACCEPT = 43, SENDTO = 44, RECVFROM = 45, SHUTDOWN = 48, BIND = 49, LISTEN = 50,
    GETSOCKNAME = 51, GETPEERNAME = 52, SOCKETPAIR = 53, SETSOCKOPT = 54, GETSOCKOPT = 55, EPOLL_CREATE = 213, EPOLL_WAIT = 232,
    EPOLL_CTL = 233, PSELECT6 = 270, EPOLL_PWAIT = 281, EVENTFD = 284, ACCEPT4 = 288, EVENTFD2 = 290, EPOLL_CREATE1 = 291,
    EPOLL_PWAIT2 = 441,
}

/// True for calls that have done nothing yet when the run's end cuts them short.
pub(super) fn only_waits(number: u64) -> bool {
    matches!(number, SELECT | PSELECT6 | EPOLL_WAIT | EPOLL_PWAIT | EPOLL_PWAIT2)
}

impl Kernel<'_> {
    pub(super) fn serve_waiting(&mut self, number: u64, arguments: [u64; 6]) -> Reply {
        let [a, b, c, d, e, _] = arguments;
        match number {
            SELECT => self.sys_select(a, [b, c, d], e, Unit::Microseconds),
            PSELECT6 => self.sys_select(a, [b, c, d], e, Unit::Nanoseconds),
            EPOLL_CREATE => self.sys_epoll_create(a),
            EPOLL_CREATE1 => self.sys_epoll_create1(a),
            EPOLL_CTL => self.sys_epoll_ctl(a, b, c, d),
            EPOLL_WAIT | EPOLL_PWAIT => self.sys_epoll_wait(a, b, c, milliseconds(d)),
            EPOLL_PWAIT2 => {
                let timeout = self.read_timeout(d)?;
                self.sys_epoll_wait(a, b, c, timeout)
            }
            EVENTFD => self.sys_eventfd2(a, 0),
            EVENTFD2 => self.sys_eventfd2(a, b),
            SOCKETPAIR => self.sys_socketpair(a, b, c, d),
            // No family leads out of the program.
            SOCKET => Err(Errno::AFNOSUPPORT.into()),
            CONNECT => self.refuse_socket(a, Errno::ISCONN),
            ACCEPT | ACCEPT4 | BIND | LISTEN => self.refuse_socket(a, Errno::INVAL),
            SETSOCKOPT => self.refuse_socket(a, Errno::NOPROTOOPT),
            SENDTO => self.sys_sendto(arguments),
            RECVFROM => self.sys_recvfrom(arguments),
            SHUTDOWN => self.sys_shutdown(a, b),
            GETSOCKNAME | GETPEERNAME => self.sys_getsockname(a, b, c),
            GETSOCKOPT => self.sys_getsockopt(arguments),
            _ => self.serve_process(number, arguments),
        }
    }
}
