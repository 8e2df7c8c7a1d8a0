//! What the system says about a process.

use std::fs;

use crate::failure::{Context, Failure};

/// Time on a processor of all threads of a process, seconds: what the scheduler counted, in nanoseconds.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64, Failure> {
    let name = format!("/proc/{pid}/task");
    let mut nanoseconds = 0;
    for thread in fs::read_dir(&name).context(&name)? {
        // A thread may end between the two calls.
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { continue };
        nanoseconds += text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Memory of a process that is in RAM, bytes.
pub(crate) fn resident_bytes(pid: u32) -> Result<u64, Failure> {
    let name = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&name).context(&name)?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()).and_then(|word| word.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failure(format!("{name}: no VmRSS")))
}
