//! Bytes as people read them: sixteen to a line, with what of them is text.

use std::fmt;

/// Shows bytes.
#[derive(Debug, Clone, Copy)]
pub struct Hex<'a>(pub &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.0.chunks(16).enumerate() {
            write!(f, "  {:04x} ", index * 16)?;
            for byte in line {
                write!(f, " {byte:02x}")?;
            }
            let text =
                line.iter().map(|&byte| if byte.is_ascii_graphic() || byte == b' ' { char::from(byte) } else { '.' });
            writeln!(f, "{:1$} {2}", "", (16 - line.len()) * 3 + 1, text.collect::<String>())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_sixteen_bytes_and_their_text() {
        let shown = Hex(b"AMP!\x00\xff 0123456789").to_string();
        assert_eq!(
            shown.lines().next(),
            Some("  0000  41 4d 50 21 00 ff 20 30 31 32 33 34 35 36 37 38  AMP!.. 012345678")
        );
        assert_eq!(shown.lines().nth(1), Some("  0010  39                                               9"));
    }
}
