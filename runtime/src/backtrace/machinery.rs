//! Functions that say nothing about a crash: it goes through them whatever it was.

/// Functions that report a failure, and the C library's string functions: which of these it is depends on the processor.
pub(super) fn is_machinery(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "abort",
        "raise",
        "gsignal",
        "pthread_kill",
        "tkill",
        "tgkill",
        "kill",
        "restore_sigs",
        "block_all_sigs",
        "block_app_sigs",
        "assert_fail",
        "libc_message",
        "libc_fatal",
        "fortify_fail",
        "chk_fail",
        "stack_chk_fail",
        "malloc_printerr",
        "syscall",
        "rust_begin_unwind",
        "rust_panic",
        "rust_start_panic",
        "panic_fmt",
        "memcpy",
        "memmove",
        "memset",
        "memcmp",
        "memchr",
        "mempcpy",
        "memrchr",
        "rawmemchr",
        "strlen",
        "strnlen",
        "strcpy",
        "strncpy",
        "stpcpy",
        "stpncpy",
        "strcat",
        "strncat",
        "strcmp",
        "strncmp",
        "strcasecmp",
        "strncasecmp",
        "strchr",
        "strchrnul",
        "strrchr",
        "strspn",
        "strcspn",
        "strstr",
    ];
    const BEGINNINGS: &[&str] = &[
        "__asan_",
        "__ubsan_",
        "__msan_",
        "__hwasan_",
        "__sanitizer_",
        "__sancov_",
        "__interceptor_",
        "__kasan_",
        "ampoule_fuzz_",
        "__cxa_",
        "__cxxabiv1::",
        "__gnu_cxx::__verbose_terminate_handler",
        "std::terminate",
        "std::__terminate",
        "std::abort",
        "_Unwind_",
        "__pthread_kill",
        "__rust_start_panic",
        "__rustc::rust_begin_unwind",
        "__rustc::__rust_start_panic",
        "core::panicking::",
        "std::panicking::",
        "std::sys::backtrace::__rust_end_short_backtrace",
        "std::process::abort",
        "std::sys::pal::unix::abort_internal",
        "panic_abort::",
        "panic_unwind::",
        "core::option::unwrap_failed",
        "core::option::expect_failed",
        "core::result::unwrap_failed",
        "alloc::alloc::handle_alloc_error",
    ];
    // __GI_raise, raise.part.0; and of the names that belong to the C library: __memcpy_avx_unaligned_erms, __pthread_kill_implementation.
    let bare = name.trim_start_matches("__GI_").trim_start_matches('_');
    let bare = bare.split('.').next().unwrap_or(bare);
    let is_variant = |rest: &str| rest.is_empty() || (rest.starts_with('_') && name.starts_with("__"));
    NAMES.iter().any(|known| bare.strip_prefix(known).is_some_and(is_variant))
        || BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Functions that a program's own checks of memory stand behind: what a fuzz target's heap and shadow find, they find in here.
#[cfg(feature = "fuzz")]
pub(super) fn is_checked(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "malloc",
        "free",
        "calloc",
        "realloc",
        "reallocarray",
        "memalign",
        "aligned_alloc",
        "posix_memalign",
        "valloc",
        "pvalloc",
        "malloc_usable_size",
        "strdup",
        "strndup",
    ];
    name.starts_with("__asan_")
        || name.starts_with("operator new")
        || name.starts_with("operator delete")
        || NAMES.contains(&name)
        // The linker was told to put a checked memcpy in memcpy's place.
        || is_machinery(name.strip_prefix("__wrap_").unwrap_or(name))
}

/// What runs before `main`.
pub(super) fn is_start(name: &str) -> bool {
    name == "_start" || name == "_start_c" || name.starts_with("__libc_start") || name == "libc_start_main_stage2"
}

#[cfg(all(test, feature = "fuzz"))]
mod tests {
    use super::*;

    #[test]
    fn a_function_that_the_linker_puts_in_anothers_place_is_checked_like_it() {
        for name in ["memcpy", "__wrap_memcpy", "__wrap_strlen", "__asan_memcpy", "free"] {
            assert!(is_checked(name), "{name}");
        }
        for name in ["__wrap_parse", "wrap_memcpy", "inflate"] {
            assert!(!is_checked(name), "{name}");
        }
    }
}
