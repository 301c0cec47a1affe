//! `ampoule run` gives up its own rights before the program's first instruction. Seen from outside, while a program runs that says when it has begun.

#![allow(clippy::expect_used, clippy::panic, reason = "all of this is tests")]

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

/// Where the program is loaded, and the bytes before its code: the headers.
const BASE: u64 = 0x40_0000;
const HEADERS: u64 = 64 + 56;

/// Writes a byte, reads one, and exits with 7.
const CODE: &[u8] = &[
    0x68, b'!', 0, 0, 0, // push '!'
    0xb8, 1, 0, 0, 0, 0xbf, 1, 0, 0, 0, 0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05, // write(1, rsp, 1)
    0x31, 0xc0, 0x31, 0xff, 0x48, 0x89, 0xe6, 0xba, 1, 0, 0, 0, 0x0f, 0x05, // read(0, rsp, 1)
    0xb8, 60, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05, // exit(7)
];

/// Asks how much of stdin there is to read, and exits with that.
const ASKING: &[u8] = &[
    0x6a, 0, // push 0
    0xb8, 16, 0, 0, 0, 0x31, 0xff, 0xbe, 0x1b, 0x54, 0, 0, 0x48, 0x89, 0xe2, 0x0f,
    0x05, // ioctl(0, FIONREAD, rsp)
    0x5f, // pop rdi
    0xb8, 60, 0, 0, 0, 0x0f, 0x05, // exit(rdi)
];

/// A static ELF of one segment.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut elf = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let len = HEADERS + code.len() as u64;
    // Executable, x86-64, version 1.
    elf.extend([2, 0, 62, 0, 1, 0, 0, 0]);
    elf.extend([BASE + HEADERS, 64, 0].map(u64::to_le_bytes).concat());
    elf.extend([0_u8; 4]);
    // Sizes of the headers, how many there are, no sections.
    elf.extend([64_u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    // PT_LOAD, readable and executable.
    elf.extend([1_u32, 5].map(u32::to_le_bytes).concat());
    elf.extend([0, BASE, BASE, len, len, 4096].map(u64::to_le_bytes).concat());
    elf.extend(code);
    elf
}

/// Runs it until it has begun, looks at the process, and lets it end.
fn while_it_runs<T>(options: &[&str], look: impl FnOnce(&Child) -> T) -> T {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("program");
    std::fs::write(&program, elf(CODE)).expect("a file");
    let mut child = Command::new(env!("CARGO_BIN_EXE_ampoule"))
        .arg("run")
        .args(options)
        .arg(&program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command");
    let mut begun = [0];
    child.stdout.as_mut().expect("a pipe").read_exact(&mut begun).expect("the program has begun");
    assert_eq!(&begun, b"!");
    let seen = look(&child);
    child.stdin.take().expect("a pipe").write_all(b"?").expect("it reads");
    assert_eq!(child.wait().expect("an end").code(), Some(7), "the program's own code");
    seen
}

/// What the kernel says of the process: `no_new_privs`, and whether system calls are filtered.
fn rights(child: &Child) -> (u32, u32) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).expect("a file of /proc");
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
        line.trim().parse().expect("a number")
    };
    (field("NoNewPrivs:"), field("Seccomp:"))
}

#[test]
fn a_program_runs_in_a_process_that_has_confined_itself() {
    // 2 is SECCOMP_MODE_FILTER.
    assert_eq!(while_it_runs(&[], rights), (1, 2));
}

#[test]
fn whoever_says_so_runs_it_in_one_that_has_not() {
    assert_eq!(
        while_it_runs(&["--no-confine"], rights).1,
        std::fs::read_to_string("/proc/self/status")
            .expect("a file of /proc")
            .lines()
            .find_map(|line| line.strip_prefix("Seccomp:"))
            .and_then(|field| field.trim().parse().ok())
            .expect("a number"),
        "as the process that started it"
    );
}

#[test]
fn a_program_that_asks_how_much_there_is_to_read_is_told_and_its_host_lives() {
    let directory = tempfile::tempdir().expect("a directory");
    let (program, input) = (directory.path().join("program"), directory.path().join("input"));
    std::fs::write(&program, elf(ASKING)).expect("a file");
    std::fs::write(&input, b"eleven byte").expect("a file");
    let (pipe, mut writer) = std::io::pipe().expect("a pipe");
    writer.write_all(b"eleven byte").expect("room");
    for stdin in [Stdio::from(pipe), Stdio::from(std::fs::File::open(&input).expect("the file"))] {
        let output = Command::new(env!("CARGO_BIN_EXE_ampoule"))
            .arg("run")
            .arg(&program)
            .stdin(stdin)
            .output()
            .expect("the command");
        assert_eq!(output.status.code(), Some(11), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_snapshot_is_saved_and_goes_on_by_processes_that_have_confined_themselves() {
    let directory = tempfile::tempdir().expect("a directory");
    let (program, saved) = (directory.path().join("program"), directory.path().join("program.amp"));
    let mut spinning = elf(CODE);
    // After the byte is written: jmp to itself.
    let at = usize::try_from(HEADERS).expect("a small number") + 25;
    spinning.splice(at..at + 2, [0xeb, 0xfe]);
    std::fs::write(&program, spinning).expect("a file");
    let ampoule = || Command::new(env!("CARGO_BIN_EXE_ampoule"));
    let output = ampoule()
        .args(["snapshot", "save", "--after", "500ms", "-o"])
        .args([&saved, &program])
        .output()
        .expect("the command");
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let output = ampoule().args(["run", "--wall", "50ms"]).arg(&saved).output().expect("the command");
    assert_eq!(output.status.code(), Some(124), "{}", String::from_utf8_lossy(&output.stderr));
    for option in [["--cwd", "/tmp"], ["--sources", "7"], ["--env", "A=b"]] {
        let output = ampoule().arg("run").args(option).arg(&saved).output().expect("the command");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert!(told.contains(option[0]), "{told}");
    }
}

#[test]
fn a_program_is_saved_where_it_asks_for_input_and_run_from_there_with_one_after_the_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let [reads, asks, ends, saved] = ["reads", "asks", "ends", "saved.amp"].map(|name| directory.path().join(name));
    let exits = [0xb8, 60, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05]; // exit(7)
    for (program, code) in [(&reads, CODE), (&asks, ASKING), (&ends, &exits)] {
        std::fs::write(program, elf(code)).expect("a file");
    }
    let ampoule = || Command::new(env!("CARGO_BIN_EXE_ampoule"));
    let save = |program| ampoule().args(["snapshot", "save", "--at-input", "-o"]).args([&saved, program]).output();
    for (program, printed, input, code) in [(&reads, "!", "?", 7), (&asks, "", "eleven byte", 11)] {
        let output = save(program).expect("the command");
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout, printed.as_bytes());
        for _ in 0..2 {
            let (pipe, mut writer) = std::io::pipe().expect("a pipe");
            writer.write_all(input.as_bytes()).expect("room");
            let output = ampoule().arg("run").arg(&saved).stdin(pipe).output().expect("the command");
            assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.stdout, b"", "what it printed before it asked was printed then");
        }
    }
    let output = save(&ends).expect("the command");
    assert_eq!(output.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&output.stderr).contains("exited with status 7"), "it says what became of it");
}
