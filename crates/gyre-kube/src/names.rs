//! Whose an object is: names that are legal and say which version, labels by which gyre finds what is its own.
//!
//! Names follow from gyre, model and version, so that a gyre that starts anew finds what it made before. Several gyres may share a
//! namespace: their names differ, for the digest in them is of the instance too.

use gyre_core::{Digest, ModelName, Version};
use serde_json::{Map, Value};

/// Who makes and keeps an object, as its label and as the field manager of what is applied.
pub(crate) const MANAGER: &str = "gyre";
/// The label that says who manages an object.
pub(crate) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label by which the pods of a version are selected.
pub(crate) const SELECTOR: &str = "app.kubernetes.io/instance";
/// The labels of gyre's own.
pub(crate) const INSTANCE: &str = "gyre/instance";
pub(crate) const MODEL: &str = "gyre/model";
pub(crate) const VERSION: &str = "gyre/version";

/// The longest label value, and the longest DNS label.
const LONGEST: usize = 63;
/// How much of a model's name stands in the names of its objects: KServe appends words of its own to them.
const SHOWN: usize = 24;

/// Which version of which model of which gyre.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Which gyre: a word that no other gyre of the namespace has.
    pub instance: String,
    /// The model.
    pub model: ModelName,
    /// Its version.
    pub version: Version,
}

impl Identity {
    /// The name of its objects, a legal DNS label: `price-v3-1f0a77d2`.
    pub fn name(&self) -> String {
        let Self { instance, model, version } = self;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let slug: String = model.as_str().chars().map(plain).take(SHOWN).collect();
        // A Service's name begins with a letter.
        let slug = slug.trim_matches('-');
        let begin = if slug.starts_with(|c: char| c.is_ascii_lowercase()) { "" } else { "m-" };
        let digest = Digest::of(format!("{instance}/{model}/{version}").as_bytes()).to_string();
        format!("{begin}{slug}-v{version}-{}", digest.get(..8).unwrap_or(&digest))
    }

    /// The labels of its objects.
    pub fn labels(&self) -> Map<String, Value> {
        let labels = [
            (MANAGED_BY, MANAGER.to_owned()),
            ("app.kubernetes.io/name", value(self.model.as_str())),
            (SELECTOR, self.name()),
            (INSTANCE, value(&self.instance)),
            (MODEL, value(self.model.as_str())),
            (VERSION, self.version.to_string()),
        ];
        labels.into_iter().map(|(label, value)| (label.to_owned(), value.into())).collect()
    }

    /// Whether an object carries them.
    pub(crate) fn owns(&self, object: &Value) -> bool {
        self.owner_labels().iter().all(|(label, value)| label_of(object, label) == Some(value))
    }

    fn owner_labels(&self) -> [(&'static str, String); 4] {
        [
            (MANAGED_BY, MANAGER.to_owned()),
            (INSTANCE, value(&self.instance)),
            (MODEL, value(self.model.as_str())),
            (VERSION, self.version.to_string()),
        ]
    }
}

/// The label selector for everything of a model.
pub(crate) fn of_model(instance: &str, model: &ModelName) -> String {
    let (instance, model) = (value(instance), value(model.as_str()));
    format!("{MANAGED_BY}={MANAGER},{INSTANCE}={instance},{MODEL}={model}")
}

/// The value of an object's label.
pub(crate) fn label_of<'a>(object: &'a Value, label: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(label)?.as_str()
}

/// The text as a label's value: as it is where that is legal, otherwise shortened and told apart by its digest.
fn value(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric();
    let legal = text.bytes().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
        && text.bytes().next().is_some_and(plain)
        && text.bytes().last().is_some_and(plain)
        && text.len() <= LONGEST;
    if legal {
        return text.to_owned();
    }
    let digest = Digest::of(text.as_bytes()).to_string();
    let kept: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(40).collect();
    format!("{}-{}", kept.trim_matches('-'), digest.get(..12).unwrap_or(&digest)).trim_matches('-').to_owned()
}

/// Whether `text` is a DNS label.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    text.len() <= LONGEST
        && text.bytes().all(|b| inner(b) || b == b'-')
        && text.bytes().next().is_some_and(inner)
        && text.bytes().last().is_some_and(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(instance: &str, model: &str) -> Identity {
        Identity { instance: instance.to_owned(), model: model.parse().unwrap(), version: 3 }
    }

    #[test]
    fn every_model_has_legal_names_of_its_own() {
        let long = "x".repeat(100);
        let dashes = format!("a{}", "-".repeat(99));
        for model in ["price", "Price", "7", "a.b_c", "price-", &long, &dashes] {
            let one = identity("shop", model);
            let name = one.name();
            assert!(is_dns_label(&name) && name.len() <= 45 && name.contains("-v3-"), "{name}");
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
            for (label, value) in one.labels() {
                let value = value.as_str().unwrap().to_owned();
                assert_eq!(super::value(&value), value, "{label} is legal");
            }
            assert_ne!(name, identity("other", model).name());
        }
        assert_ne!(identity("shop", "price").name(), identity("shop", "Price").name());
        assert!(identity("shop", "price").name().starts_with("price-v3-"));
    }

    #[test]
    fn an_object_of_another_is_not_ones_own() {
        let ours = identity("shop", "price");
        let object = |labels| serde_json::json!({"metadata": {"labels": labels}});
        assert!(ours.owns(&object(Value::from(ours.labels()))));
        assert!(!ours.owns(&object(Value::from(identity("other", "price").labels()))));
        let mut labels = ours.labels();
        labels.remove(MANAGED_BY);
        assert!(!ours.owns(&object(Value::from(labels))));
        assert!(!ours.owns(&serde_json::json!({})));
    }
}
