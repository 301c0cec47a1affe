//! The host's functions: registered once, shared by every sandbox that may call them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use ampoule_kernel::schema::Schema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use super::context::Context;
use super::error::ProtocolError;
use super::halt::Halt;
use crate::channel::table::Table;
use crate::program::{Signature, unbounded};

/// What a host function failed with.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// A host function's result that is still being waited for.
pub(super) type Later = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What becomes of it.
pub(super) type Outcome = Result<Vec<u8>, ImportFailure>;

/// Polls a host function's future, which may panic.
pub(super) fn poll(future: &mut Later, task: &mut TaskContext<'_>) -> Result<Poll<Outcome>, Halt> {
    catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(task))).map_err(Halt::Panic)
}

/// Why a host function has no result.
#[derive(Debug)]
pub(super) enum ImportFailure {
    /// The guest's arguments are not what it takes.
    Arguments,
    /// It said so.
    Failed(BoxError),
}

/// How a host function was served.
pub(super) enum Served {
    /// Its result is in the buffer.
    Now,
    /// Its result is not there yet.
    Later(Later),
}

type Body<T> = dyn Fn(&mut Context<'_, T>, &[u8], &mut Vec<u8>) -> Result<Served, ImportFailure> + Send + Sync;

/// One function.
pub(crate) struct Import<T> {
    pub(super) name: Box<str>,
    pub(super) signature: Signature,
    /// A type of it that no message may hold.
    pub(super) unbounded: Option<String>,
    pub(super) body: Box<Body<T>>,
}

impl<T> fmt::Debug for Import<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.signature)
    }
}

/// The functions that the host offers to its guests. `T` is the data of one sandbox or request, which they see through their [`Context`].
///
/// Cloning shares them. A function that panics is caught: it poisons its sandbox, and the panic goes on in the thread that made the call.
///
/// ```
/// use std::collections::HashMap;
/// use ampoule::Imports;
///
/// let imports = Imports::<HashMap<String, String>>::new()
///     .func("lookup", |ctx, (key,): (String,)| -> Option<String> { ctx.data().get(&key).cloned() })
///     .try_func("parse", |_, (text,): (String,)| -> Result<f64, std::num::ParseFloatError> { text.parse() });
/// # let _ = imports;
/// ```
pub struct Imports<T>(Arc<HashMap<Box<str>, Arc<Import<T>>>>);

impl<T> Clone for Imports<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Imports<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Imports<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.values()).finish()
    }
}

impl<T> Imports<T> {
    /// No functions.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::default())
    }

    /// The functions that a guest imports, in its order.
    ///
    /// # Errors
    /// If one is missing, or must not be bound: what a program's note says was compared before it started, but a guest need not have a note.
    pub(crate) fn bind(&self, table: &Table) -> Result<Vec<Arc<Import<T>>>, ProtocolError> {
        let bind = |name: &str| {
            let import = self.get(name).ok_or_else(|| ProtocolError::UnknownImport { name: name.to_owned() })?;
            match &import.unbounded {
                Some(what) => Err(ProtocolError::Unbounded { name: name.to_owned(), what: what.clone() }),
                None => Ok(Arc::clone(import)),
            }
        };
        table.imports.iter().map(|name| bind(name)).collect()
    }

    /// The same functions, which [`is`](Self::is) tells from these.
    pub(crate) fn copy(&self) -> Self {
        Self(Arc::new((*self.0).clone()))
    }

    /// True if these are the same, or a clone.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Arc<Import<T>>> {
        self.0.get(name)
    }
}

impl<T: 'static> Imports<T> {
    /// Adds a function. Its parameters are a tuple; an earlier function of this name is replaced.
    ///
    /// What it returns is the guest's to see: a `Result` crosses as it is. See [`try_func`](Self::try_func) for failures that are not.
    #[must_use]
    pub fn func<A, R>(self, name: &str, function: impl Fn(&mut Context<'_, T>, A) -> R + Send + Sync + 'static) -> Self
    where
        A: DeserializeOwned + Schema,
        R: Serialize + Schema,
    {
        self.typed::<A, R>(name, move |context, arguments, reply| {
            let result = function(context, decode(arguments)?);
            codec::encode(&result, reply).map_err(|error| ImportFailure::Failed(error.into()))?;
            Ok(Served::Now)
        })
    }

    /// Adds a function that can fail. The guest's call then fails, which ends the call that the host made with
    /// [`CallError::Import`](crate::CallError::Import) unless the guest makes something of it.
    #[must_use]
    pub fn try_func<A, R, E>(
        self,
        name: &str,
        function: impl Fn(&mut Context<'_, T>, A) -> Result<R, E> + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + Schema,
        R: Serialize + Schema,
        E: Into<BoxError>,
    {
        self.typed::<A, R>(name, move |context, arguments, reply| {
            let result = function(context, decode(arguments)?).map_err(|error| ImportFailure::Failed(error.into()))?;
            codec::encode(&result, reply).map_err(|error| ImportFailure::Failed(error.into()))?;
            Ok(Served::Now)
        })
    }

    /// Adds a function whose result takes its time. In [`call_async`](crate::Sandbox::call_async) no thread waits for it; in
    /// [`call`](crate::Sandbox::call) the caller's does. The context is there until the future is made: clone what it needs.
    ///
    /// The deadline runs on while it waits. A call that ends before drops the future.
    #[must_use]
    pub fn async_func<A, R, E, F>(
        self,
        name: &str,
        function: impl Fn(&mut Context<'_, T>, A) -> F + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + Schema,
        R: Serialize + Schema,
        E: Into<BoxError>,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        self.typed::<A, R>(name, move |context, arguments, _| {
            let future = function(context, decode(arguments)?);
            Ok(Served::Later(Box::pin(async move {
                let result = future.await.map_err(|error| ImportFailure::Failed(error.into()))?;
                let mut reply = Vec::new();
                codec::encode(&result, &mut reply).map_err(|error| ImportFailure::Failed(error.into()))?;
                Ok(reply)
            })))
        })
    }

    /// Adds a function that takes and returns bytes as they are. The reply is empty when the function is called.
    #[must_use]
    pub fn bytes<E: Into<BoxError>>(
        self,
        name: &str,
        function: impl Fn(&mut Context<'_, T>, &[u8], &mut Vec<u8>) -> Result<(), E> + Send + Sync + 'static,
    ) -> Self {
        self.add(Import {
            name: name.into(),
            signature: Signature::bytes(),
            unbounded: None,
            body: Box::new(move |context, arguments, reply| {
                reply.clear();
                function(context, arguments, reply).map_err(|error| ImportFailure::Failed(error.into()))?;
                Ok(Served::Now)
            }),
        })
    }

    fn typed<A: Schema, R: Schema>(
        self,
        name: &str,
        body: impl Fn(&mut Context<'_, T>, &[u8], &mut Vec<u8>) -> Result<Served, ImportFailure> + Send + Sync + 'static,
    ) -> Self {
        self.add(Import {
            name: name.into(),
            signature: Signature::of(A::TYPE, R::TYPE),
            // What the host encodes itself cannot be a bomb.
            unbounded: unbounded(A::TYPE).map(|what| what.to_string()),
            body: Box::new(body),
        })
    }

    fn add(self, import: Import<T>) -> Self {
        let mut functions = (*self.0).clone();
        functions.insert(import.name.clone(), Arc::new(import));
        Self(Arc::new(functions))
    }
}

fn decode<A: DeserializeOwned>(arguments: &[u8]) -> Result<A, ImportFailure> {
    codec::decode(arguments).map_err(|_| ImportFailure::Arguments)
}
