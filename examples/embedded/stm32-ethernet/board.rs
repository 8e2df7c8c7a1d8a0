//! A Nucleo-144 with an STM32F429ZI: its Ethernet, by RMII, with an address by DHCP.

#![no_std]

use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_stm32::eth::{Ethernet, GenericPhy, PacketQueue, Sma};
use embassy_stm32::peripherals::{ETH, ETH_SMA, RNG};
use embassy_stm32::rcc::*;
use embassy_stm32::rng::Rng;
use embassy_stm32::time::Hertz;
use embassy_stm32::{bind_interrupts, eth, rng};
use panic_halt as _;
use static_cell::StaticCell;
use wirelet_embedded::proto::MaskKeys;

bind_interrupts!(struct Irqs {
    ETH => eth::InterruptHandler;
    HASH_RNG => rng::InterruptHandler<RNG>;
});

/// Masking keys of a client: the chip's source of random numbers.
pub struct Keys(Rng<'static, RNG>);

impl MaskKeys for Keys {
    fn next_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

/// Sockets of the stack: two are for DHCP and DNS, the others for whoever is started.
pub const SOCKETS: usize = 6;
/// A locally administered address; a device needs one of its own.
const MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 1];

type Device = Ethernet<'static, ETH, GenericPhy<Sma<'static, ETH_SMA>>>;

/// Starts the chip and its network.
pub fn start(spawner: Spawner) -> (Stack<'static>, Keys) {
    let chip = embassy_stm32::init(clocks());
    let mut keys = Keys(Rng::new(chip.RNG, Irqs));
    static PACKETS: StaticCell<PacketQueue<4, 4>> = StaticCell::new();
    let device = Ethernet::new(
        PACKETS.init(PacketQueue::new()),
        chip.ETH,
        Irqs,
        chip.PA1,
        chip.PA7,
        chip.PC4,
        chip.PC5,
        chip.PG13,
        chip.PB13,
        chip.PG11,
        MAC,
        chip.ETH_SMA,
        chip.PA2,
        chip.PC1,
    );
    static STACK: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let resources = STACK.init(StackResources::new());
    let seed = u64::from(keys.0.next_u32()) << 32 | u64::from(keys.0.next_u32());
    let (stack, runner) = embassy_net::new(device, Config::dhcpv4(Default::default()), resources, seed);
    spawner.spawn(net(runner).expect("spawned once"));
    (stack, keys)
}

/// 168 MHz of the 8 MHz that the debugger's chip gives, and 48 MHz for the random numbers.
fn clocks() -> embassy_stm32::Config {
    let mut config = embassy_stm32::Config::default();
    config.rcc.hse = Some(Hse { freq: Hertz(8_000_000), mode: HseMode::Bypass });
    config.rcc.pll_src = PllSource::HSE;
    config.rcc.pll = Some(Pll {
        prediv: PllPreDiv::DIV4,
        mul: PllMul::MUL168,
        divp: Some(PllPDiv::DIV2),
        divq: Some(PllQDiv::DIV7),
        divr: None,
    });
    config.rcc.ahb_pre = AHBPrescaler::DIV1;
    config.rcc.apb1_pre = APBPrescaler::DIV4;
    config.rcc.apb2_pre = APBPrescaler::DIV2;
    config.rcc.sys = Sysclk::PLL1_P;
    config
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, Device>) -> ! {
    runner.run().await
}
