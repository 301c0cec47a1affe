//! Fills a hash table before it reads, and answers each line of its input from it.

use std::collections::HashMap;
use std::io::{BufRead, Write};

fn main() {
    let squares: HashMap<u64, u64> = (0..50_000).map(|n| (n, n * n)).collect();
    println!("prepared");
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let answer = line.parse().ok().and_then(|n: u64| squares.get(&n));
        writeln!(out, "{line} {answer:?}").expect("stdout");
    }
}
