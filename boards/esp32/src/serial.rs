//! The serial ports: UART 0, and USB where the chip has it. Whoever types at either is heard.

#[cfg(not(feature = "esp32"))]
use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;
#[cfg(not(feature = "esp32"))]
use embedded_io_async::Read as _;
use esp_hal::Async;
use esp_hal::uart::Uart;
#[cfg(not(feature = "esp32"))]
use esp_hal::usb::usb_serial_jtag::UsbSerialJtag;

/// The ports that are read.
pub(crate) struct Ports {
    pub(crate) uart: Uart<'static, Async>,
    #[cfg(not(feature = "esp32"))]
    pub(crate) usb: UsbSerialJtag<'static, Async>,
}

impl Ports {
    /// Waits for bytes. What a line's noise has destroyed is passed over.
    pub(crate) async fn read(&mut self, into: &mut [u8]) -> usize {
        loop {
            #[cfg(not(feature = "esp32"))]
            {
                let mut other = [0; 64];
                match select(self.uart.read_async(into), self.usb.read(&mut other)).await {
                    Either::First(Ok(len)) => return len,
                    Either::Second(Ok(len)) => {
                        let len = len.min(into.len());
                        into[..len].copy_from_slice(&other[..len]);
                        return len;
                    }
                    Either::First(Err(_)) | Either::Second(Err(_)) => {}
                }
            }
            #[cfg(feature = "esp32")]
            if let Ok(len) = self.uart.read_async(into).await {
                return len;
            }
            yield_now().await;
        }
    }
}

/// The pins of UART 0 on the modules' development boards.
macro_rules! ports {
    ($peripherals:ident) => {{
        let uart =
            esp_hal::uart::Uart::new($peripherals.UART0, Default::default()).expect("the default is valid");
        #[cfg(feature = "esp32c3")]
        let uart = uart.with_rx($peripherals.GPIO20).with_tx($peripherals.GPIO21);
        #[cfg(feature = "esp32c6")]
        let uart = uart.with_rx($peripherals.GPIO17).with_tx($peripherals.GPIO16);
        #[cfg(feature = "esp32")]
        let uart = uart.with_rx($peripherals.GPIO3).with_tx($peripherals.GPIO1);
        $crate::serial::Ports {
            uart: uart.into_async(),
            #[cfg(not(feature = "esp32"))]
            usb: esp_hal::usb::usb_serial_jtag::UsbSerialJtag::new($peripherals.USB_DEVICE).into_async(),
        }
    }};
}
pub(crate) use ports;
