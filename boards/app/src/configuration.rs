//! What a device has to be told: its Wi-Fi, and what it does. In flash it is a checked record in two sectors of a partition
//! of its own. They are written one after the other, so that a loss of power leaves one of them whole, and nothing of an
//! older record stays behind, its password for one.

use wirelet_embedded::proto::handshake::Uri;

use crate::crc::crc32;
use crate::line::Line;

/// Bytes of a record: a whole number of the words that flash is written in.
pub const RECORD: usize = 256;
/// The sectors that a configuration needs, each for one record.
pub const SECTORS: usize = 2;
/// The first bytes of a record: a name and the version of the format.
const MAGIC: [u8; 4] = *b"wlC\x01";
/// Where the check sum stands.
const CHECK: usize = RECORD - 4;
/// The name of the partition. ESP-IDF's own storage (`nvs`) belongs to programs that were made with ESP-IDF.
pub const PARTITION: &str = "settings";
/// The names of the settings, in the order in which they are shown.
pub const NAMES: [&str; 5] = ["ssid", "password", "mode", "url", "power-save"];

/// What the device does once it has an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The server with the console.
    #[default]
    Server,
    /// The client that talks to the server of [`Configuration::url`].
    Demo,
}

/// The settings of a device.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    /// The name of the Wi-Fi network, at most 32 bytes. Empty: there is none yet.
    pub ssid: Line<32>,
    /// Its password, 8 to 64 bytes. Empty: the network is open.
    pub password: Line<64>,
    /// What the device does.
    pub mode: Mode,
    /// The server that [`Mode::Demo`] talks to, at most 128 bytes.
    pub url: Line<128>,
    /// Whether the radio sleeps between beacons: less power, and answers that take a tenth of a second longer.
    pub power_save: bool,
}

/// Why a setting is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// There is no setting of this name.
    Name,
    /// An SSID has 1 to 32 bytes.
    Ssid,
    /// A password has 8 to 64 bytes, or none.
    Password,
    /// A mode is `server` or `demo`.
    Mode,
    /// A URL is a valid `ws://…` of at most 128 bytes.
    Url,
    /// Power is saved or not: `on` or `off`.
    PowerSave,
}

/// Why a configuration was not saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaveError<E> {
    /// The hardware says no.
    Flash(E),
    /// What was read back is not what was written: the flash is worn out, or write-protected.
    ReadBack,
}

/// Whether a partition may hold the configuration: it is called [`PARTITION`], and has `sectors` enough.
pub fn belongs(label: &str, sectors: u32) -> bool {
    label == PARTITION && sectors as usize >= SECTORS
}

/// Two sectors of flash.
pub trait Flash {
    /// Why the flash can't be read or written.
    type Error: core::fmt::Debug;

    /// Reads the beginning of a sector, 0 or 1.
    ///
    /// # Errors
    /// The hardware's.
    fn read(&mut self, sector: usize, into: &mut [u8; RECORD]) -> Result<(), Self::Error>;

    /// Erases a sector and writes its beginning.
    ///
    /// # Errors
    /// The hardware's.
    fn replace(&mut self, sector: usize, from: &[u8; RECORD]) -> Result<(), Self::Error>;
}

impl Configuration {
    /// Nothing is set.
    pub const fn new() -> Self {
        Self {
            ssid: Line::new(),
            password: Line::new(),
            mode: Mode::Server,
            url: Line::new(),
            power_save: false,
        }
    }

    /// Sets what is called `name`, one of [`NAMES`].
    ///
    /// # Errors
    /// Says what is wrong; nothing is changed then.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), Invalid> {
        match name {
            "ssid" => {
                self.ssid = Line::from_text(value).filter(|ssid| !ssid.is_empty()).ok_or(Invalid::Ssid)?;
            }
            "password" => {
                let fits = matches!(value.len(), 0 | 8..=64);
                self.password = Line::from_text(value).filter(|_| fits).ok_or(Invalid::Password)?;
            }
            "mode" => self.mode = Mode::from_text(value).ok_or(Invalid::Mode)?,
            "url" => {
                let plain = Uri::parse(value).is_ok_and(|uri| !uri.is_secure());
                self.url = Line::from_text(value).filter(|_| plain).ok_or(Invalid::Url)?;
            }
            "power-save" => {
                self.power_save = match value {
                    "on" => true,
                    "off" => false,
                    _ => return Err(Invalid::PowerSave),
                }
            }
            _ => return Err(Invalid::Name),
        }
        Ok(())
    }

    /// How a setting is shown: `(none)` when it is empty, and of a password only whether there is one.
    pub fn shown(&self, name: &str) -> &str {
        let text = match name {
            "ssid" => self.ssid.text(),
            "password" if !self.password.is_empty() => "(set)",
            "mode" => self.mode.name(),
            "url" => self.url.text(),
            "power-save" if self.power_save => "on",
            "power-save" => "off",
            _ => "",
        };
        if text.is_empty() { "(none)" } else { text }
    }

    /// The newer of the two records that is whole; `None` when neither is.
    ///
    /// # Errors
    /// The hardware's.
    pub fn load<F: Flash>(flash: &mut F) -> Result<Option<Self>, F::Error> {
        Ok(newest(flash)?.map(|(_, _, configuration)| configuration))
    }

    /// Writes both records, the older one first, and reads each back.
    ///
    /// # Errors
    /// The hardware's, or the record is not what was written. One of the records is whole: the old one, or the new one.
    pub fn save<F: Flash>(&self, flash: &mut F) -> Result<(), SaveError<F::Error>> {
        let (newer, number) = match newest(flash).map_err(SaveError::Flash)? {
            Some((sector, number, _)) => (sector, number),
            None => (SECTORS - 1, u32::MAX),
        };
        for step in 1..=SECTORS {
            let record = self.record(number.wrapping_add(step as u32));
            let sector = (newer + step) % SECTORS;
            flash.replace(sector, &record).map_err(SaveError::Flash)?;
            let mut written = [0; RECORD];
            flash.read(sector, &mut written).map_err(SaveError::Flash)?;
            if written != record {
                return Err(SaveError::ReadBack);
            }
        }
        Ok(())
    }

    fn record(&self, number: u32) -> [u8; RECORD] {
        let mut record = [0; RECORD];
        let mut writer = Writer { record: &mut record, at: 0 };
        writer.put(&MAGIC);
        writer.put(&number.to_le_bytes());
        writer.put(&[self.mode as u8, u8::from(self.power_save)]);
        for text in [self.ssid.text(), self.password.text(), self.url.text()] {
            writer.put(&[text.len() as u8]);
            writer.put(text.as_bytes());
        }
        writer.at = CHECK;
        let check = crc32(&writer.record[..CHECK]);
        writer.put(&check.to_le_bytes());
        record
    }

    /// The record's number and its settings.
    fn from_record(record: &[u8; RECORD]) -> Option<(u32, Self)> {
        let (content, check) = record.split_at(CHECK);
        let mut reader = Reader(content);
        if crc32(content).to_le_bytes() != check || reader.take(MAGIC.len())? != MAGIC {
            return None;
        }
        let number = u32::from_le_bytes(reader.take(4)?.try_into().ok()?);
        let mode = match reader.byte()? {
            0 => Mode::Server,
            1 => Mode::Demo,
            _ => return None,
        };
        let power_save = reader.byte()? != 0;
        let (ssid, password, url) = (reader.text()?, reader.text()?, reader.text()?);
        Some((number, Self { ssid, password, mode, url, power_save }))
    }
}

impl core::fmt::Debug for Configuration {
    /// Everything but the password.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Configuration")
            .field("ssid", &self.ssid)
            .field("mode", &self.mode)
            .field("url", &self.url)
            .field("power_save", &self.power_save)
            .finish_non_exhaustive()
    }
}

impl Mode {
    /// Its name in the settings.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Demo => "demo",
        }
    }

    fn from_text(text: &str) -> Option<Self> {
        [Self::Server, Self::Demo].into_iter().find(|mode| mode.name() == text)
    }
}

impl core::fmt::Display for Invalid {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Name => "there is no such setting",
            Self::Ssid => "an SSID has 1 to 32 bytes",
            Self::Password => "a password has 8 to 64 bytes, or none when the network is open",
            Self::Mode => "a mode is 'server' or 'demo'",
            Self::Url => "a URL is a valid ws:// of at most 128 bytes",
            Self::PowerSave => "'on' or 'off'",
        })
    }
}

impl<E: core::fmt::Debug> core::fmt::Display for SaveError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "{error:?}"),
            Self::ReadBack => f.write_str("the flash does not hold what was written"),
        }
    }
}

/// Sector, number and content of the newer record that is whole.
fn newest<F: Flash>(flash: &mut F) -> Result<Option<(usize, u32, Configuration)>, F::Error> {
    let mut found: Option<(usize, u32, Configuration)> = None;
    for sector in 0..SECTORS {
        let mut record = [0; RECORD];
        flash.read(sector, &mut record)?;
        let Some((number, configuration)) = Configuration::from_record(&record) else { continue };
        // Numbers begin again at 0: the newer one is less than half of the numbers ahead.
        let newer = found.as_ref().is_none_or(|(_, other, _)| number.wrapping_sub(*other) < 1 << 31);
        if newer {
            found = Some((sector, number, configuration));
        }
    }
    Ok(found)
}

struct Writer<'r> {
    record: &'r mut [u8; RECORD],
    at: usize,
}

// All texts at their longest are 4 + 4 + 2 + 3 + 32 + 64 + 128 bytes.
const _: () = assert!(4 + 4 + 2 + 3 + 32 + 64 + 128 <= CHECK);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let end = self.at + bytes.len();
        self.record[self.at..end].copy_from_slice(bytes);
        self.at = end;
    }
}

struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    fn take(&mut self, len: usize) -> Option<&'r [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn text<const N: usize>(&mut self) -> Option<Line<N>> {
        let len = self.byte()?;
        Line::from_text(core::str::from_utf8(self.take(usize::from(len))?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::String;

    /// Flash as it comes from the factory, one that loses its power after some bytes, and one that is worn out.
    struct Sectors {
        content: [[u8; RECORD]; SECTORS],
        power: usize,
        worn: bool,
    }

    impl Sectors {
        fn new() -> Self {
            Self { content: [[0xff; RECORD]; SECTORS], power: usize::MAX, worn: false }
        }
    }

    impl Flash for Sectors {
        type Error = &'static str;

        fn read(&mut self, sector: usize, into: &mut [u8; RECORD]) -> Result<(), Self::Error> {
            *into = self.content[sector];
            Ok(())
        }

        fn replace(&mut self, sector: usize, from: &[u8; RECORD]) -> Result<(), Self::Error> {
            self.content[sector] = [0xff; RECORD];
            let written = self.power.min(RECORD);
            self.power -= written;
            self.content[sector][..written].copy_from_slice(&from[..written]);
            // A cell that has lost its charge.
            self.content[sector][17] ^= u8::from(self.worn);
            if written == RECORD { Ok(()) } else { Err("no power") }
        }
    }

    fn example(ssid: &str) -> Configuration {
        let mut configuration = Configuration::new();
        for (name, value) in [
            ("ssid", ssid),
            ("password", "correct horse"),
            ("mode", "demo"),
            ("url", "ws://192.168.1.7:5000/"),
            ("power-save", "on"),
        ] {
            configuration.set(name, value).unwrap();
        }
        configuration
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let mut flash = Sectors::new();
        assert_eq!(Configuration::load(&mut flash), Ok(None));
        for round in 0..5 {
            let configuration = example(&format!("network {round}"));
            configuration.save(&mut flash).unwrap();
            assert_eq!(Configuration::load(&mut flash), Ok(Some(configuration)));
        }
        let mut longest = Configuration::new();
        longest.set("ssid", &"s".repeat(32)).unwrap();
        longest.set("password", &"p".repeat(64)).unwrap();
        longest.set("url", &format!("ws://{}", "u".repeat(123))).unwrap();
        longest.save(&mut flash).unwrap();
        assert_eq!(Configuration::load(&mut flash), Ok(Some(longest)));
    }

    #[test]
    fn power_lost_at_any_byte_leaves_the_old_or_the_new() {
        for power in 0..=2 * RECORD {
            let mut flash = Sectors::new();
            let (old, new) = (example("old"), example("new"));
            old.save(&mut flash).unwrap();
            flash.power = power;
            let saved = new.save(&mut flash);
            assert_eq!(saved.is_ok(), power == 2 * RECORD);
            let expected = if power >= RECORD { &new } else { &old };
            assert_eq!(Configuration::load(&mut flash).unwrap().as_ref(), Some(expected), "{power}");
        }
    }

    /// The sector that was not written kept the password that somebody had changed.
    #[test]
    fn nothing_of_an_older_record_stays_in_flash() {
        let mut flash = Sectors::new();
        example("old").save(&mut flash).unwrap();
        let mut new = example("new");
        new.set("password", "battery staple").unwrap();
        new.save(&mut flash).unwrap();
        for sector in flash.content {
            assert!(!sector.windows(7).any(|bytes| bytes == b"correct"));
        }
    }

    /// Worn flash answered that it had been written, and the settings were gone after the next start.
    #[test]
    fn what_flash_does_not_hold_is_not_saved() {
        let mut flash = Sectors { worn: true, ..Sectors::new() };
        assert_eq!(example("home").save(&mut flash), Err(SaveError::ReadBack));
    }

    /// The storage of ESP-IDF was overwritten.
    #[test]
    fn only_a_partition_of_its_own_is_written() {
        assert!(belongs("settings", 2) && belongs("settings", 3));
        assert!(!belongs("settings", 1));
        assert!(!belongs("nvs", 6) && !belongs("", 6));
    }

    #[test]
    fn no_changed_bit_is_believed() {
        let record = example("home").record(7);
        assert_eq!(Configuration::from_record(&record), Some((7, example("home"))));
        for bit in 0..RECORD * 8 {
            let mut changed = record;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Configuration::from_record(&changed), None, "{bit}");
        }
    }

    #[test]
    fn records_that_check_but_make_no_sense_are_no_records() {
        let signed = |change: &dyn Fn(&mut [u8; RECORD])| {
            let mut record = example("home").record(7);
            change(&mut record);
            let check = crc32(&record[..CHECK]).to_le_bytes();
            record[CHECK..].copy_from_slice(&check);
            Configuration::from_record(&record)
        };
        assert!(signed(&|_| ()).is_some());
        assert!(signed(&|record| record[3] = 2).is_none(), "another version");
        assert!(signed(&|record| record[8] = 2).is_none(), "another mode");
        assert!(signed(&|record| record[10] = 33).is_none(), "a longer SSID");
        assert!(signed(&|record| record[11] = 0xff).is_none(), "no UTF-8");
        assert!(signed(&|record| record[15] = 0xff).is_none(), "a password beyond the end");
    }

    #[test]
    fn numbers_begin_again() {
        let mut flash = Sectors::new();
        flash.content[0] = example("last").record(u32::MAX);
        flash.content[1] = example("first").record(0);
        assert_eq!(Configuration::load(&mut flash), Ok(Some(example("first"))));
        example("second").save(&mut flash).unwrap();
        assert_eq!(Configuration::load(&mut flash), Ok(Some(example("second"))));
        assert_eq!(Configuration::from_record(&flash.content[0]), Some((1, example("second"))));
        assert_eq!(Configuration::from_record(&flash.content[1]), Some((2, example("second"))));
    }

    #[test]
    fn nonsense_is_refused_and_changes_nothing() {
        let mut configuration = example("home");
        for (name, value, error) in [
            ("ssid", "", Invalid::Ssid),
            ("ssid", "123456789012345678901234567890123", Invalid::Ssid),
            ("password", "seven77", Invalid::Password),
            ("password", &"p".repeat(65), Invalid::Password),
            ("mode", "Server", Invalid::Mode),
            ("url", "ftp://192.168.1.7/", Invalid::Url),
            ("url", "wss://192.168.1.7/", Invalid::Url),
            ("url", "", Invalid::Url),
            ("url", &format!("ws://{}", "u".repeat(124)), Invalid::Url),
            ("power-save", "yes", Invalid::PowerSave),
            ("colour", "red", Invalid::Name),
        ] {
            assert_eq!(configuration.set(name, value), Err(error), "{name} {value}");
            assert_eq!(configuration, example("home"));
        }
        configuration.set("password", "").unwrap();
        assert!(configuration.password.is_empty());
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown: String = format!("{:?}", example("home"));
        assert!(shown.contains("home") && !shown.contains("horse"), "{shown}");
    }
}
