//! guest: variants=coverage
//! A target in Rust without any crate: a panic behind a word that is compared at once, and one behind branches.
#![no_main]

/// Panics where the text after a `!` is no number, deep in a match that coverage leads to.
fn parse(text: &[u8]) -> Option<u32> {
    let rest = text.strip_prefix(b"rust")?;
    match rest {
        [b'!', digits @ ..] => Some(std::str::from_utf8(digits).ok()?.parse().expect("a number behind the mark")),
        [a, b, c, d, ..] if u32::from_le_bytes([*a, *b, *c, *d]) == 0xfeed_c0de => panic!("the word was found"),
        _ => None,
    }
}

/// Turns a panic into an abort, before anything is unwound.
#[unsafe(no_mangle)]
pub extern "C" fn LLVMFuzzerInitialize(_argc: *mut i32, _argv: *mut *mut *mut u8) -> i32 {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        std::process::abort();
    }));
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn LLVMFuzzerTestOneInput(data: *const u8, size: usize) -> i32 {
    // SAFETY: fuzz.c passes the input, which is readable for `size` bytes while this runs.
    let input = unsafe { std::slice::from_raw_parts(data, size) };
    parse(input).map_or(-1, |_| 0)
}
