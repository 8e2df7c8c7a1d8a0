//! Compresses the console, file by file, and gives each its ETag.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use flate2::Compression;
use flate2::write::GzEncoder;

const FILES: &[(&str, &str)] = &[
    ("index.html", "text/html; charset=utf-8"),
    ("style.css", "text/css"),
    ("app.js", "text/javascript"),
    ("connection.js", "text/javascript"),
    ("format.js", "text/javascript"),
    ("history.js", "text/javascript"),
    ("i18n.js", "text/javascript"),
    ("rate.js", "text/javascript"),
    ("view.js", "text/javascript"),
    ("icon.svg", "image/svg+xml"),
];

fn main() {
    let console = Path::new("../../console");
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo sets OUT_DIR"));
    // The number stands apart: to find it out by looking at the table would take the compiler in a circle.
    let count = FILES.len();
    let mut table = format!("pub(crate) const COUNT: usize = {count};\n");
    table.push_str("pub(crate) const FILES: [(&str, File<'static>); COUNT] = [\n");
    for (name, content_type) in FILES {
        let path = console.join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let compressed = gzip(&bytes);
        fs::write(out.join(name), &compressed).expect("OUT_DIR is writable");
        let route = if *name == "index.html" { "/".into() } else { format!("/{name}") };
        writeln!(
            table,
            "    ({route:?}, file(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{name}\")), {content_type:?}, \"\\\"{:016x}\\\"\")),",
            fnv(&compressed)
        )
        .expect("a string takes everything");
    }
    table.push_str("];\n");
    fs::write(out.join("console.rs"), table).expect("OUT_DIR is writable");
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes everything");
    encoder.finish().expect("a vector takes everything")
}

/// FNV-1a.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
