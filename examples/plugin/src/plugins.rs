//! The plugins that this host is built with: loaded once, checked once, started as often as wanted.
//!
//! A typed handle is made here, when the program is loaded. It compares the host's types with the plugin's interface note, so that a plugin of
//! another shape is refused before it runs.

use std::fmt;
use std::time::Duration;

use ampoule::{Call, Func, Imports, Interface, Program, Region, Sandbox, SandboxBuilder};
use ampoule_example_records::{CLIMATE, Record, Score, Summary};
use serde::Serialize;

use crate::error::Error;
use crate::stations;

/// The versions of the scoring plugin.
pub(crate) static SCORING: [&[u8]; 3] = [
    include_bytes!(env!("AMPOULE_GUEST_SCORING_1")),
    include_bytes!(env!("AMPOULE_GUEST_SCORING_2")),
    include_bytes!(env!("AMPOULE_GUEST_SCORING_3")),
];
static NORMALISER: &[u8] = include_bytes!(env!("AMPOULE_GUEST_NORMALISER"));
static HOSTILE: &[u8] = include_bytes!(env!("AMPOULE_GUEST_HOSTILE"));

/// What every plugin finds outside: the host's functions, and what it shares.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    imports: Imports<Directory>,
    climate: Region,
}

/// The host's data of one sandbox: how often its plugin asked.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    pub(crate) lookups: u64,
}

impl Surroundings {
    fn new() -> Result<Self, Error> {
        let imports = Imports::new().func("lookup", |context, (key,): (String,)| -> Option<String> {
            let directory: &mut Directory = context.data_mut();
            directory.lookups += 1;
            stations::name(&key).map(str::to_owned)
        });
        let climate = Region::from_bytes(stations::climate()).map_err(|source| Error::Share { source })?;
        Ok(Self { imports, climate })
    }

    /// A sandbox for a plugin, to be told about its limits and streams.
    pub(crate) fn builder(&self, program: &Program) -> SandboxBuilder<Directory> {
        Sandbox::builder(program, &self.imports).region(CLIMATE, &self.climate)
    }

    /// A sandbox for a plugin, with the default limits.
    pub(crate) fn start(&self, plugin: &'static str, program: &Program) -> Result<Sandbox<Directory>, Error> {
        self.builder(program).build(Directory::default()).map_err(|source| Error::Start { plugin, source })
    }
}

/// What an honest call may use: far more than it needs, and far less than would hurt.
pub(crate) fn honest() -> Call {
    Call::new().wall(Duration::from_secs(10)).cpu(Duration::from_secs(2)).output(64 << 10).host_calls(8)
}

/// The scoring plugin, in any version that has these functions.
#[derive(Debug, Clone)]
pub(crate) struct Scoring {
    pub(crate) program: Program,
    pub(crate) score: Func<(Record,), Result<Score, String>>,
    pub(crate) summarise: Func<(Vec<Record>,), Summary>,
}

impl Scoring {
    pub(crate) const NAME: &str = "scoring";

    pub(crate) fn new(program: Program) -> Result<Self, Error> {
        let differs = |source| Error::Function { plugin: Self::NAME, source };
        let (score, summarise) = (program.func("score"), program.func("summarise"));
        Ok(Self { score: score.map_err(differs)?, summarise: summarise.map_err(differs)?, program })
    }
}

/// The plugin that brings lines into one form.
#[derive(Debug, Clone)]
pub(crate) struct Normaliser {
    pub(crate) program: Program,
    pub(crate) parse: Func<(String,), Result<Record, String>>,
}

impl Normaliser {
    pub(crate) const NAME: &str = "normaliser";
    /// Bytes in, bytes out.
    pub(crate) const NORMALISE: &str = "normalise";

    fn new(program: Program) -> Result<Self, Error> {
        let parse = program.func("parse").map_err(|source| Error::Function { plugin: Self::NAME, source })?;
        Ok(Self { program, parse })
    }
}

/// The plugin that means harm.
#[derive(Debug, Clone)]
pub(crate) struct Hostile {
    pub(crate) program: Program,
    pub(crate) lies: Func<(), u64>,
}

impl Hostile {
    pub(crate) const NAME: &str = "hostile";

    fn new(program: Program) -> Result<Self, Error> {
        let lies = program.func("lies").map_err(|source| Error::Function { plugin: Self::NAME, source })?;
        Ok(Self { program, lies })
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Plugins {
    pub(crate) scoring: Scoring,
    pub(crate) normaliser: Normaliser,
    pub(crate) hostile: Hostile,
    pub(crate) surroundings: Surroundings,
}

impl Plugins {
    pub(crate) fn load() -> Result<Self, Error> {
        let [first, ..] = SCORING;
        Ok(Self {
            scoring: Scoring::new(load(Scoring::NAME, first)?)?,
            normaliser: Normaliser::new(load(Normaliser::NAME, NORMALISER)?)?,
            hostile: Hostile::new(load(Hostile::NAME, HOSTILE)?)?,
            surroundings: Surroundings::new()?,
        })
    }

    /// What they export and import, read from their notes: nothing has run so far.
    pub(crate) fn describe(&self) -> Result<Interfaces, Error> {
        let all = [
            (Scoring::NAME, &self.scoring.program),
            (Normaliser::NAME, &self.normaliser.program),
            (Hostile::NAME, &self.hostile.program),
        ];
        let described = all.into_iter().map(|(plugin, program)| {
            let interface = interface(plugin, program)?;
            let exports = interface.exports().iter().map(ToString::to_string).collect();
            let imports = interface.imports().iter().map(ToString::to_string).collect();
            Ok(Described { plugin, bytes: program.file_size(), exports, imports })
        });
        described.collect::<Result<_, _>>().map(Interfaces)
    }
}

/// Makes a program of what was embedded.
pub(crate) fn load(plugin: &'static str, image: &[u8]) -> Result<Program, Error> {
    Program::from_bytes(image).map_err(|source| Error::Load { plugin, source })
}

/// What a plugin exports and imports.
pub(crate) fn interface<'a>(plugin: &'static str, program: &'a Program) -> Result<&'a Interface, Error> {
    program.interface().map_err(|source| Error::Interface { plugin, source })
}

/// The plugins' interfaces.
#[derive(Debug, Serialize)]
pub(crate) struct Interfaces(Vec<Described>);

#[derive(Debug, Serialize)]
struct Described {
    plugin: &'static str,
    bytes: u64,
    exports: Vec<String>,
    imports: Vec<String>,
}

impl fmt::Display for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Described { plugin, bytes, exports, imports } in &self.0 {
            writeln!(f, "{plugin}, {bytes} bytes")?;
            exports.iter().try_for_each(|export| writeln!(f, "  export {export}"))?;
            imports.iter().try_for_each(|import| writeln!(f, "  import {import}"))?;
        }
        Ok(())
    }
}
