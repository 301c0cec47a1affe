//! The list of calls as filters of the kernel's: seccomp(2).
//!
//! Two of them, since one filter has one answer beside "allowed". The kernel asks both, and the stricter answer wins; for calls that are allowed
//! whatever their arguments are it remembers that, and asks neither again (`SECCOMP_ARCH_NATIVE` bitmaps, Linux 5.11).
//!
//! ```text
//! fallback   clone3 ─► ENOSYS, so that the C library takes clone, whose flags a filter can see     all else ─► allowed
//! list       what calls.rs has ─► allowed                                                         all else ─► killed, or EPERM
//! ```

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Denied;
use super::calls::{self, Needs, Rule};
use crate::vm::requests;
use crate::vm::seam::HostCall;

/// Both filters, in the order in which they are installed.
pub(super) fn programs(denied: Denied, further: &[c_long]) -> Result<[BpfProgram; 2], BackendError> {
    let fallback = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let fallback = filter(fallback, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS.cast_unsigned()))?;
    let denied = match denied {
        Denied::Kill => SeccompAction::KillProcess,
        Denied::Refuse => SeccompAction::Errno(libc::EPERM.cast_unsigned()),
    };
    Ok([fallback, filter(rules(further)?, denied, SeccompAction::Allow)?])
}

fn filter(
    rules: BTreeMap<c_long, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    SeccompFilter::new(rules, otherwise, on_match, TargetArch::x86_64)?.try_into()
}

/// The list. A call without rules is allowed always.
fn rules(further: &[c_long]) -> Result<BTreeMap<c_long, Vec<SeccompRule>>, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    // Looked at in this order: entering the guest comes first.
    let mut requests = vec![one_of(1, requests::RUN)?];
    for call in HostCall::ALL {
        match calls::seam_needs(call) {
            Needs::Requests(numbers) => {
                for &number in numbers.iter().filter(|&&number| number != requests::RUN) {
                    requests.push(one_of(1, number)?);
                }
            }
            Needs::Calls(calls) => add(&mut rules, calls)?,
        }
    }
    for number in calls::STREAM_REQUESTS {
        requests.push(one_of(1, number)?);
    }
    rules.insert(libc::SYS_ioctl, requests);
    for calls in [calls::LIFE, calls::STREAMS, calls::FILES, calls::LIBRARY] {
        add(&mut rules, calls)?;
    }
    // Clone3 is answered by the other filter, which is the stricter one.
    rules.insert(libc::SYS_clone3, Vec::new());
    rules.extend(further.iter().map(|&number| (number, Vec::new())));
    Ok(rules)
}

fn add(rules: &mut BTreeMap<c_long, Vec<SeccompRule>>, calls: &[calls::Allowed]) -> Result<(), BackendError> {
    for &(number, rule) in calls {
        let conditions = match rule {
            Rule::Any => Vec::new(),
            Rule::OneOf(argument, values) => {
                values.iter().map(|&value| one_of(argument, value)).collect::<Result<_, _>>()?
            }
            Rule::Masked { argument, mask, value } => {
                vec![only(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value)?]
            }
            Rule::OwnProcess(argument) => vec![one_of(argument, std::process::id())?],
        };
        rules.insert(number, conditions);
    }
    Ok(())
}

fn one_of(argument: u8, value: u32) -> Result<SeccompRule, BackendError> {
    only(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value.into())
}

fn only(argument: u8, len: SeccompCmpArgLen, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(argument, len, operator, value)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_on_the_list_that_makes_a_process_a_socket_or_looks_into_others() {
        let rules = rules(&[]).unwrap();
        for call in [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_fork,
            libc::SYS_vfork,
            libc::SYS_socket,
            libc::SYS_socketpair,
            libc::SYS_connect,
            libc::SYS_bind,
            libc::SYS_accept4,
            libc::SYS_sendmsg,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_open,
            libc::SYS_kill,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_chroot,
            libc::SYS_open_by_handle_at,
            libc::SYS_mknodat,
            libc::SYS_pkey_mprotect,
            libc::SYS_personality,
            libc::SYS_modify_ldt,
            libc::SYS_arch_prctl,
        ] {
            assert!(!rules.contains_key(&call), "{call} is allowed");
        }
    }

    #[test]
    fn calls_that_are_many_in_one_are_allowed_by_their_arguments_only() {
        let rules = rules(&[]).unwrap();
        for call in [
            libc::SYS_ioctl,
            libc::SYS_mmap,
            libc::SYS_mprotect,
            libc::SYS_clone,
            libc::SYS_tgkill,
            libc::SYS_rt_tgsigqueueinfo,
            libc::SYS_prctl,
            libc::SYS_prlimit64,
            libc::SYS_seccomp,
            libc::SYS_sendto,
            libc::SYS_fcntl,
        ] {
            assert!(!rules[&call].is_empty(), "{call} is allowed whatever its arguments are");
        }
    }

    #[test]
    fn what_an_embedder_adds_is_allowed_always() {
        assert!(rules(&[libc::SYS_epoll_wait]).unwrap()[&libc::SYS_epoll_wait].is_empty());
    }

    #[test]
    fn the_list_knows_every_call_of_the_seam() {
        let source = include_str!("../vm/seam.rs");
        let names = source.lines().filter(|line| line.trim().starts_with("Self::") && line.contains(" => \""));
        assert_eq!(names.count(), HostCall::ALL.len(), "HostCall::ALL lacks one");
    }
}
