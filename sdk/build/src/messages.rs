//! The binaries that cargo says it built. Cargo's word is better than a path put together from names: it knows about profiles, configuration
//! and targets whose names differ from their package's. Of its JSON only one field is needed, so a JSON parser is not.

use std::path::PathBuf;

/// How the lines begin that are about a compiled target.
const ARTIFACT: &str = r#"{"reason":"compiler-artifact""#;
/// A quote inside a JSON string is escaped, so this is a key wherever it stands.
const EXECUTABLE: &str = r#""executable":""#;

/// The binaries in what cargo printed with `--message-format=json-render-diagnostics`.
pub(crate) fn executables(messages: &str) -> Vec<PathBuf> {
    let artifacts = messages.lines().filter(|line| line.starts_with(ARTIFACT));
    artifacts.filter_map(|line| string(line.split_once(EXECUTABLE)?.1)).map(PathBuf::from).collect()
}

/// The JSON string whose opening quote was just read.
fn string(rest: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = rest.chars();
    loop {
        text.push(match rest.next()? {
            '"' => return Some(text),
            '\\' => match rest.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'u' => {
                    let digits: String = rest.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
                }
                itself => itself,
            },
            plain => plain,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_that_can_be_executed_are_taken() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"executable":null,"fresh":false}"#,
            "\n",
            r#"{"reason":"compiler-artifact","target":{"kind":["bin"]},"executable":"/out/plugin","fresh":true}"#,
            "\n",
            r#"{"reason":"build-script-executed","env":[["executable","/etc/passwd"]]}"#,
            "\nwarning: printed by a tool\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        assert_eq!(executables(messages), [PathBuf::from("/out/plugin")]);
    }

    #[test]
    fn escapes_and_look_alikes_in_paths_are_read_as_they_are_meant() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/a \"executable\":\"no\"","executable":"/a \"b\"\\\u0001ü"}"#;
        assert_eq!(executables(line), [PathBuf::from("/a \"b\"\\\u{1}ü")]);
    }
}
