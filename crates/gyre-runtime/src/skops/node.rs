//! The descriptions in `schema.json`: an object's class, how it was taken apart, and its content.

use std::cell::Cell;
use std::collections::HashMap;

use serde_json::{Map, Value};

use super::archive::Archive;
use super::npy::{Array, Elements};
use crate::error::Unread;

/// An archive with its descriptions by number: one that was met before is only pointed to.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    archive: &'a Archive,
    by_id: HashMap<i64, &'a Value>,
    /// How much more may be read. Descriptions that point to others can say a thing over and over, or themselves.
    room: Cell<usize>,
}

/// What may be read altogether, in bytes of arrays, and [`NODE_COST`] a description or a column.
const ROOM: usize = 1 << 30;
pub(super) const NODE_COST: usize = 64;
/// Deepest way from the root; what is below counts as nothing.
const DEEPEST: u16 = 200;

static NOTHING: Value = Value::Null;

/// A description.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a> {
    reader: &'a Reader<'a>,
    value: &'a Value,
    depth: u16,
}

impl<'a> Reader<'a> {
    pub(super) fn new(archive: &'a Archive) -> Result<Reader<'a>, Unread> {
        let mut by_id = HashMap::new();
        // Not recursive, though JSON's own depth is bounded when it is read.
        let mut open = vec![&archive.schema];
        while let Some(value) = open.pop() {
            match value {
                Value::Array(values) => open.extend(values),
                Value::Object(map) => {
                    if loader(map) != "CachedNode"
                        && let Some(id) = map.get("__id__").and_then(Value::as_i64)
                    {
                        by_id.entry(id).or_insert(value);
                    }
                    open.extend(map.values());
                }
                _ => {}
            }
        }
        if !archive.schema.is_object() {
            return Err(Unread::broken("schema.json", "is not an object"));
        }
        Ok(Reader { archive, by_id, room: Cell::new(ROOM) })
    }

    pub(super) fn root(&'a self) -> Node<'a> {
        self.node(&self.archive.schema, 0)
    }

    /// Takes from what may be read; whether there was enough.
    fn spend(&self, cost: usize) -> bool {
        let left = self.room.get().checked_sub(cost);
        self.room.set(left.unwrap_or(0));
        left.is_some()
    }

    fn node(&'a self, value: &'a Value, depth: u16) -> Node<'a> {
        if depth > DEEPEST || !self.spend(NODE_COST) {
            return Node { reader: self, value: &NOTHING, depth };
        }
        let cached = value.as_object().filter(|map| loader(map) == "CachedNode");
        let value = cached
            .and_then(|map| map.get("__id__")?.as_i64())
            .and_then(|id| self.by_id.get(&id).copied())
            .unwrap_or(value);
        Node { reader: self, value, depth }
    }
}

fn loader(map: &Map<String, Value>) -> &str {
    map.get("__loader__").and_then(Value::as_str).unwrap_or_default()
}

impl<'a> Node<'a> {
    fn text(self, key: &str) -> &'a str {
        self.value.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The class's name, without its module.
    pub(super) fn class(self) -> &'a str {
        self.text("__class__")
    }

    pub(super) fn module(self) -> &'a str {
        self.text("__module__")
    }

    /// How the object was taken apart.
    pub(super) fn loader(self) -> &'a str {
        self.text("__loader__")
    }

    /// Whether it is of a class of scikit-learn itself.
    pub(super) fn is_sklearn(self) -> bool {
        self.module().starts_with("sklearn.")
    }

    fn broken(self, problem: impl Into<String>) -> Unread {
        Unread::broken(format!("schema.json, {}", self.class()), problem)
    }

    fn content(self) -> Option<&'a Value> {
        self.value.get("content")
    }

    /// The entries of a dictionary, or the attributes of an object.
    pub(super) fn entries(self) -> Option<&'a Map<String, Value>> {
        let content = self.content()?.as_object()?;
        if loader(content) == "DictNode" { content.get("content")?.as_object() } else { Some(content) }
    }

    /// An attribute, if the object has it and it is not `None`.
    pub(super) fn optional(self, name: &str) -> Option<Node<'a>> {
        let node = self.reader.node(self.entries()?.get(name)?, self.depth + 1);
        (!node.is_none()).then_some(node)
    }

    /// An attribute.
    pub(super) fn get(self, name: &str) -> Result<Node<'a>, Unread> {
        self.optional(name).ok_or_else(|| {
            self.broken(format!(
                "has no {name}; it is not fitted, or of a version of scikit-learn that is not known"
            ))
        })
    }

    /// The elements of a list, a tuple, or an array of objects.
    pub(super) fn items(self) -> Result<Vec<Node<'a>>, Unread> {
        let list = self.value.as_array().or_else(|| self.content()?.as_array());
        let list = list.ok_or_else(|| self.broken("is not a list"))?;
        Ok(list.iter().map(|value| self.reader.node(value, self.depth + 1)).collect())
    }

    /// A plain value: text, number, boolean; described, or as it is.
    fn plain(self) -> Option<Plain> {
        if self.value.is_object() && self.loader() != "JsonNode" {
            return None;
        }
        match self.content().map(Value::as_str) {
            None => Plain::of(self.value),
            // What Python writes for floats that JSON does not have.
            Some(text) => match text? {
                "NaN" => Some(Plain::Number(f64::NAN)),
                "Infinity" => Some(Plain::Number(f64::INFINITY)),
                "-Infinity" => Some(Plain::Number(f64::NEG_INFINITY)),
                text => Plain::of(&serde_json::from_str(text).ok()?),
            },
        }
    }

    pub(super) fn is_none(self) -> bool {
        self.value.is_null() || matches!(self.plain(), Some(Plain::Nothing))
    }

    pub(super) fn as_text(self) -> Option<String> {
        match self.plain()? {
            Plain::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_flag(self) -> Option<bool> {
        match self.plain()? {
            Plain::Flag(flag) => Some(flag),
            _ => None,
        }
    }

    /// A number, or an array of one number.
    pub(super) fn as_number(self) -> Option<f64> {
        match self.plain() {
            Some(Plain::Number(x)) => Some(x),
            Some(Plain::Integer(x)) => Some(x as f64),
            _ => match self.array().ok()?.numbers().ok()?.as_slice() {
                [x] => Some(*x),
                _ => None,
            },
        }
    }

    pub(super) fn as_index(self) -> Option<usize> {
        let x = self.as_number()?;
        (x >= 0.0 && x.fract() == 0.0 && x < 9e15).then_some(x as usize)
    }

    /// A setting that is `true`; absent and `None` count as false.
    pub(super) fn flag(self, name: &str) -> bool {
        self.optional(name).and_then(Node::as_flag).unwrap_or(false)
    }

    /// A setting in words; empty when absent.
    pub(super) fn setting(self, name: &str) -> String {
        self.optional(name).and_then(Node::as_text).unwrap_or_default()
    }

    /// The numbers of an attribute that is an array, or one number.
    pub(super) fn numbers(self, name: &str) -> Result<Vec<f64>, Unread> {
        let node = self.get(name)?;
        if let Some(number) = node.plain().and_then(|plain| plain.number()) {
            return Ok(vec![number]);
        }
        node.array()?.numbers().map_err(|problem| self.broken(format!("{name} {problem}")))
    }

    /// Counts something that takes `bytes` of memory, which the file asks for in fewer.
    pub(super) fn spend(self, bytes: usize) -> Result<(), Unread> {
        if self.reader.spend(bytes) {
            Ok(())
        } else {
            Err(self.broken("asks for too much, or for the same over and over"))
        }
    }

    /// An array. One of Python's objects is read element by element.
    pub(super) fn array(self) -> Result<Array, Unread> {
        if let Some(file) = self.value.get("file").and_then(Value::as_str) {
            let bytes = self.reader.archive.files.get(file);
            let bytes =
                bytes.ok_or_else(|| self.broken(format!("its array {file} is not in the archive")))?;
            self.spend(bytes.len())?;
            return Array::read(bytes).map_err(|problem| Unread::broken(file, problem));
        }
        let items = self.items()?;
        let values = items.into_iter().map(|item| {
            item.plain().or_else(|| {
                // A scalar of NumPy.
                item.value.get("file").and_then(|_| Some(Plain::Number(item.as_number()?)))
            })
        });
        let values: Option<Vec<Plain>> = values.collect();
        let values =
            values.ok_or_else(|| self.broken("is an array of something else than text and numbers"))?;
        Ok(Array { shape: vec![values.len()], elements: Elements::Objects(values) })
    }
}

/// A plain value of Python.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Plain {
    Nothing,
    Flag(bool),
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Plain {
    fn of(value: &Value) -> Option<Plain> {
        Some(match value {
            Value::Null => Plain::Nothing,
            Value::Bool(flag) => Plain::Flag(*flag),
            Value::Number(number) => match number.as_i64() {
                Some(integer) => Plain::Integer(integer),
                None => Plain::Number(number.as_f64()?),
            },
            Value::String(text) => Plain::Text(text.clone()),
            _ => return None,
        })
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Plain::Flag(flag) => Some(f64::from(u8::from(*flag))),
            Plain::Integer(x) => Some(*x as f64),
            Plain::Number(x) => Some(*x),
            Plain::Nothing | Plain::Text(_) => None,
        }
    }
}
