//! A guest that is a Rust crate: built by the cargo that runs the build script, for the same compiler, apart from everything else that the
//! outer build is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use crate::caller::Caller;
use crate::error::About;
use crate::manifest::Source;
use crate::script::{self, Script};
use crate::{Error, Guest, Missing, depfile, environment, messages};

/// A Rust crate to compile and embed.
///
/// Unless told otherwise it is built in its release profile, with glibc, statically and position-independent.
#[derive(Debug, Clone)]
#[must_use = "nothing is built before `build`"]
pub struct Crate {
    directory: PathBuf,
    name: Option<String>,
    package: Option<String>,
    bin: Option<String>,
    features: Vec<String>,
    no_default_features: bool,
    profile: String,
    musl: bool,
    pie: bool,
    flags: Vec<String>,
    variables: Vec<(OsString, OsString)>,
    locked: bool,
    offline: bool,
}

impl Crate {
    /// The crate in this directory, relative to the package that is being built. It can be a member of the same workspace, one of another, or
    /// none. If its manifest is called `Cargo.guest.toml` it can be published with the package: see [the crate's documentation](crate).
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            name: None,
            package: None,
            bin: None,
            features: Vec::new(),
            no_default_features: false,
            profile: "release".into(),
            musl: false,
            pie: true,
            flags: Vec::new(),
            variables: Vec::new(),
            locked: false,
            offline: false,
        }
    }

    /// What the guest is called, and its variable after it. Unless it is given: what [`bin`](Self::bin) says, or else
    /// [`package`](Self::package), or else the directory's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Chooses a package, if the directory is a workspace's.
    pub fn package(mut self, package: impl Into<String>) -> Self {
        self.package = Some(package.into());
        self
    }

    /// Chooses a binary, if the package has several.
    pub fn bin(mut self, bin: impl Into<String>) -> Self {
        self.bin = Some(bin.into());
        self
    }

    /// Enables features, besides those enabled before.
    pub fn features<F: Into<String>>(mut self, features: impl IntoIterator<Item = F>) -> Self {
        self.features.extend(features.into_iter().map(Into::into));
        self
    }

    /// Leaves the default features out.
    pub fn no_default_features(mut self) -> Self {
        self.no_default_features = true;
        self
    }

    /// Chooses the profile: `dev`, or one that the guest's manifest (its workspace's, if it is in one) defines. The outer build's does not
    /// matter.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// Links musl instead of glibc. Needs the target: `rustup target add x86_64-unknown-linux-musl`.
    pub fn musl(mut self) -> Self {
        self.musl = true;
        self
    }

    /// Whether the guest is position-independent, as Rust programs are (`true`), or linked to fixed addresses.
    pub fn pie(mut self, pie: bool) -> Self {
        self.pie = pie;
        self
    }

    /// Adds a flag for rustc, for the guest and all its dependencies. `RUSTFLAGS` of the environment and `rustflags` of cargo's configuration
    /// do not reach a guest.
    pub fn rustc_flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Sets a variable for the guest's compiler and build scripts: `env!` in its source.
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Fails if the guest's lock file is missing or would change, as cargo's `--locked` does. If the outer cargo was called with it, or
    /// `AMPOULE_BUILD_LOCKED` is set, this is the default; then a guest without a lock file is built all the same, as `cargo install` does.
    pub fn locked(mut self) -> Self {
        self.locked = true;
        self
    }

    /// Keeps cargo off the network, as its `--offline` does. If the outer cargo was called with it, or `CARGO_NET_OFFLINE` is `true`, this is
    /// the default.
    pub fn offline(mut self) -> Self {
        self.offline = true;
        self
    }

    /// Compiles the guest. If that fails the build script ends here, with status 1 and the reason.
    pub fn build(&self) -> Guest {
        script::or_exit(self.try_build())
    }

    /// Compiles the guest.
    ///
    /// # Errors
    /// Whatever keeps it from being built; the compiler's own messages go to stderr.
    pub fn try_build(&self) -> Result<Guest, Error> {
        let script = Script::begin(self.guest_name())?;
        if let Some(placeholder) = script.skip()? {
            return Ok(placeholder);
        }
        self.compile(&script).inspect_err(|_| script.run_again())
    }

    fn guest_name(&self) -> String {
        let directory = || {
            // `..` has a name only once it is followed.
            let followed = std::fs::canonicalize(&self.directory).unwrap_or_else(|_| self.directory.clone());
            followed.file_name().unwrap_or_default().to_string_lossy().into_owned()
        };
        self.name.clone().or_else(|| self.bin.clone()).or_else(|| self.package.clone()).unwrap_or_else(directory)
    }

    fn compile(&self, script: &Script) -> Result<Guest, Error> {
        let started = SystemTime::now();
        let source = Source::find(script.package.join(&self.directory), || {
            script.directory(&format!("crates/{}", script.name))
        })?;
        let program = environment::program()?;
        let root = workspace_root(&source, environment::cargo(&program))?;
        let lock = root.with_extension("lock");

        let mut cargo = environment::cargo(&program);
        self.arguments(&mut cargo, &source, &lock, &Caller::ask(&program));
        let target = script.directory("target")?;
        cargo.arg("--target-dir").arg(&target);
        // Both directories have a lock, and configuration files can name either.
        cargo.env("CARGO_BUILD_BUILD_DIR", &target);
        // Where the names in dep-info files begin, against a configuration file that says otherwise.
        cargo.env("CARGO_BUILD_DEP_INFO_BASEDIR", "/");
        cargo.env("CARGO_ENCODED_RUSTFLAGS", self.encoded_flags());
        cargo.envs(self.variables.iter().map(|(name, value)| (name, value)));
        cargo.current_dir(&source.directory).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());

        let output = cargo.output().map_err(|source| Error::Start { program: program.into(), source })?;
        if !output.status.success() {
            let (guest, missing) = (script.name.clone(), self.missing());
            return Err(Error::Compile { guest, status: output.status, missing });
        }
        let executable = only(messages::executables(&String::from_utf8_lossy(&output.stdout)), &script.name)?;
        let guest = script.finish(&executable)?;
        watch(&source, &executable, &target, &root)?;
        settle(&source.original(&lock), &source.original(&root), started);
        Ok(guest)
    }

    fn arguments(&self, cargo: &mut Command, source: &Source, lock: &Path, caller: &Caller) {
        // Diagnostics come as text on stderr, and the names of what was built on stdout.
        cargo.args(["build", "--message-format=json-render-diagnostics", "--target", self.target()]);
        cargo.args(["--profile", &self.profile]).arg("--manifest-path").arg(&source.manifest);
        match &self.bin {
            Some(bin) => cargo.args(["--bin", bin]),
            None => cargo.arg("--bins"),
        };
        if let Some(package) = &self.package {
            cargo.args(["--package", package]);
        }
        if self.no_default_features {
            cargo.arg("--no-default-features");
        }
        if !self.features.is_empty() {
            cargo.args(["--features", &self.features.join(",")]);
        }
        let locked_by_caller = (caller.locked || script::is_set("AMPOULE_BUILD_LOCKED")) && lock.is_file();
        if self.locked || locked_by_caller {
            cargo.arg("--locked");
        }
        if self.offline || caller.offline {
            cargo.arg("--offline");
        }
    }

    fn target(&self) -> &'static str {
        if self.musl { "x86_64-unknown-linux-musl" } else { "x86_64-unknown-linux-gnu" }
    }

    /// Cargo's encoding of flags: a unit separator between them, so that they may contain spaces.
    fn encoded_flags(&self) -> String {
        let mut flags = vec!["-Ctarget-feature=+crt-static"];
        if !self.pie {
            flags.push("-Crelocation-model=static");
        }
        flags.extend(self.flags.iter().map(String::as_str));
        flags.join("\u{1f}")
    }

    /// What a guest needs and this machine lacks. Looked for only when a guest did not compile: a configuration that does without (`build-std`,
    /// another linker) is nobody's error.
    fn missing(&self) -> Option<Missing> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let directory = answer(Command::new(rustc).args(["--print", "target-libdir", "--target", self.target()]));
        if directory.is_some_and(|directory| !directory.is_dir()) {
            let toolchain = std::env::var("RUSTUP_TOOLCHAIN").ok();
            return Some(Missing::Target { target: self.target().into(), toolchain });
        }
        (!self.musl && lacks_static_libc("cc")).then_some(Missing::StaticLibc)
    }
}

/// True if this compiler says that it has no `libc.a`: it then answers with the bare name.
pub(crate) fn lacks_static_libc(compiler: &str) -> bool {
    answer(Command::new(compiler).arg("-print-file-name=libc.a")).is_some_and(|path| !path.is_absolute())
}

/// The path that a program prints.
fn answer(command: &mut Command) -> Option<PathBuf> {
    let output = command.stdin(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim_end()))
}

/// The manifest next to which cargo keeps the lock file.
fn workspace_root(source: &Source, mut cargo: Command) -> Result<PathBuf, Error> {
    cargo.args(["locate-project", "--workspace", "--message-format=plain", "--manifest-path"]).arg(&source.manifest);
    // Where cargo cannot tell, the build is about to say why.
    Ok(answer(cargo.current_dir(&source.directory)).unwrap_or_else(|| source.manifest.clone()))
}

fn only(mut executables: Vec<PathBuf>, guest: &str) -> Result<PathBuf, Error> {
    match (executables.pop(), executables.is_empty()) {
        (Some(executable), true) => Ok(executable),
        (None, _) => Err(Error::NoBinary { guest: guest.into() }),
        (Some(last), false) => {
            executables.push(last);
            let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Err(Error::SeveralBinaries { guest: guest.into(), binaries: executables.iter().map(name).collect() })
        }
    }
}

/// Has cargo run the build script again when anything changes that went into the guest.
fn watch(source: &Source, executable: &Path, target: &Path, root: &Path) -> Result<(), Error> {
    let list = executable.with_extension("d");
    let rules = std::fs::read_to_string(&list).about(&list)?;
    let files: Vec<_> = depfile::inputs(&rules).iter().map(|file| Path::new("/").join(file)).collect();
    // What the guest's own build scripts wrote is newer than this build, and what it was made from is in the list.
    let sources: Vec<_> = files.into_iter().filter(|file| !file.starts_with(target)).collect();
    let configuration = source.directory.ancestors().map(|directory| directory.join(".cargo/config.toml"));
    let others = configuration.chain([root.to_owned(), source.manifest.clone(), root.with_extension("lock")]);

    let mut watched: Vec<_> =
        depfile::manifests(&sources).iter().chain(&sources).map(|file| source.original(file)).collect();
    watched.extend(others.map(|file| source.original(&file)).filter(|file| file.is_file()));
    watched.sort();
    watched.dedup();
    watched.iter().for_each(|file| depfile::watch(file));
    Ok(())
}

/// A lock file that this build wrote is newer than the build script's start, which to cargo is a change to react to next time. So it gets the
/// time of the manifest that it is made from; if that cannot be set the package is built once more than needed.
fn settle(lock: &Path, manifest: &Path, started: SystemTime) {
    let modified = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified());
    if let (Ok(written), Ok(manifest)) = (modified(lock), modified(manifest))
        && written >= started
    {
        let _ = std::fs::File::open(lock).and_then(|lock| lock.set_modified(manifest));
    }
}
