//! Bare connections to a cluster, to do with them what no client does.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use everynode_apimachinery::manifest::parse_yaml;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Where a cluster listens, and what its kubeconfig says.
pub struct Door {
    pub address: SocketAddr,
    anybody: TlsConnector,
    admin: TlsConnector,
}

impl Door {
    pub fn of(url: &str, kubeconfig: &Path) -> Door {
        let config = parse_yaml(&std::fs::read_to_string(kubeconfig).unwrap()).unwrap().value;
        let pem =
            |pointer: &str| STANDARD.decode(config.pointer(pointer).unwrap().as_str().unwrap()).unwrap();
        let certificate = |pointer: &str| CertificateDer::from_pem_slice(&pem(pointer)).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate("/clusters/0/cluster/certificate-authority-data")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = || {
            let builder = ClientConfig::builder_with_provider(provider.clone());
            builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots.clone())
        };
        let own = certificate("/users/0/user/client-certificate-data");
        let key = PrivateKeyDer::from_pem_slice(&pem("/users/0/user/client-key-data")).unwrap();
        Door {
            address: url.strip_prefix("https://").unwrap().parse().unwrap(),
            anybody: TlsConnector::from(Arc::new(builder().with_no_client_auth())),
            admin: TlsConnector::from(Arc::new(builder().with_client_auth_cert(vec![own], key).unwrap())),
        }
    }

    pub async fn connect(&self, as_admin: bool) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await?;
        let connector = if as_admin { &self.admin } else { &self.anybody };
        connector.connect(ServerName::from(self.address.ip()), stream).await
    }
}
