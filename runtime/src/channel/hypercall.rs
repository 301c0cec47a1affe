//! Ampoule's own calls, as they come out of the registers: nothing is checked yet but their numbers.

use ampoule_kernel::call;
use rustix::io::Errno;

use crate::linux::user::Span;
use crate::vm::vcpu::Registers;

/// One of Ampoule's own calls, with arguments that nobody has looked at. The numbers' documentation says what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hypercall {
    Attach { version: u64, table: Span, features: u64 },
    Next { outcome: u64, reply: Span, buffer: Span },
    Import { ordinal: u64, arguments: Span, buffer: Span },
    Fetch { buffer: Span },
    Log { level: u64, record: Span },
    Region { name: Span },
    Park,
    Fuzz { what: u64, arguments: [u64; 3] },
    Unknown,
}

impl Hypercall {
    /// The call in the registers; none if it is one of Linux's.
    pub(crate) fn decode(registers: &Registers) -> Option<Self> {
        let &Registers { rax: number, rdi, rsi, rdx, r10, r9, .. } = registers;
        if number < call::CALL_BASE {
            return None;
        }
        let span = |address, length| Span { address, length };
        Some(match number {
            call::ATTACH => Self::Attach { version: rdi, table: span(rsi, rdx), features: r10 },
            call::NEXT => Self::Next { outcome: rdi, reply: span(rsi, rdx), buffer: span(r10, r9) },
            call::IMPORT => Self::Import { ordinal: rdi, arguments: span(rsi, rdx), buffer: span(r10, r9) },
            call::FETCH => Self::Fetch { buffer: span(rdi, rsi) },
            call::LOG => Self::Log { level: rdi, record: span(rsi, rdx) },
            call::REGION => Self::Region { name: span(rdi, rsi) },
            call::PARK => Self::Park,
            call::FUZZ => Self::Fuzz { what: rdi, arguments: [rsi, rdx, r10] },
            _ => Self::Unknown,
        })
    }
}

/// An errno as a call returns it.
pub(crate) fn failure(errno: Errno) -> u64 {
    (-i64::from(errno.raw_os_error())).cast_unsigned()
}

/// What a call returned that did not end well, with a number in RSI.
pub(crate) fn failed(errno: Errno, detail: u64) -> [u64; 3] {
    [failure(errno), 0, detail]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_numbers_are_not_ours_and_ours_are_not_linuxs() {
        let at =
            |rax| Hypercall::decode(&Registers { rax, rdi: 1, rsi: 2, rdx: 3, r10: 4, r9: 5, ..Registers::default() });
        assert_eq!(at(0), None);
        assert_eq!(at(call::CALL_BASE - 1), None);
        assert_eq!(
            at(call::NEXT),
            Some(Hypercall::Next {
                outcome: 1,
                reply: Span { address: 2, length: 3 },
                buffer: Span { address: 4, length: 5 }
            })
        );
        assert_eq!(at(call::FUZZ), Some(Hypercall::Fuzz { what: 1, arguments: [2, 3, 4] }));
        assert_eq!(at(call::FUZZ + 1), Some(Hypercall::Unknown));
        assert_eq!(at(u64::MAX), Some(Hypercall::Unknown));
    }
}
