//! The machine, with the drivers of `boards/qemu-virt`: it gets an address by DHCP.

#![no_std]

#[allow(dead_code, reason = "the board's firmware uses more")]
#[path = "../../../boards/qemu-virt/src/machine.rs"]
mod machine;
#[path = "../../../boards/qemu-virt/src/random.rs"]
mod random;
#[allow(dead_code, reason = "the board's firmware uses more")]
#[path = "../../../boards/qemu-virt/src/settings.rs"]
mod settings;
#[path = "../../../boards/qemu-virt/src/virtio.rs"]
mod virtio;
#[path = "../../../boards/qemu-virt/src/virtio_net.rs"]
mod virtio_net;

use embassy_executor::Spawner;
use embassy_executor::raw::Executor;
use embassy_net::{Config, Runner, Stack, StackResources};
pub use riscv_rt::entry;
use static_cell::StaticCell;
use wirelet_embedded::proto::MaskKeys;

/// Masking keys of a client: the host's random numbers.
pub struct Keys(random::Random);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0.bytes()
    }
}

/// Sockets of the stack: two are for DHCP and DNS, the others for whoever is started.
pub const SOCKETS: usize = 10;

/// Starts the network, and what `start` spawns on it.
pub fn run(start: fn(Spawner, Stack<'static>, Keys)) -> ! {
    static EXECUTOR: StaticCell<Executor> = StaticCell::new();
    let executor: &'static Executor = EXECUTOR.init(Executor::new(core::ptr::null_mut()));
    let spawner = executor.spawner();
    let network = virtio_net::init().expect("QEMU has a virtio-net device");
    let mut random = random::init().expect("QEMU has a virtio-rng device");
    let seed = u64::from_ne_bytes(random.bytes());
    static STACK: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let resources = STACK.init(StackResources::new());
    let (stack, runner) = embassy_net::new(network, Config::dhcpv4(Default::default()), resources, seed);
    spawner.spawn(net(runner).expect("spawned once"));
    spawner.spawn(watch(stack).expect("spawned once"));
    start(spawner, stack, Keys(random));
    // SAFETY: this is the only place that polls, and it does not come back into itself.
    machine::idle_loop(|| unsafe { executor.poll() })
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, virtio_net::Device>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn watch(stack: Stack<'static>) {
    stack.wait_config_up().await;
    log(format_args!("address {:?}", stack.config_v4().map(|config| config.address)));
}

/// A line on the serial port, with the time.
pub fn log(line: core::fmt::Arguments<'_>) {
    machine::println!("[{:>8} ms] {line}", machine::micros() / 1000);
}

/// What `-fw_cfg name=opt/wirelet/NAME,string=VALUE` says: to be read once.
pub fn setting(name: &str) -> Option<&'static str> {
    static VALUE: StaticCell<[u8; 256]> = StaticCell::new();
    settings::read(name, VALUE.init([0; 256]))
}

/// Switches the machine off; QEMU ends with this status.
pub fn exit(status: u32) -> ! {
    machine::exit(status)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    log(format_args!("{info}"));
    exit(1)
}
