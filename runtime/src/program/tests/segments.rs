//! What makes a segment loadable, and what two of them must not do to each other.

use super::builder::{Elf, Header, TEXT};
use super::{accept, refuse};
use crate::program::*;
use ampoule_kernel::layout::{PAYLOAD_MAX_BYTES, USER_END, USER_START};
use goblin::elf::dynamic::DT_DEBUG;
use goblin::elf::program_header::{PF_R, PF_W, PF_X};

/// The fault of the segment with this number.
#[track_caller]
fn fault(elf: &Elf, number: usize) -> SegmentFault {
    match refuse(elf) {
        ProgramError::Segment { index, fault, .. } if index == number => fault,
        other => panic!("{other}"),
    }
}

#[test]
fn at_most_64_segments_are_loaded() {
    let mut elf = Elf::program();
    elf.headers.extend((0..61).map(|page| Header::zeros(0x50_0000 + page * 0x1000, 1)));
    assert_eq!(accept(&elf).segments().len(), Program::MAX_SEGMENTS);
    elf.headers.push(Header::zeros(0x60_0000, 1));
    assert!(matches!(refuse(&elf), ProgramError::TooManySegments { max: 64 }));
}

#[test]
fn a_file_with_nothing_to_load_is_refused() {
    assert!(matches!(refuse(&Elf { count: Some(0), ..Elf::program() }), ProgramError::NoSegments));
    let mut empty = Elf::program();
    empty.headers.iter_mut().for_each(|header| (header.file_size, header.memory_size) = (0, 0));
    assert!(matches!(refuse(&empty), ProgramError::NoSegments));
}

#[test]
fn a_segment_without_bytes_is_skipped_whatever_its_header_says() {
    let mut elf = Elf::program();
    elf.headers.push(Header { flags: 7, offset: u64::MAX, alignment: 3, ..Header::zeros(TEXT + 1, 0) });
    assert_eq!(accept(&elf).segments().len(), 3);
}

#[test]
fn a_segment_whose_bytes_are_not_all_in_the_file_is_refused() {
    for offset in [0x3000, 0x2a08, !0xfff | 8] {
        let elf = Elf::program().with(2, |data| data.offset = offset);
        assert_eq!(fault(&elf, 2), SegmentFault::OutsideFile { offset, size: 0x600, file: 0x3000 });
    }
    let elf =
        Elf::program().with(2, |data| (data.file_size, data.memory_size) = (u64::MAX - 0x2000, u64::MAX - 0x2000));
    assert!(matches!(fault(&elf, 2), SegmentFault::OutsideMemory { .. }));
}

#[test]
fn a_segment_of_zeros_has_no_place_in_the_file() {
    let program = accept(&Elf::program().with(2, |data| (data.offset, data.file_size) = (u64::MAX, 0)));
    assert_eq!(program.segments()[2].data(), b"");
}

#[test]
fn a_segment_with_more_bytes_in_the_file_than_in_memory_is_refused() {
    assert_eq!(fault(&Elf::program().with(2, |data| data.memory_size = 0x5ff), 2), SegmentFault::Sizes { size: 0x600 });
}

#[test]
fn an_alignment_is_a_power_of_two_up_to_a_gigabyte() {
    for alignment in [3, 0x1001, 1 << 31, u64::MAX] {
        let elf = Elf::program().with(1, |text| text.alignment = alignment);
        assert_eq!(fault(&elf, 1), SegmentFault::Alignment { alignment, max: 1 << 30 });
    }
    for (alignment, effective) in
        [(0, 0x1000), (1, 0x1000), (0x1000, 0x1000), (0x20_0000, 0x20_0000), (1 << 30, 1 << 30)]
    {
        assert_eq!(accept(&Elf::program().with(1, |text| text.alignment = alignment)).alignment(), effective);
    }
}

#[test]
fn a_segment_at_another_offset_into_its_page_than_in_the_file_is_refused() {
    assert_eq!(
        fault(&Elf::program().with(2, |data| data.offset = 0x2000), 2),
        SegmentFault::Congruence { offset: 0x2000 }
    );
}

#[test]
fn a_segment_outside_the_addresses_of_a_program_is_refused() {
    let end = 0x7f7f_0000_0000;
    for address in [0x8, 0xf008, end + 8, end - 0x2000 + 8, USER_END + 8, 1 << 63 | 8, !0xfff | 8, !0x1fff | 8] {
        let elf = Elf::program().with(2, |data| data.address = address);
        assert_eq!(fault(&elf, 2), SegmentFault::OutsideMemory { start: USER_START, end });
    }
    let elf = Elf::program().with(2, |data| data.memory_size = u64::MAX);
    assert_eq!(fault(&elf, 2), SegmentFault::OutsideMemory { start: USER_START, end });
    accept(&Elf::program().with(2, |data| data.address = end - 0x3000 + 8));
    accept(&Elf::program().with(2, |data| data.address = USER_START + 8));
}

#[test]
fn segments_that_share_a_page_are_refused_even_where_their_bytes_do_not_meet() {
    for address in [TEXT + 8, TEXT + 0x7f8 + 0x10, 0x40_0008, TEXT - 0x2000 + 8] {
        let address = address & !0xfff | 8;
        let error = refuse(&Elf::program().with(2, |data| data.address = address));
        assert!(matches!(error, ProgramError::Overlap { .. }), "{error}");
    }
    let error = refuse(&Elf::program().with(2, |data| (data.address, data.offset) = (TEXT + 0x900, 0x2900)));
    assert_eq!(
        error.to_string(),
        "segment 2 (0x401900+0x2100) shares a page with segment 1 (0x401000+0x800): link with `-z max-page-size=4096`, \
         or with one text and one data segment"
    );
}

#[test]
fn segments_may_share_a_page_of_the_file() {
    let elf = Elf::program().with(2, |data| (data.offset, data.address) = (0x1800, 0x40_2800));
    assert_eq!(accept(&elf).segments()[2].data()[0], 0xcc);
}

#[test]
fn segments_out_of_order_are_sorted() {
    let mut elf = Elf::program();
    elf.headers.swap(0, 2);
    let program = accept(&elf);
    assert!(program.segments().is_sorted_by_key(Segment::address));
    assert_eq!(program.program_headers().address, Some(0x40_0040));
}

#[test]
fn memory_beyond_the_largest_sandbox_is_refused() {
    let pages = 0x1000 + 0x1000;
    for (size, accepted) in [(PAYLOAD_MAX_BYTES - pages - 0x1000, true), (PAYLOAD_MAX_BYTES - pages + 1, false)] {
        let elf = Elf::program().with(2, |data| data.memory_size = size);
        assert_eq!(Program::from_bytes(elf.build()).is_ok(), accepted);
    }
    // A program for fixed addresses may scatter its segments; a position-independent one is moved as a whole.
    let far = |data: &mut Header| data.address = PAYLOAD_MAX_BYTES + 0x40_0008;
    accept(&Elf::program().with(2, far));
    assert!(matches!(refuse(&Elf::static_pie(&[(DT_DEBUG, 0)]).with(2, far)), ProgramError::ImageTooLarge { .. }));
}

#[test]
fn writable_and_executable_is_refused_unless_allowed() {
    let elf = Elf::program().with(1, |text| text.flags = PF_R | PF_W | PF_X);
    assert_eq!(fault(&elf, 1), SegmentFault::WriteExecute);
    let program = Program::options().allow_write_execute(true).from_bytes(elf.build()).unwrap();
    assert_eq!(program.segments()[1].protection().to_string(), "rwx");
}
