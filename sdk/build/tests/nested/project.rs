//! A package in a directory of its own, built by a cargo of its own: what a user of `ampoule-build` has.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The build script that most packages have: it also hands out the guests, because not everything that builds a package links it.
pub(crate) const EMBED: &str = r#"
fn main() {
    let guest = ampoule_build::Crate::new("../plugin").build();
    if let Some(copy) = std::env::var_os("GUEST_COPY") {
        std::fs::copy(guest.path(), copy).unwrap();
    }
}
"#;

/// A program that writes the guest it carries to stdout.
pub(crate) const PRINT: &str = r#"
use std::io::Write;
static PLUGIN: &[u8] = include_bytes!(env!("AMPOULE_GUEST_PLUGIN"));
fn main() { std::io::stdout().write_all(PLUGIN).unwrap(); }
"#;

/// A directory with files, emptied when a test begins.
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// A project with a package `outer`, which has this build script and embeds the guest `plugin`.
    pub(crate) fn new(test: &str, build_script: &str) -> Self {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        if root.exists() {
            std::fs::remove_dir_all(&root).unwrap();
        }
        let project = Self { root };
        let manifest = format!(
            "[package]\nname = \"outer\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
             [build-dependencies]\nampoule-build = {{ version = \"0.1\", path = {:?} }}\n\n[workspace]\n",
            env!("CARGO_MANIFEST_DIR")
        );
        project.write("outer/Cargo.toml", &manifest);
        project.write("outer/build.rs", build_script);
        project.write("outer/src/main.rs", PRINT);
        project
    }

    /// The same, with a guest in `plugin` that prints this.
    pub(crate) fn with_guest(test: &str, build_script: &str, prints: &str) -> Self {
        let project = Self::new(test, build_script);
        project.write("plugin/Cargo.toml", &format!("{}\n[workspace]\n", manifest("plugin")));
        project.write("plugin/src/main.rs", &prints_line(prints));
        project
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Changes a file as an editor would, with a time that no file system rounds to the old one.
    pub(crate) fn change(&self, path: &str, text: &str) {
        self.write(path, text);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(2);
        std::fs::File::open(self.path(path)).unwrap().set_modified(later).unwrap();
    }

    /// The cargo that runs this test, in the outer package and with one job.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new(env!("CARGO"));
        for (name, _) in std::env::vars_os() {
            let ours = |name: &str| {
                let prefix = ["CARGO_", "AMPOULE_", "DOCS_RS"].iter().any(|prefix| name.starts_with(prefix));
                prefix && name != "CARGO_HOME"
            };
            if name.to_str().is_some_and(|name| ours(name) || name.contains("RUSTFLAGS") || name.contains("WRAPPER")) {
                cargo.env_remove(name);
            }
        }
        cargo.args(arguments).env("CARGO_BUILD_JOBS", "1").current_dir(self.path("outer"));
        cargo
    }

    /// What the guest prints that the outer program carries.
    pub(crate) fn run_guest(&self, binary: &str) -> String {
        // A shell writes the file: what this process has open for writing is open in every child that another test starts meanwhile,
        // and cannot be executed.
        let script = r#""$0" > "$1" && chmod +x "$1""#;
        let guest = self.path("carried");
        succeed(Command::new("sh").args(["-c", script]).arg(self.path(binary)).arg(&guest));
        run(&guest)
    }
}

/// What a static program prints.
pub(crate) fn run(guest: &Path) -> String {
    let headers = Command::new("readelf").arg("--program-headers").arg(guest).output();
    let headers = headers.expect("readelf is installed: apt-get install binutils");
    let text = String::from_utf8_lossy(&headers.stdout);
    assert!(
        headers.status.success() && text.contains("LOAD") && !text.contains("INTERP"),
        "{}: {text}",
        guest.display()
    );
    let output = finish(&mut Command::new(guest));
    assert!(output.status.success(), "{}: {output:?}", guest.display());
    String::from_utf8(output.stdout).unwrap()
}

/// A manifest without a workspace.
pub(crate) fn manifest(name: &str) -> String {
    format!("[package]\nname = {name:?}\nversion = \"0.1.0\"\nedition = \"2024\"\n")
}

/// A program that prints a line.
pub(crate) fn prints_line(line: &str) -> String {
    format!("fn main() {{ println!({line:?}); }}\n")
}

/// Runs a command that has to succeed, for its stderr.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = finish(command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?} failed:\n{stderr}");
    stderr
}

/// Runs a command that has to fail, for its stderr.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = finish(command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{command:?} succeeded:\n{stderr}");
    stderr
}

fn finish(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()))
}

/// True if cargo compiled or ran something of this package.
pub(crate) fn compiled(stderr: &str, package: &str) -> bool {
    stderr.lines().any(|line| line.trim_start().starts_with(&format!("Compiling {package} ")))
}
