//! Parameters: the values that a stage reads by key from YAML or JSON files.

use std::path::Path;

use serde_json::{Map, Value};

use crate::stage::{ParamsFile, Stage};

/// Where parameters are when no file is named.
pub(crate) const DEFAULT_FILE: &str = "params.yaml";

/// The values that `stage` reads, as `dvc.lock` has them: by file (the default one first, then sorted), then by
/// dotted key (sorted).
///
/// # Errors
/// What is wrong, in words: a file that cannot be read, or a key that is not in it.
pub(crate) fn values(dir: &Path, stage: &Stage) -> Result<Map<String, Value>, String> {
    let mut files: Vec<&ParamsFile> = stage.params.iter().collect();
    files.sort_by_key(|params| (params.file != DEFAULT_FILE, &params.file));
    files
        .into_iter()
        .map(|params| Ok((params.file.clone(), Value::Object(of_file(dir, stage, params)?))))
        .collect()
}

fn of_file(dir: &Path, stage: &Stage, params: &ParamsFile) -> Result<Map<String, Value>, String> {
    let path = stage.locate(&params.file);
    let text = std::fs::read_to_string(dir.join(&path))
        .map_err(|error| format!("{path}: cannot read the parameters: {error}"))?;
    let parsed: Option<Map<String, Value>> = gyre_data::yaml::from_str(&text).map_err(|error| {
        let text = error.to_string();
        format!("{path}: {}", text.lines().next().unwrap_or("not valid YAML"))
    })?;
    let content = parsed.unwrap_or_default();
    let Some(keys) = &params.keys else { return Ok(content) };
    let mut keys: Vec<&String> = keys.iter().collect();
    keys.sort();
    keys.dedup();
    let mut found = Map::new();
    for key in keys {
        let value = look_up(&content, key).ok_or_else(|| missing(&path, &content, key))?;
        found.insert(key.clone(), value.clone());
    }
    Ok(found)
}

/// The value at a dotted key; numbers are positions in a list.
fn look_up<'a>(content: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let mut parts = key.split('.');
    let mut value = content.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Object(map) => map.get(part)?,
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(value)
}

fn missing(path: &str, content: &Map<String, Value>, key: &str) -> String {
    let hint = gyre_core::ids::nearest(key, content.keys().map(String::as_str));
    let hint = hint.map_or_else(String::new, |name| format!("; did you mean `{name}`?"));
    format!("{path}: there is no parameter `{key}`{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pipeline;
    use serde_json::json;

    fn of(params: &str) -> Result<Value, String> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("params.yaml"), "lr: 1e-5\ntrain: {depth: 3, sizes: [1, 2]}\n")
            .unwrap();
        std::fs::write(dir.path().join("a.json"), r#"{"k": {"v": 1}}"#).unwrap();
        let text = format!("stages:\n  a:\n    cmd: x\n    params: [{params}]\n");
        let pipeline = Pipeline::parse("dvc.yaml", &text).unwrap();
        values(dir.path(), &pipeline.stages[0]).map(Value::Object)
    }

    #[test]
    fn keys_reach_into_maps_and_lists() {
        assert_eq!(
            of("a.json: , train.sizes.1, lr, train.depth").unwrap().to_string(),
            r#"{"params.yaml":{"lr":0.00001,"train.depth":3,"train.sizes.1":2},"a.json":{"k":{"v":1}}}"#
        );
        assert_eq!(of("a.json: [k.v]").unwrap(), json!({"a.json": {"k.v": 1}}));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            of("trian").unwrap_err(),
            "params.yaml: there is no parameter `trian`; did you mean `train`?"
        );
        assert!(of("b.yaml: [x]").unwrap_err().starts_with("b.yaml: cannot read"));
    }
}
