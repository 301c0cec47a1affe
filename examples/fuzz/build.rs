//! Compiles the targets, for `src/target.rs` to embed.
//!
//! zlib's source is not here: the crate `libz-sys` has it, at the version that `Cargo.toml` names, and cargo knows where that lies and that it is what
//! `Cargo.lock` says.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Coverage, comparisons and checks of memory: `docs/fuzzing-targets.md`.
const FLAGS: &str = "../../sdk/c/fuzz/memory-clang.flags";
/// What decompresses.
const ZLIB: [&str; 6] = ["adler32.c", "crc32.c", "inffast.c", "inflate.c", "inftrees.c", "zutil.c"];

fn main() -> ExitCode {
    let zlib = match zlib() {
        Ok(zlib) => zlib,
        Err(error) => {
            eprintln!("zlib's source cannot be found: {error}");
            return ExitCode::FAILURE;
        }
    };
    println!("cargo:rerun-if-changed={FLAGS}");
    ZLIB.iter().fold(target("targets/zlib.c").include(&zlib), |target, file| target.file(zlib.join(file))).build();
    target("targets/planted.c").flag("-Wall").flag("-Wextra").flag("-Wno-infinite-recursion").build();
    ExitCode::SUCCESS
}

fn target(file: &str) -> ampoule_build::C {
    ampoule_build::C::new(file).file("../../sdk/c/fuzz.c").compiler("clang").flag(format!("@{FLAGS}"))
}

/// The directory of zlib's source, inside the package that cargo has fetched.
fn zlib() -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").ok_or("CARGO is not set: this is run by cargo")?;
    let mut metadata = Command::new(cargo);
    // All packages are there, since this one is being built.
    metadata.args(["metadata", "--format-version=1", "--offline", "--locked", "--filter-platform"]);
    metadata.arg(std::env::var_os("HOST").ok_or("HOST is not set: this is run by cargo")?);
    let output = metadata.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let packages = metadata.get("packages").and_then(serde_json::Value::as_array).ok_or("cargo metadata names none")?;
    let package = packages.iter().find(|package| package.get("name").is_some_and(|name| name == "libz-sys"));
    let manifest = package.and_then(|package| package.get("manifest_path")?.as_str());
    let directory = manifest.and_then(|manifest| Path::new(manifest).parent()).ok_or("libz-sys is no dependency")?;
    Ok(directory.join("src/zlib"))
}
