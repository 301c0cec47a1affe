//! What protects ring 0 from the payload's pages, seen by making ring 0 misbehave: no payload can.

use ampoule_kernel::layout;

use super::event::{Event, PAGE_FAULT};
use super::paging::Access;
use super::probe::{HostProbe, map_page};
use super::{Machine, boot};
use crate::machine::boot::Doorbell;
use crate::vm::device::Device;
use crate::vm::vcpu::Registers;

const CODE: u64 = layout::USER_START;
const DATA: u64 = layout::USER_START + layout::PAGE_SIZE;

/// syscall; jmp to itself
const CALL: [u8; 4] = [0x0f, 0x05, 0xeb, 0xfc];

/// A machine whose vCPU stands at CPL0, with one executable and one writable page of the payload's.
fn at_cpl0(registers: &Registers) -> Machine {
    let mut machine = Machine::new(Device::get().unwrap(), HostProbe::get().unwrap(), Doorbell::Port, 64).unwrap();
    map_page(&mut machine, CODE, Access { read: true, write: false, execute: true }, &CALL).unwrap();
    map_page(&mut machine, DATA, Access::READ_WRITE, &[]).unwrap();
    let mut system = machine.vcpu().system_registers().unwrap();
    system.cs = boot::code_segment(layout::KERNEL_CODE_SELECTOR);
    system.ss = boot::data_segment(layout::KERNEL_DATA_SELECTOR);
    machine.vcpu().set_system_registers(&system).unwrap();
    machine.vcpu().set_registers(registers);
    machine.stopped = super::Stopped::Inside;
    machine
}

fn stack() -> u64 {
    layout::kernel_virtual(layout::STACKS_PAGE) + layout::RESUME_FRAME_OFFSET
}

#[test]
fn smep_ring_0_cannot_execute_the_payloads_pages_where_the_cpu_has_it() {
    let registers = Registers { rip: CODE, rsp: stack(), rflags: 2, ..Registers::default() };
    let event = at_cpl0(&registers).run().unwrap();
    if HostProbe::get().unwrap().features().smep {
        assert_eq!(event, Event::KernelFault { vector: PAGE_FAULT, rip: CODE });
    } else {
        assert_ne!(event, Event::KernelFault { vector: PAGE_FAULT, rip: CODE });
    }
}

#[test]
fn smap_ring_0_cannot_read_the_payloads_pages_where_the_cpu_has_it() {
    // The editor, given a list that lies in the payload's memory: its first load is refused.
    let registers = Registers {
        rip: layout::EDITOR,
        rsi: DATA,
        rdi: layout::TABLES_VIRTUAL + 8,
        rcx: 1,
        rsp: stack(),
        rflags: 2,
        ..Registers::default()
    };
    let event = at_cpl0(&registers).run().unwrap();
    let refused = Event::KernelFault { vector: PAGE_FAULT, rip: layout::EDITOR };
    assert_eq!(event == refused, HostProbe::get().unwrap().features().smap, "{event:?}");
}

#[test]
fn nx_the_payload_cannot_execute_its_data() {
    assert!(HostProbe::get().unwrap().features().nx);
    let mut machine = Machine::new(Device::get().unwrap(), HostProbe::get().unwrap(), Doorbell::Port, 64).unwrap();
    map_page(&mut machine, DATA, Access::READ_WRITE, &CALL).unwrap();
    let registers = Registers { rip: DATA, ..*machine.registers() };
    machine.set_registers(&registers).unwrap();
    let Event::Exception(exception) = machine.run().unwrap() else { panic!() };
    assert_eq!((exception.vector, exception.address), (PAGE_FAULT, Some(DATA)));
}

#[test]
fn umip_the_payload_cannot_read_the_descriptor_tables_where_the_cpu_has_it() {
    // sgdt [rdi]; syscall
    const STORE: [u8; 7] = [0x0f, 0x01, 0x07, 0x0f, 0x05, 0xeb, 0xfc];
    let mut machine = Machine::new(Device::get().unwrap(), HostProbe::get().unwrap(), Doorbell::Port, 64).unwrap();
    map_page(&mut machine, CODE, Access { read: true, write: false, execute: true }, &STORE).unwrap();
    map_page(&mut machine, DATA, Access::READ_WRITE, &[]).unwrap();
    let registers = Registers { rip: CODE, rdi: DATA, ..*machine.registers() };
    machine.set_registers(&registers).unwrap();
    let event = machine.run().unwrap();
    let refused = matches!(event, Event::Exception(exception) if exception.vector == 13);
    assert_eq!(refused, HostProbe::get().unwrap().features().umip, "{event:?}");
}
