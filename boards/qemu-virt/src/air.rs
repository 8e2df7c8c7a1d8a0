//! Faults on command: a wrapper round the driver of the network card that makes it a radio, whose network has to be joined,
//! and is lost when somebody says so over the serial port.
//!
//! ```text
//! wifi lost         the access point is gone; the board may join again
//! wifi refuse N     it refuses the next N attempts to join
//! wifi hang N       it does not answer the next N attempts
//! wifi deaf         nothing arrives and nothing leaves any more, and nobody says so
//! wifi lossy N      every Nth frame vanishes, either way
//! wifi clear        the end of both
//! panic             the firmware panics
//! ```

use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Context, Poll};

use critical_section::Mutex;
use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_net_driver::{Capabilities, Driver, HardwareAddress, LinkState, RxToken, TxToken};
use embassy_sync::waitqueue::WakerRegistration;
use embassy_time::{Duration, Timer};
use wirelet_app::Board as _;
use wirelet_app::wifi::Station;

use crate::{Virt, machine};

/// A frame.
const FRAME: usize = 1514;

struct State {
    joined: bool,
    refusals: u32,
    /// Attempts that are not answered.
    hangs: u32,
    deaf: bool,
    /// Every so many frames one vanishes; 0: none does.
    lossy: u32,
    frames: u32,
    vanished: u32,
    driver: WakerRegistration,
    radio: WakerRegistration,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State {
    joined: false,
    refusals: 0,
    hangs: 0,
    deaf: false,
    lossy: 0,
    frames: 0,
    vanished: 0,
    driver: WakerRegistration::new(),
    radio: WakerRegistration::new(),
}));

fn with<R>(act: impl FnOnce(&mut State) -> R) -> R {
    critical_section::with(|section| act(&mut STATE.borrow_ref_mut(section)))
}

impl State {
    fn join(&mut self, joined: bool) {
        self.joined = joined;
        self.driver.wake();
        self.radio.wake();
    }

    /// Whether the next frame vanishes.
    fn swallows(&mut self) -> bool {
        self.frames = self.frames.wrapping_add(1);
        let swallowed =
            !self.joined || self.deaf || (self.lossy != 0 && self.frames.is_multiple_of(self.lossy));
        self.vanished = self.vanished.wrapping_add(u32::from(swallowed));
        swallowed
    }
}

/// A driver whose frames go through the air.
pub(crate) struct Air<D>(D);

impl<D> Air<D> {
    /// Wraps a driver. To be called once: there is one air.
    pub(crate) fn new(driver: D, joined: bool) -> Self {
        with(|state| state.join(joined));
        Self(driver)
    }
}

/// A frame that arrives, or leave to send one: it may vanish.
pub(crate) struct Token<T>(T);

impl<T: RxToken> RxToken for Token<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, take: F) -> R {
        // The network stack drops what is no frame.
        self.0.consume(|frame| if with(State::swallows) { take(&mut []) } else { take(frame) })
    }
}

impl<T: TxToken> TxToken for Token<T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        if with(State::swallows) { fill(&mut [0; FRAME][..len]) } else { self.0.consume(len, fill) }
    }
}

impl<D: Driver> Driver for Air<D> {
    type RxToken<'a>
        = Token<D::RxToken<'a>>
    where
        Self: 'a;
    type TxToken<'a>
        = Token<D::TxToken<'a>>
    where
        Self: 'a;

    fn receive(&mut self, cx: &mut Context<'_>) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        self.0.receive(cx).map(|(frame, leave)| (Token(frame), Token(leave)))
    }

    fn transmit(&mut self, cx: &mut Context<'_>) -> Option<Self::TxToken<'_>> {
        self.0.transmit(cx).map(Token)
    }

    fn link_state(&mut self, cx: &mut Context<'_>) -> LinkState {
        let joined = with(|state| {
            state.driver.register(cx.waker());
            state.joined
        });
        if joined { self.0.link_state(cx) } else { LinkState::Down }
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn hardware_address(&self) -> HardwareAddress {
        self.0.hardware_address()
    }
}

/// The radio as the application joins the network with it.
pub(crate) struct Radio {
    stack: Stack<'static>,
}

/// Why there is no network.
#[derive(Debug)]
pub(crate) enum Lost {
    Refused,
    Disconnected,
}

impl Radio {
    pub(crate) const fn new(stack: Stack<'static>) -> Self {
        Self { stack }
    }
}

impl Station for Radio {
    type Error = Lost;

    async fn join(&mut self) -> Result<(), Lost> {
        // The network stack sees a loss before it is over.
        Timer::after(Duration::from_millis(50)).await;
        let hangs = with(|state| state.hangs.checked_sub(1).map(|left| state.hangs = left).is_some());
        if hangs {
            core::future::pending::<()>().await;
        }
        with(|state| {
            if let Some(refusals) = state.refusals.checked_sub(1) {
                state.refusals = refusals;
                return Err(Lost::Refused);
            }
            state.join(true);
            Ok(())
        })
    }

    async fn address(&mut self) -> Result<(), Lost> {
        let stack = self.stack;
        match select(stack.wait_config_up(), self.lost()).await {
            Either::First(()) => Ok(()),
            Either::Second(lost) => Err(lost),
        }
    }

    fn restart(&mut self) -> Result<(), Lost> {
        with(|state| state.join(false));
        Ok(())
    }

    async fn lost(&mut self) -> Lost {
        poll_fn(|cx| {
            with(|state| {
                state.radio.register(cx.waker());
                if state.joined { Poll::Pending } else { Poll::Ready(Lost::Disconnected) }
            })
        })
        .await
    }
}

/// Does what is said over the serial port, and answers each line.
#[embassy_executor::task]
pub(crate) async fn commands() {
    loop {
        let line = machine::line().await;
        let (line, vanished) = (line.text(), with(|state| state.vanished));
        if obey(line) {
            Virt.log(format_args!("{line}: done, {vanished} frames have vanished so far"));
        } else {
            Virt.log(format_args!("{line}: not understood"));
        }
    }
}

fn obey(line: &str) -> bool {
    assert!(line != "panic", "somebody has asked for it");
    let mut words = line.split_ascii_whitespace();
    let (Some("wifi"), Some(word), number) = (words.next(), words.next(), words.next()) else { return false };
    let number = number.map_or(Ok(0), str::parse).ok();
    with(|state| {
        match (word, number) {
            ("lost", Some(0)) => state.join(false),
            ("refuse", Some(times)) => state.refusals = times,
            ("hang", Some(times)) => state.hangs = times,
            ("deaf", Some(0)) => state.deaf = true,
            ("lossy", Some(every)) => state.lossy = every,
            ("clear", Some(0)) => (state.deaf, state.lossy) = (false, 0),
            _ => return false,
        }
        true
    })
}
