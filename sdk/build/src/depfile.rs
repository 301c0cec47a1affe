//! The files that went into a guest, as the compilers list them: a make rule, `output: input input`, from `gcc -MMD` as from cargo.

use std::path::{Path, PathBuf};

/// The inputs of all rules.
///
/// A space in a name is escaped by a backslash; gcc also escapes `#`, and doubles `$`. A name that is meant otherwise is read wrongly as one
/// that does not exist, and cargo then runs the build script each time: once too often, never once too few.
pub(crate) fn inputs(rules: &str) -> Vec<PathBuf> {
    let mut inputs = Vec::new();
    for rule in rules.replace("\\\n", " ").lines() {
        if let Some((_, names)) = rule.split_once(": ") {
            inputs.extend(split(names));
        }
    }
    inputs.sort();
    inputs.dedup();
    inputs
}

fn split(names: &str) -> Vec<PathBuf> {
    let mut all = Vec::new();
    let mut name = String::new();
    let mut characters = names.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, characters.peek()) {
            ('\\', Some(&escaped @ (' ' | '#'))) | ('$', Some(&escaped @ '$')) => {
                characters.next();
                name.push(escaped);
            }
            (' ', _) => all.push(std::mem::take(&mut name)),
            _ => name.push(character),
        }
    }
    all.push(name);
    all.into_iter().filter(|name| !name.is_empty()).map(PathBuf::from).collect()
}

/// The manifests of the packages that these files belong to: what decides about a package's edition, features and dependencies is in no list
/// of sources.
pub(crate) fn manifests(files: &[PathBuf]) -> Vec<PathBuf> {
    let manifest = |file: &PathBuf| {
        file.ancestors().skip(1).map(|directory| directory.join("Cargo.toml")).find(|manifest| manifest.is_file())
    };
    let mut manifests: Vec<_> = files.iter().filter_map(manifest).collect();
    manifests.sort();
    manifests.dedup();
    manifests
}

/// Has cargo run the build script again when this file changes, appears or vanishes.
pub(crate) fn watch(file: &Path) {
    println!("cargo::rerun-if-changed={}", file.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_read_across_lines_and_rules() {
        let rules =
            "out/guest.o: guest.c \\\n  include/ampoule.h\nout/other.o: other.c include/ampoule.h\n\nguest.c:\n";
        assert_eq!(inputs(rules), ["guest.c", "include/ampoule.h", "other.c"].map(PathBuf::from));
    }

    #[test]
    fn escaped_characters_belong_to_the_name() {
        assert_eq!(inputs(r"e.o: e.c sp\ ace\#d$$x/h.h"), ["e.c", "sp ace#d$x/h.h"].map(PathBuf::from));
    }
}
