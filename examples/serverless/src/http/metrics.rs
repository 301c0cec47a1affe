//! `GET /metrics`: what a Prometheus server collects.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Server;
use super::problem::Problem;
use crate::functions::Functions;
use crate::functions::failure::Kind;
use crate::functions::function::Function;
use crate::functions::measures::{BUCKETS, Measured};
use crate::functions::name::Name;

/// OpenMetrics' text format, which Prometheus asks for first.
const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(crate) async fn metrics(State(server): State<Arc<Server>>) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("serverless");
    registry.register_collector(Box::new(Collected(Arc::clone(&server.functions))));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|error| Problem::host(error.to_string()))?;
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}

/// All functions, as they are when somebody asks.
#[derive(Debug)]
struct Collected(Arc<Functions>);

impl Collector for Collected {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let functions: Vec<_> = self.0.all().into_iter().map(Row::new).collect();
        invocations(&functions, &mut to)?;
        durations(&functions, &mut to)?;
        for (name, help, of) in GAUGES {
            let mut family = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for row in &functions {
                if let Some(value) = of(row) {
                    ConstGauge::new(value).encode(family.encode_family(&[("function", row.name.as_str())])?)?;
                }
            }
        }
        memory(&mut to)
    }
}

/// A function and its measures at one time.
struct Row {
    name: Name,
    function: Arc<Function>,
    measured: Measured,
}

impl Row {
    fn new((name, function): (Name, Arc<Function>)) -> Self {
        let measured = function.measures.read();
        Self { name, function, measured }
    }
}

/// A gauge's name, what it says, and its value for a function.
type Gauge = (&'static str, &'static str, fn(&Row) -> Option<i64>);

const GAUGES: [Gauge; 5] = [
    ("running", "Invocations that run", |row| count(row.function.version().admission.running())),
    ("waiting", "Invocations that wait for their turn", |row| count(row.function.version().admission.waiting())),
    ("version", "The version that is served", |row| i64::try_from(row.function.version().number).ok()),
    ("sandboxes_idle", "Sandboxes that are ready", |row| count(row.function.version().pool()?.idle)),
    ("sandboxes_taken", "Sandboxes that are in use", |row| count(row.function.version().pool()?.taken)),
];

fn count(count: usize) -> Option<i64> {
    i64::try_from(count).ok()
}

/// By outcome: limits that were hit are the outcomes of their names.
fn invocations(rows: &[Row], to: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let mut family = to.encode_descriptor("invocations", "Invocations by outcome", None, MetricType::Counter)?;
    for Row { name, measured, .. } in rows {
        // What is unknown is no function's.
        let failed = measured.failed.iter().filter(|(kind, _)| *kind != Kind::Unknown);
        let failed = failed.map(|&(kind, count)| (kind.as_str(), count));
        for (outcome, count) in [("ok", measured.ok)].into_iter().chain(failed) {
            let labels = [("function", name.as_str()), ("outcome", outcome)];
            ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn durations(rows: &[Row], to: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let help = "Time from an invocation's arrival to its outcome, waiting included";
    let unit = prometheus_client::registry::Unit::Seconds;
    let mut family = to.encode_descriptor("duration", help, Some(&unit), MetricType::Histogram)?;
    let ends = BUCKETS.iter().map(|&most| Duration::from_micros(most).as_secs_f64()).chain([f64::INFINITY]);
    for Row { name, measured, .. } in rows {
        let buckets: Vec<(f64, u64)> = ends.clone().zip(measured.latencies.iter().copied()).collect();
        let all = measured.latencies.iter().sum();
        let labels = [("function", name.as_str())];
        let mut metric = family.encode_family(&labels)?;
        metric.encode_histogram::<[(String, String); 0]>(measured.seconds, all, &buckets, None)?;
    }
    Ok(())
}

fn memory(to: &mut DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
    let bytes = i64::try_from(ampoule::memory_in_use()).unwrap_or(i64::MAX);
    let unit = prometheus_client::registry::Unit::Bytes;
    let help = "Memory of all machines, idle ones included";
    let family = to.encode_descriptor("memory", help, Some(&unit), MetricType::Gauge)?;
    ConstGauge::new(bytes).encode(family)
}
