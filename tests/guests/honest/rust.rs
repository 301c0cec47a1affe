//! Rust with `std`, in the ways a program can go: `rust WAY [ARGS…]`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::io::{BufRead, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant, SystemTime};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map_or("plain", String::as_str) {
        "plain" => plain(),
        "args" => {
            println!("{:?}", &args[1..]);
            let vars: BTreeMap<_, _> = std::env::vars().collect();
            println!("{vars:?}");
        }
        "stdin" => {
            let (mut lines, mut words) = (0, HashMap::<String, usize>::new());
            for line in std::io::stdin().lock().lines() {
                lines += 1;
                for word in line.expect("a line of text").split_whitespace() {
                    *words.entry(word.to_lowercase()).or_default() += 1;
                }
            }
            let mut words: Vec<_> = words.into_iter().collect();
            words.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            println!("{lines} lines, {words:?}");
        }
        "bytes" => {
            let mut all = Vec::new();
            std::io::stdin().read_to_end(&mut all).expect("stdin");
            all.reverse();
            std::io::stdout().write_all(&all).expect("stdout");
        }
        "panic" => {
            println!("before");
            panic!("a message with a number: {}", args.len());
        }
        "unwrap" => drop(args.get(7).unwrap().len()),
        "index" => println!("{}", args.as_slice()[args.len() + 3]),
        "overflow" => println!("{}", deeper(args.len() as u64)),
        "abort" => {
            println!("before");
            std::process::abort();
        }
        // How long so many readings took; for inside, where they are to take no system calls.
        "reads" => {
            let from = Instant::now();
            for _ in 0..5_000 {
                std::hint::black_box((Instant::now(), SystemTime::now()));
            }
            println!("{}", from.elapsed().as_nanos());
        }
        "exit" => std::process::exit(args[1].parse().expect("a number")),
        "error" => {
            eprintln!("Error: {:?}", std::fs::read("absent").map_err(|error| error.kind()));
            std::process::exit(1);
        }
        "catch" => {
            for round in 0..3 {
                let result = std::panic::catch_unwind(|| assert!(round != 1, "round {round}"));
                println!("{round}: {}", result.is_ok());
            }
            let text = std::panic::catch_unwind(|| std::panic::panic_any("a payload")).unwrap_err();
            println!("{:?}", text.downcast_ref::<&str>());
            struct OnDrop;
            impl Drop for OnDrop {
                fn drop(&mut self) {
                    println!("dropped while {}", if std::thread::panicking() { "panicking" } else { "calm" });
                }
            }
            let _calm = OnDrop;
            let _ = std::panic::catch_unwind(|| {
                let _guard = OnDrop;
                panic!("again");
            });
        }
        // The last two are for inside only: outside, the one succeeds and the other takes all the machine has.
        "thread" => {
            let refused = std::thread::Builder::new().spawn(|| ());
            println!("a thread: {}", if refused.is_ok() { "made" } else { "refused" });
        }
        "oom" => {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut block = Vec::new();
                if block.try_reserve_exact(1 << 20).is_err() {
                    println!("refused in good order: {}", !all.is_empty());
                    return;
                }
                block.resize(1 << 20, 7);
                all.push(block);
            }
        }
        way => panic!("no way {way}"),
    }
}

fn plain() {
    let squares: HashMap<u64, u64> = (0..10_000).map(|n| (n, n * n)).collect();
    println!("{} {}", squares.len(), squares.values().sum::<u64>());
    let mut numbers: Vec<u64> = (0..50_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17)).collect();
    numbers.sort_unstable();
    println!("{:?} {:?}", numbers.first(), numbers.binary_search(&numbers[777]));
    let mut text = String::new();
    for n in 0..5 {
        write!(text, "{n:>3}|{:<8.3}|{:#010x};", f64::from(n) / 3.0, n * 1000).expect("a string");
    }
    println!("{text} {:?} {:?}", 0.1 + 0.2, f32::MAX);

    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(2));
    println!("slept: {}", start.elapsed() >= Duration::from_millis(2));
    println!("after 2020: {}", SystemTime::UNIX_EPOCH.elapsed().expect("a date").as_secs() > 1_577_836_800);

    let mut file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open("rust.txt").expect("a file");
    for n in 0..1000 {
        writeln!(file, "row {n}").expect("a row");
    }
    file.seek(SeekFrom::Start(4)).expect("a seek");
    let mut back = String::new();
    file.read_to_string(&mut back).expect("the rows");
    println!("{} {:?}", back.len(), back.lines().last());
    println!("{:?}", std::fs::metadata("rust.txt").map(|it| (it.len(), it.is_file())).expect("metadata"));
    println!("{:?}", std::fs::read("absent").unwrap_err().kind());
    println!("{}", i32::from_str_radix("-7f", 16).expect("a number"));
    eprintln!("on stderr");
}

#[inline(never)]
fn deeper(n: u64) -> u64 {
    let room = std::hint::black_box([n; 512]);
    if n == u64::MAX { 0 } else { deeper(n + 1) + room[(n % 512) as usize] }
}
