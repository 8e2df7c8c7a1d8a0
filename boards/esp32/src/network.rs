//! The radio as a Wi-Fi station.

use embassy_futures::select::{Either, select};
use embassy_net::Stack;
use embassy_time::{Duration, with_timeout};
use esp_radio::wifi::sta::StationConfig;
use esp_radio::wifi::{
    AuthenticationMethodConfig, Config, ConnectionError, DisconnectReason, PowerSaveMode, WifiController,
    WifiError,
};
use wirelet_app::{Configuration, wifi::Station};

/// How often the radio is asked whether it is still connected, besides its own word.
const LOOK: Duration = Duration::from_secs(10);
/// What the library's attempt may take before it is broken off.
const JOIN: Duration = Duration::from_secs(30);

/// The radio, with the network stack on top.
pub(crate) struct Radio {
    controller: WifiController<'static>,
    stack: Stack<'static>,
}

/// Why there is no network.
#[derive(Debug)]
pub(crate) enum Lost {
    Refused(#[expect(dead_code, reason = "shown")] DisconnectReason),
    Disconnected(#[expect(dead_code, reason = "shown")] DisconnectReason),
    Radio(#[expect(dead_code, reason = "shown")] WifiError),
    Timeout,
}

impl Radio {
    /// Prepares the radio for the network of the settings.
    pub(crate) fn new(
        mut controller: WifiController<'static>,
        stack: Stack<'static>,
        configuration: &Configuration,
    ) -> Result<Self, WifiError> {
        let authentication = if configuration.password.is_empty() {
            AuthenticationMethodConfig::Open
        } else {
            AuthenticationMethodConfig::Wpa2Personal(configuration.password.text().try_into()?)
        };
        let station = StationConfig::default()
            .with_ssid(configuration.ssid.text().try_into()?)
            .with_authentication(authentication);
        controller.set_config(&Config::Station(station))?;
        controller.set_power_saving(if configuration.power_save {
            PowerSaveMode::Minimum
        } else {
            PowerSaveMode::None
        })?;
        Ok(Self { controller, stack })
    }
}

impl Station for Radio {
    type Error = Lost;

    async fn join(&mut self) -> Result<(), Lost> {
        match with_timeout(JOIN, self.controller.connect_async()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(ConnectionError::Failed(info))) => Err(Lost::Refused(info.reason)),
            Ok(Err(ConnectionError::WifiError(error))) => Err(Lost::Radio(error)),
            Ok(Err(_)) => Err(Lost::Radio(WifiError::Other)),
            Err(_) => {
                let _ = with_timeout(JOIN, self.controller.disconnect_async()).await;
                Err(Lost::Timeout)
            }
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
        loop {
            // Asked again from time to time: an event that was missed must not be waited for for ever.
            match with_timeout(LOOK, self.controller.wait_for_disconnect_async()).await {
                Ok(Ok(info)) => return Lost::Disconnected(info.reason),
                Ok(Err(error)) => return Lost::Radio(error),
                Err(_) => {}
            }
        }
    }
}
