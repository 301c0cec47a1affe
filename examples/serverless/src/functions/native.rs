//! Functions without a sandbox, for the load test alone (`load/run`): what a sandboxed one is compared with.
//!
//! A function that is called `native-render` is answered by the server's own code, whatever file was deployed by that name. Everything around it –
//! connections, middleware, admission, lanes, measures – is what every function has.

/// A function of the server's own.
pub(crate) type Native = fn(&[u8]) -> Vec<u8>;

/// The one of that name.
pub(crate) fn find(name: &str) -> Option<Native> {
    match name {
        "native-render" => Some(render),
        "native-word-count" => Some(word_count),
        _ => None,
    }
}

fn render(body: &[u8]) -> Vec<u8> {
    ampoule_example_render::render(&String::from_utf8_lossy(body)).into_bytes()
}

/// As functions/word-count has it.
fn word_count(body: &[u8]) -> Vec<u8> {
    let lines = body.iter().filter(|&&byte| byte == b'\n').count();
    let words = body.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    format!("{lines} {words} {}\n", body.len()).into_bytes()
}
