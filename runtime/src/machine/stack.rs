//! The initial stack: what a program finds at RSP when it starts (System V ABI, AMD64 supplement, 3.4.1; Linux `fs/binfmt_elf.c`).
//!
//! ```text
//! RSP ─► argc │ argv… │ 0 │ envp… │ 0 │ auxv… │ AT_NULL │ padding │ strings, random bytes │ ◄─ top
//! ```

use ampoule_kernel::layout;

/// What the auxiliary vector tells of a loaded program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Auxiliary {
    /// First instruction.
    pub(crate) entry: u64,
    /// Where its program headers are in memory, if they are.
    pub(crate) headers: Option<u64>,
    /// Bytes of one program header.
    pub(crate) header_bytes: u16,
    /// How many there are.
    pub(crate) header_count: u16,
    /// EDX of CPUID leaf 1.
    pub(crate) hardware: u32,
    /// FSGSBASE is usable at CPL3.
    pub(crate) fsgsbase: bool,
    /// The user and group that the program runs as.
    pub(crate) user: u32,
    /// Bytes for `AT_RANDOM`: stack protectors and the like.
    pub(crate) random: [u8; 16],
    /// Room that a signal frame takes.
    pub(crate) signal_stack: u64,
}

/// The stack's content and where it starts; it ends at `top`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InitialStack {
    /// RSP.
    pub(crate) pointer: u64,
    /// The bytes from there to the top.
    pub(crate) bytes: Vec<u8>,
}

/// Arguments and environment take more than Linux allows (a quarter of the stack).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooLarge {
    /// Bytes that they take.
    pub(crate) bytes: u64,
    /// Bytes that they may take.
    pub(crate) max: u64,
}

const AT_NULL: u64 = 0;
const AT_PHDR: u64 = 3;
const AT_PHENT: u64 = 4;
const AT_PHNUM: u64 = 5;
const AT_PAGESZ: u64 = 6;
const AT_BASE: u64 = 7;
const AT_FLAGS: u64 = 8;
const AT_ENTRY: u64 = 9;
const AT_UID: u64 = 11;
const AT_EUID: u64 = 12;
const AT_GID: u64 = 13;
const AT_EGID: u64 = 14;
const AT_PLATFORM: u64 = 15;
const AT_HWCAP: u64 = 16;
const AT_CLKTCK: u64 = 17;
const AT_SECURE: u64 = 23;
const AT_RANDOM: u64 = 25;
const AT_HWCAP2: u64 = 26;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;
const AT_MINSIGSTKSZ: u64 = 51;

/// `HWCAP2_FSGSBASE`, arch/x86/include/uapi/asm/hwcap2.h.
const HWCAP2_FSGSBASE: u64 = 1 << 1;
/// USER_HZ on x86.
const CLOCK_TICKS: u64 = 100;

/// Lays the stack out below `top`, which is page-aligned. Strings hold no NUL.
pub(crate) fn lay_out(
    top: u64,
    max: u64,
    arguments: &[Vec<u8>],
    environment: &[Vec<u8>],
    executable: &[u8],
    auxiliary: &Auxiliary,
) -> Result<InitialStack, TooLarge> {
    let mut strings = Vec::new();
    let mut place = |bytes: &[u8]| {
        let offset = strings.len() as u64;
        strings.extend_from_slice(bytes);
        strings.push(0);
        offset
    };
    let arguments: Vec<u64> = arguments.iter().map(|argument| place(argument)).collect();
    let environment: Vec<u64> = environment.iter().map(|variable| place(variable)).collect();
    let executable = place(executable);
    let platform = place(b"x86_64");
    let random = strings.len() as u64;
    strings.extend_from_slice(&auxiliary.random);

    let strings_at = (top - (strings.len() as u64).min(top)) & !15;
    let at = |offset: u64| strings_at + offset;
    let vector = [
        (AT_SYSINFO_EHDR, layout::VDSO),
        (AT_HWCAP, u64::from(auxiliary.hardware)),
        (AT_PAGESZ, layout::PAGE_SIZE),
        (AT_CLKTCK, CLOCK_TICKS),
        (AT_PHDR, auxiliary.headers.unwrap_or(0)),
        (AT_PHENT, u64::from(auxiliary.header_bytes)),
        (AT_PHNUM, if auxiliary.headers.is_some() { u64::from(auxiliary.header_count) } else { 0 }),
        (AT_BASE, 0),
        (AT_FLAGS, 0),
        (AT_ENTRY, auxiliary.entry),
        (AT_UID, u64::from(auxiliary.user)),
        (AT_EUID, u64::from(auxiliary.user)),
        (AT_GID, u64::from(auxiliary.user)),
        (AT_EGID, u64::from(auxiliary.user)),
        (AT_SECURE, 0),
        (AT_RANDOM, at(random)),
        (AT_HWCAP2, if auxiliary.fsgsbase { HWCAP2_FSGSBASE } else { 0 }),
        (AT_EXECFN, at(executable)),
        (AT_PLATFORM, at(platform)),
        (AT_MINSIGSTKSZ, auxiliary.signal_stack),
        (AT_NULL, 0),
    ];
    let mut words = vec![arguments.len() as u64];
    words.extend(arguments.iter().map(|&offset| at(offset)));
    words.push(0);
    words.extend(environment.iter().map(|&offset| at(offset)));
    words.push(0);
    words.extend(vector.iter().flat_map(|&(key, value)| [key, value]));

    let bytes = words.len() as u64 * 8 + (top - strings_at);
    if bytes > max {
        return Err(TooLarge { bytes, max });
    }
    let pointer = (strings_at - words.len() as u64 * 8) & !15;
    let mut content: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    content.resize(content.len() + padding(strings_at - pointer, content.len()), 0);
    content.extend_from_slice(&strings);
    Ok(InitialStack { pointer, bytes: content })
}

fn padding(wanted: u64, length: usize) -> usize {
    usize::try_from(wanted).unwrap_or(length).saturating_sub(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOP: u64 = 0x7fff_0000_0000;
    const AUXILIARY: Auxiliary = Auxiliary {
        entry: 0x40_1000,
        headers: Some(0x40_0040),
        header_bytes: 56,
        header_count: 4,
        hardware: 0,
        fsgsbase: false,
        user: 1000,
        random: [7; 16],
        signal_stack: 2048,
    };

    fn strings(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    #[test]
    fn a_program_finds_its_arguments_environment_and_vector_where_the_abi_says() {
        let stack = lay_out(TOP, 1 << 20, &strings(&["prog", "-x"]), &strings(&["A=b"]), b"/prog", &AUXILIARY).unwrap();
        assert_eq!(stack.pointer % 16, 0);
        let word = |index: usize| u64::from_le_bytes(stack.bytes[index * 8..][..8].try_into().unwrap());
        let text = |address: u64| {
            let from = &stack.bytes[usize::try_from(address - stack.pointer).unwrap()..];
            String::from_utf8(from[..from.iter().position(|&byte| byte == 0).unwrap()].to_vec()).unwrap()
        };
        assert_eq!(word(0), 2);
        assert_eq!((text(word(1)), text(word(2)), word(3)), ("prog".into(), "-x".into(), 0));
        assert_eq!((text(word(4)), word(5)), ("A=b".into(), 0));
        let vector: Vec<_> =
            (6..).step_by(2).map(|index| (word(index), word(index + 1))).take_while(|pair| pair.0 != 0).collect();
        let find = |key| vector.iter().find(|pair| pair.0 == key).unwrap().1;
        assert_eq!((find(AT_PHDR), find(AT_PHNUM), find(AT_ENTRY)), (0x40_0040, 4, 0x40_1000));
        assert_eq!(find(AT_SYSINFO_EHDR), layout::VDSO);
        assert_eq!(text(find(AT_EXECFN)), "/prog");
        let random = usize::try_from(find(AT_RANDOM) - stack.pointer).unwrap();
        assert_eq!(stack.bytes[random..random + 16], [7; 16]);
    }

    #[test]
    fn more_arguments_than_linux_allows_are_refused_with_both_figures() {
        let refused =
            lay_out(TOP, 1000, &strings(&["x".repeat(2000).as_str()]), &[], b"/prog", &AUXILIARY).unwrap_err();
        assert!(refused.bytes > 2000 && refused.max == 1000);
    }
}
