//! The functions that a host has at its start: those of its store, those of its command line, or the two that it brings along.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::functions::Functions;
use crate::functions::name::Name;
use crate::functions::settings::Settings;

/// What the server brings along.
static OWN: [(&str, &[u8]); 2] = [
    ("word-count", include_bytes!(env!("AMPOULE_GUEST_WORD_COUNT"))),
    ("shout", include_bytes!(env!("AMPOULE_GUEST_SHOUT"))),
];

/// Makes them ready.
///
/// # Errors
/// If one of the command line's is no function: whoever names it is there to be told.
pub(crate) async fn load(
    functions: &Arc<Functions>,
    files: &[impl AsRef<Path> + Sync],
    settings: &Settings,
) -> Result<(), Error> {
    let mut names = BTreeSet::new();
    for path in files {
        let path = path.as_ref();
        let text = path.file_name().unwrap_or_default().to_string_lossy();
        let name: Name = text.parse().map_err(|source| Error::Name { path: path.to_owned(), source })?;
        if !names.insert(name.clone()) {
            return Err(Error::Twice { name: name.to_string() });
        }
        let image = fs::read(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        deploy(functions, name, image.into(), settings).await?;
    }
    if functions.all().is_empty() {
        for (name, image) in OWN {
            let Ok(name) = name.parse() else { continue };
            deploy(functions, name, Bytes::from_static(image), settings).await?;
        }
    }
    Ok(())
}

async fn deploy(functions: &Arc<Functions>, name: Name, image: Bytes, settings: &Settings) -> Result<(), Error> {
    let label = name.to_string();
    let deployed = functions.deploy(name, image, settings.clone()).await;
    deployed.map(drop).map_err(|source| Error::Deploy { name: label, source })
}
