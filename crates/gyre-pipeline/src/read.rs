//! Reading `dvc.yaml`: its shape, what of it is not supported yet, and whether it makes sense.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path};

use gyre_core::Diagnostic;
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::{Location, Spanned};

use crate::graph;
use crate::params::DEFAULT_FILE;
use crate::stage::{Cmd, Dependency, Output, OutputKind, ParamsFile, Pipeline, Stage};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile {
    #[serde(default)]
    stages: Option<Ordered<RawStage>>,
    #[serde(default)]
    vars: Option<Spanned<IgnoredAny>>,
    // For people and other tools; they change nothing in what is run.
    #[serde(default, rename = "params")]
    _params: IgnoredAny,
    #[serde(default, rename = "metrics")]
    _metrics: IgnoredAny,
    #[serde(default, rename = "plots")]
    _plots: IgnoredAny,
    #[serde(default, rename = "artifacts")]
    _artifacts: IgnoredAny,
    #[serde(default, rename = "datasets")]
    _datasets: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStage {
    #[serde(default)]
    cmd: Option<Spanned<TextOrList>>,
    #[serde(default)]
    wdir: Option<Spanned<String>>,
    #[serde(default)]
    deps: Option<Vec<Spanned<String>>>,
    #[serde(default)]
    params: Option<ParamItems>,
    #[serde(default)]
    outs: Option<OutputItems>,
    #[serde(default)]
    metrics: Option<OutputItems>,
    #[serde(default)]
    plots: Option<OutputItems>,
    #[serde(default)]
    frozen: bool,
    #[serde(default)]
    always_changed: bool,
    #[serde(default)]
    desc: Option<String>,
    #[serde(default, rename = "meta")]
    _meta: IgnoredAny,
    #[serde(default)]
    vars: Option<Spanned<IgnoredAny>>,
    #[serde(default)]
    foreach: Option<Spanned<IgnoredAny>>,
    #[serde(default, rename = "do")]
    _do: IgnoredAny,
    #[serde(default)]
    matrix: Option<Spanned<IgnoredAny>>,
}

/// What may be said about an output; gyre acts on `cache` and `persist`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Flags {
    #[serde(default)]
    cache: Option<bool>,
    #[serde(default)]
    persist: bool,
    #[serde(default, rename = "push")]
    _push: IgnoredAny,
    #[serde(default, rename = "remote")]
    _remote: IgnoredAny,
    #[serde(default, rename = "desc")]
    _desc: IgnoredAny,
    #[serde(default, rename = "type")]
    _type: IgnoredAny,
    #[serde(default, rename = "labels")]
    _labels: IgnoredAny,
    #[serde(default, rename = "meta")]
    _meta: IgnoredAny,
    #[serde(default, rename = "template")]
    _template: IgnoredAny,
    #[serde(default, rename = "x")]
    _x: IgnoredAny,
    #[serde(default, rename = "y")]
    _y: IgnoredAny,
    #[serde(default, rename = "x_label")]
    _x_label: IgnoredAny,
    #[serde(default, rename = "y_label")]
    _y_label: IgnoredAny,
    #[serde(default, rename = "title")]
    _title: IgnoredAny,
    #[serde(default, rename = "header")]
    _header: IgnoredAny,
}

/// Keys of the default file, or files with their keys.
type ParamItems = Vec<Spanned<Item<Option<Vec<String>>>>>;
/// Paths, with or without what is said about them.
type OutputItems = Vec<Spanned<Item<Option<Flags>>>>;

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a command, or a list of commands")]
enum TextOrList {
    Text(String),
    List(Vec<String>),
}

/// A map in the order of the file.
struct Ordered<T>(Vec<(Spanned<String>, T)>);

/// `path`, or `path: {…}`: DVC's two ways to write an output or a parameter.
enum Item<T> {
    Word(String),
    Map(Vec<(String, T)>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of stages by name")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrMap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for WordOrMap<T> {
            type Value = Item<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or a name with a map behind it")
            }
            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Item<T>, E> {
                Ok(Item::Word(word.to_owned()))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Item::Map(entries))
            }
        }
        deserializer.deserialize_any(WordOrMap(PhantomData))
    }
}

impl Pipeline {
    /// Reads the text of a `dvc.yaml` and checks that it makes sense. `file` is named in what is said.
    ///
    /// `vars`, `${…}`, `foreach` and `matrix` are refused, as are directories that leave the project, parameter
    /// files other than YAML and JSON, and dependencies that are URLs.
    ///
    /// # Errors
    /// Every [`Diagnostic`] found: the first of the shape, or all of the sense.
    pub fn parse(file: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let raw: RawFile = gyre_data::yaml::from_str(text).map_err(|error| vec![explain(file, &error)])?;
        let mut reader = Reader { file, wrong: Vec::new() };
        if let Some(vars) = &raw.vars {
            reader.unsupported("`vars`", vars.referenced);
        }
        let entries = raw.stages.map_or_else(Vec::new, |stages| stages.0);
        let stages = entries.into_iter().filter_map(|(name, raw)| reader.stage(name, raw)).collect();
        let pipeline = Self { file: file.to_owned(), stages };
        reader.wrong.extend(graph::check(&pipeline));
        if reader.wrong.is_empty() { Ok(pipeline) } else { Err(reader.wrong) }
    }

    /// Reads the pipeline file at `path`.
    ///
    /// # Errors
    /// As [`Pipeline::parse`], and when the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Diagnostic::new(&file, format!("cannot be read: {error}")).expected(
                "a DVC pipeline (see https://dvc.org/doc/user-guide/project-structure/dvcyaml-files)",
            )]
        })?;
        Self::parse(&file, &text)
    }
}

struct Reader<'a> {
    file: &'a str,
    wrong: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn say(&mut self, place: Location, message: String, expected: &str) {
        let diagnostic = Diagnostic::new(self.file, message).at(place.line(), place.column());
        self.wrong.push(diagnostic.expected(expected));
    }

    fn unsupported(&mut self, what: &str, place: Location) {
        self.say(place, format!("{what} is not supported yet"), "stages written out one by one");
    }

    fn stage(&mut self, name: Spanned<String>, raw: RawStage) -> Option<Stage> {
        let place = name.referenced;
        let refused = [("`vars`", &raw.vars), ("`foreach`", &raw.foreach), ("`matrix`", &raw.matrix)];
        let before = self.wrong.len();
        for (what, key) in refused {
            if let Some(key) = key {
                self.unsupported(&format!("stage `{}`: {what}", name.value), key.referenced);
            }
        }
        if self.wrong.len() > before {
            return None;
        }
        let Some(cmd) = raw.cmd else {
            self.say(place, format!("stage `{}` has no `cmd`", name.value), "cmd: the command to run");
            return None;
        };
        let at = cmd.referenced;
        let cmd = match cmd.value {
            TextOrList::Text(text) => Cmd::Text(self.resolved(text, at)),
            TextOrList::List(list) => {
                Cmd::List(list.into_iter().map(|command| self.resolved(command, at)).collect())
            }
        };
        if cmd.commands().iter().all(|command| command.trim().is_empty()) {
            self.say(at, format!("stage `{}`: `cmd` is empty", name.value), "a command to run");
        }
        let wdir = raw.wdir.map_or_else(|| ".".to_owned(), |wdir| self.resolved(wdir.value, wdir.referenced));
        let mut stage = Stage {
            name: name.value,
            line: place.line(),
            cmd,
            wdir,
            deps: Vec::new(),
            params: Vec::new(),
            outs: Vec::new(),
            frozen: raw.frozen,
            always_changed: raw.always_changed,
            desc: raw.desc,
        };
        for dep in raw.deps.into_iter().flatten() {
            let path = self.resolved(dep.value, dep.referenced);
            if path.contains("://") {
                self.unsupported(
                    &format!("stage `{}`: the dependency `{path}`, a URL,", stage.name),
                    dep.referenced,
                );
            } else {
                stage.deps.push(Dependency { path, line: dep.referenced.line() });
            }
        }
        self.params(&mut stage, raw.params.unwrap_or_default());
        let kinds =
            [(OutputKind::Data, raw.outs), (OutputKind::Metric, raw.metrics), (OutputKind::Plot, raw.plots)];
        for (kind, items) in kinds {
            self.outputs(&mut stage, kind, items.unwrap_or_default());
        }
        Some(stage)
    }

    fn params(&mut self, stage: &mut Stage, items: ParamItems) {
        for item in items {
            let place = item.referenced;
            let files = match item.value {
                Item::Word(key) => vec![(DEFAULT_FILE.to_owned(), Some(vec![key]))],
                Item::Map(files) => files,
            };
            for (file, keys) in files {
                let known = [".yaml", ".yml", ".json"].iter().any(|end| file.ends_with(end));
                if !known {
                    let message =
                        format!("stage `{}`: parameters from `{file}` are not supported yet", stage.name);
                    self.say(place, message, "a file that ends in .yaml, .yml or .json");
                }
                // An empty list means the whole file, as none does.
                let keys = keys.filter(|keys| !keys.is_empty());
                match stage.params.iter_mut().find(|present| present.file == file) {
                    Some(present) => {
                        present.keys = present.keys.take().zip(keys).map(|(a, b)| [a, b].concat())
                    }
                    None => stage.params.push(ParamsFile { file, keys, line: place.line() }),
                }
            }
        }
    }

    fn outputs(&mut self, stage: &mut Stage, kind: OutputKind, items: OutputItems) {
        for item in items {
            let place = item.referenced;
            let outputs = match item.value {
                Item::Word(path) => vec![(path, None)],
                Item::Map(outputs) => outputs,
            };
            for (path, flags) in outputs {
                let path = self.resolved(path, place);
                let located = stage.locate(&path);
                // What is made is also removed before the stage runs again: only below the pipeline, then.
                let below = Path::new(&located).components().all(|part| matches!(part, Component::Normal(_)));
                if !below || located == "." {
                    let message = format!(
                        "stage `{}`: the output `{path}` is not below the pipeline's directory",
                        stage.name
                    );
                    self.say(place, message, "a relative path such as out/model.onnx");
                    continue;
                }
                let Flags { cache, persist, .. } = flags.unwrap_or_default();
                let cache = cache.unwrap_or(true);
                stage.outs.push(Output { path, kind, cache, persist, line: place.line() });
            }
        }
    }

    /// `text` as DVC resolves it, when there is nothing to resolve: `\${` stands for `${`.
    fn resolved(&mut self, text: String, place: Location) -> String {
        let plain = text.replace("\\${", "");
        if plain.split_once("${").is_some_and(|(_, rest)| rest.contains('}')) {
            let message = "`${…}` interpolation is not supported yet".to_owned();
            self.say(place, message, "the value itself, or \\${NAME} for a variable of the shell");
        }
        text.replace("\\${", "${")
    }
}

/// The YAML reader's error in our words.
fn explain(file: &str, error: &serde_saphyr::Error) -> Diagnostic {
    use serde_saphyr::Error;
    let (line, column) = error.location().map_or((0, 0), |place| (place.line(), place.column()));
    match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            Diagnostic::new(file, format!("unknown key `{field}`"))
                .expected(format!("one of {}", expected.join(", ")))
                .nearest(field, expected.iter().copied())
        }
        other => {
            let text = other.to_string();
            Diagnostic::new(file, text.lines().next().unwrap_or("not valid YAML"))
        }
    }
    .at(line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        Pipeline::parse("dvc.yaml", text).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_way_to_write_a_stage_is_understood() {
        let text = r"
stages:
  prepare:
    desc: cut the rows
    cmd: python prepare.py
    wdir: src
    deps: [../data/raw.csv, prepare.py]
    params:
    - seed
    - train.depth
    - other.yaml:
      - a
    - whole.json:
    outs:
    - out/x.csv
    - out/y.csv: {cache: false, persist: true, desc: labels}
  train:
    cmd:
    - echo one
    - echo \${HOME}
    deps:
    - src/out/x.csv
    metrics:
    - m.json: {cache: false}
    plots:
    - p.csv: {x: a, y: b, template: linear}
    frozen: true
    meta: {owner: ann}
artifacts: {m: {path: src/out/x.csv}}
";
        let pipeline = Pipeline::parse("dvc.yaml", text).unwrap();
        let [prepare, train] = pipeline.stages.as_slice() else { panic!("two stages") };
        assert_eq!((prepare.name.as_str(), prepare.line), ("prepare", 3));
        assert_eq!(prepare.locate(&prepare.deps[0].path), "data/raw.csv");
        let params: Vec<_> = prepare.params.iter().map(|p| (p.file.as_str(), p.keys.clone())).collect();
        let keys = |keys: &[&str]| Some(keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            params,
            [
                ("params.yaml", keys(&["seed", "train.depth"])),
                ("other.yaml", keys(&["a"])),
                ("whole.json", None)
            ]
        );
        assert!(prepare.outs[0].cache && !prepare.outs[1].cache && prepare.outs[1].persist);
        assert_eq!(train.cmd.commands(), ["echo one", "echo ${HOME}"]);
        assert_eq!(
            train.outs.iter().map(|out| out.kind).collect::<Vec<_>>(),
            [OutputKind::Metric, OutputKind::Plot]
        );
        assert!(train.frozen && !train.always_changed);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            (
                "stages:\n  a:\n    cmd: x\n    dep: [y]\n",
                "dvc.yaml:4:5: unknown key `dep`",
                "did you mean `deps`?",
            ),
            ("stages:\n  a:\n    deps: [y]\n", "dvc.yaml:2", "has no `cmd`"),
            (
                "stages:\n  a:\n    cmd: x\n    outs:\n    - m: {cached: true}\n",
                "dvc.yaml:5",
                "did you mean `cache`?",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    outs: [../m]\n",
                "dvc.yaml:4",
                "not below the pipeline's directory",
            ),
            (
                "stages:\n  a:\n    cmd: x\n    outs: [.]\n",
                "dvc.yaml:4",
                "not below the pipeline's directory",
            ),
            ("stages:\n  a:\n    cmd: ''\n", "dvc.yaml:3", "`cmd` is empty"),
            ("stages:\n  a:\n    cmd: x\n    params: [{p.toml: [a]}]\n", "dvc.yaml:4", "p.toml"),
            ("stages:\n  a:\n    cmd: [x\n", "dvc.yaml:", ""),
            ("stages:\n  a:\n    cmd: {x: 1}\n", "dvc.yaml:3", "expected a command, or a list of commands"),
            ("stages: [a]\n", "dvc.yaml:1", ""),
        ];
        for (text, place, said) in cases {
            let all = wrong(text).join("\n");
            assert!(all.starts_with(place) && all.contains(said), "{text:?} gave {all:?}");
        }
    }

    #[test]
    fn what_is_not_supported_yet_is_refused_with_its_line() {
        let cases = [
            ("vars: [{a: 1}]\nstages: {}\n", "dvc.yaml:1", "`vars`"),
            ("stages:\n  a:\n    foreach: [1, 2]\n    do: {cmd: 'x ${item}'}\n", "dvc.yaml:3", "`foreach`"),
            ("stages:\n  a:\n    matrix: {m: [1]}\n    cmd: x\n", "dvc.yaml:3", "`matrix`"),
            ("stages:\n  a:\n    cmd: train ${lr}\n", "dvc.yaml:3", "interpolation"),
            ("stages:\n  a:\n    cmd: x\n    deps: ['s3://b/k']\n", "dvc.yaml:4", "s3://b/k"),
        ];
        for (text, place, said) in cases {
            let all = wrong(text);
            assert_eq!(all.len(), 1, "{all:?}");
            assert!(all[0].starts_with(place) && all[0].contains(said), "{all:?}");
            assert!(all[0].contains("not supported yet"), "{all:?}");
        }
    }
}
