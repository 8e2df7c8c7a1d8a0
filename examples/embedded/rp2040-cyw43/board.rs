//! A Raspberry Pi Pico W in the network of `WIRELET_SSID` and `WIRELET_PASSWORD`, which the build's environment names; it joins
//! it again for ever. `CYW43_FIRMWARE` is the folder of the radio's firmware.

#![no_std]

use cyw43::{Control, JoinOptions, NetDriver, SpiBus, aligned_bytes};
use cyw43_pio::{DEFAULT_CLOCK_DIVIDER, PioSpi};
use embassy_executor::Spawner;
use embassy_net::{Config, Runner, Stack, StackResources};
use embassy_rp::clocks::RoscRng;
use embassy_rp::gpio::{Level, Output};
use embassy_rp::peripherals::{DMA_CH0, PIO0};
use embassy_rp::pio::{InterruptHandler, Pio};
use embassy_rp::{bind_interrupts, dma};
use embassy_time::Timer;
use panic_halt as _;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use static_cell::StaticCell;
use wirelet_embedded::Csprng;

bind_interrupts!(struct Irqs {
    PIO0_IRQ_0 => InterruptHandler<PIO0>;
    DMA_IRQ_0 => dma::InterruptHandler<DMA_CH0>;
});

/// Masking keys of a client. The chip's random bits come from a free oscillator and are not even; many of them make a seed.
pub type Keys = Csprng<ChaCha12Rng>;

/// Sockets of the stack: two are for DHCP and DNS, the others for whoever is started.
pub const SOCKETS: usize = 6;

/// Starts the chip and its radio. The network comes and goes; the stack stays.
pub async fn start(spawner: Spawner) -> (Stack<'static>, Keys) {
    let chip = embassy_rp::init(Default::default());
    let (power, select) = (Output::new(chip.PIN_23, Level::Low), Output::new(chip.PIN_25, Level::High));
    let mut pio = Pio::new(chip.PIO0, Irqs);
    let channel = dma::Channel::new(chip.DMA_CH0, Irqs);
    let spi = PioSpi::new(
        &mut pio.common,
        pio.sm0,
        DEFAULT_CLOCK_DIVIDER,
        pio.irq0,
        select,
        chip.PIN_24,
        chip.PIN_29,
        channel,
    );
    let firmware = aligned_bytes!(concat!(env!("CYW43_FIRMWARE"), "/43439A0.bin"));
    let nvram = aligned_bytes!(concat!(env!("CYW43_FIRMWARE"), "/nvram_rp2040.bin"));
    static STATE: StaticCell<cyw43::State> = StaticCell::new();
    let state = STATE.init(cyw43::State::new());
    let (device, control, runner) = cyw43::new(state, power, spi, firmware, nvram).await;
    spawner.spawn(radio(runner).expect("spawned once"));

    let mut seed = [0; 32];
    RoscRng.fill_bytes(&mut seed);
    static STACK: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let resources = STACK.init(StackResources::new());
    let (stack, runner) =
        embassy_net::new(device, Config::dhcpv4(Default::default()), resources, RoscRng.next_u64());
    spawner.spawn(net(runner).expect("spawned once"));
    spawner.spawn(join(control, stack).expect("spawned once"));
    (stack, Csprng(ChaCha12Rng::from_seed(seed)))
}

#[embassy_executor::task]
async fn radio(runner: cyw43::Runner<'static, SpiBus<Output<'static>, PioSpi<'static, PIO0, 0>>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, NetDriver<'static>>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn join(mut radio: Control<'static>, stack: Stack<'static>) -> ! {
    radio.init(include_bytes!(concat!(env!("CYW43_FIRMWARE"), "/43439A0_clm.bin"))).await;
    loop {
        let options = JoinOptions::new(env!("WIRELET_PASSWORD").as_bytes());
        if radio.join(env!("WIRELET_SSID"), options).await.is_ok() {
            stack.wait_link_down().await;
        }
        Timer::after_secs(5).await;
    }
}
