//! From what an application asks for to what a connection has.

use std::sync::atomic::{AtomicUsize, Ordering};

use wirelet_proto::deflate::{HeaderValue, Params, Settings};
use wirelet_proto::handshake::{ExtensionOffers, HandshakeError};

use super::config::Compression;

/// What is offered, or accepted, in one opening handshake.
#[derive(Debug)]
pub(crate) struct Plan {
    compression: Compression,
    settings: Settings,
    dedicated: Option<Dedicated>,
}

/// What an opening handshake has agreed on.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(super) params: Params,
    pub(super) compression: Compression,
    pub(super) dedicated: Option<Dedicated>,
}

impl Plan {
    /// `None`: nothing is to be compressed. Where there are too many dedicated compressors already it is a shared one.
    pub(crate) fn new(compression: &Compression) -> Option<Self> {
        Self::counted(compression, &DEDICATED)
    }

    fn counted(compression: &Compression, counter: &'static AtomicUsize) -> Option<Self> {
        let (compression, dedicated) = Dedicated::claim_for(compression, counter);
        Some(Self { settings: compression.settings()?, compression, dedicated })
    }

    /// A server's choice among what a client offers, with its answer.
    pub(crate) fn accept(self, offers: ExtensionOffers<'_>) -> Option<(Negotiated, HeaderValue)> {
        let agreement = self.settings.accept(offers)?;
        Some((self.agreed(agreement.params), agreement.answer))
    }

    /// A client's offer.
    pub(crate) fn offer(&self) -> HeaderValue {
        self.settings.offer()
    }

    /// What a server has answered to the offer.
    ///
    /// # Errors
    /// It is no answer to it.
    pub(crate) fn check(self, answer: ExtensionOffers<'_>) -> Result<Option<Negotiated>, HandshakeError> {
        let params = self.settings.check(answer)?;
        Ok(params.map(|params| self.agreed(params)))
    }

    fn agreed(self, params: Params) -> Negotiated {
        Negotiated { params, compression: self.compression, dedicated: self.dedicated }
    }
}

impl Negotiated {
    pub(crate) const fn params(&self) -> Params {
        self.params
    }

    /// What others have agreed on.
    pub(crate) fn elsewhere(params: Params, compression: &Compression) -> Self {
        let (compression, dedicated) = Dedicated::claim_for(compression, &DEDICATED);
        Self { params, compression, dedicated }
    }
}

/// A connection's right to a compressor and a decompressor of its own.
#[derive(Debug)]
pub(crate) struct Dedicated(&'static AtomicUsize);

/// Of the process.
static DEDICATED: AtomicUsize = AtomicUsize::new(0);

impl Dedicated {
    /// Where it is asked for and not too many connections of the process have it; otherwise something shared is to do.
    fn claim_for(compression: &Compression, counter: &'static AtomicUsize) -> (Compression, Option<Self>) {
        if !compression.is_dedicated() {
            return (*compression, None);
        }
        let claim = |count| (count < compression.most).then_some(count + 1);
        match counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim) {
            Ok(_) => (*compression, Some(Self(counter))),
            Err(_) => (compression.without_own(), None),
        }
    }
}

impl Drop for Dedicated {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dedicated_compressors_are_limited_in_number_and_given_back() {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let plan = || Plan::counted(&Compression::dedicated(12).most(2), &COUNTER).unwrap();
        let offers = || ExtensionOffers::of("permessage-deflate; client_max_window_bits");
        let keeps = |plan: Plan| {
            let (negotiated, answer) = plan.accept(offers()).unwrap();
            assert_eq!(
                negotiated.params.server.takeover,
                !answer.as_str().contains("server_no_context_takeover")
            );
            (negotiated.params.server.takeover && negotiated.params.client.takeover, negotiated)
        };
        let first = keeps(plan());
        let second = keeps(plan());
        let third = keeps(plan());
        assert_eq!([first.0, second.0, third.0], [true, true, false]);
        drop(first);
        assert!(keeps(plan()).0);
        drop((second, third));
        assert_eq!(COUNTER.load(Ordering::Relaxed), 0);
    }
}
