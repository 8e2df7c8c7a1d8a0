//! The radio as a Wi-Fi station.

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_time::{Duration, with_timeout};
use esp_hal::peripherals::WIFI;
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ConnectionError, DisconnectReason, PowerSaveMode, WifiController,
    WifiError,
};
use wirelet_app::{Configuration, wifi::Station};

/// How often the radio is asked whether it is still connected, besides its own word.
const LOOK: Duration = Duration::from_secs(10);
/// The radio, with the network stack on top.
pub(crate) struct Radio {
    /// `None` when it did not start again.
    controller: Option<WifiController<'static>>,
    station: Config,
    power_save: PowerSaveMode,
    stack: Stack<'static>,
}

/// Why there is no network.
#[derive(Debug)]
pub(crate) enum Lost {
    Refused(#[expect(dead_code, reason = "shown")] DisconnectReason),
    Disconnected(#[expect(dead_code, reason = "shown")] DisconnectReason),
    Radio(#[expect(dead_code, reason = "shown")] WifiError),
}

impl Radio {
    /// Prepares the radio for the network of the settings.
    pub(crate) fn new(
        controller: WifiController<'static>,
        stack: Stack<'static>,
        configuration: &Configuration,
    ) -> Result<Self, WifiError> {
        let authentication = if configuration.password.is_empty() {
            AuthenticationMethodConfig::Open
        } else {
            // The least that is accepted: networks with WPA2 and WPA3 are joined, too, with protected management frames. The
            // radio's library has no WPA3 itself.
            AuthenticationMethodConfig::Wpa2Personal(configuration.password.text().try_into()?)
        };
        let station = StationConfig::default()
            .with_ssid(configuration.ssid.text().try_into()?)
            .with_authentication(authentication);
        let power_save = if configuration.power_save { PowerSaveMode::Minimum } else { PowerSaveMode::None };
        let mut radio = Self { controller: None, station: Config::Station(station), power_save, stack };
        radio.prepare(controller)?;
        Ok(radio)
    }

    fn prepare(&mut self, mut controller: WifiController<'static>) -> Result<(), WifiError> {
        controller.set_config(&self.station)?;
        controller.set_power_saving(self.power_save)?;
        self.controller = Some(controller);
        Ok(())
    }
}

impl Station for Radio {
    type Error = Lost;

    async fn join(&mut self) -> Result<(), Lost> {
        let controller = match &mut self.controller {
            Some(controller) => controller,
            None => {
                self.restart()?;
                self.controller.as_mut().ok_or(Lost::Radio(WifiError::NotConnected))?
            }
        };
        match controller.connect_async().await {
            Ok(_) => Ok(()),
            Err(ConnectionError::Failed(info)) => Err(Lost::Refused(info.reason)),
            Err(ConnectionError::WifiError(error)) => Err(Lost::Radio(error)),
            Err(_) => Err(Lost::Radio(WifiError::Other)),
        }
    }

    async fn address(&mut self) -> Result<(), Lost> {
        let stack = self.stack;
        match select(stack.wait_config_up(), self.lost()).await {
            Either::First(()) => Ok(()),
            Either::Second(lost) => Err(lost),
        }
    }

    async fn lost(&mut self) -> Lost {
        let Some(controller) = &self.controller else { return Lost::Radio(WifiError::NotConnected) };
        loop {
            // Asked again from time to time: an event that was missed must not be waited for for ever.
            match with_timeout(LOOK, controller.wait_for_disconnect_async()).await {
                Ok(Ok(info)) => return Lost::Disconnected(info.reason),
                Ok(Err(error)) => return Lost::Radio(error),
                Err(_) => {}
            }
        }
    }

    fn restart(&mut self) -> Result<(), Lost> {
        // The library stops the radio with its controller.
        drop(self.controller.take());
        // SAFETY: the controller that had the radio is gone, and nobody else has it.
        let radio = unsafe { WIFI::steal() };
        let controller = WifiController::new(radio, Default::default()).map_err(Lost::Radio)?;
        self.prepare(controller).map_err(Lost::Radio)
    }
}
