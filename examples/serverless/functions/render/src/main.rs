//! The function: a request's body is a document in Markdown, the reply is its HTML.

use std::hint::black_box;

use ampoule_guest::Reply;

#[ampoule_guest::export(bytes)]
fn handle(body: &[u8], reply: &mut Reply) {
    let html = ampoule_example_render::render(&String::from_utf8_lossy(body));
    reply.extend_from_slice(html.as_bytes());
}

/// What happens before `serve` is paid for once, and every request begins with it: a heap that has had a document of this size needs no system call
/// for the next one. The second time is with the thresholds of malloc that the first one has raised.
fn main() {
    let document = "- *some* `words` in [a list](/)\n".repeat(1 << 10);
    for _ in 0..2 {
        black_box(ampoule_example_render::render(black_box(&document)));
    }
    ampoule_guest::serve()
}
