//! Messages as devices send them, made from a seed: what compression is measured on.

use std::fmt::Write;

use crate::random::Rng;

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telemetry {
    /// Readings of one device's sensors, as an array of objects.
    Sensors,
    /// The state of a device: nested objects, most of which stay as they were.
    Status,
    /// Lines of a log, as JSON objects.
    Log,
    /// Series of raw numbers: little but digits.
    Samples,
}

/// All kinds.
pub const KINDS: [Telemetry; 4] = [Telemetry::Sensors, Telemetry::Status, Telemetry::Log, Telemetry::Samples];

/// A device that sends one kind of message, each of about `size` bytes.
#[derive(Clone, Debug)]
pub struct Device {
    kind: Telemetry,
    size: usize,
    rng: Rng,
    millis: u64,
    sequence: u64,
    values: [f64; 8],
}

impl Device {
    /// The same seed, the same messages.
    pub fn new(kind: Telemetry, size: usize, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let values = std::array::from_fn(|_| rng.below(10_000) as f64 / 100.0);
        Self { kind, size, rng, millis: 1_767_225_600_000, sequence: 0, values }
    }

    /// The next message.
    pub fn message(&mut self) -> String {
        self.millis += 900 + self.rng.below(200) as u64;
        self.sequence += 1;
        for value in &mut self.values {
            *value += (self.rng.below(201) as f64 - 100.0) / 100.0;
        }
        match self.kind {
            Telemetry::Sensors => self.sensors(),
            Telemetry::Status => self.status(),
            Telemetry::Log => self.log(),
            Telemetry::Samples => self.samples(),
        }
    }

    fn sensors(&mut self) -> String {
        const UNITS: [(&str, &str, usize); 6] = [
            ("temperature", "C", 2),
            ("humidity", "%", 1),
            ("pressure", "hPa", 1),
            ("co2", "ppm", 0),
            ("voltage", "V", 3),
            ("illuminance", "lx", 1),
        ];
        let mut text = format!(
            "{{\"device\":\"esp32c3-7f3a91\",\"seq\":{},\"ts\":{},\"readings\":[",
            self.sequence, self.millis
        );
        for i in 0.. {
            let (name, unit, decimals) = UNITS[i % UNITS.len()];
            let value = self.values[i % self.values.len()].abs() * [1.0, 10.0, 3.7][i % 3];
            let quality = ["good", "good", "good", "uncertain"][self.rng.below(4)];
            let _ = write!(
                text,
                "{{\"sensor\":\"{name}-{}\",\"value\":{value:.decimals$},\"unit\":\"{unit}\",\"quality\":\"{quality}\"}}",
                1 + i / UNITS.len()
            );
            if text.len() + 2 >= self.size {
                break;
            }
            text.push(',');
        }
        text + "]}"
    }

    fn status(&mut self) -> String {
        let mut text = format!(
            "{{\"type\":\"status\",\"uptime_ms\":{},\"heap\":{{\"free\":{},\"min_free\":143208,\"largest\":{}}},\
             \"wifi\":{{\"ssid\":\"plant-2.4\",\"rssi\":{},\"channel\":6,\"ip\":\"192.168.10.{}\"}},\"tasks\":[",
            self.millis - 1_767_225_000_000,
            150_000 + self.rng.below(9000),
            65_536 + 1024 * self.rng.below(9),
            -50 - self.rng.below(30) as i32,
            20 + self.rng.below(3)
        );
        for task in ["net", "ws-server", "telemetry", "idle", "wifi", "console", "ota", "ntp"].iter().cycle()
        {
            let _ = write!(
                text,
                "{{\"name\":\"{task}\",\"state\":\"{}\",\"stack_free\":{},\"cpu\":{:.1}}}",
                ["running", "ready", "blocked"][self.rng.below(3)],
                400 + 4 * self.rng.below(300),
                self.rng.below(400) as f64 / 10.0
            );
            if text.len() + 30 >= self.size {
                break;
            }
            text.push(',');
        }
        let _ = write!(text, "],\"errors\":{},\"ok\":true}}", self.sequence / 50);
        text
    }

    fn log(&mut self) -> String {
        const LINES: [(&str, &str, &str); 6] = [
            ("info", "http", "request served"),
            ("info", "ws", "connection opened"),
            ("debug", "wifi", "beacon received"),
            ("warn", "mqtt", "publish queue is getting full"),
            ("info", "ota", "no update available"),
            ("error", "i2c", "device did not acknowledge its address"),
        ];
        let mut text = String::from("[");
        let mut at = self.millis;
        loop {
            let (level, module, line) = LINES[self.rng.below(LINES.len())];
            at += self.rng.below(90) as u64;
            let _ = write!(
                text,
                "{{\"t\":{at},\"level\":\"{level}\",\"module\":\"{module}\",\"msg\":\"{line}\",\"id\":\"{:08x}\",\"took_us\":{}}}",
                self.rng.next() as u32,
                self.rng.below(20_000)
            );
            if text.len() + 1 >= self.size {
                break;
            }
            text.push(',');
        }
        text + "]"
    }

    fn samples(&mut self) -> String {
        let mut text = format!("{{\"ch\":\"vibration\",\"t0\":{},\"dt_us\":250,\"x\":[", self.millis);
        let mut value = self.values[0] * 10.0;
        loop {
            value += self.rng.below(101) as f64 - 50.0;
            let _ = write!(text, "{value:.0}");
            if text.len() + 2 >= self.size {
                break;
            }
            text.push(',');
        }
        text + "]}"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_about_the_size_and_parse() {
        for kind in KINDS {
            for size in [400, 1024, 3072] {
                let mut device = Device::new(kind, size, 3);
                for _ in 0..20 {
                    let message = device.message();
                    assert!((size - 200..size + 200).contains(&message.len()), "{kind:?} {}", message.len());
                    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&message);
                    assert!(parsed.is_ok(), "{message}");
                }
            }
        }
    }
}
