//! The decompressor of servers for small messages beside zlib-rs: the documents of the load, each compressed without the others.
//!
//! ```sh
//! cargo run --release --bin decoders            # microseconds for each
//! cargo run --release --bin decoders ours       # one of them, to count its instructions
//! ```
//!
//! The times are the least of many rounds: what a machine that does nothing else needs.
#![allow(dead_code, reason = "the documents are taken out of the load")]

#[path = "load/traffic.rs"]
mod traffic;

use std::time::Instant;

use flate2::{Decompress, FlushDecompress};
use wirelet_deflate::whole::Decoder;

/// Rounds, of which the fastest counts.
const ROUNDS: usize = 2000;

fn main() {
    let documents = traffic::Traffic::new(None).documents;
    let mut context = traffic::context(15);
    let compressed: Vec<Vec<u8>> = documents
        .iter()
        .map(|document| {
            context.reset();
            traffic::compress(&mut context, document.as_bytes())
        })
        .collect();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [] => ["ours", "zlib-rs"].into_iter().for_each(|name| report(name, &documents, &compressed)),
        [name @ ("ours" | "zlib-rs")] => report(name, &documents, &compressed),
        _ => {
            eprintln!("usage: decoders [ours|zlib-rs]");
            std::process::exit(2);
        }
    }
}

/// Prints what one decompressor needs.
fn report(name: &str, documents: &[String], compressed: &[Vec<u8>]) {
    let mut decompress: Box<dyn FnMut(&[u8], &mut [u8]) -> usize> = if name == "ours" {
        let mut decoder = Decoder::new();
        Box::new(move |message, out| decoder.decompress(message, out).expect("a small message"))
    } else {
        let mut zlib = Decompress::new(false);
        Box::new(move |message, out| {
            zlib.reset(false);
            zlib.decompress(message, out, FlushDecompress::Sync).expect("it is right");
            zlib.total_out() as usize
        })
    };
    let (mut out, mut least) = (vec![0; 4 * traffic::LENGTH], f64::INFINITY);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        for (document, message) in documents.iter().zip(compressed) {
            let len = decompress(message, &mut out);
            assert!(out[..len] == *document.as_bytes());
        }
        least = least.min(begin.elapsed().as_secs_f64() * 1e6 / documents.len() as f64);
    }
    println!("{name:>8}: {least:5.2} µs for each document");
}
