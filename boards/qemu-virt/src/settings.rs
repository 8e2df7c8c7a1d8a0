//! The board's settings: what others keep in flash. QEMU hands them over: `-fw_cfg name=opt/wirelet/NAME,string=VALUE`.

use core::ptr::{read_volatile, write_volatile};

use crate::machine::{self, println};

const DATA: *const u8 = 0x1010_0000 as _;
const SELECTOR: *mut u16 = 0x1010_0008 as _;
/// The list of all files.
const DIRECTORY: u16 = 0x0019;
/// Where ours stand in it.
const FOLDER: &str = "opt/wirelet/";

/// The value of a setting, in the buffer; `None` where it is not set. One that can't be used ends the machine.
pub(crate) fn read<'b>(name: &str, buffer: &'b mut [u8]) -> Option<&'b str> {
    let (len, key) = find(name)?;
    let Some(value) = buffer.get_mut(..len) else {
        println!("setting {name}: {len} bytes are too many");
        machine::exit(1)
    };
    select(key);
    value.fill_with(next);
    match core::str::from_utf8(value) {
        Ok(text) => Some(text),
        Err(error) => {
            println!("setting {name}: {error}");
            machine::exit(1)
        }
    }
}

/// Whether a setting has a value.
pub(crate) fn is_there(name: &str) -> bool {
    find(name).is_some()
}

/// The size and the key of a file.
fn find(name: &str) -> Option<(usize, u16)> {
    select(DIRECTORY);
    let count = u32::from_be_bytes(array());
    (0..count).find_map(|_| {
        let size = u32::from_be_bytes(array());
        let [high, low, _, _] = array();
        let path: [u8; 56] = array();
        let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
        let found = path[..end].strip_prefix(FOLDER.as_bytes()) == Some(name.as_bytes());
        found.then_some((size as usize, u16::from_be_bytes([high, low])))
    })
}

fn array<const N: usize>() -> [u8; N] {
    core::array::from_fn(|_| next())
}

fn select(key: u16) {
    // SAFETY: the selector register of the machine's fw_cfg device, big-endian.
    unsafe { write_volatile(SELECTOR, key.to_be()) }
}

/// The next byte of what is selected; zeros after its end.
fn next() -> u8 {
    // SAFETY: the data register of the machine's fw_cfg device.
    unsafe { read_volatile(DATA) }
}
