//! A plugin that is started by hand says what it is.
//!
//! This program is both: the test, and, when it is told so, the plugin.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "this is a test, only without the harness")]

use std::process::Command;

const ROLE: &str = "AMPOULE_TEST_ROLE";

#[ampoule_guest::export]
fn score(name: &str) -> Result<usize, String> {
    lookup(name).map(|text| text.len()).ok_or_else(|| name.to_owned())
}

#[ampoule_guest::export(bytes)]
fn echo(input: &[u8], reply: &mut ampoule_guest::Reply) {
    reply.extend_from_slice(input);
}

ampoule_guest::import! {
    fn lookup(key: &str) -> Option<String>;
}

fn main() {
    match std::env::var(ROLE).as_deref() {
        Ok("plugin") => ampoule_guest::serve(),
        Ok("bare") => ampoule_guest::serve_with(&mut [0; 512], &mut [0; 512]),
        _ => {}
    }
    for role in ["plugin", "bare"] {
        let output = Command::new(std::env::current_exe().unwrap()).env(ROLE, role).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{role}: wrong usage");
        let text = String::from_utf8(output.stderr).unwrap();
        for line in [
            "This is an Ampoule plugin",
            "exports\n",
            "  score(name: string) -> result<u64, string>\n",
            "  echo(bytes) -> bytes\n",
            "imports\n  lookup(key: string) -> option<string>\n",
        ] {
            assert!(text.contains(line), "{role}: {line:?} is missing in\n{text}");
        }
        println!("a plugin outside Ampoule says what it is and ends with status 2 ({role}) ... ok");
    }
}
