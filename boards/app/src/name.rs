//! The name of a device in its network: `wirelet-` and the end of its MAC address, so that no two devices have the same.

use core::fmt::Write as _;

use crate::line::Line;

/// The longest name, bytes.
pub const NAME: usize = 16;

/// The name of the device with this address: for DHCP, and with `.local` for mDNS.
pub fn host_name(mac: [u8; 6]) -> Line<NAME> {
    let [_, _, _, a, b, c] = mac;
    let mut name = Line::new();
    // It fits: eight letters and six digits.
    let _ = write!(name, "wirelet-{a:02x}{b:02x}{c:02x}");
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All devices were called `wirelet`, and a network with two of them had one.
    #[test]
    fn two_devices_have_two_names() {
        assert_eq!(host_name([0x58, 0xcf, 0x79, 0x0a, 0xb0, 0x01]).text(), "wirelet-0ab001");
        assert_eq!(host_name([0x58, 0xcf, 0x79, 0x0a, 0xb0, 0x02]).text(), "wirelet-0ab002");
        // A label of DNS (RFC 1035 2.3.1): letters, digits and hyphens.
        assert_eq!(host_name([0xff; 6]).text(), "wirelet-ffffff");
    }
}
