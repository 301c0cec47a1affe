//! A function with the SDK: `handle` takes a request's body and writes the reply. Its state is the same at the start of every request.

use ampoule_guest::Reply;

/// Lines, words and bytes, as `wc` prints them.
#[ampoule_guest::export(bytes)]
fn handle(body: &[u8], reply: &mut Reply) {
    let lines = body.iter().filter(|&&byte| byte == b'\n').count();
    let words = body.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    reply.extend_from_slice(format!("{lines} {words} {}\n", body.len()).as_bytes());
}

fn main() {
    ampoule_guest::serve()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_words_and_bytes_are_those_of_wc() {
        let mut reply = Reply::new();
        handle(b"one  two\n\tthree\n", &mut reply);
        assert_eq!(reply.as_slice(), b"2 3 16\n");
    }
}
