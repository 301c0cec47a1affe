//! What a function and its invocations may use. Each is an option of the command line, which sets what functions have that say nothing, and a
//! parameter of a deployment.

use std::time::Duration;

use ampoule::{Call, Limits};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Wall time of an invocation, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 5000)]
    pub(crate) wall_ms: u32,
    /// CPU time of an invocation, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) cpu_ms: u32,
    /// Memory of a function, in MiB
    #[arg(long, value_name = "COUNT", default_value_t = 64)]
    pub(crate) memory_mib: u32,
    /// Longest body of a request, in KiB
    #[arg(long, value_name = "COUNT", default_value_t = 1024)]
    pub(crate) body_kib: u32,
    /// Longest answer, in KiB
    #[arg(long, value_name = "COUNT", default_value_t = 16_384)]
    pub(crate) reply_kib: u32,
    /// Invocations of a function at once
    #[arg(long, value_name = "COUNT", default_value_t = 8)]
    pub(crate) concurrency: u32,
    /// Invocations of a function that may wait for their turn
    #[arg(long, value_name = "COUNT", default_value_t = 256)]
    pub(crate) queue: u32,
    /// How long an invocation waits for its turn, in milliseconds
    #[arg(long, value_name = "COUNT", default_value_t = 2000)]
    pub(crate) wait_ms: u32,
    /// Whether programs read their input while it comes and answer while they write
    #[arg(long)]
    pub(crate) streaming: bool,
    /// Whether programs begin anew for every request, and not where they ask for their input: what they draw at random before is every request's otherwise
    #[arg(long)]
    pub(crate) cold: bool,
}

/// A setting that cannot be so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadSetting {
    #[error("there is no setting {name:?}: there are {}", known.join(", "))]
    Unknown { name: String, known: Vec<String> },
    #[error("{name} is a {}, and {value:?} is none", if *is_flag { "true or false" } else { "number up to 4294967295" })]
    Type { name: String, value: String, is_flag: bool },
    #[error("{name} is {min} to {max}, and not {value}")]
    Range { name: &'static str, value: u32, min: u32, max: u32 },
}

/// A day: whatever takes longer is no invocation.
const MAX_MS: u32 = 86_400_000;
/// The largest memory that a function may ask for, in MiB.
const MAX_MEMORY_MIB: u32 = 65_536;
/// As many as a message of Ampoule's may have.
const MAX_MESSAGE_KIB: u32 = 16_384;
/// What goes through in pieces is in nobody's memory: 16 GiB.
const MAX_STREAM_KIB: u32 = 16 << 20;
const MAX_CONCURRENCY: u32 = 1024;
const MAX_QUEUE: u32 = 65_536;

impl Settings {
    /// # Errors
    /// [`BadSetting::Range`].
    pub(crate) fn checked(self) -> Result<Self, BadSetting> {
        let max_kib = if self.streaming { MAX_STREAM_KIB } else { MAX_MESSAGE_KIB };
        for (name, value, min, max) in [
            ("wall_ms", self.wall_ms, 1, MAX_MS),
            ("cpu_ms", self.cpu_ms, 1, MAX_MS),
            ("memory_mib", self.memory_mib, 1, MAX_MEMORY_MIB),
            ("body_kib", self.body_kib, 1, max_kib),
            ("reply_kib", self.reply_kib, 1, max_kib),
            ("concurrency", self.concurrency, 1, MAX_CONCURRENCY),
            ("queue", self.queue, 0, MAX_QUEUE),
            ("wait_ms", self.wait_ms, 0, MAX_MS),
        ] {
            if !(min..=max).contains(&value) {
                return Err(BadSetting::Range { name, value, min, max });
            }
        }
        Ok(self)
    }

    /// The same with some of them changed, by their names.
    ///
    /// # Errors
    /// [`BadSetting`].
    pub(crate) fn with(&self, changes: &[(String, String)]) -> Result<Self, BadSetting> {
        let Ok(Value::Object(mut settings)) = serde_json::to_value(self) else { return Ok(self.clone()) };
        for (name, text) in changes {
            let known = |settings: &Map<String, Value>| settings.keys().cloned().collect();
            let Some(value) = settings.get_mut(name) else {
                return Err(BadSetting::Unknown { name: name.clone(), known: known(&settings) });
            };
            let is_flag = value.is_boolean();
            let wrong = || BadSetting::Type { name: name.clone(), value: text.clone(), is_flag };
            *value = if is_flag {
                text.parse::<bool>().map_err(|_| wrong())?.into()
            } else {
                text.parse::<u32>().map_err(|_| wrong())?.into()
            };
        }
        // Names and types are those of the fields: it cannot fail.
        serde_json::from_value::<Self>(Value::Object(settings)).unwrap_or_else(|_| self.clone()).checked()
    }

    /// What a machine may have.
    pub(crate) fn limits(&self) -> Limits {
        let message = bytes(self.body_kib.max(self.reply_kib).min(MAX_MESSAGE_KIB));
        Limits::new().memory(u64::from(self.memory_mib) << 20).message_bytes(message)
    }

    /// What one invocation may use.
    pub(crate) fn call(&self) -> Call {
        let (wall, cpu) = (milliseconds(self.wall_ms), milliseconds(self.cpu_ms));
        Call::new().wall(wall).cpu(cpu).output(u64::from(self.reply_kib) << 10)
    }

    /// Most bytes of a body.
    pub(crate) fn body_bytes(&self) -> usize {
        bytes(self.body_kib)
    }

    /// Most bytes of an answer.
    pub(crate) fn reply_bytes(&self) -> usize {
        bytes(self.reply_kib)
    }

    /// How long an invocation waits for its turn.
    pub(crate) fn wait(&self) -> Duration {
        milliseconds(self.wait_ms)
    }
}

fn bytes(kib: u32) -> usize {
    usize::try_from(kib).unwrap_or(usize::MAX).saturating_mul(1024)
}

fn milliseconds(count: u32) -> Duration {
    Duration::from_millis(count.into())
}

#[cfg(test)]
pub(super) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: Settings,
    }

    pub(in crate::functions) fn defaults() -> Settings {
        Line::parse_from(["test"]).settings.checked().unwrap()
    }

    fn changed(name: &str, value: &str) -> Result<Settings, BadSetting> {
        defaults().with(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn what_is_not_named_stays_as_it_was() {
        let changed = changed("wall_ms", "20").unwrap();
        assert_eq!(changed, Settings { wall_ms: 20, ..defaults() });
        assert!(defaults().with(&[("streaming".to_owned(), "true".to_owned())]).unwrap().streaming);
    }

    #[test]
    fn a_setting_that_cannot_be_so_is_named_with_what_it_can_be() {
        let text = |name, value| changed(name, value).unwrap_err().to_string();
        assert_eq!(text("wall_ms", "0"), "wall_ms is 1 to 86400000, and not 0");
        assert_eq!(text("wall_ms", "-1"), "wall_ms is a number up to 4294967295, and \"-1\" is none");
        assert_eq!(text("streaming", "1"), "streaming is a true or false, and \"1\" is none");
        assert!(text("wall", "1").starts_with("there is no setting \"wall\": there are "), "{}", text("wall", "1"));
    }
}
