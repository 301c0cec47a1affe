//! A function of a program's, with the types that it is called with.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use ampoule_kernel::schema::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::FuncError;
use crate::program::{Program, Signature, unbounded};

/// A function that a program exports, with the types of its parameters (a tuple) and of its result. [`Program::func`] makes it.
pub struct Func<A, R> {
    pub(super) program: Program,
    pub(super) name: Arc<str>,
    types: PhantomData<fn(A) -> R>,
}

impl<A, R> Clone for Func<A, R> {
    fn clone(&self) -> Self {
        Self { program: self.program.clone(), name: Arc::clone(&self.name), types: PhantomData }
    }
}

impl<A, R> fmt::Debug for Func<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Func").field(&self.name).finish()
    }
}

impl<A, R> Func<A, R> {
    /// The function's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl<A: Schema, R> Func<A, R> {
    /// The same function, called with other types of the same shape: borrowed ones, so that nothing is cloned for a call. Whether the shapes
    /// are the same is checked by the compiler.
    ///
    /// ```no_run
    /// # let program = ampoule::Program::from_file("plugin")?;
    /// # let mut plugin = ampoule::Sandbox::new(&program, &ampoule::Imports::<()>::new(), ())?;
    /// let score = program.func::<(String, Vec<u32>), f64>("score")?;
    /// let (name, marks) = ("alice", [1, 2, 3]);
    /// plugin.call(&score.taking(), (name, &marks[..]))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// ```compile_fail
    /// # let program = ampoule::Program::from_file("plugin")?;
    /// let score = program.func::<(String, Vec<u32>), f64>("score")?;
    /// score.taking::<(&str, Vec<i32>)>(); // another shape
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn taking<B: Serialize + Schema>(&self) -> Func<B, R> {
        const { assert!(A::TYPE.is(B::TYPE), "the arguments have another shape than the function's") };
        Func { program: self.program.clone(), name: Arc::clone(&self.name), types: PhantomData }
    }
}

impl Program {
    /// The function that the program exports under `name`, checked once against its interface note: calls need no check any more.
    ///
    /// ```no_run
    /// let program = ampoule::Program::from_file("plugin")?;
    /// let score = program.func::<(String, u32), f64>("score")?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FuncError`] if there is no such function, if its signature is another, or if a message could hold any number of its values.
    pub fn func<A, R>(&self, name: &str) -> Result<Func<A, R>, FuncError>
    where
        A: Serialize + Schema,
        R: DeserializeOwned + Schema,
    {
        let interface = self.interface()?;
        let Some(export) = interface.export(name) else {
            let exports = interface.exports().iter().map(|export| export.name().to_owned()).collect();
            return Err(FuncError::Missing { name: name.to_owned(), exports });
        };
        if let Some(what) = unbounded(R::TYPE) {
            return Err(FuncError::Unbounded { name: name.to_owned(), what: what.to_string() });
        }
        let host = Signature::of(A::TYPE, R::TYPE);
        if *export.signature() != host {
            let guest = Box::new(export.signature().clone());
            return Err(FuncError::Mismatch { name: name.to_owned(), guest, host: Box::new(host) });
        }
        Ok(Func { program: self.clone(), name: name.into(), types: PhantomData })
    }

    /// True if both are the same value, not only equal ones.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}
