//! The guests, compiled by `build.rs` and carried in the binary.

/// One program in one variant: the same source built another way.
#[derive(Debug)]
pub struct Guest {
    /// The source's name without its suffix.
    pub name: &'static str,
    /// The source's suffix: `c`, `cpp`, `rs` or `S`.
    pub suffix: &'static str,
    /// How it was built, such as `musl` or `glibc`: see `build.rs`.
    pub variant: &'static str,
    /// Whether it behaves, so that a run outside can be compared with.
    pub honest: bool,
    image: Result<&'static [u8], &'static str>,
}

impl Guest {
    /// The ELF file.
    ///
    /// # Panics
    /// If the build had no compiler for it: the message says what to install.
    pub fn image(&self) -> &'static [u8] {
        match self.image {
            Ok(image) => image,
            Err(reason) => panic!("guest {} ({}): {reason}", self.name, self.variant),
        }
    }
}

static GUESTS: &[Guest] = include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// Every guest in every variant.
pub fn all_guests() -> impl Iterator<Item = &'static Guest> {
    GUESTS.iter()
}

/// The honest guests written in one language, named by its suffix, in every variant.
pub fn guests_of(suffix: &str) -> impl Iterator<Item = &'static Guest> {
    GUESTS.iter().filter(move |guest| guest.honest && guest.suffix == suffix)
}

/// The variants of one guest.
///
/// # Panics
/// If there is no guest of that name.
pub fn variants_of(name: &str) -> impl Iterator<Item = &'static Guest> {
    let mut variants = GUESTS.iter().filter(move |guest| guest.name == name).peekable();
    assert!(variants.peek().is_some(), "there is no guest {name:?} in tests/guests");
    variants
}

/// The ELF file of a guest, in the variant that is smallest to carry and quickest to run where it has one (`musl`).
///
/// # Panics
/// If there is no guest of that name, or the build had no compiler for it: the message says what to install.
pub fn guest(name: &str) -> &'static [u8] {
    let preferred = variants_of(name).max_by_key(|guest| guest.variant == "musl");
    preferred.map(Guest::image).unwrap_or_default()
}
