//! Whether what was built can be a guest at all, told from its ELF header. `ampoule` checks everything else when it loads the program; that
//! a guest came out dynamic should be known here, where its flags are.

/// What an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Linkage {
    /// An x86-64 ELF that needs no dynamic linker.
    Static,
    /// An x86-64 ELF that names a dynamic linker.
    Dynamic,
    /// Something else.
    NotX86_64,
}

/// 64 bits, little-endian: `\x7fELF`, ELFCLASS64, ELFDATA2LSB.
const IDENT: &[u8] = b"\x7fELF\x02\x01";
const EM_X86_64: u64 = 62;
const PT_INTERP: u64 = 3;

/// Looks at the header and the program headers.
pub(crate) fn linkage(image: &[u8]) -> Linkage {
    if !image.starts_with(IDENT) || number(image, 18, 2) != Some(EM_X86_64) {
        return Linkage::NotX86_64;
    }
    // Offsets of e_phoff, e_phentsize and e_phnum in Elf64_Ehdr.
    let (Some(table), Some(size), Some(count)) = (number(image, 32, 8), number(image, 54, 2), number(image, 56, 2))
    else {
        return Linkage::NotX86_64;
    };
    let interpreter = (0..count).any(|index| {
        let header = usize::try_from(table.saturating_add(index * size)).unwrap_or(usize::MAX);
        number(image, header, 4) == Some(PT_INTERP)
    });
    if interpreter { Linkage::Dynamic } else { Linkage::Static }
}

/// The little-endian number of `bytes` bytes (at most 8) at `offset`.
fn number(image: &[u8], offset: usize, bytes: usize) -> Option<u64> {
    let field = image.get(offset..offset.checked_add(bytes)?)?;
    Some(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header for one program header of this type.
    fn image(machine: u8, kind: u8) -> Vec<u8> {
        let mut image = vec![0; 64 + 56];
        image[..6].copy_from_slice(IDENT);
        (image[18], image[32], image[54], image[56]) = (machine, 64, 56, 1);
        image[64] = kind;
        image
    }

    #[test]
    fn an_image_with_an_interpreter_is_dynamic() {
        assert_eq!(linkage(&image(62, 1)), Linkage::Static);
        assert_eq!(linkage(&image(62, 3)), Linkage::Dynamic);
    }

    #[test]
    fn other_machines_and_other_files_are_told_apart() {
        assert_eq!(linkage(&image(183, 1)), Linkage::NotX86_64);
        assert_eq!(linkage(b"#!/bin/sh"), Linkage::NotX86_64);
        assert_eq!(linkage(&image(62, 1)[..40]), Linkage::NotX86_64);
    }

    #[test]
    fn program_headers_outside_the_file_are_no_interpreter() {
        let mut image = image(62, 3);
        image[32..40].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(linkage(&image), Linkage::Static);
    }
}
