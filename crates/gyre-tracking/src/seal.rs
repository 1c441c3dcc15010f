//! The digest of all that a run logged, which the journal keeps of a run's end.
//!
//! SHA-256 over fields, each preceded by its length in bytes (64 bits, little-endian), so that no two runs of different
//! contents have the same bytes. In this order: the run's id; each parameter (`param`, key, value); each tag (`tag`, key,
//! value), without the run's name, which may change later, and without the tags of [`provenance::TAGS`], which the server
//! may write later, and of which the journal tells; each metric (`metric`, key, and for every point of the history
//! its timestamp, step and IEEE 754 bits, 24 bytes, little-endian); each dataset (`dataset`, name, digest); each logged
//! model (`model`, id); and, when artifacts are kept here, the digest of their tree (`artifacts`, 32 bytes). Parameters,
//! tags and metrics are ordered by key.

use gyre_core::Digest;
use gyre_store::{StoreError, Tx};
use sha2::{Digest as _, Sha256};

use crate::{data, history, provenance, tags};

/// SHA-256 over all that the run `run_id` logged; `artifacts` is the digest of the tree of its artifacts.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn seal(tx: &mut Tx<'_>, run_id: &str, artifacts: Option<Digest>) -> Result<Digest, StoreError> {
    let run = data::run(tx, run_id)?;
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    field(run_id.as_bytes());
    for (key, value) in &run.params {
        [b"param".as_slice(), key.as_bytes(), value.as_bytes()].into_iter().for_each(&mut field);
    }
    for (key, value) in run.tags.iter().filter(|(key, _)| is_sealed(key)) {
        [b"tag".as_slice(), key.as_bytes(), value.as_bytes()].into_iter().for_each(&mut field);
    }
    for metric in &run.metrics {
        let points = history::all(tx, run.info.run, &metric.key)?;
        let mut bytes = Vec::with_capacity(points.len() * 24);
        for point in points {
            bytes.extend(point.timestamp.to_le_bytes());
            bytes.extend(point.step.to_le_bytes());
            bytes.extend(point.value.to_bits().to_le_bytes());
        }
        [b"metric".as_slice(), metric.key.as_bytes(), &bytes].into_iter().for_each(&mut field);
    }
    for input in &run.links.datasets {
        let dataset = &input.dataset;
        [b"dataset".as_slice(), dataset.name.as_bytes(), dataset.digest.as_bytes()]
            .into_iter()
            .for_each(&mut field);
    }
    let made = run.links.model_outputs.iter().map(|output| &output.model_id);
    for model in run.links.model_inputs.iter().chain(made) {
        [b"model".as_slice(), model.as_bytes()].into_iter().for_each(&mut field);
    }
    if let Some(tree) = artifacts {
        [b"artifacts".as_slice(), tree.as_bytes()].into_iter().for_each(&mut field);
    }
    let bytes: [u8; 32] = hash.finalize().into();
    Ok(Digest::from_bytes(bytes))
}

fn is_sealed(key: &str) -> bool {
    key != tags::RUN_NAME && !provenance::TAGS.contains(&key)
}
