//! A function by its name: what stays when a version follows another, and an invocation from its arrival to its outcome.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::RwLock;
use serde_json::Value;

use super::failure::{Failure, Kind};
use super::measures::Measures;
use super::reports::Reports;
use super::streaming::{self, Answer, Pieces};
use super::version::Version;
use crate::lanes::{History, Lanes};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) measures: Arc<Measures>,
    history: Arc<History>,
    version: RwLock<Arc<Version>>,
}

impl Function {
    pub(crate) fn new(version: Version) -> Self {
        Self { measures: Arc::default(), history: Arc::default(), version: RwLock::new(Arc::new(version)) }
    }

    /// The version that is served now.
    pub(crate) fn version(&self) -> Arc<Version> {
        Arc::clone(&self.version.read())
    }

    /// From now on this version is served; what the one before has begun it finishes.
    pub(crate) fn replace(&self, version: Version) {
        let version = Arc::new(version);
        // Dropped without the lock: its machines may be destroyed with it.
        let _before = std::mem::replace(&mut *self.version.write(), version);
    }

    /// Answers a request. Dropping the future stops the guest.
    pub(crate) async fn invoke(&self, lanes: &Lanes, reports: &Arc<Reports>, body: Bytes) -> Result<Vec<u8>, Failure> {
        self.invoke_version(self.version(), lanes, reports, body).await
    }

    /// The same with a version that was asked for before: whoever tells which one answered has to.
    pub(crate) async fn invoke_version(
        &self,
        version: Arc<Version>,
        lanes: &Lanes,
        reports: &Arc<Reports>,
        body: Bytes,
    ) -> Result<Vec<u8>, Failure> {
        let mut counted = Counted::begin(&self.measures);
        let answered = self.serve(version, lanes, reports, body).await;
        counted.set(&answered);
        answered
    }

    /// Answers a request while its body comes. Dropping the future, or the answer, stops the guest.
    pub(crate) async fn stream(&self, lanes: &Lanes, reports: &Arc<Reports>, body: Pieces) -> Result<Answer, Failure> {
        let mut counted = Counted::begin(&self.measures);
        let version = self.version();
        let admitted = version.admission.enter().await.map_err(Failure::from);
        let admitted = admitted.inspect_err(|failure| counted.outcome = Err(failure.kind))?;
        let lane = (lanes.clone(), Arc::clone(&self.history));
        streaming::answer((version, Arc::clone(reports)), lane, (admitted, counted), body).await
    }

    async fn serve(
        &self,
        version: Arc<Version>,
        lanes: &Lanes,
        reports: &Arc<Reports>,
        body: Bytes,
    ) -> Result<Vec<u8>, Failure> {
        let most = version.manifest.settings.body_bytes();
        if body.len() > most {
            return Err(Failure::body_too_long(most));
        }
        let admitted = version.admission.enter().await?;
        let reports = Arc::clone(reports);
        let answer = async move {
            // Its place is free when its guest is gone, which may be after nobody waits for it any more.
            let _admitted = admitted;
            version.answer(reports, body).await
        };
        let answered = lanes.run(&self.history, answer).await.unwrap_or_else(|_| Err(Failure::panicked()));
        if answered.as_ref().is_err_and(|failure| failure.kind.is_costly()) {
            self.history.was_long();
        }
        answered
    }

    /// What it is, what it does at the moment, and what it did.
    pub(crate) fn describe(&self) -> Value {
        let mut description = self.version().describe();
        let measured = self.measures.read();
        if let Some(description) = description.as_object_mut() {
            description.insert("totals".to_owned(), measured.totals());
            description.insert("latency".to_owned(), measured.latency());
        }
        description
    }
}

/// An invocation that is counted when it is over, however that comes.
pub(super) struct Counted {
    measures: Arc<Measures>,
    began: Instant,
    outcome: Result<(), Kind>,
}

impl Counted {
    fn begin(measures: &Arc<Measures>) -> Self {
        Self { measures: Arc::clone(measures), began: Instant::now(), outcome: Err(Kind::HungUp) }
    }

    /// This was its outcome.
    pub(super) fn set<T>(&mut self, outcome: &Result<T, Failure>) {
        self.outcome = outcome.as_ref().map(drop).map_err(|failure| failure.kind);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.measures.count(self.outcome, self.began.elapsed());
    }
}
