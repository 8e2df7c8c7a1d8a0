//! An Espressif chip as a Wi-Fi station: the network of `WIRELET_SSID` and `WIRELET_PASSWORD`, which the build's environment
//! names, joined again for ever. `boards/esp32` keeps them in flash.

#![no_std]

pub use esp_rtos::main;

use embassy_executor::Spawner;
use embassy_net::{Config as Addresses, Runner, Stack, StackResources};
use embassy_time::Timer;
use esp_backtrace as _;
use esp_hal::clock::CpuClock;
use esp_hal::rng::{Trng, TrngSource};
use esp_hal::timer::timg::TimerGroup;
use esp_println::println;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{AuthenticationMethodConfig, Config, Interface, WifiController};
use static_cell::StaticCell;
use wirelet_embedded::Csprng;

esp_bootloader_esp_idf::esp_app_desc!();

/// Masking keys of a client: the hardware's random source.
pub type Keys = Csprng<Trng>;

/// Sockets of the stack: two are for DHCP and DNS, the others for whoever is started.
pub const SOCKETS: usize = 8;

/// Starts the chip and its radio. The network comes and goes; the stack stays.
pub fn start(spawner: Spawner) -> (Stack<'static>, Keys) {
    let chip = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    esp_alloc::heap_allocator!(#[esp_hal::ram(reclaimed)] size: 64 * 1024);
    esp_alloc::heap_allocator!(size: 48 * 1024);
    // Without it the random source repeats itself while the radio is off.
    static SOURCE: StaticCell<TrngSource<'static>> = StaticCell::new();
    SOURCE.init(TrngSource::new(chip.RNG, chip.ADC1));
    let random = Trng::try_new().expect("its source is on");
    // The scheduler comes before the radio, whose tasks it runs.
    esp_rtos::start(TimerGroup::new(chip.TIMG0).timer0, chip.FROM_CPU_INTR0);

    let controller = WifiController::new(chip.WIFI, Default::default()).expect("the radio starts");
    static STACK: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let seed = u64::from(random.random()) << 32 | u64::from(random.random());
    let addresses = Addresses::dhcpv4(Default::default());
    let resources = STACK.init(StackResources::new());
    let (stack, runner) = embassy_net::new(Interface::station(), addresses, resources, seed);
    spawner.spawn(net(runner).expect("spawned once"));
    spawner.spawn(join(controller).expect("spawned once"));
    spawner.spawn(watch(stack).expect("spawned once"));
    (stack, Csprng(random))
}

#[embassy_executor::task]
async fn net(mut runner: Runner<'static, Interface>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn join(mut radio: WifiController<'static>) -> ! {
    let (ssid, password) = (env!("WIRELET_SSID"), env!("WIRELET_PASSWORD"));
    let key = AuthenticationMethodConfig::Wpa2Personal(password.try_into().expect("8 to 63 characters"));
    let station = StationConfig::default().with_ssid(ssid.try_into().expect("up to 32 bytes"));
    radio.set_config(&Config::Station(station.with_authentication(key))).expect("a valid network");
    loop {
        match radio.connect_async().await {
            Ok(_) => drop(radio.wait_for_disconnect_async().await),
            Err(error) => println!("{ssid}: {error:?}"),
        }
        Timer::after_secs(5).await;
    }
}

#[embassy_executor::task]
async fn watch(stack: Stack<'static>) -> ! {
    loop {
        stack.wait_config_up().await;
        println!("address: {:?}", stack.config_v4().map(|config| config.address));
        stack.wait_config_down().await;
    }
}

/// Bytes of the heap that nobody has.
pub fn free_memory() -> usize {
    esp_alloc::HEAP.free()
}
