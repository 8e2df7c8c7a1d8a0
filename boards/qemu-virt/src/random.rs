//! Random numbers: the host's, by a virtio device.

use virtio_drivers::device::rng::VirtIORng;
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::mmio::MmioTransport;
use wirelet_embedded::proto::MaskKeys;

use crate::machine::{self, println};
use crate::virtio::{self, Machine};

/// Bytes that are asked for at a time.
const BLOCK: usize = 64;

/// The machine's source of random numbers.
pub(crate) struct Random {
    device: VirtIORng<Machine, MmioTransport<'static>>,
    block: [u8; BLOCK],
    /// Bytes of the block that nobody had yet.
    left: usize,
}

/// Looks for the device; to be called once.
pub(crate) fn init() -> Option<Random> {
    let (transport, _) = virtio::find(DeviceType::EntropySource)?;
    let device = VirtIORng::new(transport).ok()?;
    Some(Random { device, block: [0; BLOCK], left: 0 })
}

impl Random {
    /// So many bytes that nobody had before: at most 64.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= BLOCK) };
        while self.left < N {
            match self.device.request_entropy(&mut self.block) {
                Ok(len) => self.left = len,
                Err(error) => {
                    // Nothing that is predictable may take its place.
                    println!("random numbers: {error}");
                    machine::exit(1)
                }
            }
        }
        self.left -= N;
        core::array::from_fn(|at| core::mem::take(&mut self.block[self.left + at]))
    }
}

impl MaskKeys for Random {
    fn next_key(&mut self) -> [u8; 4] {
        self.bytes()
    }
}
