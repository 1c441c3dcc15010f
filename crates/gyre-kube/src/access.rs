//! Access to a cluster: where its API server is, how it is told from an impostor, who we are.
//!
//! Found as `kubectl` finds it: the kubeconfig that `KUBECONFIG` names, then `~/.kube/config`; then, in a pod, the service account
//! that Kubernetes mounts there, whose token is read anew for each request since it is replaced every hour or so.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;

use crate::error::AccessError;
use crate::kubeconfig;

/// Where Kubernetes mounts what a pod needs to speak to its API server.
const MOUNTED: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Access to a cluster.
#[derive(Debug, Clone)]
pub struct Access {
    /// The API server's URL.
    pub server: Uri,
    /// The authorities (PEM) that vouch for it; the system's when there are none.
    pub authority: Option<Vec<u8>>,
    /// The name in its certificate, when it is not that of the URL.
    pub server_name: Option<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// The namespace of those who name none.
    pub namespace: String,
}

/// Who we are. It is never shown.
#[derive(Clone)]
pub enum Credentials {
    /// Nobody.
    Anonymous,
    /// A token.
    Token(String),
    /// A token in a file, which is read anew for each request.
    TokenFile(PathBuf),
    /// A certificate and its key (PEM).
    Certificate {
        /// The certificate, and those up to its authority.
        chain: Vec<u8>,
        /// Its key.
        key: Vec<u8>,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Token(_) => "Token",
            Self::TokenFile(_) => "TokenFile",
            Self::Certificate { .. } => "Certificate",
        })
    }
}

impl Access {
    /// The access that the surroundings of this process give.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn find() -> Result<Self, AccessError> {
        Self::find_in(|name| std::env::var_os(name), Path::new(MOUNTED))
    }

    /// The same with an environment and a folder of a service account that are given.
    ///
    /// # Errors
    /// [`AccessError`].
    pub fn find_in(variable: impl Fn(&str) -> Option<OsString>, mounted: &Path) -> Result<Self, AccessError> {
        let named = variable("KUBECONFIG").filter(|named| !named.is_empty());
        if let Some(named) = named {
            let paths: Vec<PathBuf> =
                std::env::split_paths(&named).filter(|path| !path.as_os_str().is_empty()).collect();
            return kubeconfig::read(&paths);
        }
        if let Some(home) = variable("HOME") {
            let path = Path::new(&home).join(".kube/config");
            if path.exists() {
                return kubeconfig::read(&[path]);
            }
        }
        let text = |name| variable(name).and_then(|value| value.into_string().ok());
        match (text("KUBERNETES_SERVICE_HOST"), text("KUBERNETES_SERVICE_PORT")) {
            (Some(host), Some(port)) => Self::mounted(&host, &port, mounted),
            _ => Err(AccessError::Nowhere),
        }
    }

    fn mounted(host: &str, port: &str, mounted: &Path) -> Result<Self, AccessError> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let server = format!("https://{host}:{port}");
        let server = server.parse().map_err(|error| AccessError::Config {
            path: mounted.to_owned(),
            problem: format!("KUBERNETES_SERVICE_HOST and _PORT make no URL ({server}): {error}"),
        })?;
        let namespace = String::from_utf8_lossy(&bytes(&mounted.join("namespace"))?).trim().to_owned();
        Ok(Self {
            server,
            authority: Some(bytes(&mounted.join("ca.crt"))?),
            server_name: None,
            credentials: Credentials::TokenFile(mounted.join("token")),
            namespace,
        })
    }
}

/// What a file holds.
pub(crate) fn bytes(path: &Path) -> Result<Vec<u8>, AccessError> {
    std::fs::read(path).map_err(|error| AccessError::Unreadable { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_has_its_service_account_and_a_kubeconfig_goes_before_it() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("ca.crt", "PEM"), ("token", "secret\n"), ("namespace", "models\n")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let pod = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some("fd00::1".into()),
            "KUBERNETES_SERVICE_PORT" => Some("443".into()),
            _ => None,
        };
        let access = Access::find_in(pod, dir.path()).unwrap();
        assert_eq!(
            (access.server.to_string().as_str(), access.namespace.as_str()),
            ("https://[fd00::1]:443/", "models")
        );
        assert!(matches!(&access.credentials, Credentials::TokenFile(path) if path.ends_with("token")));
        let nowhere = Access::find_in(|_| None, dir.path()).unwrap_err().to_string();
        assert!(nowhere.contains("KUBECONFIG"), "{nowhere}");
        let named =
            |name: &str| (name == "KUBECONFIG").then(|| "/nowhere/config".into()).or_else(|| pod(name));
        assert!(Access::find_in(named, dir.path()).unwrap_err().to_string().starts_with("/nowhere/config"));
        let lost = Access::find_in(pod, Path::new("/nowhere")).unwrap_err().to_string();
        assert!(lost.contains("/nowhere/namespace"), "{lost}");
    }
}
