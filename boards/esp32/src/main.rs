//! The application on Espressif's chips: ESP32-C3, ESP32-C6 and ESP32, by feature.

#![no_std]
#![no_main]

mod network;
mod serial;
mod storage;

use core::fmt::Arguments;

use embassy_executor::Spawner;
use embassy_net::{Config, DhcpConfig, Runner, Stack, StackResources};
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::rng::Rng;
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use esp_radio::wifi::{Interface, WifiController};
use static_cell::{ConstStaticCell, StaticCell};
use wirelet_app::{Application, Board, Configuration, Demo, Mode, ROUTES, demo, serial::Serial, wifi};
use wirelet_embedded::client::{Client, ClientResources, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::proto::{Instant, MaskKeys};
use wirelet_embedded::server::{Route, Settings, WebSocketRoute, Worker};
use wirelet_embedded::{
    Clock as _, EmbassyClock, EmbassyConnector, EmbassyListener, Handle, Resources, Sender, Server,
};

use crate::network::Radio;
use crate::storage::Storage;

/// A browser opens six connections; two are left for WebSockets of others. The ESP32 has less memory in one piece.
const CONNECTIONS: usize = if cfg!(feature = "esp32") { 4 } else { 8 };
const RX: usize = 4096;
const TX: usize = 4096 + 256;
const QUEUE: usize = 1024;
/// The buffers of a TCP socket, each way.
const TCP: usize = 2920;
/// What the radio's library allocates from, besides the 64 KiB that the boot loader has left.
const RADIO: usize = if cfg!(feature = "esp32") { 36 * 1024 } else { 48 * 1024 };

type App = Application<'static>;

struct Esp;

impl Board for Esp {
    fn name(&self) -> &'static str {
        concat!("wirelet on ", esp_hal::chip!())
    }

    fn log(&self, line: Arguments<'_>) {
        println!("[{:>8} ms] {line}", self.uptime());
    }

    fn uptime(&self) -> u64 {
        now().as_millis()
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

fn now() -> Instant {
    EmbassyClock.now()
}

esp_bootloader_esp_idf::esp_app_desc!();

/// What follows a panic, or an exception, after its message: a device that nobody looks at starts again.
// SAFETY: the name is the one that esp-backtrace asks for, and nobody else's.
#[unsafe(no_mangle)]
fn custom_halt() -> ! {
    esp_hal::system::software_reset()
}

#[esp_rtos::main]
async fn main(spawner: Spawner) {
    let peripherals = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: RADIO);
    // The scheduler comes before the radio, whose tasks it runs.
    esp_rtos::start(TimerGroup::new(peripherals.TIMG0).timer0, peripherals.FROM_CPU_INTR0);
    Esp.log(format_args!("{} {}", Esp.name(), env!("CARGO_PKG_VERSION")));

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
    let controller = match WifiController::new(peripherals.WIFI, Default::default()) {
        Ok(controller) => controller,
        Err(error) => return Esp.log(format_args!("the radio does not start: {error:?}")),
    };
    static STACK: StaticCell<StackResources<{ CONNECTIONS + 3 }>> = StaticCell::new();
    // The radio is on, so that the seed can't be guessed.
    let seed = u64::from(Rng::new().random()) << 32 | u64::from(Rng::new().random());
    let resources = STACK.init(StackResources::new());
    let (stack, runner) = embassy_net::new(Interface::station(), addresses(), resources, seed);
    match Radio::new(controller, stack, &configuration) {
        Ok(radio) => spawner.spawn(join(radio).expect("spawned once")),
        Err(error) => return Esp.log(format_args!("the radio refuses the settings: {error:?}")),
    }
    spawner.spawn(net(runner).expect("spawned once"));
    match configuration.mode {
        Mode::Server => spawner.spawn(serve(stack).expect("spawned once")),
        Mode::Demo => spawner.spawn(talk(stack, configuration).expect("spawned once")),
    }
}

fn addresses() -> Config {
    let mut dhcp = DhcpConfig::default();
    dhcp.hostname = "wirelet".try_into().ok();
    Config::dhcpv4(dhcp)
}

/// What flash says, or else what the environment of the build said.
fn configure(storage: &mut Storage) -> Configuration {
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
    wifi::run(&mut radio, &Esp, &EmbassyClock, || Rng::new().random()).await;
}

#[embassy_executor::task]
async fn serve(stack: Stack<'static>) {
    static APP: StaticCell<App> = StaticCell::new();
    static SOCKETS: StaticCell<[WebSocketRoute<'static>; 2]> = StaticCell::new();
    static TABLE: StaticCell<[Route<'static>; ROUTES]> = StaticCell::new();
    static SETTINGS: StaticCell<Settings<'static>> = StaticCell::new();
    static RESOURCES: ConstStaticCell<Resources<'static, CONNECTIONS, RX, TX, QUEUE>> =
        ConstStaticCell::new(Resources::new());
    static BUFFERS: ConstStaticCell<[[[u8; TCP]; 2]; CONNECTIONS]> =
        ConstStaticCell::new([[[0; TCP]; 2]; CONNECTIONS]);

    let app: &'static App = APP.init(Application::new(&Esp));
    let table = TABLE.init(app.routes(SOCKETS.init(app.websockets())));
    let (server, handle) = Server::new(RESOURCES.take(), SETTINGS.init(Settings::new(table)));
    app.attach(handle);
    // SAFETY: the executor of this task has one thread.
    let spawner = unsafe { Spawner::for_current_executor().await };
    for (worker, [rx, tx]) in server.into_workers().into_iter().zip(BUFFERS.take()) {
        let listener = EmbassyListener::new(stack, 80, rx, tx, None);
        spawner.spawn(work(worker, listener).expect("as many tasks as workers"));
    }
    spawner.spawn(answers(app, handle).expect("spawned once"));
    spawner.spawn(telemetry(app, handle).expect("spawned once"));
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            Esp.log(format_args!("console: http://{0}/   echo: ws://{0}/ws", config.address.address()));
        }
        stack.wait_config_down().await;
    }
}

#[embassy_executor::task(pool_size = CONNECTIONS)]
async fn work(mut worker: Worker<'static, 'static, RX, TX>, mut listener: EmbassyListener<'static>) {
    worker.run(&mut listener, &EmbassyClock).await;
}

#[embassy_executor::task]
async fn answers(app: &'static App, handle: Handle<'static>) {
    app.run_answers(handle).await;
}

#[embassy_executor::task]
async fn telemetry(app: &'static App, handle: Handle<'static>) {
    app.run_telemetry(handle, &EmbassyClock).await;
}

#[embassy_executor::task]
async fn talk(stack: Stack<'static>, configuration: Configuration) {
    static CONFIGURATION: StaticCell<Configuration> = StaticCell::new();
    static DEMO: StaticCell<Demo<'static>> = StaticCell::new();
    static OPTIONS: StaticCell<Options<'static>> = StaticCell::new();
    static RESOURCES: ConstStaticCell<ClientResources<'static, RX, TX, QUEUE>> =
        ConstStaticCell::new(ClientResources::new());
    static BUFFERS: ConstStaticCell<[[u8; TCP]; 2]> = ConstStaticCell::new([[0; TCP]; 2]);

    let url = CONFIGURATION.init(configuration).url.text();
    let Ok(uri) = Uri::parse(url) else {
        return Esp
            .log(format_args!("there is no server yet: type 'url ws://HOST:PORT/', 'save', 'restart'"));
    };
    let options = OPTIONS.init(Options { config: demo::CONFIG, ..Options::new(uri) });
    let (mut client, sender) = Client::new(RESOURCES.take(), options);
    let demo: &'static Demo<'static> = DEMO.init(Demo::new(&Esp, &now));
    // SAFETY: the executor of this task has one thread.
    let spawner = unsafe { Spawner::for_current_executor().await };
    spawner.spawn(script(demo, sender).expect("spawned once"));
    let [rx, tx] = BUFFERS.take();
    let mut connector = EmbassyConnector::new(stack, rx, tx, None);
    stack.wait_config_up().await;
    let finished = client.run(&mut connector, &EmbassyClock, &mut Random(Rng::new()), demo).await;
    Esp.log(format_args!("finished: {finished:?}; 'restart' does it again"));
}

#[embassy_executor::task]
async fn script(demo: &'static Demo<'static>, sender: Sender<'static>) {
    demo.run(sender, &EmbassyClock).await;
}
