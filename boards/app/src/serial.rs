//! The serial console: a line for each setting. What comes in is not trusted and not echoed.
//!
//! ```text
//! ssid NAME            password SECRET        power-save on|off
//! mode server|demo     url ws://HOST:PORT/    show | save | restart | help
//! ```

use crate::Board;
use crate::configuration::{Configuration, Flash, NAMES};

/// The longest line: the longest value, its name, and some space.
const LINE: usize = 160;

/// Reads lines, and keeps the settings that they change.
pub struct Serial<'b> {
    board: &'b dyn Board,
    configuration: Configuration,
    line: [u8; LINE],
    len: usize,
    /// More than a line's length has come: nothing of the line counts.
    overlong: bool,
}

/// What a line asks the board for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Save,
    Restart,
}

impl<'b> Serial<'b> {
    /// Begins with the settings that are in use. Answers go to the board's log.
    pub const fn new(board: &'b dyn Board, configuration: Configuration) -> Self {
        Self { board, configuration, line: [0; LINE], len: 0, overlong: false }
    }

    /// Takes what has come in; true when the device shall start again.
    pub fn input<F: Flash>(&mut self, bytes: &[u8], flash: &mut F) -> bool {
        for byte in bytes {
            match self.byte(*byte) {
                Some(Request::Save) => match self.configuration.save(flash) {
                    Ok(()) => self.board.log(format_args!("saved; 'restart' to use it")),
                    Err(error) => self.board.log(format_args!("not saved: {error}")),
                },
                Some(Request::Restart) => return true,
                None => {}
            }
        }
        false
    }

    fn byte(&mut self, byte: u8) -> Option<Request> {
        match byte {
            b'\r' | b'\n' => {
                let (len, overlong) = (core::mem::take(&mut self.len), core::mem::take(&mut self.overlong));
                if overlong {
                    self.board.log(format_args!("a line has at most {LINE} bytes"));
                    return None;
                }
                let line = self.line;
                return match core::str::from_utf8(line.get(..len)?) {
                    Ok(line) => self.line(line),
                    Err(_) => {
                        self.board.log(format_args!("a line is UTF-8"));
                        None
                    }
                };
            }
            // Backspace and delete: a character, of which the last bytes may be continuations.
            0x08 | 0x7f => {
                while let Some(len) = self.len.checked_sub(1) {
                    self.len = len;
                    if self.line.get(len).is_none_or(|byte| byte & 0xc0 != 0x80) {
                        break;
                    }
                }
            }
            _ => match self.line.get_mut(self.len) {
                Some(place) => {
                    *place = byte;
                    self.len += 1;
                }
                None => self.overlong = true,
            },
        }
        None
    }

    fn line(&mut self, line: &str) -> Option<Request> {
        // A value is everything after the first space: names of networks may contain and end with spaces.
        let (word, value) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" => {}
            "show" => NAMES.iter().for_each(|name| self.show(name)),
            "save" => return Some(Request::Save),
            "restart" => return Some(Request::Restart),
            "help" => self.help(),
            _ => match self.configuration.set(word, value) {
                Ok(()) => self.show(word),
                Err(error) => self.board.log(format_args!("{word}: {error}; 'help' helps")),
            },
        }
        None
    }

    fn show(&self, name: &str) {
        self.board.log(format_args!("{name} {}", self.configuration.shown(name)));
    }

    fn help(&self) {
        self.board.log(format_args!(
            "ssid NAME | password SECRET | mode server|demo | url ws://HOST:PORT/ | power-save on|off"
        ));
        self.board.log(format_args!("show | save | restart | help"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::{Mode, RECORD};
    use crate::tests::Log;

    /// A sector pair that can be broken.
    struct Sectors(Option<[[u8; RECORD]; 2]>);

    impl Flash for Sectors {
        type Error = &'static str;

        fn read(&mut self, sector: usize, into: &mut [u8; RECORD]) -> Result<(), Self::Error> {
            *into = self.0.ok_or("broken")?[sector];
            Ok(())
        }

        fn replace(&mut self, sector: usize, from: &[u8; RECORD]) -> Result<(), Self::Error> {
            self.0.as_mut().ok_or("broken")?[sector] = *from;
            Ok(())
        }
    }

    fn blank() -> Sectors {
        Sectors(Some([[0xff; RECORD]; 2]))
    }

    #[test]
    fn a_device_is_told_everything() {
        let (log, mut flash) = (Log::default(), blank());
        let mut serial = Serial::new(&log, Configuration::new());
        let typed =
            b"ssid My home \r\npassword correct hoxxx\x08\x7f\x08rse\nmode demo\r\nurl ws://10.0.0.7:5000/\n\
            power-save on\nshow\nsave\nrestart\nssid never seen\n";
        assert!(serial.input(typed, &mut flash), "'restart' ends it");
        let expected =
            ["ssid My home ", "password (set)", "mode demo", "url ws://10.0.0.7:5000/", "power-save on"];
        assert_eq!(log.lines()[..5], expected, "each line is answered");
        assert_eq!(log.lines()[5..10], expected, "show");
        assert_eq!(log.lines()[10..], ["saved; 'restart' to use it"]);
        let loaded = Configuration::load(&mut flash).unwrap().unwrap();
        assert_eq!(loaded.ssid.text(), "My home ");
        assert_eq!(loaded.password.text(), "correct horse");
        assert_eq!((loaded.mode, loaded.power_save), (Mode::Demo, true));
    }

    #[test]
    fn it_does_not_matter_how_bytes_arrive() {
        let (log, mut flash) = (Log::default(), blank());
        let mut serial = Serial::new(&log, Configuration::new());
        for byte in "ssid Caf\u{e9}\u{e8}\x7f\nmode demo\n".as_bytes() {
            assert!(!serial.input(&[*byte], &mut flash));
        }
        assert_eq!(log.lines(), ["ssid Café", "mode demo"]);
    }

    #[test]
    fn nonsense_is_answered_and_changes_nothing() {
        let (log, mut flash) = (Log::default(), blank());
        let mut serial = Serial::new(&log, Configuration::new());
        let long = [b'x'; 10_000];
        for line in
            [&b"\n\r\n\x7f\x08"[..], b"mode x\n", b"frobnicate\n", b"ssid \xff\n", b"ssid ", &long, b"\n"]
        {
            assert!(!serial.input(line, &mut flash));
        }
        assert_eq!(
            log.lines(),
            [
                "mode: a mode is 'server' or 'demo'; 'help' helps",
                "frobnicate: there is no such setting; 'help' helps",
                "a line is UTF-8",
                "a line has at most 160 bytes",
            ]
        );
        assert_eq!(serial.configuration, Configuration::new());
        assert!(!serial.input(b"mode demo\n", &mut flash), "the next line counts again");
        assert_eq!(serial.configuration.mode, Mode::Demo);
    }

    #[test]
    fn broken_flash_is_said() {
        let log = Log::default();
        let mut serial = Serial::new(&log, Configuration::new());
        assert!(!serial.input(b"save\n", &mut Sectors(None)));
        assert_eq!(log.lines(), ["not saved: \"broken\""]);
    }

    /// An empty line stood there, which might as well have been a value of spaces.
    #[test]
    fn an_empty_setting_is_shown_as_none() {
        let (log, mut flash) = (Log::default(), blank());
        assert!(!Serial::new(&log, Configuration::new()).input(b"show\n", &mut flash));
        let shown = ["ssid (none)", "password (none)", "mode server", "url (none)", "power-save off"];
        assert_eq!(log.lines(), shown);
    }
}
