//! The application on QEMU's `virt` machine (riscv32imc, the instruction set of the ESP32-C3): a server, or, where the
//! setting `demo` holds an address, the client that talks to it and then ends the machine.

#![no_std]
#![no_main]

mod machine;
mod random;
mod settings;
mod virtio;
mod virtio_net;

use core::fmt::Arguments;

use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use static_cell::{ConstStaticCell, StaticCell};
use wirelet_app::{Application, Board, Demo, ROUTES, demo};
use wirelet_embedded::client::{Client, ClientResources, Finished, Options};
use wirelet_embedded::proto::Instant;
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::server::{Route, Settings, WebSocketRoute, Worker};
use wirelet_embedded::{
    Clock, EmbassyClock, EmbassyConnector, EmbassyListener, Handle, Resources, Sender, Server,
};

use crate::machine::println;
use crate::random::Random;

/// A browser opens six connections; two are left for WebSockets of others.
const CONNECTIONS: usize = 8;
const RX: usize = 4096;
const TX: usize = 4096 + 256;
const QUEUE: usize = 1024;
/// The buffers of a TCP socket, each way.
const TCP: usize = 2920;
/// The longest address of a server that `demo` may hold.
const URL: usize = 256;

type App = Application<'static>;

struct Virt;

impl Board for Virt {
    fn name(&self) -> &'static str {
        "wirelet on QEMU virt"
    }

    fn log(&self, line: Arguments<'_>) {
        println!("[{:>8} ms] {line}", self.uptime());
    }

    fn uptime(&self) -> u64 {
        machine::micros() / 1000
    }

    fn free_memory(&self) -> Option<usize> {
        None
    }
}

#[riscv_rt::entry]
fn main() -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor: &'static Executor = EXECUTOR.init(Executor::new(core::ptr::null_mut()));
    let Some(network) = virtio_net::init() else {
        println!("there is no virtio-net device");
        machine::exit(1)
    };
    // Sockets of DHCP and DNS besides the server's.
    static STACK: StaticCell<StackResources<{ CONNECTIONS + 2 }>> = StaticCell::new();
    let Some(mut random) = random::init() else {
        println!("there is no virtio-rng device");
        machine::exit(1)
    };
    let seed = u64::from_ne_bytes(random.bytes());
    let resources = STACK.init(StackResources::new());
    let (stack, runner) = embassy_net::new(network, Config::dhcpv4(Default::default()), resources, seed);
    let spawner = executor.spawner();
    spawner.spawn(net(runner).expect("spawned once"));
    spawner.spawn(watch(stack).expect("spawned once"));
    static SERVER: ConstStaticCell<[u8; URL]> = ConstStaticCell::new([0; URL]);
    match settings::read("demo", SERVER.take()) {
        Some(url) => spawner.spawn(talk(stack, url, random).expect("spawned once")),
        None => spawner.spawn(serve(stack).expect("spawned once")),
    }
    // SAFETY: this is the only place that polls, and it does not come back into itself.
    machine::idle_loop(|| unsafe { executor.poll() })
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, virtio_net::Device>) -> ! {
    runner.run().await
}

/// Logs what happens to the network.
#[embassy_executor::task]
async fn watch(stack: Stack<'static>) {
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            Virt.log(format_args!("address {}", config.address.address()));
        }
        stack.wait_config_down().await;
        Virt.log(format_args!("no address: the cable is {}", if stack.is_link_up() { "in" } else { "out" }));
    }
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

    stack.wait_config_up().await;
    let app: &'static App = APP.init(Application::new(&Virt));
    let table = TABLE.init(app.routes(SOCKETS.init(app.websockets())));
    let (server, handle) = Server::new(RESOURCES.take(), SETTINGS.init(Settings::new(table)));
    app.attach(handle);
    // SAFETY: the executor of this task has one thread.
    let spawner = unsafe { Spawner::for_current_executor().await };
    let mut future = 0;
    for (mut worker, [rx, tx]) in server.into_workers().into_iter().zip(BUFFERS.take()) {
        let mut listener = EmbassyListener::new(stack, 80, rx, tx, None);
        future = size_of_val(&worker.run(&mut listener, &EmbassyClock));
        spawner.spawn(work(worker, listener).expect("as many tasks as workers"));
    }
    spawner.spawn(answers(app, handle).expect("spawned once"));
    spawner.spawn(telemetry(app, handle).expect("spawned once"));
    let state = size_of::<Resources<'_, 1, RX, TX, QUEUE>>() - RX - TX - QUEUE;
    Virt.log(format_args!(
        "a connection: {state} bytes besides its buffers, a worker's future: {future} bytes"
    ));
    let address = stack.config_v4().map(|config| config.address.address());
    match address {
        Some(address) => Virt.log(format_args!("serving on {address}, port 80")),
        None => Virt.log(format_args!("serving without an address")),
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

/// The client: until the script is over.
#[embassy_executor::task]
async fn talk(stack: Stack<'static>, url: &'static str, mut random: Random) {
    static OPTIONS: StaticCell<Options<'static>> = StaticCell::new();
    static RESOURCES: StaticCell<ClientResources<RX, TX, QUEUE>> = StaticCell::new();
    static BUFFERS: ConstStaticCell<[[u8; TCP]; 2]> = ConstStaticCell::new([[0; TCP]; 2]);
    static DEMO: StaticCell<Demo<'static>> = StaticCell::new();

    let uri = Uri::parse(url).unwrap_or_else(|error| {
        println!("{url}: {error}");
        machine::exit(2)
    });
    let options = OPTIONS.init(Options { config: demo::CONFIG, ..Options::new(uri) });
    let (mut client, sender) = Client::new(RESOURCES.init(ClientResources::new()), options);
    let [rx, tx] = BUFFERS.take();
    let mut connector = EmbassyConnector::new(stack, rx, tx, None);
    let demo: &'static Demo<'static> = DEMO.init(Demo::new(&Virt, &now));
    // SAFETY: the executor of this task has one thread.
    let spawner = unsafe { Spawner::for_current_executor().await };
    spawner.spawn(script(demo, sender).expect("spawned once"));
    let finished = client.run(&mut connector, &EmbassyClock, &mut random, demo).await;
    Virt.log(format_args!("finished: {finished:?}"));
    // What is still in the socket leaves.
    Timer::after(Duration::from_millis(200)).await;
    machine::exit(u32::from(finished != Finished::Stopped))
}

#[embassy_executor::task]
async fn script(demo: &'static Demo<'static>, sender: Sender<'static>) {
    demo.run(sender, &EmbassyClock).await;
}

fn now() -> Instant {
    EmbassyClock.now()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("{info}");
    machine::exit(1)
}
