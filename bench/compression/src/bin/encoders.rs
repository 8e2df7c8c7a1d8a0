//! The encoder of servers beside zlib-rs: the documents of the load, each compressed without the others.
//!
//! ```sh
//! cargo run --release --bin encoders            # microseconds and size for each level
//! cargo run --release --bin encoders ours 5     # one of them, to count its instructions
//! cargo run --release --bin encoders zlib-rs 1
//! ```
//!
//! The times are the least of many rounds: what a machine that does nothing else needs.
#![allow(dead_code, reason = "the documents are taken out of the load")]

#[path = "load/traffic.rs"]
mod traffic;

use std::time::Instant;

use flate2::{Compress, Compression, FlushCompress};
use wirelet_deflate::whole::{Effort, Encoder};

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 2000;
const LEVELS: std::ops::RangeInclusive<u8> = 1..=9;

fn main() {
    let documents = traffic::Traffic::new(None).documents;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => {
            for name in ["ours", "zlib-rs"] {
                LEVELS.for_each(|level| report(name, level, &documents));
            }
        }
        [name @ ("ours" | "zlib-rs"), level] if level.parse().is_ok_and(|level| LEVELS.contains(&level)) => {
            report(name, level.parse().expect("a level"), &documents);
        }
        _ => {
            eprintln!("usage: encoders [ours|zlib-rs LEVEL], levels from 1 to 9");
            std::process::exit(2);
        }
    }
}

/// Prints what one encoder makes of the documents at one level.
fn report(name: &str, level: u8, documents: &[String]) {
    let mut compress: Box<dyn FnMut(&[u8], &mut Vec<u8>)> = if name == "ours" {
        let mut encoder = Encoder::new();
        Box::new(move |document, out| encoder.encode(document, 0, 15, Effort::of_level(level), out))
    } else {
        let mut zlib = Compress::new_with_window_bits(Compression::new(level.into()), false, 15);
        Box::new(move |document, out| {
            zlib.reset();
            zlib.compress_vec(document, out, FlushCompress::Sync).expect("its state is right");
            // RFC 7692 7.2.1.
            out.truncate(out.len() - 4);
        })
    };
    let (mut out, mut least, mut size) = (Vec::with_capacity(2 * traffic::LENGTH), f64::INFINITY, 0);
    for _ in 0..ROUNDS {
        size = 0;
        let begin = Instant::now();
        for document in documents {
            out.clear();
            compress(document.as_bytes(), &mut out);
            size += out.len();
        }
        least = least.min(begin.elapsed().as_secs_f64() * 1e6 / documents.len() as f64);
    }
    let share = 100.0 * size as f64 / (documents.len() * traffic::LENGTH) as f64;
    println!("{name:>8} level {level}: {least:5.2} µs for each document, {share:.1} % of plain");
}
