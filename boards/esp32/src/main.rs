//! The application on Espressif's chips: ESP32-C3, ESP32-C6 and ESP32, by feature.

#![no_std]
#![no_main]

mod network;
mod restart;
mod serial;
mod storage;

use core::fmt::Arguments;

use embassy_executor::Spawner;
use embassy_net::{Config, DhcpConfig, Runner, Stack, StackResources};
use esp_hal::clock::CpuClock;
use esp_hal::rng::Rng;
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use esp_radio::wifi::{Interface, WifiController};
use static_cell::{ConstStaticCell, StaticCell};
use wirelet_app::configuration::PARTITION;
use wirelet_app::demo::{self, DemoMemory};
use wirelet_app::embassy::{ServerMemory, TCP, TcpBuffers, start_server};
use wirelet_app::line::Line;
use wirelet_app::name::{NAME as NAME_SIZE, host_name};
use wirelet_app::panics::{self, Policy};
use wirelet_app::{Board, Configuration, Logger, Mode, mdns, serial::Serial, wifi};
use wirelet_embedded::client::Options;
use wirelet_embedded::proto::MaskKeys;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Clock as _, EmbassyClock, EmbassyConnector};

use crate::network::Radio;
use crate::restart::Kept;
use crate::storage::Storage;

/// A browser opens six connections; two are left for WebSockets of others. The ESP32 has less memory in one piece.
const CONNECTIONS: usize = if cfg!(feature = "esp32") { 4 } else { 8 };
/// What the radio's library allocates from, besides the 64 KiB that the boot loader has left.
const RADIO: usize = if cfg!(feature = "esp32") { 36 * 1024 } else { 48 * 1024 };

struct Esp;

impl Board for Esp {
    fn name(&self) -> &'static str {
        concat!("wirelet on ", esp_hal::chip!())
    }

    fn log(&self, line: Arguments<'_>) {
        println!("[{:>8} ms] {line}", self.uptime());
    }

    fn uptime(&self) -> u64 {
        EmbassyClock.now().as_millis()
    }

    fn free_memory(&self) -> Option<usize> {
        Some(esp_alloc::HEAP.free())
    }
}

/// The hardware's random source: true randomness while the radio is on.
struct Random(Rng);

impl MaskKeys for Random {
    fn next_key(&mut self) -> [u8; 4] {
        let mut key = [0; 4];
        self.0.read(&mut key);
        key
    }
}

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: RADIO);
    // The scheduler comes before the radio, whose tasks it runs.
    esp_rtos::start(TimerGroup::new(peripherals.TIMG0).timer0, peripherals.FROM_CPU_INTR0);
    static LOGGER: Logger = Logger(&Esp);
    // SAFETY: nothing else runs yet.
    unsafe {
        let _ = log::set_logger_racy(&LOGGER);
        log::set_max_level_racy(log::LevelFilter::Info);
    }
    Esp.log(format_args!("{} {}", Esp.name(), env!("CARGO_PKG_VERSION")));

    spawner.spawn(restart::keep(restart::watchdog(peripherals.TIMG1)).expect("spawned once"));
    let off = panics::start(&Kept, restart::reason(), Policy::DEFAULT, &Esp);

    let mut storage = Storage::new(peripherals.FLASH);
    let configuration = configure(&mut storage);
    let ports = serial::ports!(peripherals);
    spawner.spawn(console(Serial::new(&Esp, configuration.clone()), ports, storage).expect("spawned once"));
    if configuration.ssid.is_empty() {
        Esp.log(format_args!(
            "there is no Wi-Fi network yet: type 'ssid NAME', 'password SECRET', 'save', 'restart'"
        ));
        return;
    }
    if let Some(off) = off {
        EmbassyClock.wait_until(EmbassyClock.now().plus(off)).await;
    }
    let controller = match WifiController::new(peripherals.WIFI, Default::default()) {
        Ok(controller) => controller,
        Err(error) => return Esp.log(format_args!("the radio does not start: {error:?}")),
    };
    static STACK: StaticCell<StackResources<{ CONNECTIONS + 4 }>> = StaticCell::new();
    static SERVER: ConstStaticCell<ServerMemory<CONNECTIONS>> = ConstStaticCell::new(ServerMemory::new());
    // The radio is on, so that the seed can't be guessed.
    let seed = u64::from(Rng::new().random()) << 32 | u64::from(Rng::new().random());
    let resources = STACK.init(StackResources::new());
    static NAME: StaticCell<Line<NAME_SIZE>> = StaticCell::new();
    let interface = Interface::station();
    let name = NAME.init(host_name(interface.mac_address())).text();
    let (stack, runner) = embassy_net::new(interface, addresses(name), resources, seed);
    match Radio::new(controller, stack, &configuration) {
        Ok(radio) => spawner.spawn(join(radio).expect("spawned once")),
        Err(error) => return Esp.log(format_args!("the radio refuses the settings: {error:?}")),
    }
    spawner.spawn(net(runner).expect("spawned once"));
    spawner.spawn(watch(stack, name, configuration.mode == Mode::Server).expect("spawned once"));
    spawner.spawn(answer_to_name(stack, name).expect("spawned once"));
    match configuration.mode {
        Mode::Server => start_server(spawner, stack, &Esp, SERVER.take()).expect("started once"),
        Mode::Demo => spawner.spawn(talk(stack, configuration).expect("spawned once")),
    }
}

fn addresses(name: &str) -> Config {
    let mut dhcp = DhcpConfig::default();
    dhcp.hostname = name.try_into().ok();
    Config::dhcpv4(dhcp)
}

/// What flash says, or else what the environment of the build said.
fn configure(storage: &mut Storage) -> Configuration {
    if !storage.is_there() {
        Esp.log(format_args!(
            "flash has no partition '{PARTITION}': nothing can be saved; flash with '--partition-table partitions.csv'"
        ));
    }
    match Configuration::load(storage) {
        Ok(Some(configuration)) => return configuration,
        Ok(None) => Esp.log(format_args!("nothing is saved yet")),
        Err(error) => Esp.log(format_args!("the flash can't be read: {error:?}")),
    }
    let mut configuration = Configuration::new();
    for (name, value) in [
        ("ssid", option_env!("WIRELET_SSID")),
        ("password", option_env!("WIRELET_PASSWORD")),
        ("mode", option_env!("WIRELET_MODE")),
        ("url", option_env!("WIRELET_URL")),
        ("power-save", option_env!("WIRELET_POWER_SAVE")),
    ] {
        if let Some(Err(error)) = value.map(|value| configuration.set(name, value)) {
            Esp.log(format_args!("{name}, of the build's environment: {error}"));
        }
    }
    configuration
}

#[embassy_executor::task]
async fn console(mut serial: Serial<'static>, mut ports: serial::Ports, mut storage: Storage) {
    loop {
        let mut bytes = [0; 64];
        let len = ports.read(&mut bytes).await;
        if serial.input(bytes.get(..len).unwrap_or_default(), &mut storage) {
            esp_hal::system::software_reset();
        }
    }
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, Interface>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn join(mut radio: Radio) {
    wifi::run(&mut radio, &Esp, &EmbassyClock, wifi::Times::DEFAULT, || Rng::new().random()).await;
}

#[embassy_executor::task]
async fn answer_to_name(stack: Stack<'static>, name: &'static str) {
    mdns::run(stack, name).await;
}

/// Logs where the device is found.
#[embassy_executor::task]
async fn watch(stack: Stack<'static>, name: &'static str, serves: bool) {
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            let address = config.address.address();
            if serves {
                Esp.log(format_args!(
                    "console: http://{address}/ or http://{name}.local/   echo: ws://{address}/ws"
                ));
            } else {
                Esp.log(format_args!("address {address}"));
            }
        }
        stack.wait_config_down().await;
    }
}

#[embassy_executor::task]
async fn talk(stack: Stack<'static>, configuration: Configuration) {
    static CONFIGURATION: StaticCell<Configuration> = StaticCell::new();
    static OPTIONS: StaticCell<Options<'static>> = StaticCell::new();
    static MEMORY: ConstStaticCell<DemoMemory<'static>> = ConstStaticCell::new(DemoMemory::new());
    static BUFFERS: ConstStaticCell<TcpBuffers> = ConstStaticCell::new([[0; TCP]; 2]);

    let url = CONFIGURATION.init(configuration).url.text();
    let Ok(uri) = Uri::parse(url) else {
        return Esp
            .log(format_args!("there is no server yet: type 'url ws://HOST:PORT/', 'save', 'restart'"));
    };
    let (memory, options) = (MEMORY.take(), OPTIONS.init(demo::options(uri)));
    let [rx, tx] = BUFFERS.take();
    let mut network = EmbassyConnector::new(stack, rx, tx, None);
    stack.wait_config_up().await;
    let mut random = Random(Rng::new());
    let finished = demo::run(&Esp, memory, options, &mut network, &EmbassyClock, &mut random).await;
    Esp.log(format_args!("finished: {finished:?}; 'restart' does it again"));
}
