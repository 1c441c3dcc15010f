//! scikit-learn estimators in skops' archive, as MLflow saves them from 3.17 on.
//!
//! The archive is a zip of `schema.json`, which describes the object and what it holds, and of NumPy arrays. Unlike a
//! pickle it is data: skops makes objects of the types that it names; here nothing is made of anything. The tree of
//! descriptions is read ([`node`]), and the types on a short list, all from scikit-learn itself, are put together from the
//! engine's own parts ([`transformers`], [`estimators`]). Any other type is refused by name.

mod archive;
mod estimators;
mod histogram;
mod labels;
mod node;
mod npy;
mod transformers;
mod trees;

use crate::binding::{Feature, FeatureKind};
use crate::error::Unread;
use crate::format::Hints;
use crate::native::Native;
use crate::native::steps::{Step, kinds};
use archive::Archive;
use node::{Node, Reader};
use transformers::Columns;

/// What to do with what is not supported.
const REMEDY: &str = "export the model to ONNX, or serve it as a process";

/// Reads an archive.
pub(crate) fn archive(bytes: &[u8], hints: &Hints<'_>) -> Result<Native, Unread> {
    let archive = Archive::open(bytes)?;
    let reader = Reader::new(&archive)?;
    let root = reader.root();
    let mut steps = Vec::new();
    let (names, last) = if root.class() == "Pipeline" {
        let stages = transformers::stages(root)?;
        let (last, before) = stages.split_last().ok_or_else(|| Unread::broken("Pipeline", "has no steps"))?;
        let first = before.first().unwrap_or(last);
        let mut columns = Columns::of(*first)?;
        let names = hints.names(&columns.names, columns.width, "x");
        for stage in before {
            columns = transformers::append(*stage, columns, &mut steps)?;
        }
        (names, *last)
    } else {
        let columns = Columns::of(root)?;
        (hints.names(&columns.names, columns.width, "x"), root)
    };
    let mut parts = estimators::read(last)?;
    steps.append(&mut parts.steps);

    let width = names.len();
    let used = prune(&mut steps, width);
    let kinds = kinds(&steps, used.len());
    let features = used.iter().zip(kinds).filter_map(|(at, kind)| {
        Some(Feature { name: names.get(*at)?.as_str().into(), kind: kind.unwrap_or(FeatureKind::Numeric) })
    });
    Ok(Native {
        features: features.collect(),
        steps,
        learner: parts.learner,
        offsets: parts.offsets,
        link: parts.link,
        classes: parts.classes.into(),
    })
}

/// Leaves out columns that the first step drops, which need not even be in a table; those that are left, in order.
fn prune(steps: &mut [Step], width: usize) -> Vec<usize> {
    let Some(Step::Branches(branches)) = steps.first_mut() else { return (0..width).collect() };
    let mut used: Vec<usize> = branches.iter().flat_map(|branch| branch.columns.iter().copied()).collect();
    used.sort_unstable();
    used.dedup();
    for at in branches.iter_mut().flat_map(|branch| &mut branch.columns) {
        *at = used.binary_search(at).unwrap_or(*at);
    }
    used
}

/// That a type is not supported.
fn unsupported(node: Node<'_>) -> Unread {
    Unread::unsupported(format!("{} {}", node.module(), node.class()), REMEDY)
}
