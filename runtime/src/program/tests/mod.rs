//! Promises of [`Program`] that cross its files, on ELF files made by hand.

mod builder;
mod interface;
mod interface_properties;
mod notes;
mod properties;
mod replace;
mod segments;
mod signatures;
mod symbols;
mod verdicts;

use super::{Program, ProgramError};
use builder::Elf;

fn accept(elf: &Elf) -> Program {
    Program::from_bytes(elf.build()).unwrap()
}

#[track_caller]
fn refuse(elf: &Elf) -> ProgramError {
    Program::from_bytes(elf.build()).unwrap_err()
}
