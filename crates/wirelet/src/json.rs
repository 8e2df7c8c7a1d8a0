//! Messages that are JSON, by the feature `serde`.

use serde::{Deserialize, Serialize};

use crate::{Message, MessageRef};

impl Message {
    /// The value that the message says, text or binary.
    ///
    /// ```
    /// use wirelet::Message;
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Join<'m> {
    ///     room: &'m str,
    /// }
    ///
    /// let message = Message::from(r#"{"room":"kitchen"}"#);
    /// assert_eq!(message.json::<Join>()?.room, "kitchen");
    /// # Ok::<_, serde_json::Error>(())
    /// ```
    ///
    /// # Errors
    /// It is no JSON, or says something else than a `T`.
    pub fn json<'m, T: Deserialize<'m>>(&'m self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }

    /// A text message that says `value`.
    ///
    /// ```
    /// # use wirelet::{Error, WebSocket};
    /// # async fn example(mut ws: WebSocket) -> Result<(), Box<dyn std::error::Error>> {
    /// use wirelet::Message;
    ///
    /// ws.send(Message::from_json(&("temperature", 21.5))?).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `value` is nothing that JSON can say: a map whose keys are no texts.
    pub fn from_json<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(Self::from)
    }
}

impl<'m> MessageRef<'m> {
    /// The value that the message says, text or binary.
    ///
    /// # Errors
    /// It is no JSON, or says something else than a `T`.
    pub fn json<T: Deserialize<'m>>(self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(self.as_bytes())
    }
}
