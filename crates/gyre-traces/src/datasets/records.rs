//! Records of a dataset: one for each input, brought up to what is known of it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gyre_core::Digest;
use gyre_store::{Cell, Row, StoreError, Tx};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::USER;
use crate::limits::{invalid, shown};
use crate::spaced::{canonical, dump};

/// The most records of a request.
const RECORDS: usize = 10_000;
/// The longest JSON of a field of a record, in bytes.
const LONGEST: usize = 1 << 20;

/// A record as it comes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
struct Given {
    #[serde(default)]
    inputs: Map<String, Value>,
    /// Null is said, and unlike saying nothing.
    #[serde(default, deserialize_with = "said")]
    outputs: Option<Value>,
    expectations: Option<Map<String, Value>>,
    tags: Option<Map<String, Value>>,
    source: Option<Map<String, Value>>,
}

fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its id: `dr-` and 32 hexadecimal digits.
    pub record_id: String,
    /// What goes in.
    pub inputs: Value,
    /// What came out.
    pub outputs: Option<Value>,
    /// What should come out.
    pub expectations: Option<Value>,
    /// Its tags.
    pub tags: Option<Value>,
    /// Where it is from: an object with `source_type` and `source_data`.
    pub source: Option<Value>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// When it was changed last.
    pub updated_ms: i64,
    /// Who made it.
    pub created_by: Option<String>,
    /// Who changed it last.
    pub updated_by: Option<String>,
}

/// Some records.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RecordPage {
    /// The records, the oldest first.
    pub records: Vec<Record>,
    /// Where the next page begins; nothing when this is the last.
    pub next: Option<String>,
}

/// What became of records that were given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upserted {
    /// How many are new.
    pub inserted: u64,
    /// How many were there, by their inputs.
    pub updated: u64,
}

const COLUMNS: &str =
    "record_id, inputs, outputs, expectations, tags, source, created_ms, updated_ms, created_by, updated_by";

/// Adds records from the JSON of a list. A record with inputs that are there already adds its expectations and tags to that
/// one, and replaces its outputs.
///
/// # Errors
/// [`StoreError::NotFound`] for the dataset; [`StoreError::Invalid`].
pub fn upsert(tx: &mut Tx<'_>, dataset: &str, json: &str, now_ms: i64) -> Result<Upserted, StoreError> {
    let known = super::get(tx, dataset)?;
    let given: Vec<Given> = serde_json::from_str(json)
        .map_err(|error| invalid(format!("records is not the JSON of a list of records: {error}")))?;
    if given.len() > RECORDS {
        return Err(invalid(format!("found {} records, at most {RECORDS} go in one request", given.len())));
    }
    let mut done = Upserted::default();
    let mut by: Option<String> = None;
    let mut schema = Schema::read(known.schema.as_deref());
    for record in given {
        schema.add(&record);
        by = user(&record).or(by);
        let inputs = canonical(&Value::Object(record.inputs.clone()));
        let hash = Digest::of(inputs.as_bytes()).to_hex();
        let sql =
            format!("SELECT {COLUMNS} FROM traces_dataset_records WHERE dataset_id = ?1 AND input_hash = ?2");
        match tx.query(&sql, &[dataset.into(), hash.as_str().into()])?.first() {
            Some(row) => {
                merge(tx, read(row)?, record, now_ms)?;
                done.updated += 1;
            }
            None => {
                insert(tx, dataset, &hash, record, now_ms)?;
                done.inserted += 1;
            }
        }
    }
    let profile = count(tx, dataset)?.map(|count| json!({"num_records": count}));
    tx.execute(
        "UPDATE traces_datasets SET updated_ms = ?2, updated_by = ?3, digest = ?4, schema = ?5, profile = ?6
         WHERE dataset_id = ?1",
        &[
            dataset.into(),
            now_ms.into(),
            by.or(known.updated_by).into(),
            super::digest(&known.name, now_ms).into(),
            schema.write().or(known.schema).into(),
            profile.map(|profile| dump(&profile)).into(),
        ],
    )?;
    Ok(done)
}

fn user(record: &Given) -> Option<String> {
    record.tags.as_ref()?.get(USER)?.as_str().map(str::to_owned)
}

/// How many records there are; nothing for none.
fn count(tx: &mut Tx<'_>, dataset: &str) -> Result<Option<i64>, StoreError> {
    let rows =
        tx.query("SELECT count(*) FROM traces_dataset_records WHERE dataset_id = ?1", &[dataset.into()])?;
    let count: i64 = rows.first().map(|row| row.get(0)).transpose()?.unwrap_or_default();
    Ok((count > 0).then_some(count))
}

/// The text of a field, within its limit.
fn text(what: &str, value: Option<&Value>) -> Result<Cell, StoreError> {
    let text = value.map(dump);
    if let Some(long) = text.as_ref().filter(|text| text.len() > LONGEST) {
        return Err(invalid(format!(
            "the {what} of a record have {} bytes, at most {LONGEST} go",
            long.len()
        )));
    }
    Ok(text.into())
}

fn insert(tx: &mut Tx<'_>, dataset: &str, hash: &str, record: Given, now_ms: i64) -> Result<(), StoreError> {
    let by: Cell = user(&record).into();
    let source = record.source.map(source).transpose()?;
    // Nothing said of the outputs is an empty object, for clients expect one.
    let outputs = record.outputs.unwrap_or_else(|| json!({}));
    let outputs = (!outputs.is_null()).then_some(outputs);
    tx.execute(
        "INSERT INTO traces_dataset_records (record_id, dataset_id, input_hash, inputs, outputs, expectations, tags, source, \
         created_ms, updated_ms, created_by, updated_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?10)",
        &[
            format!("dr-{}", Uuid::new_v4().simple()).into(),
            dataset.into(),
            hash.into(),
            text("inputs", Some(&Value::Object(record.inputs)))?,
            text("outputs", outputs.as_ref())?,
            text("expectations", record.expectations.map(Value::Object).as_ref())?,
            text("tags", record.tags.map(Value::Object).as_ref())?,
            text("source", source.as_ref())?,
            now_ms.into(),
            by,
        ],
    )?;
    Ok(())
}

/// Where a record is from, checked.
fn source(mut given: Map<String, Value>) -> Result<Value, StoreError> {
    let kind = given.remove("source_type").unwrap_or_default();
    let kind = kind.as_str().unwrap_or("UNSPECIFIED").to_uppercase();
    if !["UNSPECIFIED", "TRACE", "HUMAN", "DOCUMENT", "CODE"].contains(&kind.as_str()) {
        return Err(invalid(format!(
            "the source_type of a record is {}, expected TRACE, HUMAN, DOCUMENT or CODE",
            shown(&kind)
        )));
    }
    let data = given.remove("source_data").filter(Value::is_object).unwrap_or_else(|| json!({}));
    Ok(json!({"source_type": kind, "source_data": data}))
}

fn merge(tx: &mut Tx<'_>, old: Record, new: Given, now_ms: i64) -> Result<(), StoreError> {
    let by = user(&new).or(old.updated_by);
    let add = |old: Option<Value>, new: Option<Map<String, Value>>| match (old, new) {
        (Some(Value::Object(mut old)), Some(new)) => {
            old.extend(new);
            Some(Value::Object(old))
        }
        (old, None) => old,
        (_, Some(new)) => Some(Value::Object(new)),
    };
    let outputs = match new.outputs {
        Some(Value::Null) => None,
        Some(outputs) => Some(outputs),
        None => old.outputs,
    };
    tx.execute(
        "UPDATE traces_dataset_records SET outputs = ?2, expectations = ?3, tags = ?4, updated_ms = ?5, updated_by = ?6
         WHERE record_id = ?1",
        &[
            old.record_id.as_str().into(),
            text("outputs", outputs.as_ref())?,
            text("expectations", add(old.expectations, new.expectations).as_ref())?,
            text("tags", add(old.tags, new.tags).as_ref())?,
            now_ms.into(),
            by.into(),
        ],
    )?;
    Ok(())
}

/// The records of a dataset, a page of at most `limit` at a time.
///
/// # Errors
/// [`StoreError::NotFound`] for the dataset; [`StoreError::Invalid`] for a token that is none.
pub fn records(
    tx: &mut Tx<'_>,
    dataset: &str,
    limit: usize,
    token: Option<&str>,
) -> Result<RecordPage, StoreError> {
    super::get(tx, dataset)?;
    let (after_ms, after_id) =
        token.map_or_else(|| Ok((i64::MIN, String::new())), |token| place(token, dataset))?;
    let sql = format!(
        "SELECT {COLUMNS} FROM traces_dataset_records WHERE dataset_id = ?1
         AND (created_ms > ?2 OR (created_ms = ?2 AND record_id > ?3)) ORDER BY created_ms, record_id LIMIT ?4"
    );
    let cells = [dataset.into(), after_ms.into(), after_id.into(), (limit as u64 + 1).into()];
    let mut records: Vec<Record> = tx.query(&sql, &cells)?.iter().map(read).collect::<Result<_, _>>()?;
    let more = records.len() > limit;
    records.truncate(limit);
    let next = records
        .last()
        .filter(|_| more)
        .map(|last| URL_SAFE_NO_PAD.encode(json!([dataset, last.created_ms, last.record_id]).to_string()));
    Ok(RecordPage { records, next })
}

fn place(token: &str, dataset: &str) -> Result<(i64, String), StoreError> {
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (of, ms, id): (String, i64, String) = serde_json::from_slice(&bytes).ok()?;
        (of == dataset).then_some((ms, id))
    };
    read().ok_or_else(|| {
        invalid("the page token is none that was given out for this dataset; begin with the first page")
    })
}

/// Deletes records and says how many there were.
///
/// # Errors
/// [`StoreError::NotFound`] for the dataset.
pub fn delete_records(tx: &mut Tx<'_>, dataset: &str, ids: &[String]) -> Result<u64, StoreError> {
    super::get(tx, dataset)?;
    let mut deleted = 0;
    for id in ids {
        let cells = [dataset.into(), id.as_str().into()];
        deleted += tx
            .execute("DELETE FROM traces_dataset_records WHERE dataset_id = ?1 AND record_id = ?2", &cells)?
            as u64;
    }
    let profile = count(tx, dataset)?.map(|count| dump(&json!({"num_records": count})));
    tx.execute(
        "UPDATE traces_datasets SET profile = ?2 WHERE dataset_id = ?1",
        &[dataset.into(), profile.into()],
    )?;
    Ok(deleted)
}

fn read(row: &Row) -> Result<Record, StoreError> {
    let json = |column: usize| -> Result<Option<Value>, StoreError> {
        let text: Option<String> = row.get(column)?;
        text.map(|text| serde_json::from_str(&text)).transpose().map_err(|error| StoreError::Corrupt {
            table: "traces_dataset_records",
            reason: error.to_string(),
        })
    };
    Ok(Record {
        record_id: row.get(0)?,
        inputs: json(1)?.unwrap_or_default(),
        outputs: json(2)?,
        expectations: json(3)?,
        tags: json(4)?,
        source: json(5)?,
        created_ms: row.get(6)?,
        updated_ms: row.get(7)?,
        created_by: row.get(8)?,
        updated_by: row.get(9)?,
    })
}

/// The type of each field that records have had, as the first one had it.
struct Schema(Map<String, Value>);

impl Schema {
    fn read(text: Option<&str>) -> Self {
        let known = text.and_then(|text| serde_json::from_str(text).ok());
        Self(known.unwrap_or_default())
    }

    fn add(&mut self, record: &Given) {
        if self.0.is_empty() {
            for part in ["inputs", "outputs", "expectations"] {
                self.0.insert(part.to_owned(), json!({}));
            }
            self.0.insert("version".to_owned(), json!("1.0"));
        }
        self.fields("inputs", Some(&record.inputs));
        self.fields("expectations", record.expectations.as_ref());
        match &record.outputs {
            Some(Value::Object(outputs)) => self.fields("outputs", Some(outputs)),
            None | Some(Value::Null) => {}
            Some(other) => {
                if self.0.get("outputs") == Some(&json!({})) {
                    self.0.insert("outputs".to_owned(), kind(other).into());
                }
            }
        }
    }

    fn fields(&mut self, part: &str, fields: Option<&Map<String, Value>>) {
        let (Some(fields), Some(Value::Object(known))) = (fields, self.0.get_mut(part)) else { return };
        for (key, value) in fields {
            known.entry(key.clone()).or_insert_with(|| kind(value).into());
        }
    }

    fn write(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| dump(&self.0))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
