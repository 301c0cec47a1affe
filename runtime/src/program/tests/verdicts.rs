//! Which files are programs, which are not, and that the message says why.

use super::builder::{DATA, Elf, Header, TEXT};
use super::{accept, refuse};
use crate::program::error::ElfPart;
use crate::program::*;
use goblin::elf::dynamic::{DF_1_PIE, DT_DEBUG, DT_FLAGS_1, DT_NEEDED, DT_NULL, DT_SONAME};
use goblin::elf::program_header::PT_INTERP;

#[track_caller]
fn unsupported(elf: &Elf) -> (ElfField, u32) {
    match refuse(elf) {
        ProgramError::Unsupported { field, found } => (field, found),
        other => panic!("{other}"),
    }
}

#[test]
fn a_static_program_is_what_its_headers_say() {
    let program = accept(&Elf::program());
    assert_eq!((program.kind(), program.entry(), program.name()), (Kind::Static, TEXT + 0x10, "program"));
    let addresses: Vec<_> = program.segments().iter().map(Segment::address).collect();
    assert_eq!(addresses, [0x40_0000, TEXT, DATA]);
    let [_, text, data] = program.segments() else { panic!() };
    assert_eq!((text.data().len(), text.data()[0], text.memory_size()), (0x800, 0xcc, 0x800));
    assert_eq!((data.data().len(), data.memory_size(), data.pages()), (0x600, 0x2100, 0x40_3000..0x40_6000));
    assert_eq!((text.protection().to_string(), data.protection().to_string()), ("r-x".into(), "rw-".into()));
    assert_eq!((program.highest_address(), program.alignment()), (DATA + 0x2100, 0x1000));
    assert_eq!(format!("{program:?}"), "Program(\"program\", Static, entry 0x401010, 3 segments)");
    assert_eq!(format!("{data:?}"), "Segment(0x403008+0x2100 rw-, 0x600 from the file)");
}

#[test]
fn a_program_can_be_shared_between_threads_and_cloning_it_copies_a_pointer() {
    fn check<T: Clone + Send + Sync + 'static>(_: &T) {}
    let program = accept(&Elf::program());
    check(&program);
    assert!(std::ptr::eq(program.clone().segments(), program.segments()));
    assert_eq!(size_of::<Program>(), size_of::<usize>());
}

#[test]
fn the_file_name_is_the_name() {
    let path = std::env::temp_dir().join(format!("ampoule-verdicts-{}", std::process::id()));
    std::fs::write(&path, Elf::program().build()).unwrap();
    let program = Program::from_file(&path);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(Some(program.unwrap().name()), path.file_name().unwrap().to_str());
}

#[test]
fn a_file_cut_off_anywhere_is_refused_and_never_a_panic() {
    let whole = Elf::program().build();
    for length in 0..whole.len() {
        let result = Program::from_bytes(&whole[..length]);
        assert_eq!(result.is_ok(), length >= 0x2608, "{length}: {result:?}");
    }
    let cut = |length: usize| Program::from_bytes(&whole[..length]).unwrap_err();
    assert!(matches!(cut(3), ProgramError::NotElf { start: [0x7f, b'E', b'L', 0] }));
    assert!(matches!(cut(4), ProgramError::Truncated { size: 4, .. }));
    assert!(matches!(cut(63), ProgramError::Truncated { what: ElfPart::Header, needed: 64, size: 63 }));
    assert!(matches!(cut(100), ProgramError::Truncated { what: ElfPart::ProgramHeaders, needed: 568, size: 100 }));
}

#[test]
fn a_file_for_another_machine_or_system_is_refused_by_the_field_that_tells() {
    let ident = |at: usize, value: u8| {
        let mut elf = Elf::program();
        elf.ident[at] = value;
        unsupported(&elf)
    };
    assert_eq!(ident(4, 1), (ElfField::Class, 1));
    assert_eq!(ident(5, 2), (ElfField::ByteOrder, 2));
    assert_eq!(ident(6, 0), (ElfField::Version, 0));
    assert_eq!(ident(7, 9), (ElfField::OsAbi, 9));
    assert_eq!(unsupported(&Elf { machine: 183, ..Elf::program() }), (ElfField::Machine, 183));
    assert_eq!(unsupported(&Elf { version: 2, ..Elf::program() }), (ElfField::Version, 2));
    assert_eq!(unsupported(&Elf { header_size: 32, ..Elf::program() }), (ElfField::ProgramHeaderSize, 32));
    let mut gnu = Elf::program();
    gnu.ident[7] = 3;
    accept(&gnu);
}

#[test]
fn object_files_and_core_dumps_are_refused_by_name() {
    for (kind, name) in
        [(1, "an object file"), (4, "a core dump"), (0, "give a static program"), (0xfe00, "give a static program")]
    {
        let error = refuse(&Elf { kind, ..Elf::program() });
        assert!(matches!(error, ProgramError::Unsupported { field: ElfField::Type, .. }));
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_dynamic_program_is_refused_with_the_way_to_link_it_statically() {
    let mut interpreted = Elf::program();
    interpreted.headers.push(Header { kind: PT_INTERP, ..Header::zeros(0, 0) });
    let error = refuse(&interpreted);
    assert!(matches!(error, ProgramError::NeedsInterpreter { index: 9 }));
    for hint in ["-static-pie", "+crt-static", "CGO_ENABLED=0"] {
        assert!(error.to_string().contains(hint), "{error}");
    }
    let needy = [(DT_NEEDED, 1), (DT_NEEDED, 9), (DT_FLAGS_1, DF_1_PIE), (DT_NULL, 0), (DT_NEEDED, 2)];
    assert!(matches!(refuse(&Elf::static_pie(&needy)), ProgramError::NeedsLibraries { count: 2 }));
    assert!(matches!(refuse(&Elf::program().with_dynamic(&needy)), ProgramError::NeedsLibraries { count: 2 }));
}

#[test]
fn a_static_pie_is_told_from_a_shared_library_by_what_the_linker_left() {
    for program in [&[(DT_FLAGS_1, DF_1_PIE), (DT_NULL, 0)][..], &[(DT_DEBUG, 0)]] {
        let program = accept(&Elf::static_pie(program));
        assert_eq!((program.kind(), program.entry()), (Kind::StaticPie, 0x1010));
    }
    for library in [&[(DT_SONAME, 1), (DT_NULL, 0), (DT_DEBUG, 0)][..], &[(DT_FLAGS_1, !DF_1_PIE)], &[]] {
        assert!(matches!(refuse(&Elf::static_pie(library)), ProgramError::SharedLibrary));
    }
    let mut bare = Elf::static_pie(&[]);
    bare.headers.pop();
    assert_eq!(accept(&bare).kind(), Kind::StaticPie);
}

#[test]
fn a_dynamic_table_outside_the_file_is_refused() {
    let elf = Elf::static_pie(&[(DT_DEBUG, 0)]).with(9, |dynamic| dynamic.offset = u64::MAX);
    assert!(matches!(refuse(&elf), ProgramError::Truncated { what: ElfPart::Dynamic, needed: u64::MAX, .. }));
}

#[test]
fn program_headers_beyond_the_cap_or_counted_elsewhere_are_refused() {
    for count in [257, 0xffff] {
        let error = refuse(&Elf { count: Some(count), ..Elf::program() });
        assert!(matches!(error, ProgramError::TooManyProgramHeaders { count: found, max: 256 } if found == count));
    }
    for offset in [0x3000, u64::MAX, u64::MAX - 500] {
        let error = refuse(&Elf { headers_offset: offset, ..Elf::program() });
        assert!(matches!(error, ProgramError::Truncated { what: ElfPart::ProgramHeaders, .. }), "{error}");
    }
}

#[test]
fn the_entry_is_inside_the_data_of_an_executable_segment() {
    for entry in [0, 0x40_0000, TEXT - 1, TEXT + 0x800, DATA, u64::MAX] {
        let error = refuse(&Elf { entry, ..Elf::program() });
        assert!(matches!(error, ProgramError::Entry { address } if address == entry), "{error}");
    }
    for entry in [TEXT, TEXT + 0x7ff] {
        assert_eq!(accept(&Elf { entry, ..Elf::program() }).entry(), entry);
    }
    // A separate debug file has the addresses of its program but none of its bytes.
    assert!(matches!(refuse(&Elf::program().with(1, |text| text.file_size = 0)), ProgramError::Entry { .. }));
}

#[test]
fn program_headers_have_an_address_only_if_a_segment_loads_them_all() {
    let headers = |elf: &Elf| accept(elf).program_headers();
    let expected = ProgramHeaders { address: Some(0x40_0040), count: 9, entry_size: 56 };
    assert_eq!(headers(&Elf::program()), expected);
    assert_eq!(
        headers(&Elf::static_pie(&[(DT_DEBUG, 0)])),
        ProgramHeaders { address: Some(0x40), count: 10, ..expected }
    );
    let partly = Elf::program().with(0, |first| first.file_size = 64 + 9 * 56 - 1);
    assert_eq!(headers(&partly), ProgramHeaders { address: None, ..expected });
    // PT_PHDR proves nothing.
    let claimed = partly.with(3, |header| (header.kind, header.address) = (6, 0x1234_5000));
    assert_eq!(headers(&claimed).address, None);
}

#[test]
fn more_bytes_than_the_cap_are_refused_before_they_are_looked_at() {
    assert!(matches!(
        file::check_size(Program::MAX_FILE_BYTES + 1, Program::MAX_FILE_BYTES),
        Err(ProgramError::TooLarge { .. })
    ));
    assert!(file::check_size(Program::MAX_FILE_BYTES, Program::MAX_FILE_BYTES).is_ok());
}
