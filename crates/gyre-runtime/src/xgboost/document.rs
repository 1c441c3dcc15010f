//! The document, as it is written.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

#[derive(Debug, Deserialize)]
pub(super) struct Document {
    pub(super) learner: Booster,
}

#[derive(Debug, Deserialize)]
pub(super) struct Booster {
    #[serde(default, deserialize_with = "few_entries")]
    pub(super) attributes: HashMap<String, String>,
    #[serde(default, deserialize_with = "few")]
    pub(super) feature_names: Vec<String>,
    #[serde(default, deserialize_with = "few")]
    pub(super) feature_types: Vec<String>,
    pub(super) gradient_booster: Gradients,
    pub(super) learner_model_param: Parameters,
    pub(super) objective: Named,
}

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    pub(super) base_score: String,
    pub(super) num_feature: String,
    pub(super) num_class: Option<String>,
    pub(super) num_target: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Gradients {
    pub(super) name: String,
    pub(super) model: Option<Trees>,
    /// Of `dart`.
    pub(super) gbtree: Option<Box<Gradients>>,
    #[serde(default)]
    pub(super) weight_drop: Vec<f32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Trees {
    #[serde(deserialize_with = "few")]
    pub(super) trees: Vec<Tree>,
    pub(super) tree_info: Vec<u32>,
    pub(super) iteration_indptr: Vec<u64>,
    pub(super) gbtree_model_param: TreesParameters,
    pub(super) cats: Categories,
    /// Of `gblinear`.
    pub(super) weights: Vec<f32>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct TreesParameters {
    pub(super) num_parallel_tree: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Categories {
    #[serde(deserialize_with = "few")]
    pub(super) enc: Vec<Encoding>,
}

/// Categories of a feature: text as bytes with offsets, or numbers.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Encoding {
    pub(super) offsets: Vec<u32>,
    pub(super) values: Vec<f64>,
}

/// Lists with an entry a node, and the sets of categories of some.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Tree {
    pub(super) left_children: Vec<i32>,
    pub(super) right_children: Vec<i32>,
    pub(super) split_indices: Vec<u32>,
    pub(super) split_conditions: Vec<f32>,
    pub(super) default_left: Flags,
    pub(super) split_type: Vec<u8>,
    pub(super) sum_hessian: Vec<f32>,
    pub(super) categories: Vec<u32>,
    pub(super) categories_nodes: Vec<u32>,
    pub(super) categories_segments: Vec<u64>,
    pub(super) categories_sizes: Vec<u64>,
    pub(super) tree_param: TreeParameters,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct TreeParameters {
    pub(super) size_leaf_vector: Option<String>,
}

/// Most things of a kind that take far more memory than bytes in the file: trees, names.
const MOST: usize = 1 << 20;

/// A list of at most [`MOST`] things.
fn few<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct Few<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut things = Vec::new();
            while let Some(thing) = list.next_element()? {
                if things.len() == MOST {
                    return Err(Error::custom(format_args!("a list has more than {MOST} entries")));
                }
                things.push(thing);
            }
            Ok(things)
        }
    }
    deserializer.deserialize_seq(Few(PhantomData))
}

/// At most [`MOST`] texts by key.
fn few_entries<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HashMap<String, String>, D::Error> {
    struct Few;
    impl<'de> Visitor<'de> for Few {
        type Value = HashMap<String, String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("texts by key")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut entries = HashMap::new();
            while let Some((key, value)) = map.next_entry()? {
                if entries.len() == MOST {
                    return Err(Error::custom(format_args!("more than {MOST} attributes")));
                }
                entries.insert(key, value);
            }
            Ok(entries)
        }
    }
    deserializer.deserialize_map(Few)
}

/// Booleans, in old files; numbers, in new ones.
#[derive(Debug, Default)]
pub(super) struct Flags(pub(super) Vec<bool>);

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Flags;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of flags")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Flags, A::Error> {
                let mut flags = Vec::new();
                while let Some(Flag(flag)) = list.next_element()? {
                    flags.push(flag);
                }
                Ok(Flags(flags))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl Visitor<'_> for One {
            type Value = Flag;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false, 0 or 1")
            }
            fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
                Ok(Flag(flag))
            }
            fn visit_u64<E>(self, flag: u64) -> Result<Flag, E> {
                Ok(Flag(flag != 0))
            }
            fn visit_i64<E>(self, flag: i64) -> Result<Flag, E> {
                Ok(Flag(flag != 0))
            }
        }
        deserializer.deserialize_any(One)
    }
}
