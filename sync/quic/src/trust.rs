//! Who is let in: TLS 1.3, both sides with a raw public key (RFC 7250), and of the keys only
//! those that are pinned.
//!
//! There are no certificates, so none that expire, and no authority. The check of the
//! fingerprint comes first, the proof that the key is held after it; whoever fails has sent
//! nothing that was looked at but its handshake.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use evergate_sync_transport::Fingerprint;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    PeerIncompatible, SignatureScheme,
};
use subtle::ConstantTimeEq;

use crate::key::{NodeKey, fingerprint};

/// The protocol that is spoken inside; another one is not talked to (RFC 7301).
const ALPN: &[u8] = b"evergate-sync";

/// The name in the handshake; who the peer is, its key says.
pub(crate) const SERVER_NAME: &str = "evergate";

/// What came of one handshake's check, to be asked when it has failed.
#[derive(Debug, Default)]
pub(crate) struct Verdict(Mutex<Option<(Fingerprint, bool)>>);

impl Verdict {
    /// The key that was shown and is not pinned.
    pub(crate) fn refused(&self) -> Option<Fingerprint> {
        let shown = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.and_then(|(fingerprint, pinned)| (!pinned).then_some(fingerprint))
    }

    fn note(&self, fingerprint: Fingerprint, pinned: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((fingerprint, pinned));
    }
}

/// Tells whether a fingerprint is one of `pinned`, in a time that does not tell which.
pub(crate) fn is_pinned(shown: &Fingerprint, pinned: &[Fingerprint]) -> bool {
    let one_of = pinned
        .iter()
        .fold(0u8, |found, one| found | shown.as_bytes().ct_eq(one.as_bytes()).unwrap_u8());
    one_of == 1
}

/// Why a key is refused; also what the other side is told.
struct NotPinned(Fingerprint);

impl fmt::Debug for NotPinned {
    /// As displayed: rustls shows this to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the key {} is not pinned here", self.0)
    }
}

impl std::error::Error for NotPinned {}

/// Checks the other side's key, for either side.
#[derive(Debug)]
struct Pins {
    pinned: Vec<Fingerprint>,
    verdict: Arc<Verdict>,
    provider: Arc<CryptoProvider>,
}

impl Pins {
    fn check_key(&self, key: &CertificateDer<'_>) -> Result<(), Error> {
        let shown = fingerprint(key);
        let pinned = is_pinned(&shown, &self.pinned);
        self.verdict.note(shown, pinned);
        if pinned {
            return Ok(());
        }
        let why = OtherError(Arc::new(NotPinned(shown)));
        Err(Error::InvalidCertificate(CertificateError::Other(why)))
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }
}

/// TLS 1.2 is not offered; if it were spoken all the same, it would fail here.
fn no_tls12() -> Error {
    Error::PeerIncompatible(PeerIncompatible::Tls13RequiredForQuic)
}

impl ServerCertVerifier for Pins {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check_key(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pins {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check_key(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// This side's TLS for being dialled by any of `pinned`.
pub(crate) fn server(
    key: &NodeKey,
    pinned: Vec<Fingerprint>,
    verdict: &Arc<Verdict>,
) -> Result<QuicServerConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verdict = Arc::clone(verdict);
    let pins = Arc::new(Pins { pinned, verdict, provider: Arc::clone(&provider) });
    let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(key.certified()));
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(pins)
        .with_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would be let in by what was pinned then; and there is no early data.
    tls.send_tls13_tickets = 0;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.max_early_data_size = 0;
    QuicServerConfig::try_from(tls).map_err(|e| Error::General(e.to_string()))
}

/// This side's TLS for dialling one peer, whose keys are `pinned`.
pub(crate) fn client(
    key: &NodeKey,
    pinned: Vec<Fingerprint>,
    verdict: &Arc<Verdict>,
) -> Result<QuicClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verdict = Arc::clone(verdict);
    let pins = Arc::new(Pins { pinned, verdict, provider: Arc::clone(&provider) });
    let resolver = AlwaysResolvesClientRawPublicKeys::new(Arc::clone(key.certified()));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pins)
        .with_client_cert_resolver(Arc::new(resolver));
    tls.alpn_protocols = vec![ALPN.to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_early_data = false;
    tls.enable_sni = false;
    QuicClientConfig::try_from(tls).map_err(|e| Error::General(e.to_string()))
}

/// The key that the other side of an established connection has proved to hold.
pub(crate) fn identity(connection: &quinn::Connection) -> Option<Fingerprint> {
    let shown = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    shown.first().map(|key| fingerprint(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_pinned_is_pinned() {
        let of = |byte| Fingerprint::from_bytes([byte; 32]);
        let pinned = [of(1), of(2), of(2)];
        assert!(is_pinned(&of(1), &pinned) && is_pinned(&of(2), &pinned));
        assert!(!is_pinned(&of(3), &pinned) && !is_pinned(&of(1), &[]));
        let mut near = [1; 32];
        near[31] = 0;
        assert!(!is_pinned(&Fingerprint::from_bytes(near), &pinned));
    }
}
