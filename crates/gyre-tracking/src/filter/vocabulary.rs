//! What can be searched by what: the entities and attributes of each kind of search.

/// What a clause is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Entity {
    /// A property that everything of the kind has.
    Attribute,
    /// A metric's latest value.
    Metric,
    /// A parameter.
    Param,
    /// A tag.
    Tag,
    /// A dataset that was an input.
    Dataset,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A number.
    Number,
}

/// An attribute that can be searched for or ordered by.
#[derive(Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its names; the first one is how it is called from there on.
    pub names: &'static [&'static str],
    /// What it is.
    pub kind: Kind,
    /// Whether IN and NOT IN are allowed.
    pub lists: bool,
}

/// The words of one kind of search.
#[derive(Debug)]
pub struct Vocabulary {
    /// What is searched, in the plural, for errors.
    pub what: &'static str,
    /// Spellings of the entities.
    pub entities: &'static [(&'static [&'static str], Entity)],
    /// The attributes.
    pub attributes: &'static [Attribute],
    /// Whether IN is allowed for every text.
    pub lists_anywhere: bool,
}

const ATTRIBUTE: (&[&str], Entity) = (&["attributes", "attribute", "attr", "run"], Entity::Attribute);
const METRIC: (&[&str], Entity) = (&["metrics", "metric"], Entity::Metric);
const PARAM: (&[&str], Entity) = (&["params", "param", "parameters", "parameter"], Entity::Param);
const TAG: (&[&str], Entity) = (&["tags", "tag"], Entity::Tag);
const DATASET: (&[&str], Entity) = (&["datasets", "dataset"], Entity::Dataset);

const fn text(names: &'static [&'static str]) -> Attribute {
    Attribute { names, kind: Kind::Text, lists: false }
}

const fn number(names: &'static [&'static str]) -> Attribute {
    Attribute { names, kind: Kind::Number, lists: false }
}

/// Searching runs.
pub const RUNS: Vocabulary = Vocabulary {
    what: "runs",
    entities: &[ATTRIBUTE, METRIC, PARAM, TAG, DATASET],
    attributes: &[
        Attribute { names: &["run_id", "run_uuid"], kind: Kind::Text, lists: true },
        text(&["run_name", "run name", "Run name", "Run Name"]),
        text(&["user_id", "User", "user"]),
        text(&["status"]),
        text(&["artifact_uri"]),
        number(&["start_time", "created", "Created", "start time"]),
        number(&["end_time"]),
    ],
    lists_anywhere: false,
};

/// Searching experiments.
pub const EXPERIMENTS: Vocabulary = Vocabulary {
    what: "experiments",
    entities: &[ATTRIBUTE, TAG],
    attributes: &[
        text(&["name"]),
        number(&["creation_time"]),
        number(&["last_update_time"]),
        number(&["experiment_id"]),
    ],
    lists_anywhere: false,
};

/// Searching logged models.
pub const LOGGED_MODELS: Vocabulary = Vocabulary {
    what: "logged models",
    entities: &[ATTRIBUTE, METRIC, PARAM, TAG],
    attributes: &[
        text(&["name"]),
        text(&["model_id"]),
        text(&["model_type"]),
        text(&["status"]),
        text(&["source_run_id"]),
        text(&["artifact_location"]),
        number(&["experiment_id"]),
        number(&["creation_timestamp", "creation_time"]),
        number(&["last_updated_timestamp"]),
    ],
    lists_anywhere: true,
};

impl Vocabulary {
    pub(super) fn entity(&self, word: &str) -> Option<Entity> {
        let spelled =
            |spellings: &[&str]| spellings.iter().any(|spelling| spelling.eq_ignore_ascii_case(word));
        self.entities.iter().find(|(spellings, _)| spelled(spellings)).map(|(_, entity)| *entity)
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        self.attributes.iter().find(|attribute| attribute.names.contains(&name))
    }

    /// What there is, for an error.
    pub(super) fn words(&self) -> String {
        let entities = self.entities.iter().filter_map(|(spellings, _)| spellings.first());
        let attributes = self.attributes.iter().filter_map(|attribute| attribute.names.first());
        format!(
            "one of {} followed by a dot and a key, or one of the attributes {}",
            entities.copied().collect::<Vec<_>>().join(", "),
            attributes.copied().collect::<Vec<_>>().join(", ")
        )
    }
}
