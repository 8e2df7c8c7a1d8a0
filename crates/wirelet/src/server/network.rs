//! Addresses, and networks of addresses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// An address, or all addresses that begin with the same bits: `192.0.2.1`, `10.0.0.0/8`, `2001:db8::/32`.
///
/// An IPv4 address in IPv6's notation (`::ffff:10.0.0.1`) is that IPv4 address.
///
/// ```
/// use wirelet::server::Network;
///
/// let network: Network = "10.0.0.0/8".parse()?;
/// assert!(network.contains([10, 1, 2, 3].into()));
/// assert!("10.0.0.1/8".parse::<Network>().is_err()); // bits beyond the prefix: 10.0.0.0/8, or 10.0.0.1?
/// # Ok::<_, wirelet::server::NetworkError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    /// Invariant: never an IPv4 address in IPv6's notation, and no bit beyond the prefix is set.
    address: IpAddr,
    prefix: u8,
}

/// Why a text, or an address with a prefix, is no [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NetworkError {
    /// It does not begin with an IP address.
    Address,
    /// The prefix is no number, or longer than the address: 32 bits, for IPv6 128.
    Prefix,
    /// Bits of the address beyond the prefix are set.
    Host,
}

impl Network {
    /// The IPv4 addresses by which a machine reaches itself (RFC 1122 3.2.1.3): 127.0.0.0/8.
    pub const LOOPBACK_V4: Self = Self { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    /// The IPv6 address by which a machine reaches itself (RFC 4291 2.5.3): ::1.
    pub const LOOPBACK_V6: Self = Self { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };

    /// All addresses whose first `prefix` bits are those of `address`.
    ///
    /// # Errors
    /// [`NetworkError::Prefix`], [`NetworkError::Host`].
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, NetworkError> {
        let canonical = address.to_canonical();
        let mapped = address.is_ipv6() && canonical.is_ipv4();
        let prefix = if mapped { prefix.checked_sub(96) } else { Some(prefix) };
        let prefix = prefix.filter(|prefix| *prefix <= bits(canonical)).ok_or(NetworkError::Prefix)?;
        if first(canonical, prefix) != canonical {
            return Err(NetworkError::Host);
        }
        Ok(Self { address: canonical, prefix })
    }

    /// Whether `address` is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4() && first(address, self.prefix) == self.address
    }

    /// What counts as one peer: an IPv4 address, or all that one IPv6 host has to call from, a network of 64 bits.
    pub(crate) fn of_peer(address: IpAddr) -> Self {
        let address = address.to_canonical();
        let prefix = if address.is_ipv4() { 32 } else { 64 };
        Self { address: first(address, prefix), prefix }
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: bits(address) }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        match prefix {
            None => Ok(address.into()),
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::new(address, digits.parse().map_err(|_| NetworkError::Prefix)?)
            }
            Some(_) => Err(NetworkError::Prefix),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)?;
        if self.prefix < bits(self.address) { write!(f, "/{}", self.prefix) } else { Ok(()) }
    }
}

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "an IP address is needed, such as 192.0.2.1 or 2001:db8::1",
            Self::Prefix => "a prefix has at most 32 bits, for IPv6 128",
            Self::Host => "bits of the address beyond the prefix are set",
        })
    }
}

impl std::error::Error for NetworkError {}

const fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first address of the network of `prefix` bits that `address` is in.
fn first(address: IpAddr, prefix: u8) -> IpAddr {
    let beyond = u32::from(bits(address).saturating_sub(prefix));
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(beyond).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_as_people_write_them() {
        for (text, shown, inside, outside) in [
            ("10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.0/8", "10.0.0.0/8", "::ffff:10.0.0.1", "::10.0.0.1"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1/32", "192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "0.0.0.0/0", "255.255.255.255", "::1"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8", "10.1.1.1", "::ffff:11.0.0.0"),
            ("2001:db8::/32", "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::/0", "ffff::", "1.2.3.4"),
            ("::1", "::1", "::1", "::2"),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.to_string(), shown);
            assert!(network.contains(inside.parse().unwrap()), "{inside} in {text}");
            assert!(!network.contains(outside.parse().unwrap()), "{outside} in {text}");
        }
        assert_eq!("127.0.0.0/8".parse(), Ok(Network::LOOPBACK_V4));
        assert_eq!("::1".parse(), Ok(Network::LOOPBACK_V6));
    }

    #[test]
    fn what_is_no_network_says_why() {
        use NetworkError as E;
        for (text, error) in [
            ("", E::Address),
            ("localhost", E::Address),
            ("10.0.0/8", E::Address),
            ("10.0.0.0 /8", E::Address),
            ("[::1]", E::Address),
            ("10.0.0.0/", E::Prefix),
            ("10.0.0.0/+8", E::Prefix),
            ("10.0.0.0/33", E::Prefix),
            ("::/129", E::Prefix),
            ("::/256", E::Prefix),
            ("::ffff:0.0.0.0/90", E::Prefix),
            ("10.0.0.1/8", E::Host),
            ("1.0.0.0/0", E::Host),
            ("2001:db8::1/64", E::Host),
        ] {
            assert_eq!(text.parse::<Network>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn an_ipv6_host_counts_with_its_whole_network_and_a_mapped_ipv4_address_as_itself() {
        let peer = |text: &str| Network::of_peer(text.parse().unwrap()).to_string();
        assert_eq!(peer("2001:db8::ffff:1"), "2001:db8::/64");
        assert_eq!(peer("192.0.2.1"), "192.0.2.1");
        assert_eq!(peer("::ffff:192.0.2.1"), "192.0.2.1");
    }
}
