//! A strict reader of OpenMetrics' text format, as far as counters, gauges and histograms go: what it takes any collector takes.

use std::collections::{BTreeMap, BTreeSet};

/// Labels by name.
pub(crate) type Labels = BTreeMap<String, String>;

/// What the server counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    types: BTreeMap<String, String>,
    samples: BTreeMap<(String, Labels), f64>,
}

impl Metrics {
    /// Panics at everything that the format does not allow.
    pub(crate) fn parse(text: &str) -> Self {
        let mut metrics = Self::default();
        let mut family = None;
        let body = text.strip_suffix("# EOF\n").unwrap_or_else(|| panic!("no end: {text}"));
        for line in body.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (what, name, value) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
                assert!(is_name(name), "{line}");
                match what {
                    "HELP" | "UNIT" => {}
                    "TYPE" => {
                        assert!(["counter", "gauge", "histogram"].contains(&value), "{line}");
                        assert!(metrics.types.insert(name.to_owned(), value.to_owned()).is_none(), "twice: {line}");
                    }
                    _ => panic!("{line}"),
                }
                family = Some(name.to_owned());
            } else {
                metrics.sample(line, family.as_deref().unwrap());
            }
        }
        metrics.check_histograms();
        metrics
    }

    fn sample(&mut self, line: &str, family: &str) {
        let end = line.find(['{', ' ']).unwrap();
        let (name, rest) = line.split_at(end);
        let suffix = name.strip_prefix(family).unwrap_or_else(|| panic!("not of {family}: {line}"));
        let allowed: &[&str] = match self.types[family].as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            _ => &["_bucket", "_sum", "_count"],
        };
        assert!(allowed.contains(&suffix), "{line}");
        let (labels, value) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (Labels::new(), rest),
        };
        let value = value.strip_prefix(' ').unwrap();
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value.is_finite() && (suffix.is_empty() || value >= 0.0), "{line}");
        assert!(self.samples.insert((name.to_owned(), labels), value).is_none(), "twice: {line}");
    }

    /// Buckets are cumulative, have an infinite one, and it is their count.
    fn check_histograms(&self) {
        for family in self.types.iter().filter(|(_, kind)| *kind == "histogram").map(|(name, _)| name) {
            let bucket = format!("{family}_bucket");
            let of = |labels: &Labels| {
                let mut labels = labels.clone();
                let end = labels.remove("le").unwrap();
                (labels, if end == "+Inf" { f64::INFINITY } else { end.parse().unwrap() })
            };
            let rows: BTreeSet<Labels> =
                self.samples.keys().filter(|(name, _)| *name == bucket).map(|(_, labels)| of(labels).0).collect();
            for labels in rows {
                let mut buckets: Vec<(f64, f64)> = self
                    .samples
                    .iter()
                    .filter(|((name, of_this), _)| *name == bucket && of(of_this).0 == labels)
                    .map(|((_, of_this), count)| (of(of_this).1, *count))
                    .collect();
                buckets.sort_by(|(a, _), (b, _)| a.total_cmp(b));
                assert!(buckets.is_sorted_by(|(_, a), (_, b)| a <= b), "not cumulative: {labels:?} {buckets:?}");
                let (end, all) = *buckets.last().unwrap();
                assert_eq!(end, f64::INFINITY);
                assert_eq!(all, self.samples[&(format!("{family}_count"), labels.clone())], "{labels:?}");
                assert!(self.samples.contains_key(&(format!("{family}_sum"), labels.clone())), "{labels:?}");
            }
        }
    }

    /// A sample's value; none if there is no such sample.
    pub(crate) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }

    /// How a function's invocations ended: those kinds that occurred.
    pub(crate) fn outcomes(&self, function: &str) -> BTreeMap<String, u64> {
        let of_it = |labels: &Labels| labels["function"] == function;
        self.samples
            .iter()
            .filter(|((name, labels), count)| name == "serverless_invocations_total" && of_it(labels) && **count > 0.0)
            .map(|((_, labels), count)| (labels["outcome"].clone(), format!("{count}").parse().unwrap()))
            .collect()
    }
}

fn is_name(name: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

/// Labels up to their closing brace, and what follows it.
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    loop {
        let (name, after) = rest.split_once("=\"").unwrap();
        assert!(is_name(name) && !name.contains(':'), "{rest}");
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (at, '"') => break at,
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => value.push('\n'),
                    escaped @ ('"' | '\\') => value.push(escaped),
                    other => panic!("\\{other} in {rest}"),
                },
                (_, character) => value.push(character),
            }
        };
        assert!(labels.insert(name.to_owned(), value).is_none(), "twice: {name}");
        rest = &after[end + 1..];
        if let Some(after) = rest.strip_prefix('}') {
            return (labels, after);
        }
        rest = rest.strip_prefix(',').unwrap();
    }
}
