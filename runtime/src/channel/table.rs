//! The table that a guest attaches with: the names of what it exports and imports, in the order of their ordinals.

use std::collections::HashMap;

use ampoule_kernel::call;

/// Names by ordinal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) exports: HashMap<Box<str>, u32>,
    pub(crate) imports: Vec<Box<str>>,
}

/// What is wrong with a table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// It is longer than tables may be.
    #[error("it has {bytes} bytes, and {} are allowed", call::TABLE_MAX_BYTES)]
    TooLong {
        /// Bytes that it has.
        bytes: u64,
    },
    /// A line is none of those that there are.
    #[error("line {line} is neither `export NAME` nor `import NAME`, ended by a newline")]
    Line {
        /// Which one, from 1.
        line: usize,
    },
    /// A name occurs twice.
    #[error("{name:?} is declared twice")]
    Twice {
        /// The name.
        name: String,
    },
}

impl Table {
    /// Reads a table. Its length was checked.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let mut table = Self::default();
        let mut imported = HashMap::new();
        let mut rest = bytes;
        let mut number = 0;
        while !rest.is_empty() {
            number += 1;
            let bad = TableError::Line { line: number };
            let end = rest.iter().position(|&byte| byte == b'\n').ok_or(bad.clone())?;
            let (line, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            let (kind, name) = line.split_at_checked(7).ok_or(bad.clone())?;
            // Graphic ASCII is UTF-8.
            let name = str::from_utf8(name).ok().filter(|name| call::is_name(name.as_bytes())).ok_or(bad.clone())?;
            let seen = match kind {
                b"export " => {
                    let ordinal = u32::try_from(table.exports.len()).unwrap_or(u32::MAX);
                    table.exports.insert(name.into(), ordinal).is_some()
                }
                b"import " => {
                    table.imports.push(name.into());
                    imported.insert(name, ()).is_some()
                }
                _ => return Err(bad),
            };
            if seen {
                return Err(TableError::Twice { name: name.to_owned() });
            }
        }
        Ok(table)
    }

    /// A table that is read as this one: exports first, in the order of their ordinals.
    pub(crate) fn text(&self) -> Vec<u8> {
        let mut exports: Vec<_> = self.exports.iter().map(|(name, ordinal)| (ordinal, name)).collect();
        exports.sort_unstable();
        let exports = exports.into_iter().flat_map(|(_, name)| [&b"export "[..], name.as_bytes(), b"\n"]);
        let imports = self.imports.iter().flat_map(|name| [&b"import "[..], name.as_bytes(), b"\n"]);
        exports.chain(imports).flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinals_count_each_kind_apart() {
        let table = Table::parse(b"export a\nimport x\nexport b\nimport a\n").unwrap();
        assert_eq!((table.exports["a"], table.exports["b"]), (0, 1));
        assert_eq!(table.imports, ["x".into(), "a".into()]);
        assert_eq!(Table::parse(b"").unwrap(), Table::default());
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        for (text, line) in [
            (&b"export a"[..], 1),
            (b"export a\n\n", 2),
            (b"export a\nexport \n", 2),
            (b"export a b\n", 1),
            (b"expert a\n", 1),
            (b"export a\nimport \xff\n", 2),
            (b"export\ta\n", 1),
        ] {
            assert_eq!(Table::parse(text), Err(TableError::Line { line }), "{text:?}");
        }
        assert_eq!(Table::parse(b"import a\nimport a\n"), Err(TableError::Twice { name: "a".into() }));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Table::parse(&bytes);
        }

        #[test]
        fn what_a_guest_says_is_what_is_read(names in proptest::collection::btree_set("[!-'*-~]{1,20}", 0..20)) {
            let text: String = names.iter().map(|name| format!("export {name}\nimport {name}\n")).collect();
            let table = Table::parse(text.as_bytes()).unwrap();
            prop_assert_eq!(table.exports.len(), names.len());
            for (ordinal, name) in (0..).zip(&names) {
                prop_assert_eq!(table.exports.get(name.as_str()), Some(&ordinal));
                prop_assert_eq!(&*table.imports[ordinal as usize], name.as_str());
            }
            prop_assert_eq!(Table::parse(&table.text()), Ok(table));
        }
    }
}
