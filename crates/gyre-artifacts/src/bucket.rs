//! Blobs in a bucket of an object storage: S3 and what speaks like it, Google Cloud Storage, Azure.
//!
//! A file is first taken in on this machine's disk, and goes to the bucket once its digest is known: so the bucket never
//! holds half a file, or the same file twice, and what is uploaded again from another place costs no transfer. Large files
//! go in parts, a few at a time.
//!
//! The calls block, and must come from threads that may wait: the client itself runs on a Tokio runtime.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use gyre_core::{Digest, Timestamp};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{
    ClientConfigKey, Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    WriteMultipart,
};
use tempfile::TempPath;
use tokio::runtime::Handle;

use crate::ArtifactError;
use crate::depot::Found;
use crate::download::Download;
use crate::location::{Bucket, Provider};

/// Files up to this size go in one request; larger ones in parts of at least it.
const PART: u64 = 8 << 20;

/// The most parts that S3 takes of one file, with some room.
const PARTS: u64 = 9_000;

/// Parts on their way at a time: with [`PART`] that bounds the memory that an upload takes.
const AT_A_TIME: usize = 3;

/// A bucket that holds blobs.
#[derive(Debug)]
pub(crate) struct Remote {
    store: Arc<dyn ObjectStore>,
    signer: Arc<dyn Signer>,
    prefix: String,
    runtime: Handle,
}

impl Remote {
    /// The bucket, with credentials and endpoint from the environment.
    pub(crate) fn open(bucket: &Bucket, runtime: Handle) -> Result<Self, ArtifactError> {
        // Another room may have chosen it already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error| told("read the settings of", error);
        let (store, signer): (Arc<dyn ObjectStore>, Arc<dyn Signer>) = match bucket.provider {
            Provider::S3 => {
                let builder = AmazonS3Builder::from_env().with_bucket_name(&bucket.name);
                let plain = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint]
                    .iter()
                    .find_map(|key| builder.get_config_value(key))
                    .is_some_and(|endpoint| is_loopback(&endpoint));
                let store = Arc::new(builder.with_allow_http(plain).build().map_err(failed)?);
                (Arc::clone(&store) as _, store)
            }
            Provider::Google => {
                let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(&bucket.name);
                let https = GoogleConfigKey::Client(ClientConfigKey::AllowHttp);
                let store = Arc::new(builder.with_config(https, "false").build().map_err(failed)?);
                (Arc::clone(&store) as _, store)
            }
            Provider::Azure => {
                let builder = MicrosoftAzureBuilder::from_env().with_container_name(&bucket.name);
                let store = Arc::new(builder.with_allow_http(false).build().map_err(failed)?);
                (Arc::clone(&store) as _, store)
            }
        };
        Ok(Self { store, signer, prefix: bucket.prefix.clone(), runtime })
    }

    fn key(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    fn blob(&self, digest: &Digest) -> Path {
        let hex = digest.to_hex();
        let (folder, name) = hex.split_at(2);
        self.key(&format!("{folder}/{name}"))
    }

    /// Writes `text` under `name`, unless there is something already; says what is there then.
    pub(crate) fn claim(&self, name: &str, text: &str) -> Result<String, ArtifactError> {
        let key = self.key(name);
        self.runtime.block_on(async {
            let new = PutPayload::from(text.to_owned());
            match self.store.put_opts(&key, new, PutMode::Create.into()).await {
                Ok(_) => return Ok(text.to_owned()),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
                Err(error) => return Err(told("write to", error)),
            }
            let found = self.store.get(&key).await.map_err(|error| told("read from", error))?;
            let bytes = found.bytes().await.map_err(|error| told("read from", error))?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    pub(crate) fn put(&self, file: &TempPath, digest: &Digest) -> Result<(), ArtifactError> {
        let key = self.blob(digest);
        let broken = |error| ArtifactError::io("read", file, error);
        let mut source = File::open(file).map_err(broken)?;
        let size = source.metadata().map_err(broken)?.len();
        if size <= PART {
            let mut bytes = Vec::with_capacity(size as usize);
            source.read_to_end(&mut bytes).map_err(broken)?;
            let put = self.runtime.block_on(self.store.put(&key, bytes.into()));
            return put.map(drop).map_err(|error| told("write to", error));
        }
        let failed = |error| told("write to", error);
        let part = PART.max(size / PARTS) as usize;
        let parts = self.runtime.block_on(self.store.put_multipart(&key)).map_err(failed)?;
        let mut parts = WriteMultipart::new_with_chunk_size(parts, part);
        let mut chunk = vec![0; 1 << 20];
        loop {
            let outcome = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => {
                    let ready = self.runtime.block_on(parts.wait_for_capacity(AT_A_TIME)).map_err(failed);
                    let _inside = self.runtime.enter();
                    ready.map(|()| parts.write(chunk.get(..read).unwrap_or_default()))
                }
                Err(error) => Err(broken(error)),
            };
            if let Err(error) = outcome {
                // What was sent is not visible; the storage's own rules delete parts that nobody completes.
                let _ = self.runtime.block_on(parts.abort());
                return Err(error);
            }
        }
        self.runtime.block_on(parts.finish()).map(drop).map_err(failed)
    }

    pub(crate) fn has(&self, digest: &Digest, size: u64) -> bool {
        let found = self.runtime.block_on(self.store.head(&self.blob(digest)));
        found.is_ok_and(|found| found.size == size)
    }

    pub(crate) fn open_range(
        &self,
        digest: &Digest,
        size: u64,
        from: u64,
        to: u64,
    ) -> Result<Download, ArtifactError> {
        let whole = (from == 0 && to == size).then_some(*digest);
        if from >= to {
            return Ok(Download::of_stream(
                self.runtime.clone(),
                futures_util::stream::empty().boxed(),
                0,
                None,
            ));
        }
        let options = GetOptions { range: Some(GetRange::Bounded(from..to)), ..GetOptions::default() };
        let found = self.runtime.block_on(self.store.get_opts(&self.blob(digest), options));
        let found = found.map_err(|error| match error {
            Error::NotFound { .. } => ArtifactError::Damaged(*digest),
            other => told("read from", other),
        })?;
        if found.meta.size != size {
            return Err(ArtifactError::Damaged(*digest));
        }
        let stream = found.into_stream().map(|chunk| chunk.map_err(|error| told("read from", error))).boxed();
        Ok(Download::of_stream(self.runtime.clone(), stream, to - from, whole))
    }

    pub(crate) fn delete(&self, digest: &Digest) -> Result<(), ArtifactError> {
        match self.runtime.block_on(self.store.delete(&self.blob(digest))) {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(told("delete from", error)),
        }
    }

    pub(crate) fn each(
        &self,
        each: &mut dyn FnMut(Found) -> Result<(), ArtifactError>,
    ) -> Result<(), ArtifactError> {
        let prefix = (!self.prefix.is_empty()).then(|| Path::from(self.prefix.as_str()));
        let mut objects = self.store.list(prefix.as_ref());
        while let Some(object) = self.runtime.block_on(objects.next()) {
            let object = object.map_err(|error| told("list", error))?;
            let key = object.location.as_ref();
            let name = key.strip_prefix(&self.prefix).unwrap_or(key).trim_start_matches('/');
            let digest = name.split_once('/').filter(|(folder, _)| folder.len() == 2);
            // What is not named by a digest was not put there by this room.
            let Some(Ok(digest)) = digest.map(|(folder, name)| format!("{folder}{name}").parse()) else {
                continue;
            };
            let modified = Timestamp::from_millis(object.last_modified.timestamp_millis());
            each(Found { digest, modified })?;
        }
        Ok(())
    }

    /// A URL by which anybody may download the blob for as long as `lifetime`.
    pub(crate) fn sign(&self, digest: &Digest, lifetime: Duration) -> Result<String, ArtifactError> {
        let key = self.blob(digest);
        let signed = self.signer.signed_url(reqwest::Method::GET, &key, lifetime);
        self.runtime.block_on(signed).map(String::from).map_err(|error| told("sign a URL of", error))
    }
}

/// Whether an endpoint is on this machine, where nobody listens in: only there it may do without TLS.
fn is_loopback(endpoint: &str) -> bool {
    let Some(rest) = endpoint.strip_prefix("http://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return false;
    }
    let host = match host.strip_prefix('[') {
        Some(host) => host.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn told(doing: &'static str, error: Error) -> ArtifactError {
    // Full answers of a storage are long, and name keys and accounts.
    let reason = match error {
        Error::PermissionDenied { .. } => {
            "the credentials are not allowed to do this; check what the environment says of the account"
                .to_owned()
        }
        Error::Unauthenticated { .. } => {
            "the credentials were refused; check what the environment says of the account".to_owned()
        }
        Error::NotFound { .. } => "it is not there; check the name of the bucket".to_owned(),
        other => other.to_string().chars().take(300).collect(),
    };
    ArtifactError::Remote { doing, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_may_do_without_tls() {
        for endpoint in ["http://127.0.0.1:9000", "http://localhost", "http://[::1]:1/x"] {
            assert!(is_loopback(endpoint), "{endpoint}");
        }
        for endpoint in [
            "http://storage.example",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1.evil.example",
            "https://localhost",
            "",
        ] {
            assert!(!is_loopback(endpoint), "{endpoint}");
        }
    }
}
