//! What is kept of a program that crashed: its registers, and the memory around them, before the machine is another's.
//!
//! All of it is bounded and nothing of it can fail: what cannot be read is left out.

use ampoule_kernel::layout::PAGE_SIZE;

use super::Process;
use super::areas::{Attributes, Purpose};
use crate::machine::Machine;
use crate::machine::paging::Access;
use crate::site::{Captured, Mapping, MappingKind, Site};
use crate::trap::TrapRegisters;

/// No instruction is longer than 15 bytes.
const CODE_BYTES: usize = 16;

impl Process {
    /// Where the program stopped. `fault_address` is what it could not access.
    pub(crate) fn site(&self, machine: &Machine, fault_address: Option<u64>) -> Site {
        let registers = TrapRegisters::from(machine.registers());
        let mut code = [0; CODE_BYTES];
        let count = machine.copy_out(registers.rip, &mut code).unwrap_or(0);
        let (stack_start, stack) = self.stack(machine, registers.rsp);
        let mut mappings = Vec::new();
        for address in [Some(registers.rip), Some(registers.rsp), fault_address].into_iter().flatten() {
            for (range, attributes) in self.memory.areas.around(address).into_iter().flatten() {
                mappings.push(mapping(range, attributes));
            }
        }
        mappings.sort_unstable_by_key(|mapping| mapping.start);
        mappings.dedup();
        Site::new(Captured {
            registers,
            fault_address,
            bias: self.bias,
            code: code.get(..count).unwrap_or_default().to_vec(),
            stack_start,
            stack,
            mappings,
        })
    }

    /// The stack from `rsp` on. One that has overflowed is below its own lower end: it is copied from there.
    fn stack(&self, machine: &Machine, rsp: u64) -> (u64, Vec<u8>) {
        let start = match self.memory.areas.around(rsp) {
            [Some((below, _)), _] if below.contains(&rsp) => rsp,
            [_, Some((above, _))] if above.start - rsp <= Site::STACK_GUARD_BYTES => above.start,
            _ => return (rsp, Vec::new()),
        };
        let mut stack = vec![0; Site::MAX_STACK_BYTES];
        let mut done = 0;
        while let Some(rest) = stack.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = start.saturating_add(done as u64);
            let count = machine.copy_out(at, rest).unwrap_or(0);
            done += count;
            // A page that was never touched has no frame yet, and reads as zeros.
            let at = at.saturating_add(count as u64);
            let reads_zeros = self.memory.areas.find(at).is_some_and(|(_, it)| it.lazy && it.access.read);
            if !reads_zeros || machine.is_mapped(at) {
                break;
            }
            done += usize::try_from(PAGE_SIZE - at % PAGE_SIZE).unwrap_or(0);
        }
        stack.truncate(done);
        stack.shrink_to_fit();
        (start, stack)
    }
}

fn mapping(range: std::ops::Range<u64>, attributes: Attributes) -> Mapping {
    let Access { read, write, execute } = attributes.access;
    let kind = match attributes.purpose {
        Purpose::Program => MappingKind::Program,
        Purpose::Heap => MappingKind::Heap,
        Purpose::Stack => MappingKind::Stack,
        Purpose::Anonymous => MappingKind::Anonymous,
        Purpose::File => MappingKind::File,
    };
    Mapping { start: range.start, end: range.end, read, write, execute, kind }
}
