//! Ampoule's notes of an executable, as its program headers lead to them.

/// Kind and text of each note, in the order of the file.
pub(crate) fn notes(file: &[u8]) -> Vec<(u32, String)> {
    const NOTE: u32 = 4;
    let headers = number(file, 0x20, 8);
    let size = number(file, 0x36, 2);
    let count = number(file, 0x38, 2);
    let mut notes = Vec::new();
    for header in (0..count).map(|index| headers + index * size) {
        if number(file, header, 4) == usize::try_from(NOTE).unwrap() {
            let start = number(file, header + 0x08, 8);
            segment(&file[start..start + number(file, header + 0x20, 8)], &mut notes);
        }
    }
    notes
}

fn segment(mut rest: &[u8], notes: &mut Vec<(u32, String)>) {
    while rest.len() >= 12 {
        let name = number(rest, 0, 4);
        let description = number(rest, 4, 4);
        let start = 12 + name.next_multiple_of(4);
        if &rest[12..12 + name] == b"Ampoule\0" {
            let text = &rest[start + 4..start + description];
            notes.push((u32::try_from(number(rest, 8, 4)).unwrap(), String::from_utf8(text.to_vec()).unwrap()));
        }
        let end = start + description.next_multiple_of(4);
        rest = rest.get(end..).unwrap_or_default();
    }
}

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    let mut word = [0; 8];
    word[..length].copy_from_slice(&bytes[at..at + length]);
    usize::from_le_bytes(word)
}
