//! How well the encoder compresses telemetry, beside zlib-rs with level 6, memory level 8 and the same window:
//!
//! ```sh
//! cargo test --release -p wirelet-deflate --test ratio -- --nocapture --test-threads 1
//! ```

use testkit::deflate::{References, Zlib, compress};
use testkit::telemetry::{Device, KINDS, Telemetry};
use wirelet_deflate::Deflater;
use wirelet_proto::Flush;
use wirelet_proto::deflate::Window;

const SIZES: [usize; 5] = [200, 400, 1024, 2048, 3072];
/// Without optimisation a part must do.
const MESSAGES: usize = if cfg!(debug_assertions) { 15 } else { 200 };

/// Bytes before and after, ours and zlib's.
#[derive(Clone, Copy, Default)]
struct Sum {
    plain: usize,
    ours: usize,
    zlib: usize,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.plain += other.plain;
        self.ours += other.ours;
        self.zlib += other.zlib;
    }

    /// How much larger ours is, in percent.
    fn worse(&self) -> f64 {
        (self.ours as f64 / self.zlib as f64 - 1.0) * 100.0
    }
}

fn measure(kind: Telemetry, size: usize, bits: u8, memory: usize) -> Sum {
    let window = Window::kept(bits);
    let mut deflater = Deflater::new(vec![0; memory], window).unwrap();
    assert_eq!(deflater.window(), window);
    // zlib has no window of 8 bits, and takes 9 when it is asked for one.
    let (mut zlib, mut references) = (Zlib::new(Window::kept(bits.max(9))), References::new(window));
    let (mut device, mut sum) = (Device::new(kind, size, 7), Sum::default());
    for _ in 0..MESSAGES {
        let message = device.message().into_bytes();
        let payload = compress(&mut deflater, &message, Flush::Message, &[usize::MAX], &[1 << 14]);
        assert_eq!(references.check(&payload, &message), Ok(()));
        sum.add(Sum { plain: message.len(), ours: payload.len(), zlib: zlib.message(&message).len() });
    }
    sum
}

#[test]
fn telemetry_is_within_15_percent_of_zlib_level_6() {
    for bits in 9..=12 {
        let mut all = Sum::default();
        println!("\nwindow of {bits} bits, {} bytes of memory", Deflater::memory(bits));
        println!("{:<8} {:>5} {:>8} {:>8} {:>8}", "kind", "bytes", "ours", "zlib-rs", "longer");
        for (kind, size) in KINDS.iter().flat_map(|kind| SIZES.map(|size| (*kind, size))) {
            let sum = measure(kind, size, bits, Deflater::memory(bits));
            let ratio = |bytes: usize| sum.plain as f64 / bytes as f64;
            println!(
                "{:<8} {size:>5} {:>7.2}x {:>7.2}x {:>+7.1}%",
                format!("{kind:?}"),
                ratio(sum.ours),
                ratio(sum.zlib),
                sum.worse()
            );
            assert!(sum.worse() <= 15.0, "{kind:?}, {size} bytes, {bits} bits: {:+.1} %", sum.worse());
            all.add(sum);
        }
        println!("{:<14} {:>35}", "all", format!("{:+.1}%", all.worse()));
    }
}

#[test]
fn what_memory_buys() {
    println!("\n{:>5} {:>9} {:>8} {:>8}", "bits", "memory", "ratio", "zlib-rs");
    let mut before = 0.0;
    for bits in 8..=12 {
        for memory in [Deflater::least_memory(bits), Deflater::memory(bits)] {
            let mut all = Sum::default();
            for (kind, size) in KINDS.iter().flat_map(|kind| SIZES.map(|size| (*kind, size))) {
                all.add(measure(kind, size, bits, memory));
            }
            let ratio = |bytes: usize| all.plain as f64 / bytes as f64;
            println!("{bits:>5} {memory:>9} {:>7.2}x {:>7.2}x", ratio(all.ours), ratio(all.zlib));
            if memory == Deflater::memory(bits) {
                assert!(ratio(all.ours) > before, "a larger window compresses better");
                before = ratio(all.ours);
            }
        }
    }
}
