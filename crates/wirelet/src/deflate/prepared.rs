//! A message that goes to many connections.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

/// Compressed once for all connections that compress alike, when the first of them sends it.
#[derive(Debug)]
pub(crate) struct Prepared {
    payload: Bytes,
    forms: Mutex<Vec<(Form, Option<Bytes>)>>,
}

/// How a message is compressed that refers to no other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) bits: u8,
    pub(super) level: u8,
}

impl Prepared {
    pub(crate) const fn new(payload: Bytes) -> Self {
        Self { payload, forms: Mutex::new(Vec::new()) }
    }

    /// As the application sees it.
    pub(crate) const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// As `compress` makes it of the payload, unless it was made before; `None`: it is sent as it is. Other threads that need
    /// the same wait for it.
    pub(super) fn form(&self, form: Form, compress: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<Bytes> {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, made)) = forms.iter().find(|(known, _)| *known == form) {
            return made.clone();
        }
        let made = compress(&self.payload);
        forms.push((form, made.clone()));
        made
    }

    /// How often it has been compressed.
    #[cfg(test)]
    pub(super) fn compressions(&self) -> usize {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
