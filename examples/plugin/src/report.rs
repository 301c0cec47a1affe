//! What is printed: each section as text when it is there, or all of them as one JSON object at the end.

use std::fmt::Display;
use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::Error;

/// The sections so far.
#[derive(Debug)]
pub(crate) struct Report {
    json: Option<Map<String, Value>>,
}

impl Report {
    pub(crate) fn new(json: bool) -> Self {
        Self { json: json.then(Map::new) }
    }

    /// Adds a section.
    pub(crate) fn section<S: Serialize + Display>(&mut self, name: &str, section: &S) -> Result<(), Error> {
        match &mut self.json {
            Some(sections) => {
                let value = serde_json::to_value(section).map_err(|error| print(error.into()))?;
                sections.insert(name.to_owned(), value);
                Ok(())
            }
            None => writeln!(std::io::stdout().lock(), "== {name}\n{section}").map_err(print),
        }
    }

    /// Prints what was kept back.
    pub(crate) fn finish(self) -> Result<(), Error> {
        match self.json {
            Some(sections) => writeln!(std::io::stdout().lock(), "{:#}", Value::Object(sections)).map_err(print),
            None => Ok(()),
        }
    }
}

fn print(source: std::io::Error) -> Error {
    Error::Print { source }
}
