//! The kinds of objects that gyre makes, and where the API server keeps them.

/// A kind of object.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Its version, with its group: `apps/v1`.
    pub api_version: &'static str,
    /// Its name: `Deployment`.
    pub kind: &'static str,
    /// What a collection of it is called in paths: `deployments`.
    pub plural: &'static str,
}

/// Every kind that is made or taken from a manifest.
pub(crate) static KINDS: [Kind; 6] = [
    Kind { api_version: "v1", kind: "ConfigMap", plural: "configmaps" },
    Kind { api_version: "apps/v1", kind: "Deployment", plural: "deployments" },
    Kind { api_version: "v1", kind: "Service", plural: "services" },
    Kind { api_version: "serving.kserve.io/v1beta1", kind: "InferenceService", plural: "inferenceservices" },
    Kind {
        api_version: "autoscaling/v1",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
    },
    Kind {
        api_version: "autoscaling/v2",
        kind: "HorizontalPodAutoscaler",
        plural: "horizontalpodautoscalers",
    },
];

impl Kind {
    /// The kind of this name and version, if it is one of ours.
    pub(crate) fn named(api_version: &str, kind: &str) -> Option<&'static Self> {
        KINDS.iter().find(|of| of.api_version == api_version && of.kind == kind)
    }

    /// The path of the collection in a namespace.
    pub(crate) fn collection(&self, namespace: &str) -> String {
        let root = if self.api_version.contains('/') { "/apis" } else { "/api" };
        format!("{root}/{}/namespaces/{namespace}/{}", self.api_version, self.plural)
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn the_core_group_has_a_path_of_its_own() {
        let path = |version, kind| Kind::named(version, kind).unwrap().collection("shop");
        assert_eq!(path("v1", "Service"), "/api/v1/namespaces/shop/services");
        assert_eq!(path("apps/v1", "Deployment"), "/apis/apps/v1/namespaces/shop/deployments");
        assert_eq!(Kind::named("v1", "Secret"), None);
    }
}
