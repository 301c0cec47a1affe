//! From files to functions.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use ampoule::Program;

use crate::arguments::Arguments;
use crate::error::Error;
use crate::function::Function;
use crate::server::Functions;

/// What the server brings along.
static OWN: [(&str, &[u8]); 2] = [
    ("word-count", include_bytes!(env!("AMPOULE_GUEST_WORD_COUNT"))),
    ("shout", include_bytes!(env!("AMPOULE_GUEST_SHOUT"))),
];

/// Reads the functions and makes them ready to be called.
pub(crate) fn load(arguments: &Arguments) -> Result<Functions, Error> {
    let programs: Vec<_> = if arguments.files.is_empty() {
        OWN.into_iter().map(|(name, image)| own(name, image)).collect::<Result<_, _>>()?
    } else {
        arguments.files.iter().map(|path| read(path)).collect::<Result<_, _>>()?
    };
    let bounds = arguments.bounds();
    let mut functions = BTreeMap::new();
    for program in programs {
        let name = program.name().to_owned();
        if functions.contains_key(&name) {
            return Err(Error::Twice { name });
        }
        functions.insert(name, Function::new(program, &bounds)?);
    }
    Ok(Arc::new(functions))
}

fn own(name: &'static str, image: &[u8]) -> Result<Program, Error> {
    Program::options().name(name).from_bytes(image).map_err(|source| Error::LoadOwn { name, source })
}

fn read(path: &Path) -> Result<Program, Error> {
    Program::from_file(path).map_err(|source| Error::Load { path: path.to_owned(), source })
}
