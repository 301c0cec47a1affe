//! What a guest says to whoever looks after it: by level, as clean text, and not too much of it.

use ampoule::{LogLevel, Sandbox};
use ampoule_tests::{call_bytes, echoing, program};
use std::sync::{Arc, Mutex};

type Said = Arc<Mutex<Vec<(LogLevel, String, String, String)>>>;

/// A sandbox whose log is written down.
fn listened_to(name: &str, level: Option<LogLevel>) -> (Sandbox<()>, Said) {
    let said = Said::default();
    let heard = Arc::clone(&said);
    let (builder, _events) =
        Sandbox::builder(&program(name), &echoing()).log_level(level).events(16, ampoule::Overflow::DropOldest);
    let sandbox = builder
        .log(move |record| {
            let text = [record.program, record.target, record.message].map(str::to_owned);
            let [program, target, message] = text;
            heard.lock().expect("a lock").push((record.level, program, target, message));
        })
        .build(());
    (sandbox.expect("a sandbox"), said)
}

#[test]
fn only_levels_that_somebody_listens_to_are_heard_and_the_others_cost_nothing() {
    let all = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    for count in 0..=all.len() {
        let level = count.checked_sub(1).map(|last| all[last]);
        let (mut plugin, said) = listened_to("plugin", level);
        call_bytes(&mut plugin, "log", "h\u{e4}llo".as_bytes()).expect("said");
        let said = said.lock().expect("a lock");
        let levels: Vec<_> = said.iter().map(|record| record.0).collect();
        assert_eq!(levels, all[..count]);
        assert!(said.iter().all(|(_, _, target, message)| target == "plugin" && message == "hällo"), "{said:?}");
        assert_eq!(plugin.last_stats().exit_count(), 1 + count as u64, "a call for each that is listened to");
    }
}

#[test]
fn a_flood_is_cut_off_and_hostile_bytes_are_harmless_text() {
    let (mut hostile, said) = listened_to("hostile_calls", Some(LogLevel::Trace));
    assert_eq!(call_bytes(&mut hostile, "misbehave", b"log flood").expect("an answer"), b"ok");
    let said = said.lock().expect("a lock");
    assert!(said.len() >= 256 && said.len() < 100_000, "{} of 100000", said.len());
    for (_, _, target, message) in said.iter() {
        assert!(!target.chars().chain(message.chars()).any(char::is_control), "{target:?} {message:?}");
        assert_eq!(target, "target");
        assert!(message.contains("\u{fffd}\u{fffd}\\u{1b}[2J"), "{message:?}");
    }
}

#[test]
fn a_long_record_is_cut() {
    let (mut hostile, said) = listened_to("hostile_calls", Some(LogLevel::Trace));
    assert_eq!(call_bytes(&mut hostile, "misbehave", b"log records").expect("an answer"), b"ok");
    let said = said.lock().expect("a lock");
    assert!(said.iter().all(|(_, _, target, message)| target.len() + message.len() <= 4096 * 6), "at most escaped");
    assert!(said.iter().any(|(_, _, target, message)| target == "no NUL" && message.is_empty()), "{said:?}");
}
