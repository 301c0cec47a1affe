//! The instructions around the one that a program stopped at.
//!
//! What is executed is what was in memory: the sixteen bytes that the site has. Where these are also what the file has there, the file tells
//! more: the instructions before, counted from the start of the function, and some more behind.

use std::fmt;

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use serde::Serialize;

use crate::program::Program;
use crate::site::Site;

/// Instructions shown before the one at RIP, and from it on.
const BEFORE: usize = 3;
const BEHIND: usize = 5;
/// Bytes looked at behind RIP.
const BYTES_BEHIND: usize = 80;
/// Bytes between the start of a function and RIP that are decoded to find where instructions begin.
const MAX_BYTES_BEFORE: u64 = 16 << 10;

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Instruction {
    /// Where in memory.
    pub address: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// As an assembler writes it.
    pub text: String,
    /// It is the one that the program stopped at.
    pub is_current: bool,
}

/// The instructions around RIP; none if there is no code.
pub(super) fn around(site: &Site, program: &Program) -> Vec<Instruction> {
    let rip = site.registers().rip;
    let code = site.code();
    if code.is_empty() {
        return Vec::new();
    }
    let linked = rip.wrapping_sub(site.bias());
    let in_file = program.segments().iter().find_map(|segment| {
        let offset = usize::try_from(linked.checked_sub(segment.address())?).ok()?;
        let data = segment.data();
        data.get(offset..)?.starts_with(code).then_some((data, offset))
    });
    let Some((data, offset)) = in_file else { return decode(code, rip, rip, BEHIND) };
    let into = program.symbol_at(linked).map_or(0, |symbol| symbol.offset);
    let into =
        usize::try_from(into).ok().filter(|&into| into as u64 <= MAX_BYTES_BEFORE && into <= offset).unwrap_or(0);
    let end = offset.saturating_add(BYTES_BEHIND).min(data.len());
    let bytes = |start: usize| data.get(start..end).unwrap_or_default();
    let whole = decode(bytes(offset - into), rip.wrapping_sub(into as u64), rip, usize::MAX);
    // Data between instructions can lead past the one at RIP.
    match whole.iter().position(|instruction| instruction.is_current) {
        Some(current) => {
            whole.into_iter().skip(current.saturating_sub(BEFORE)).take(BEHIND + current.min(BEFORE)).collect()
        }
        None => decode(bytes(offset), rip, rip, BEHIND),
    }
}

fn decode(bytes: &[u8], address: u64, rip: u64, most: usize) -> Vec<Instruction> {
    let mut decoder = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    formatter.options_mut().set_space_after_operand_separator(true);
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_hex_suffix("");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_branch_leading_zeros(false);
    let mut instructions = Vec::new();
    while decoder.can_decode() && instructions.len() < most {
        let start = decoder.position();
        let instruction = decoder.decode();
        let bytes = bytes.get(start..decoder.position()).unwrap_or_default();
        let mut text = String::new();
        if instruction.is_invalid() {
            text.push_str("(no instruction)");
        } else {
            formatter.format(&instruction, &mut text);
        }
        let address = instruction.ip();
        instructions.push(Instruction { address, bytes: bytes.to_vec(), text, is_current: address == rip });
        if instruction.is_invalid() && address >= rip {
            break;
        }
    }
    instructions
}

impl fmt::Display for Instruction {
    /// `=> 0x401136  c6 00 2a              mov byte ptr [rax], 0x2a`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: String = self.bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        write!(f, "{} {:#x}  {bytes:<31}{}", if self.is_current { "=>" } else { "  " }, self.address, self.text)
    }
}
