//! `cargo xtask device`: the firmware of `boards/qemu-virt`, built and booted by the board's own scripts.

use std::env;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "riscv32imc-unknown-none-elf";
const FIRMWARE: &str = "wirelet-qemu-virt";
const EMULATOR: &str = "qemu-system-riscv32";
/// The port that is taken unless another is asked for.
const PORT: u16 = 18080;

/// What the command line asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    port: Option<u16>,
    demo: Option<String>,
}

impl Options {
    /// Reads the arguments after the task's name.
    pub(crate) fn parse(words: &[&str]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut rest = words;
        while let [name, after @ ..] = rest {
            let [value, after @ ..] = after else {
                return Err(format!("{name}: a value is missing, or not known"));
            };
            match *name {
                "--port" => options.port = Some(port(value)?),
                "--demo" => options.demo = Some(url(value)?),
                _ => return Err(format!("{name}: not known")),
            }
            rest = after;
        }
        Ok(options)
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| format!("--port {text}: not a port from 1 to 65535"))
}

/// Commas and blanks would end the value on QEMU's command line.
fn url(text: &str) -> Result<String, String> {
    if !text.starts_with("ws://") || text.contains(|c: char| c == ',' || !c.is_ascii_graphic()) {
        return Err(format!("--demo {text}: not an address that begins with ws://"));
    }
    Ok(text.into())
}

/// Builds the firmware and becomes QEMU.
pub(crate) fn run(options: &Options) -> Result<ExitCode, String> {
    let board = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards/qemu-virt");
    if !is_installed(EMULATOR) {
        return Err(format!(
            "{EMULATOR} is missing: install QEMU 8 or later (Debian and Ubuntu: qemu-system-riscv, older ones: \
             qemu-system-misc; Debian bookworm: qemu-system-riscv from bookworm-backports)"
        ));
    }
    let port = free_port(options.port)?;
    // The script names what it lacks.
    let built =
        Command::new(board.join("build.sh")).status().map_err(|error| format!("build.sh: {error}"))?;
    if !built.success() {
        return Ok(ExitCode::FAILURE);
    }
    let mut emulator = Command::new(board.join("run.sh"));
    emulator.arg(firmware(&board)).env("PORT", port.to_string());
    if let Some(url) = &options.demo {
        emulator.env("QEMU_OPTS", format!("-fw_cfg name=opt/wirelet/demo,string={url}"));
    }
    become_program(emulator)
}

/// Where cargo has put what the script built.
fn firmware(board: &Path) -> PathBuf {
    let folder = env::var_os("FIRMWARE_TARGET_DIR").filter(|folder| !folder.is_empty());
    let folder = folder.or_else(|| env::var_os("CARGO_TARGET_DIR"));
    let target = folder.map_or_else(|| PathBuf::from("target"), PathBuf::from);
    board.join(target).join(TARGET).join("release").join(FIRMWARE)
}

fn is_installed(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The port that is asked for, or one that is free.
fn free_port(wanted: Option<u16>) -> Result<u16, String> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let listener = match wanted {
        Some(port) => bind(port).map_err(|error| format!("port {port}: {error}"))?,
        None => bind(PORT).or_else(|_| bind(0)).map_err(|error| format!("no free port: {error}"))?,
    };
    listener.local_addr().map(|address| address.port()).map_err(|error| error.to_string())
}

/// Takes the place of this process, so that whatever ends the task ends the program.
#[cfg(unix)]
fn become_program(mut program: Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt;
    Err(format!("run.sh: {}", program.exec()))
}

#[cfg(not(unix))]
fn become_program(mut program: Command) -> Result<ExitCode, String> {
    let status = program.status().map_err(|error| format!("run.sh: {error}"))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let options = Options::parse(&["--port", "8081", "--demo", "ws://10.0.2.2:8080/ws"]).unwrap();
        assert_eq!(options, Options { port: Some(8081), demo: Some("ws://10.0.2.2:8080/ws".into()) });
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
    }

    #[test]
    fn bad_options_are_named() {
        for bad in [
            &["--port", "0"][..],
            &["--port", "65536"],
            &["--port"],
            &["--ports", "1"],
            &["--demo", "http://10.0.2.2/"],
            &["--demo", "ws://10.0.2.2/,file=/etc/passwd"],
            &["--demo", "ws://10.0.2.2/ -device x"],
        ] {
            let error = Options::parse(bad).unwrap_err();
            assert!(error.starts_with(bad[0]), "{error}");
        }
    }

    #[test]
    fn a_port_that_is_taken_is_refused_when_it_was_asked_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(free_port(Some(port)).unwrap_err().contains(&port.to_string()));
        assert_ne!(free_port(None).unwrap(), port);
    }
}
