//! What is printed.

use std::fmt;
use std::time::Duration;

use crate::echoes::Echoes;
use crate::freezes::Freezes;
use crate::millis;
use crate::processes::Taken;

/// One measurement.
pub(crate) struct Row {
    pub(crate) attack: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) version: String,
    pub(crate) echoes: Echoes,
    pub(crate) taken: Option<Taken>,
    pub(crate) freezes: Freezes,
}

#[derive(Default)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
}

impl Table {
    /// What is not as it is required, of the version that is measured and not of the baseline.
    pub(crate) fn complaints(&self, require: Option<Duration>, keep: Option<f64>) -> Vec<String> {
        let mut complaints = Vec::new();
        for (index, row) in self.rows.iter().enumerate().filter(|(_, row)| row.version == "now") {
            let p99 = row.echoes.quantile(0.99);
            if require.is_some_and(|most| p99 > most) {
                complaints.push(format!("{}: 99 % within {:.1} ms only", row.attack, millis(p99)));
            }
            let baseline = index.checked_sub(1).map(|before| &self.rows[before]);
            let baseline = baseline.filter(|other| other.attack == row.attack).and_then(|other| other.taken);
            if let (Some(keep), Some(before), Some(now)) = (keep, baseline, row.taken)
                && now.bytes < keep * before.bytes
            {
                let part = now.bytes / before.bytes;
                complaints.push(format!("{}: {part:.2} of the baseline's bytes", row.attack));
            }
        }
        complaints
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| attack | compression | server | echoes | p50 ms | p99 ms | max ms | taken MB/s | messages/s | ended | \
             machine frozen |"
        )?;
        writeln!(f, "|---|---|---|--:|--:|--:|--:|--:|--:|--:|---|")?;
        for row in &self.rows {
            let [p50, p99, max] = [0.5, 0.99, 1.0].map(|part| millis(row.echoes.quantile(part)));
            write!(f, "| {} | {} | {} | {} ", row.attack, row.mode, row.version, row.echoes.count())?;
            write!(f, "| {p50:.2} | {p99:.2} | {max:.2} ")?;
            match row.taken {
                Some(Taken { bytes, messages, ended }) => {
                    write!(f, "| {:.1} | {messages:.0} | {ended} ", bytes / 1e6)?
                }
                None => write!(f, "| – | – | – ")?,
            }
            writeln!(f, "| {} |", row.freezes)?;
        }
        Ok(())
    }
}
