//! Reads kubeconfig files: the context that is current, its cluster and its user.
//!
//! What is followed: tokens, files of tokens, client certificates, authorities; several files, of which the first to define a name
//! wins. What is not, is said rather than passed over: programs that fetch credentials (`exec`, `auth-provider`), passwords, and
//! servers whose certificate is not to be checked.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::access::{Access, Credentials, bytes};
use crate::error::AccessError;

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    current_context: Option<String>,
    clusters: Vec<Cluster>,
    users: Vec<User>,
    contexts: Vec<Context>,
}

#[derive(Deserialize)]
struct Cluster {
    name: String,
    cluster: ClusterOf,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ClusterOf {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    tls_server_name: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct User {
    name: String,
    #[serde(default)]
    user: UserOf,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case", default)]
struct UserOf {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    username: Option<String>,
    exec: Option<serde_json::Value>,
    auth_provider: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Context {
    name: String,
    context: ContextOf,
}

#[derive(Deserialize)]
struct ContextOf {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

/// The access that these files give together.
pub(crate) fn read(paths: &[PathBuf]) -> Result<Access, AccessError> {
    let mut files = Vec::new();
    for path in paths {
        let text = String::from_utf8_lossy(&bytes(path)?).into_owned();
        let file: File = serde_saphyr::from_str(&text).map_err(|error| wrong(path, error.to_string()))?;
        files.push((path.as_path(), file));
    }
    let first = paths.first().map_or(Path::new("KUBECONFIG"), PathBuf::as_path);
    let current =
        files.iter().find_map(|(_, file)| file.current_context.as_deref().filter(|name| !name.is_empty()));
    let current = current.ok_or_else(|| {
        wrong(first, "it has no current-context; choose one with `kubectl config use-context`")
    })?;
    let named = |what: &str, name: &str| wrong(first, format!("there is no {what} named {name:?}"));
    let context = files.iter().flat_map(|(_, file)| &file.contexts).find(|of| of.name == current);
    let context = &context.ok_or_else(|| named("context", current))?.context;
    let clusters = files.iter().flat_map(|(path, file)| file.clusters.iter().map(move |of| (path, of)));
    let (place, cluster) = clusters
        .into_iter()
        .find(|(_, of)| of.name == context.cluster)
        .ok_or_else(|| named("cluster", &context.cluster))?;
    let users = files.iter().flat_map(|(path, file)| file.users.iter().map(move |of| (path, of)));
    let user = users.into_iter().find(|(_, of)| of.name == context.user);
    let (home, user) = user.ok_or_else(|| named("user", &context.user))?;
    let of = &cluster.cluster;
    if of.insecure_skip_tls_verify {
        return Err(wrong(
            place,
            format!(
                "cluster {:?} says insecure-skip-tls-verify, which is not followed: name its certificate-authority",
                cluster.name
            ),
        ));
    }
    let server = of.server.parse().map_err(|error| {
        wrong(place, format!("the server {:?} of cluster {:?} is no URL: {error}", of.server, cluster.name))
    })?;
    Ok(Access {
        server,
        authority: either(
            place,
            of.certificate_authority_data.as_deref(),
            of.certificate_authority.as_deref(),
        )?,
        server_name: of.tls_server_name.clone(),
        credentials: credentials(home, user)?,
        namespace: context.namespace.clone().unwrap_or_else(|| "default".to_owned()),
    })
}

fn credentials(path: &Path, User { name, user }: &User) -> Result<Credentials, AccessError> {
    if let Some(token) = &user.token {
        return Ok(Credentials::Token(token.clone()));
    }
    if let Some(file) = &user.token_file {
        return Ok(Credentials::TokenFile(beside(path, file)));
    }
    let chain = either(path, user.client_certificate_data.as_deref(), user.client_certificate.as_deref())?;
    let key = either(path, user.client_key_data.as_deref(), user.client_key.as_deref())?;
    match (chain, key) {
        (Some(chain), Some(key)) => return Ok(Credentials::Certificate { chain, key }),
        (None, None) => {}
        _ => {
            return Err(wrong(
                path,
                format!("user {name:?} has a client certificate or its key, but not both"),
            ));
        }
    }
    let not_followed = if user.exec.is_some() {
        "logs in by a program (exec)"
    } else if user.auth_provider.is_some() {
        "logs in by an auth-provider"
    } else if user.username.is_some() {
        "logs in by a password"
    } else {
        return Ok(Credentials::Anonymous);
    };
    Err(wrong(
        path,
        format!(
            "user {name:?} {not_followed}, which gyre does not: give it a service account's token (`kubectl create token`, or a \
             tokenFile that is kept fresh), or a client certificate"
        ),
    ))
}

/// What stands in the file itself, or in a file that it names.
fn either(path: &Path, data: Option<&str>, file: Option<&Path>) -> Result<Option<Vec<u8>>, AccessError> {
    match (data, file) {
        (Some(data), _) => {
            let compact: String = data.split_whitespace().collect();
            let decoded = STANDARD.decode(compact);
            Ok(Some(decoded.map_err(|error| wrong(path, format!("…-data is no Base64: {error}")))?))
        }
        (None, Some(file)) => Ok(Some(bytes(&beside(path, file))?)),
        (None, None) => Ok(None),
    }
}

/// Paths are relative to the file that they stand in.
fn beside(path: &Path, file: &Path) -> PathBuf {
    path.parent().map_or_else(|| file.to_owned(), |folder| folder.join(file))
}

fn wrong(path: &Path, problem: impl Into<String>) -> AccessError {
    AccessError::Config { path: path.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
current-context: work
preferences: {}
contexts:
- {name: work, context: {cluster: c, user: USER, namespace: models}}
clusters:
- name: c
  cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.pem, tls-server-name: kubernetes}
users:
- {name: token, user: {token: secret}}
- {name: file, user: {tokenFile: token}}
- {name: both, user: {client-certificate-data: UEVN, client-key: key.pem}}
- {name: half, user: {client-certificate-data: UEVN}}
- {name: exec, user: {exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}}}
- {name: nobody, user: {}}
";

    fn with(user: &str, from: &str, to: &str) -> Result<Access, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config");
        std::fs::write(&path, CONFIG.replace("USER", user).replace(from, to)).unwrap();
        std::fs::write(dir.path().join("ca.pem"), "CA").unwrap();
        std::fs::write(dir.path().join("key.pem"), "KEY").unwrap();
        read(&[path]).map_err(|error| error.to_string())
    }

    #[test]
    fn each_way_to_log_in_is_followed_or_refused_in_words() {
        let access = with("token", "", "").unwrap();
        assert_eq!(
            (access.namespace.as_str(), access.server_name.as_deref()),
            ("models", Some("kubernetes"))
        );
        assert_eq!(access.authority.as_deref(), Some(&b"CA"[..]));
        assert!(matches!(access.credentials, Credentials::Token(token) if token == "secret"));
        assert!(
            matches!(with("file", "", "").unwrap().credentials, Credentials::TokenFile(path) if path.is_absolute())
        );
        assert!(matches!(with("both", "", "").unwrap().credentials,
            Credentials::Certificate { chain, key } if chain == b"PEM" && key == b"KEY"));
        assert!(matches!(with("nobody", "", "").unwrap().credentials, Credentials::Anonymous));
        for (user, words) in
            [("half", "not both"), ("exec", "by a program (exec)"), ("else", "no user named")]
        {
            let refused = with(user, "", "").unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
        let insecure =
            with("token", "tls-server-name: kubernetes", "insecure-skip-tls-verify: true").unwrap_err();
        assert!(insecure.contains("not followed"), "{insecure}");
        let no_context = with("token", "current-context: work", "").unwrap_err();
        assert!(no_context.contains("use-context"), "{no_context}");
    }

    #[test]
    fn of_several_files_the_first_wins() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        std::fs::write(&one, "users: [{name: u, user: {token: first}}]\ncurrent-context: x\n").unwrap();
        let rest = "users: [{name: u, user: {token: second}}]\ncurrent-context: y\n\
                    clusters: [{name: c, cluster: {server: 'https://h'}}]\n\
                    contexts: [{name: x, context: {cluster: c, user: u}}]\n";
        std::fs::write(&two, rest).unwrap();
        let access = read(&[one, two]).unwrap();
        assert!(matches!(access.credentials, Credentials::Token(token) if token == "first"));
        assert_eq!(access.namespace, "default");
    }
}
