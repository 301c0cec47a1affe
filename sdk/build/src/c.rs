//! A guest that is written in C (or in whatever else the compiler takes): each file compiled by itself, because a compiler that is given
//! several writes one list of headers, and all of them linked.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::About;
use crate::script::{self, Script};
use crate::{Error, Guest, Missing, depfile, rust};

/// C files to compile, link and embed.
///
/// Unless told otherwise `musl-gcc` compiles them with `-O2`, and links them statically and to fixed addresses. Paths are relative to the
/// package that is being built.
#[derive(Debug, Clone)]
#[must_use = "nothing is built before `build`"]
pub struct C {
    files: Vec<PathBuf>,
    name: Option<String>,
    compiler: String,
    pie: bool,
    flags: Vec<OsString>,
    libraries: Vec<String>,
}

impl C {
    /// A guest with this file.
    pub fn new(file: impl Into<PathBuf>) -> Self {
        Self {
            files: vec![file.into()],
            name: None,
            compiler: "musl-gcc".into(),
            pie: false,
            flags: Vec::new(),
            libraries: Vec::new(),
        }
    }

    /// What the guest is called, and its variable after it. Unless it is given, the first file's name without its suffix.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Adds a file.
    pub fn file(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// Adds a directory in which headers are looked for.
    pub fn include(self, directory: impl Into<PathBuf>) -> Self {
        let directory: PathBuf = directory.into();
        self.flag("-I").flag(directory)
    }

    /// Defines a macro: `define("LEVEL", "3")`, or `define("FAST", None)` for one without a value.
    pub fn define<'a>(self, name: &str, value: impl Into<Option<&'a str>>) -> Self {
        match value.into() {
            Some(value) => self.flag(format!("-D{name}={value}")),
            None => self.flag(format!("-D{name}")),
        }
    }

    /// Adds a flag, for compiling and for linking. It comes after the default ones.
    pub fn flag(mut self, flag: impl Into<OsString>) -> Self {
        self.flags.push(flag.into());
        self
    }

    /// Links a library: `library("m")`. Its `.a` has to be there.
    pub fn library(mut self, name: impl Into<String>) -> Self {
        self.libraries.push(name.into());
        self
    }

    /// Chooses the compiler: `gcc`, `clang`, `g++`, or a path. It has to understand gcc's options.
    pub fn compiler(mut self, compiler: impl Into<String>) -> Self {
        self.compiler = compiler.into();
        self
    }

    /// Whether the guest is position-independent, or linked to fixed addresses (`false`). `musl-gcc` cannot link a static program that is.
    pub fn pie(mut self, pie: bool) -> Self {
        self.pie = pie;
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
        let stem = self.files.first().and_then(|file| file.file_stem()).unwrap_or_default();
        let name = self.name.clone().unwrap_or_else(|| stem.to_string_lossy().into_owned());
        let script = Script::begin(name)?;
        if let Some(placeholder) = script.skip()? {
            return Ok(placeholder);
        }
        self.compile(&script).inspect_err(|_| script.run_again())
    }

    fn compile(&self, script: &Script) -> Result<Guest, Error> {
        let directory = script.directory(&format!("objects/{}", script.name))?;
        let mut objects = Vec::new();
        let mut inputs = Vec::new();
        for (index, file) in self.files.iter().enumerate() {
            // Two files can have the same name in different directories.
            let object = directory.join(format!("{index}.o"));
            let list = directory.join(format!("{index}.d"));
            let mut command = self.command(&script.package, if self.pie { &["-fPIE"] } else { &["-fno-pie"] });
            command.args(&self.flags).arg("-MMD").arg("-MF").arg(&list).arg("-c").arg(file).arg("-o").arg(&object);
            self.run(command, script)?;
            inputs.extend(depfile::inputs(&std::fs::read_to_string(&list).about(&list)?));
            objects.push(object);
        }
        let linked = directory.join("linked");
        let mut command =
            self.command(&script.package, if self.pie { &["-static-pie"] } else { &["-static", "-no-pie"] });
        command.args(objects).arg("-o").arg(&linked).args(&self.flags);
        command.args(self.libraries.iter().map(|name| format!("-l{name}")));
        self.run(command, script)?;

        let guest = script.finish(&linked)?;
        inputs.iter().for_each(|file| depfile::watch(file));
        Ok(guest)
    }

    fn command(&self, package: &Path, mode: &[&str]) -> Command {
        let mut command = Command::new(&self.compiler);
        command.arg("-O2").args(mode).current_dir(package);
        command
    }

    fn run(&self, mut command: Command, script: &Script) -> Result<(), Error> {
        // What cargo takes for directives is on stdout, and a compiler has nothing to say there.
        match command.stdin(Stdio::null()).stdout(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => {
                let missing = rust::lacks_static_libc(&self.compiler).then_some(Missing::StaticLibc);
                Err(Error::Compile { guest: script.name.clone(), status, missing })
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::CompilerMissing { compiler: self.compiler.clone() })
            }
            Err(source) => Err(Error::Start { program: self.compiler.clone().into(), source }),
        }
    }
}
