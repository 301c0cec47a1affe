//! Guests that go for what lies beside a directory of the host's, while somebody on the host swaps and moves what they walk through. The canary outside
//! is never read, written, or joined by anything.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use ampoule::{Command, End, HostDir};
use ampoule_tests::{honest_call, program, run_hello, scale};
use rustix::fs::{CWD, RenameFlags, renameat_with};

/// A directory for the guest, with a canary's beside it.
struct Scene {
    top: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { top: tempfile::tempdir().expect("a directory") };
        for (directory, text) in [("data/real/sub", "inside"), ("beside/sub", "outside")] {
            let directory = scene.path(directory);
            fs::create_dir_all(&directory).expect("directories");
            fs::write(directory.join("canary"), text).expect("a file");
            fs::write(directory.parent().expect("one above").join("canary"), text).expect("a file");
        }
        fs::write(scene.path("data/canary"), "inside").expect("a file");
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    /// The canary's directory is as it was made.
    fn beside_is_untouched(&self) {
        let names = |directory: &str| {
            let mut names: Vec<_> = fs::read_dir(self.path(directory))
                .expect("names")
                .map(|entry| entry.expect("a name").file_name().into_string().expect("text"))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names("beside"), ["canary", "sub"]);
        assert_eq!(names("beside/sub"), ["canary"]);
        assert_eq!(names(""), ["beside", "data"]);
        for canary in ["beside/canary", "beside/sub/canary"] {
            assert_eq!(fs::read_to_string(self.path(canary)).expect("the canary"), "outside");
        }
    }

    /// Runs the guest at `/data` while `meddle` is called again and again.
    fn run(&self, how: &str, paths: &[&str], mut meddle: impl FnMut(&Path) + Send) {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    meddle(self.top.path());
                }
            });
            let data = HostDir::read_write(self.path("data")).expect("a directory");
            let rounds = scale(100).to_string();
            let output = Command::new(&program("escapes"))
                .args([how, &rounds])
                .args(paths)
                .dir("/data", &data)
                .call(honest_call())
                .output();
            done.store(true, Ordering::Relaxed);
            let output = output.expect("a run");
            assert_eq!(output.end, End::Exited(0), "{}", String::from_utf8_lossy(&output.stdout));
            assert_eq!(output.stdout, b"0 wrong\n");
        });
    }
}

/// The guest may have another name for one of them at the moment.
fn exchange(top: &Path, left: &str, right: &str) {
    let _ = renameat_with(CWD, top.join(left), CWD, top.join(right), RenameFlags::EXCHANGE);
}

/// What leads through the name that is swapped.
const THROUGH: [&str; 6] = [
    "/data/swap/canary",
    "/data/swap/sub/canary",
    "/data/swap/sub/../canary",
    "/data/swap/../swap/sub/canary",
    "/data/./swap//./canary",
    "/data/swap/sub/../../swap/canary",
];

/// Swaps a directory and a symlink to the canary's; the symlink is absolute, or leads up.
fn swapped(how: &str, up: bool) {
    let scene = Scene::new();
    let target = if up { PathBuf::from("../beside") } else { scene.path("beside") };
    symlink(target, scene.path("data/link")).expect("a symlink");
    fs::rename(scene.path("data/real"), scene.path("data/swap")).expect("a new name");
    scene.run(how, &THROUGH, |top| exchange(top, "data/swap", "data/link"));
    scene.beside_is_untouched();
    run_hello();
}

#[test]
fn a_directory_that_is_swapped_for_a_symlink_while_it_is_read_through_leads_nowhere_else() {
    swapped("read", true);
    swapped("read", false);
}

#[test]
fn a_directory_that_is_swapped_for_a_symlink_while_it_is_changed_through_leads_nowhere_else() {
    swapped("change", true);
    swapped("change", false);
}

#[test]
fn a_file_that_is_swapped_for_a_symlink_to_the_canary_is_itself_or_nothing() {
    for target in ["../beside/canary", "beside/canary", "/proc/self/cwd/../beside/canary"] {
        let scene = Scene::new();
        let target = if target.starts_with("beside") { scene.path(target) } else { PathBuf::from(target) };
        symlink(target, scene.path("data/link")).expect("a symlink");
        scene.run("change", &["/data/real/canary"], |top| exchange(top, "data/real/canary", "data/link"));
        scene.beside_is_untouched();
    }
}

#[test]
fn above_a_directory_that_is_moved_out_there_is_nothing_of_the_hosts() {
    let scene = Scene::new();
    fs::create_dir(scene.path("away")).expect("a directory");
    fs::rename(scene.path("beside"), scene.path("away/beside")).expect("further away");
    fs::write(scene.path("away/canary"), "outside").expect("a file");
    // In `real`, whose `..` on the host is `data` in one moment and `away` in the next.
    let paths = ["/data/real", "../canary", "../beside/canary", "sub/../../canary", "../../away/canary"];
    scene.run("stay", &paths, |top| {
        fs::rename(top.join("data/real"), top.join("away/real")).expect("out");
        fs::rename(top.join("away/real"), top.join("data/real")).expect("and in again");
    });
    fs::rename(scene.path("away/beside"), scene.path("beside")).expect("back");
    assert_eq!(fs::read_to_string(scene.path("away/canary")).expect("the canary"), "outside");
    fs::remove_dir_all(scene.path("away")).expect("nothing else was there");
    scene.beside_is_untouched();
}

#[test]
fn a_file_that_is_truncated_under_its_mapping_is_no_fault_of_anybodys() {
    let scene = Scene::new();
    let path = scene.path("data/file");
    fs::write(&path, [b'x'; 1 << 16]).expect("a file");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
    scene.run("map", &["/data/file"], |_| {
        for length in [0, 1 << 16, 100, 1 << 20, 4096, 4097] {
            file.set_len(length).expect("another length");
        }
    });
    // The embedder's own files are read when they are opened, so that what becomes of them afterwards is nobody's fault either.
    fs::write(&path, ampoule_tests::guest("hello")).expect("a file");
    let program = ampoule::Program::from_file(&path).expect("a program");
    let region = ampoule::Region::from_file(&path).expect("a region");
    let length = region.len();
    file.set_len(10).expect("a short file");
    let output = Command::new(&program).call(honest_call()).output().expect("a run");
    assert_eq!((output.end, output.stdout.as_slice(), region.len()), (End::Exited(0), &b"hello\n"[..], length));
}

#[test]
fn links_of_proc_that_are_more_than_their_text_lead_nowhere() {
    let outside = tempfile::NamedTempFile::new().expect("a file");
    fs::write(outside.path(), "outside").expect("text");
    let here = outside.path().to_str().expect("text").to_owned();
    let descriptor = std::os::fd::AsRawFd::as_raw_fd(outside.as_file());
    let paths = [
        format!("/data/root{here}"),
        format!("/data/task/../root{here}"),
        format!("/data/cwd/../../../../../../../..{here}"),
        format!("/data/fd/{descriptor}"),
        format!("/data/fd/../fd/{descriptor}"),
        "/data/exe".to_owned(),
        "/data/root".to_owned() + "/etc/passwd",
        "/data/ns/mnt".to_owned(),
    ];
    let data = HostDir::read_only("/proc/self").expect("a directory");
    let output = Command::new(&program("escapes"))
        .args(["once", "1"])
        .args(&paths)
        .dir("/data", &data)
        .call(honest_call())
        .output()
        .expect("a run");
    assert_eq!(output.end, End::Exited(0), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(output.stdout, b"0 wrong\n");
}
