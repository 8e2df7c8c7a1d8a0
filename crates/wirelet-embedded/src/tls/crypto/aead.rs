//! The protection of records (RFC 8446 5.2).

use alloc::boxed::Box;
use core::marker::PhantomData;

use aes_gcm::aead::consts::{U12, U16};
use aes_gcm::aead::{AeadCore, AeadInOut, KeyInit, KeySizeUser, Tag};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter, Nonce,
    OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload, Tls13AeadAlgorithm,
    UnsupportedOperationError, make_tls13_aad,
};
use rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion};

const TAG: usize = 16;

/// An AEAD of TLS 1.3: all have nonces of 12 and tags of 16 bytes.
pub(super) struct Aead<A>(PhantomData<fn() -> A>);

impl<A> Aead<A> {
    pub(super) const fn new() -> Self {
        Self(PhantomData)
    }
}

/// One direction of a connection with one key.
struct Direction<A> {
    /// `None` after a key of a length that the algorithm doesn't have.
    aead: Option<A>,
    iv: Iv,
}

impl<A: KeyInit> Direction<A> {
    fn new(key: &AeadKey, iv: Iv) -> Box<Self> {
        Box::new(Self { aead: A::new_from_slice(key.as_ref()).ok(), iv })
    }
}

impl<A> Tls13AeadAlgorithm for Aead<A>
where
    A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16> + KeyInit + Send + Sync + 'static,
{
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Direction::<A>::new(&key, iv)
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Direction::<A>::new(&key, iv)
    }

    fn key_len(&self) -> usize {
        <A as KeySizeUser>::key_size()
    }

    fn extract_keys(&self, _: AeadKey, _: Iv) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

impl<A> MessageEncrypter for Direction<A>
where
    A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        seq: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let len = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(len);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&message.typ.to_array());
        let nonce = Nonce::new(&self.iv, seq).0.into();
        let aead = self.aead.as_ref().ok_or(Error::EncryptError)?;
        let tag = aead
            .encrypt_inout_detached(&nonce, &make_tls13_aad(len), payload.as_mut().into())
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        // RFC 8446 5.2: to the outside all records look the same.
        Ok(OutboundOpaqueMessage::new(ContentType::ApplicationData, ProtocolVersion::TLSv1_2, payload))
    }

    fn encrypted_payload_len(&self, len: usize) -> usize {
        len.saturating_add(1 + TAG) // the inner content type
    }
}

impl<A> MessageDecrypter for Direction<A>
where
    A: AeadInOut + AeadCore<NonceSize = U12, TagSize = U16> + Send + Sync,
{
    fn decrypt<'m>(
        &mut self,
        mut message: InboundOpaqueMessage<'m>,
        seq: u64,
    ) -> Result<InboundPlainMessage<'m>, Error> {
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let len = payload.len().checked_sub(TAG).ok_or(Error::DecryptError)?;
        let (text, tag) = payload.split_at_mut_checked(len).ok_or(Error::DecryptError)?;
        let tag = Tag::<A>::try_from(&*tag).map_err(|_| Error::DecryptError)?;
        let nonce = Nonce::new(&self.iv, seq).0.into();
        let aead = self.aead.as_ref().ok_or(Error::DecryptError)?;
        aead.decrypt_inout_detached(&nonce, &aad, text.into(), &tag).map_err(|_| Error::DecryptError)?;
        payload.truncate(len);
        message.into_tls13_unpadded_message()
    }
}
