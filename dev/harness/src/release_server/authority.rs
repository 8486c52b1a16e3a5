//! Certificates, good and bad.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// A certificate authority made for one test.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is wrong with a server's certificate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flaw {
    None,
    Expired,
    NotYetValid,
    /// It is for another host.
    WrongName,
    /// It is the authority's own.
    Authority,
}

impl Default for Authority {
    fn default() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }
}

impl Authority {
    /// Makes an authority with a key of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// The certificate that a client must trust.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub(super) fn server_config(&self, flaw: Flaw) -> Arc<ServerConfig> {
        let host = match flaw {
            Flaw::WrongName => "elsewhere.example",
            _ => "localhost",
        };
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        match flaw {
            Flaw::Expired => params.not_after = date_time_ymd(2000, 1, 1),
            Flaw::NotYetValid => params.not_before = date_time_ymd(4000, 1, 1),
            Flaw::None | Flaw::WrongName | Flaw::Authority => {}
        }
        let (certificate, key) = if flaw == Flaw::Authority {
            (self.0.der().clone(), self.0.key().serialize_der())
        } else {
            let key = KeyPair::generate().unwrap();
            let certificate = params.signed_by(&key, &self.0).unwrap();
            (certificate.der().clone(), key.serialize_der())
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], PrivatePkcs8KeyDer::from(key).into());
        Arc::new(config.unwrap())
    }
}
