//! Transformers: scalers, encoders, imputers, and what puts them side by side or in a row.

use super::labels::categories;
use super::node::{NODE_COST, Node, Plain};
use super::npy::Elements;
use super::{REMEDY, unsupported};
use crate::error::Unread;
use crate::native::steps::{Branch, Codes, Fill, OneHot, Scaling, Step, Unknown, Vocabulary};

/// Columns that go into a transformer.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) width: usize,
    /// Names, where the file tells them; otherwise empty.
    pub(super) names: Vec<String>,
}

/// Most columns: bounds what a file can ask for with one number.
const MOST_COLUMNS: usize = 1 << 20;

impl Columns {
    /// Those that an estimator was fitted on.
    pub(super) fn of(estimator: Node<'_>) -> Result<Columns, Unread> {
        // A pipeline within has what its first step has.
        if estimator.class() == "Pipeline"
            && let Some(first) = stages(estimator)?.first()
        {
            return Columns::of(*first);
        }
        let width = estimator.get("n_features_in_")?.as_index().unwrap_or(0);
        if width > MOST_COLUMNS {
            return Err(Unread::TooLarge { what: "features", found: width, limit: MOST_COLUMNS });
        }
        estimator.spend(width * NODE_COST)?;
        let names = match estimator.optional("feature_names_in_") {
            None => Vec::new(),
            Some(names) => match names.array()?.elements {
                Elements::Texts(names) => names,
                Elements::Objects(names) => names
                    .into_iter()
                    .map(|name| if let Plain::Text(text) = name { Some(text) } else { None })
                    .collect::<Option<_>>()
                    .unwrap_or_default(),
                _ => Vec::new(),
            },
        };
        if !names.is_empty() && names.len() != width {
            let problem = format!("{} names for {width} features", names.len());
            return Err(Unread::broken(format!("{}.feature_names_in_", estimator.class()), problem));
        }
        Ok(Columns { width, names })
    }

    fn unnamed(width: usize) -> Columns {
        Columns { width, names: Vec::new() }
    }
}

/// The estimators of a pipeline, without those that pass everything through.
pub(super) fn stages(pipeline: Node<'_>) -> Result<Vec<Node<'_>>, Unread> {
    let mut stages = Vec::new();
    for step in pipeline.get("steps")?.items()? {
        let stage = step.items()?.get(1).copied();
        let stage =
            stage.ok_or_else(|| Unread::broken("Pipeline.steps", "has an entry without an estimator"))?;
        if !stage.is_none() && stage.as_text().is_none_or(|text| text != "passthrough") {
            stages.push(stage);
        }
    }
    Ok(stages)
}

/// Adds what a transformer does to `steps`; the columns that come out.
pub(super) fn append(node: Node<'_>, columns: Columns, steps: &mut Vec<Step>) -> Result<Columns, Unread> {
    let width = columns.width;
    if node.as_text().is_some_and(|text| text == "passthrough") {
        return Ok(columns);
    }
    if !node.is_sklearn() {
        return Err(unsupported(node));
    }
    let check = |name: &str, list: Vec<f64>| {
        if list.len() == width {
            return Ok(list);
        }
        let problem = format!("has {} entries for {width} columns", list.len());
        Err(Unread::broken(format!("{}.{name}", node.class()), problem))
    };
    let listed = |wanted: bool, name: &str| {
        if wanted { node.numbers(name).and_then(|list| check(name, list)).map(Some) } else { Ok(None) }
    };
    match node.class() {
        "Pipeline" => {
            let mut columns = columns;
            for stage in stages(node)? {
                columns = append(stage, columns, steps)?;
            }
            return Ok(columns);
        }
        "ColumnTransformer" => return side_by_side(node, columns, steps),
        "FunctionTransformer" => {
            // The histogram booster's own keeps its columns as they are.
            let is_check = |func: Node<'_>| {
                func.optional("func")
                    .is_some_and(|inner| inner.class() == "check_array" && inner.is_sklearn())
            };
            if node.optional("func").is_some_and(|func| !is_check(func)) {
                return Err(Unread::unsupported("a FunctionTransformer with a function", REMEDY));
            }
        }
        "StandardScaler" => steps.push(Step::Scale(Scaling {
            subtract: listed(node.flag("with_mean") && node.optional("mean_").is_some(), "mean_")?,
            divide: listed(node.flag("with_std") && node.optional("scale_").is_some(), "scale_")?,
            ..Scaling::default()
        })),
        "RobustScaler" => steps.push(Step::Scale(Scaling {
            subtract: listed(node.flag("with_centering"), "center_")?,
            divide: listed(node.flag("with_scaling"), "scale_")?,
            ..Scaling::default()
        })),
        "MaxAbsScaler" => steps.push(Step::Scale(Scaling {
            divide: listed(true, "scale_")?,
            clip: node.flag("clip").then_some((-1.0, 1.0)),
            ..Scaling::default()
        })),
        "MinMaxScaler" => {
            let range = node.get("feature_range")?.items()?;
            let bound = |at: usize| range.get(at).and_then(|bound| bound.as_number());
            steps.push(Step::Scale(Scaling {
                multiply: listed(true, "scale_")?,
                add: listed(true, "min_")?,
                clip: if node.flag("clip") { bound(0).zip(bound(1)) } else { None },
                ..Scaling::default()
            }));
        }
        "SimpleImputer" => return impute(node, width, steps),
        "OneHotEncoder" => return one_hot(node, width, steps),
        "OrdinalEncoder" => steps.push(ordinal(node, width)?),
        _ => return Err(unsupported(node)),
    }
    Ok(columns)
}

fn side_by_side(node: Node<'_>, columns: Columns, steps: &mut Vec<Step>) -> Result<Columns, Unread> {
    let broken = |problem: String| Unread::broken("ColumnTransformer.transformers_", problem);
    if node.optional("transformer_weights").is_some() {
        return Err(Unread::unsupported("a ColumnTransformer with transformer_weights", REMEDY));
    }
    // Names are those that it was fitted with, though columns may be called otherwise by now.
    let own = Columns::of(node)?;
    if own.width != columns.width {
        return Err(broken(format!("was fitted on {} columns, gets {}", own.width, columns.width)));
    }
    let (mut branches, mut width) = (Vec::new(), 0);
    for entry in node.get("transformers_")?.items()? {
        let parts = entry.items()?;
        let [_, transformer, picked] = parts.as_slice() else {
            return Err(broken("has an entry that is no triple".into()));
        };
        if transformer.as_text().is_some_and(|text| text == "drop") {
            continue;
        }
        let columns = pick(*picked, &own).map_err(broken)?;
        picked.spend(columns.len() * NODE_COST)?;
        let mut branch = Branch { steps: Vec::new(), columns };
        let out = append(*transformer, Columns::unnamed(branch.columns.len()), &mut branch.steps)?;
        width += out.width;
        if !branch.columns.is_empty() {
            branches.push(branch);
        }
    }
    steps.push(Step::Branches(branches));
    Ok(Columns::unnamed(width.min(MOST_COLUMNS)))
}

/// The columns that are meant by names, numbers, a mask, or a range.
fn pick(node: Node<'_>, own: &Columns) -> Result<Vec<usize>, String> {
    let width = own.width;
    let named = |name: &str| {
        own.names
            .iter()
            .position(|n| n == name)
            .ok_or_else(|| format!("picks a column {name:?}, which is not there"))
    };
    let numbered = |x: f64| {
        let at = if x < 0.0 { x + width as f64 } else { x };
        (at >= 0.0 && at.fract() == 0.0 && at < width as f64)
            .then_some(at as usize)
            .ok_or_else(|| format!("picks column {x} of {width}"))
    };
    if let Some(name) = node.as_text() {
        return Ok(vec![named(&name)?]);
    }
    if node.loader() == "SliceNode" {
        let bound = |name: &str| node.optional(name).and_then(Node::as_number);
        if bound("step").is_some_and(|step| step != 1.0) {
            return Err("picks every few columns".into());
        }
        let end = |x: f64| (if x < 0.0 { x + width as f64 } else { x }).clamp(0.0, width as f64) as usize;
        return Ok((bound("start").map_or(0, end)..bound("stop").map_or(width, end)).collect());
    }
    let masked =
        |flags: &[bool]| -> Vec<usize> { (0..width).filter(|at| flags.get(*at) == Some(&true)).collect() };
    let array = match node.array() {
        Ok(array) if array.len() <= MOST_COLUMNS => array,
        _ => {
            return node
                .as_number()
                .map_or(Err("picks columns in an unknown way".into()), |x| Ok(vec![numbered(x)?]));
        }
    };
    match array.elements {
        Elements::Flags(flags) => Ok(masked(&flags)),
        Elements::Texts(names) => names.iter().map(|name| named(name)).collect(),
        Elements::Objects(plain) => {
            let flags = plain.iter().map(|p| if let Plain::Flag(flag) = p { Some(*flag) } else { None });
            if let (Some(flags), false) = (flags.collect::<Option<Vec<bool>>>(), plain.is_empty()) {
                return Ok(masked(&flags));
            }
            plain
                .iter()
                .map(|p| match p {
                    Plain::Text(name) => named(name),
                    other => numbered(other.number().unwrap_or(f64::NAN)),
                })
                .collect()
        }
        _ => array.numbers()?.into_iter().map(numbered).collect(),
    }
}

fn impute(node: Node<'_>, width: usize, steps: &mut Vec<Step>) -> Result<Columns, Unread> {
    if node.flag("add_indicator") {
        return Err(Unread::unsupported("a SimpleImputer with add_indicator", REMEDY));
    }
    // `None` and pandas' missing values are what columns of text have for NaN.
    let missing = match node.optional("missing_values") {
        None => f64::NAN,
        Some(missing) => match missing.as_number() {
            Some(number) => number,
            None => return Err(Unread::unsupported("a SimpleImputer of text as missing values", REMEDY)),
        },
    };
    let keeps = node.flag("keep_empty_features");
    let fill = |plain: Plain| match plain {
        Plain::Text(text) => Fill::Text(text.into()),
        other => match other.number() {
            Some(x) if !x.is_nan() => Fill::Number(x),
            _ if keeps => Fill::Number(0.0),
            _ => Fill::Drop,
        },
    };
    let statistics = node.get("statistics_")?.array()?;
    let fills: Vec<Fill> = match statistics.elements {
        Elements::Texts(texts) => texts.into_iter().map(|text| fill(Plain::Text(text))).collect(),
        Elements::Objects(plain) => plain.into_iter().map(fill).collect(),
        _ => {
            let numbers = statistics.numbers().map_err(|e| Unread::broken("SimpleImputer.statistics_", e))?;
            numbers.into_iter().map(|x| fill(Plain::Number(x))).collect()
        }
    };
    if fills.len() != width {
        let problem = format!("has {} entries for {width} columns", fills.len());
        return Err(Unread::broken("SimpleImputer.statistics_", problem));
    }
    let kept = fills.iter().filter(|fill| !matches!(fill, Fill::Drop)).count();
    steps.push(Step::Impute { missing, fills });
    Ok(Columns::unnamed(kept))
}

/// The vocabularies of an encoder, one a column.
fn vocabularies(node: Node<'_>, width: usize) -> Result<Vec<Vocabulary>, Unread> {
    if node.flag("_infrequent_enabled") {
        let what = format!("a {} that puts infrequent categories together", node.class());
        return Err(Unread::unsupported(what, REMEDY));
    }
    let lists = node.get("categories_")?.items()?;
    if lists.len() != width {
        let problem = format!("has {} entries for {width} columns", lists.len());
        return Err(Unread::broken(format!("{}.categories_", node.class()), problem));
    }
    lists.into_iter().map(|list| Ok(Vocabulary::new(categories(list.array()?)))).collect()
}

fn one_hot(node: Node<'_>, width: usize, steps: &mut Vec<Step>) -> Result<Columns, Unread> {
    let refuses_unknown = node.setting("handle_unknown") == "error";
    let dropped: Vec<Option<usize>> = match node.optional("drop_idx_") {
        None => vec![None; width],
        Some(drop) => drop
            .array()?
            .numbers()
            .map_err(|e| Unread::broken("OneHotEncoder.drop_idx_", e))?
            .into_iter()
            .map(|x| (x >= 0.0).then_some(x as usize))
            .collect(),
    };
    let vocabularies = vocabularies(node, width)?;
    if dropped.len() != width {
        return Err(Unread::broken("OneHotEncoder.drop_idx_", format!("has {} entries", dropped.len())));
    }
    let hots: Vec<OneHot> = vocabularies
        .into_iter()
        .zip(dropped)
        .map(|(vocabulary, dropped)| OneHot {
            dropped: dropped.filter(|at| *at < vocabulary.len()),
            vocabulary,
            refuses_unknown,
        })
        .collect();
    let out: usize = hots.iter().map(|hot| hot.vocabulary.len() - usize::from(hot.dropped.is_some())).sum();
    if out > MOST_COLUMNS {
        return Err(Unread::TooLarge { what: "columns", found: out, limit: MOST_COLUMNS });
    }
    steps.push(Step::OneHot(hots));
    Ok(Columns::unnamed(out))
}

fn ordinal(node: Node<'_>, width: usize) -> Result<Step, Unread> {
    let unknown = match node.optional("unknown_value").and_then(Node::as_number) {
        Some(code) if node.setting("handle_unknown") == "use_encoded_value" => Unknown::Becomes(code),
        _ => Unknown::Refuse,
    };
    let missing_code = node.optional("encoded_missing_value").and_then(Node::as_number);
    let codes = vocabularies(node, width)?.into_iter().map(|vocabulary| {
        Some(Codes {
            vocabulary,
            unknown,
            missing: unknown,
            missing_code: Some(missing_code.unwrap_or(f64::NAN)),
        })
    });
    Ok(Step::Codes(codes.collect()))
}
