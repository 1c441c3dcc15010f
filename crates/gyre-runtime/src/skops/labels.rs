//! Class labels and categories, as text and as what values are looked up in.

use std::sync::Arc;

use super::node::{Node, Plain};
use super::npy::{Array, Elements};
use crate::error::Unread;
use crate::native::steps::Category;

/// The labels of `classes_`, as Python writes them.
pub(super) fn classes(estimator: Node<'_>) -> Result<Vec<Arc<str>>, Unread> {
    let array = estimator.get("classes_")?.array()?;
    let python = |flag: bool| if flag { "True" } else { "False" };
    let labels: Vec<Arc<str>> = match array.elements {
        Elements::Texts(texts) => texts.into_iter().map(Arc::from).collect(),
        Elements::Integers(v) => v.iter().map(|x| x.to_string().into()).collect(),
        Elements::Numbers(v) => v.iter().map(|x| format!("{x:?}").into()).collect(),
        Elements::Flags(v) => v.iter().map(|x| python(*x).into()).collect(),
        Elements::Objects(v) => v
            .into_iter()
            .map(|plain| match plain {
                Plain::Text(text) => text.into(),
                Plain::Integer(x) => x.to_string().into(),
                Plain::Number(x) => format!("{x:?}").into(),
                Plain::Flag(x) => python(x).into(),
                Plain::Nothing => "None".into(),
            })
            .collect(),
        Elements::Records(_) => Vec::new(),
    };
    if labels.is_empty() {
        return Err(Unread::broken(format!("{}.classes_", estimator.class()), "holds no labels"));
    }
    Ok(labels)
}

/// Categories of one column.
pub(super) fn categories(array: Array) -> Vec<Category> {
    match array.elements {
        Elements::Texts(v) => v.into_iter().map(|text| Category::Text(text.into())).collect(),
        Elements::Integers(v) => v.into_iter().map(|x| Category::Number(x as f64)).collect(),
        Elements::Numbers(v) => v.into_iter().map(Category::Number).collect(),
        Elements::Flags(v) => v.into_iter().map(|x| Category::Number(f64::from(u8::from(x)))).collect(),
        Elements::Objects(v) => v
            .into_iter()
            .map(|plain| match plain {
                Plain::Text(text) => Category::Text(text.into()),
                other => other.number().map_or(Category::Missing, Category::Number),
            })
            .collect(),
        Elements::Records(_) => Vec::new(),
    }
}
