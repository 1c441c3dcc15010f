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

use crate::inputs::Links;
use crate::points::Point;
use crate::{data, history, provenance, tags};

/// SHA-256 over all that the run `run_id` logged; `artifacts` is the digest of the tree of its artifacts.
///
/// # Errors
/// [`StoreError::NotFound`].
pub fn seal(tx: &mut Tx<'_>, run_id: &str, artifacts: Option<Digest>) -> Result<Digest, StoreError> {
    let run = data::run(tx, run_id)?;
    let mut sealing = Sealing::begin(run_id);
    run.params.iter().for_each(|(key, value)| sealing.param(key, value));
    run.tags.iter().for_each(|(key, value)| sealing.tag(key, value));
    for metric in &run.metrics {
        sealing.metric(&metric.key, &history::all(tx, run.info.run, &metric.key)?);
    }
    sealing.links(&run.links);
    Ok(sealing.end(artifacts))
}

/// A seal in the making; to be told everything in the order above.
pub(crate) struct Sealing(Sha256);

impl Sealing {
    pub(crate) fn begin(run_id: &str) -> Self {
        let mut sealing = Self(Sha256::new());
        sealing.fields(&[run_id.as_bytes()]);
        sealing
    }

    pub(crate) fn param(&mut self, key: &str, value: &str) {
        self.fields(&[b"param", key.as_bytes(), value.as_bytes()]);
    }

    pub(crate) fn tag(&mut self, key: &str, value: &str) {
        if is_sealed(key) {
            self.fields(&[b"tag", key.as_bytes(), value.as_bytes()]);
        }
    }

    pub(crate) fn metric(&mut self, key: &str, points: &[Point]) {
        let mut bytes = Vec::with_capacity(points.len() * 24);
        for point in points {
            bytes.extend(point.timestamp.to_le_bytes());
            bytes.extend(point.step.to_le_bytes());
            bytes.extend(point.value.to_bits().to_le_bytes());
        }
        self.fields(&[b"metric", key.as_bytes(), &bytes]);
    }

    pub(crate) fn links(&mut self, links: &Links) {
        for input in &links.datasets {
            self.fields(&[b"dataset", input.dataset.name.as_bytes(), input.dataset.digest.as_bytes()]);
        }
        let made = links.model_outputs.iter().map(|output| &output.model_id);
        for model in links.model_inputs.iter().chain(made) {
            self.fields(&[b"model", model.as_bytes()]);
        }
    }

    pub(crate) fn end(mut self, artifacts: Option<Digest>) -> Digest {
        if let Some(tree) = artifacts {
            self.fields(&[b"artifacts", tree.as_bytes()]);
        }
        Digest::from_bytes(self.0.finalize().into())
    }

    fn fields(&mut self, fields: &[&[u8]]) {
        for field in fields {
            self.0.update((field.len() as u64).to_le_bytes());
            self.0.update(field);
        }
    }
}

fn is_sealed(key: &str) -> bool {
    key != tags::RUN_NAME && !provenance::TAGS.contains(&key)
}
