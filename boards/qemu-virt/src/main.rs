//! The application on QEMU's `virt` machine (riscv32imc, the instruction set of the ESP32-C3): a server, or, where a setting
//! holds an address, a client that talks to it and then ends the machine.
//!
//! | setting | what it makes of the machine |
//! |---|---|
//! | `demo` | the demo, with the server at this address |
//! | `autobahn` | the client of the fuzzing server at this address |
//! | `wifi` | whatever it is, the network has to be joined first, as Wi-Fi, and can be lost: see `air.rs` |
//! | `panics` | a panic starts the machine again, as it does on a board; where it is Wi-Fi, the fifth keeps it off for so many seconds |

#![no_std]
#![no_main]

mod air;
mod machine;
mod random;
mod settings;
mod virtio;
mod virtio_net;

use core::fmt::Arguments;
use core::time::Duration as StdDuration;

use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_net::{Config, HardwareAddress, Runner, Stack, StackResources};
use embassy_time::{Duration, Timer};
use static_cell::{ConstStaticCell, StaticCell};
use wirelet_app::demo::{self, DemoMemory};
use wirelet_app::embassy::{ServerMemory, TCP, TcpBuffers, start_server};
use wirelet_app::name::host_name;
use wirelet_app::panics::{self, Policy, Reset};
use wirelet_app::{Board, Logger, autobahn, mdns, wifi};
use wirelet_embedded::client::{Finished, Options};
use wirelet_embedded::proto::handshake::Uri;
use wirelet_embedded::{Clock as _, EmbassyClock, EmbassyConnector};

use crate::air::{Air, Radio};
use crate::machine::{Kept, println};
use crate::random::Random;
use crate::virtio_net::Device;

/// A browser opens six connections; two are left for WebSockets of others.
const CONNECTIONS: usize = 8;
/// A radio that does not answer is not waited for as long as on a board: a test does.
const TIMES: wifi::Times =
    wifi::Times { join: StdDuration::from_secs(3), address: StdDuration::from_secs(3) };
/// The longest address of a server that a setting may hold.
const URL: usize = 256;

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
    static LOGGER: Logger = Logger(&Virt);
    // SAFETY: nothing else runs yet.
    unsafe {
        let _ = log::set_logger_racy(&LOGGER);
        log::set_max_level_racy(log::LevelFilter::Info);
    }
    let Some(network) = virtio_net::init() else {
        println!("there is no virtio-net device");
        machine::exit(1)
    };
    let Some(random) = random::init() else {
        println!("there is no virtio-rng device");
        machine::exit(1)
    };
    start(executor.spawner(), network, random);
    // SAFETY: this is the only place that polls, and it does not come back into itself.
    machine::idle_loop(|| unsafe { executor.poll() })
}

fn start(spawner: Spawner, network: Device, mut random: Random) {
    // Sockets of DHCP, DNS and multicast DNS besides the server's.
    static STACK: StaticCell<StackResources<{ CONNECTIONS + 3 }>> = StaticCell::new();
    static SERVER: ConstStaticCell<ServerMemory<CONNECTIONS>> = ConstStaticCell::new(ServerMemory::new());
    static ADDRESS: ConstStaticCell<[u8; URL]> = ConstStaticCell::new([0; URL]);

    let off = settings::read("panics", &mut [0; 8]).and_then(|seconds| {
        let first = StdDuration::from_secs(seconds.parse().unwrap_or(60));
        let policy = Policy { first, ..Policy::DEFAULT };
        spawner.spawn(keep(policy).expect("spawned once"));
        // What has started it is not to be known; memory that was just switched on holds no record.
        panics::start(&Kept, Reset::Other, policy, &Virt)
    });
    let seed = u64::from_ne_bytes(random.bytes());
    let wifi = settings::is_there("wifi");
    let network = Air::new(network, !wifi);
    let resources = STACK.init(StackResources::new());
    let (stack, runner) = embassy_net::new(network, Config::dhcpv4(Default::default()), resources, seed);
    spawner.spawn(net(runner).expect("spawned once"));
    spawner.spawn(watch(stack).expect("spawned once"));
    spawner.spawn(answer_to_name(stack).expect("spawned once"));
    if wifi {
        spawner.spawn(join(stack, seed as u32, off.unwrap_or_default()).expect("spawned once"));
        spawner.spawn(air::commands().expect("spawned once"));
    }
    let address = ADDRESS.take();
    if settings::is_there("demo") {
        let url = settings::read("demo", address).unwrap_or_default();
        spawner.spawn(talk(stack, url, random).expect("spawned once"));
    } else if let Some(server) = settings::read("autobahn", address) {
        spawner.spawn(run_cases(stack, server, random).expect("spawned once"));
    } else {
        start_server(spawner, stack, &Virt, SERVER.take()).expect("started once");
    }
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, Air<Device>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn answer_to_name(stack: Stack<'static>) {
    let HardwareAddress::Ethernet(mac) = stack.hardware_address();
    let name = host_name(mac.0);
    Virt.log(format_args!("name {}.local", name.text()));
    mdns::run(stack, name.text()).await;
}

/// Logs what happens to the network.
#[embassy_executor::task]
async fn watch(stack: Stack<'static>) {
    loop {
        stack.wait_config_up().await;
        if let Some(config) = stack.config_v4() {
            Virt.log(format_args!("address {}, port 80 of it is the server's", config.address.address()));
        }
        stack.wait_config_down().await;
        Virt.log(format_args!("no address: the cable is {}", if stack.is_link_up() { "in" } else { "out" }));
    }
}

/// Keeps the record of panics.
#[embassy_executor::task]
async fn keep(policy: Policy) {
    panics::keep(&Kept, policy, &EmbassyClock, || ()).await;
}

/// Joins the network, for ever.
#[embassy_executor::task]
async fn join(stack: Stack<'static>, seed: u32, off: StdDuration) {
    EmbassyClock.wait_until(EmbassyClock.now().plus(off)).await;
    // The delays need not be secret.
    let random = || seed ^ (machine::micros() as u32).wrapping_mul(0x9e37_79b9);
    wifi::run(&mut Radio::new(stack), &Virt, &EmbassyClock, TIMES, random).await;
}

fn connector(stack: Stack<'static>) -> EmbassyConnector<'static> {
    static BUFFERS: ConstStaticCell<TcpBuffers> = ConstStaticCell::new([[0; TCP]; 2]);
    let [rx, tx] = BUFFERS.take();
    EmbassyConnector::new(stack, rx, tx, None)
}

#[embassy_executor::task]
async fn talk(stack: Stack<'static>, url: &'static str, mut random: Random) {
    static OPTIONS: StaticCell<Options<'static>> = StaticCell::new();
    static MEMORY: StaticCell<DemoMemory<'static>> = StaticCell::new();

    let uri = Uri::parse(url).unwrap_or_else(|error| {
        println!("{url}: {error}");
        machine::exit(2)
    });
    let (memory, options) = (MEMORY.init(DemoMemory::new()), OPTIONS.init(demo::options(uri)));
    let finished = demo::run(&Virt, memory, options, &mut connector(stack), &EmbassyClock, &mut random).await;
    Virt.log(format_args!("finished: {finished:?}"));
    end(finished == Finished::Stopped).await;
}

#[embassy_executor::task]
async fn run_cases(stack: Stack<'static>, server: &'static str, mut random: Random) {
    let mut network = connector(stack);
    let run = autobahn::run(server, "wirelet", &mut network, &EmbassyClock, &mut random, None).await;
    Virt.log(format_args!("cases: {run:?}"));
    end(run.is_ok()).await;
}

/// Switches the machine off.
async fn end(success: bool) {
    // What is still in the socket leaves.
    Timer::after(Duration::from_millis(200)).await;
    machine::exit(u32::from(!success))
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    println!("{info}");
    if settings::is_there("panics") {
        panics::panicked(&Kept, StdDuration::from_millis(Virt.uptime()), info);
        machine::restart()
    }
    machine::exit(1)
}
