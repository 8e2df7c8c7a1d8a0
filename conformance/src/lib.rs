//! The clients under test for Autobahn and the interoperability programs: what their command lines share.

use std::error::Error;

use wirelet::Compression;

/// How to compress: `off`, `shared`, `windowed:BYTES` or `dedicated:BITS`.
///
/// # Errors
/// The mode is none of these.
pub fn compression(mode: &str) -> Result<Compression, Box<dyn Error>> {
    Ok(match mode.split_once(':').unwrap_or((mode, "")) {
        ("off", "") => Compression::off(),
        ("shared", "") => Compression::shared(),
        ("windowed", bytes) => Compression::windowed(bytes.parse()?),
        ("dedicated", bits) => Compression::dedicated(bits.parse()?),
        _ => return Err(format!("{mode}: off, shared, windowed:BYTES or dedicated:BITS is expected").into()),
    })
}
