//! What commands need of a project: its file, its store, its server.

use gyre_core::spec::{self, Model, Project};
use gyre_core::{Diagnostic, ModelName};
use gyre_loop::{DeskError, STATE_DIR};
use gyre_store::{Store, StoreError};

use crate::cli::ProjectArgs;
use crate::client::{ClientError, Server};
use crate::failure::Failure;

impl ProjectArgs {
    /// The project file; a wrong one is wrong input.
    pub(super) fn read(&self) -> Result<Project, Failure> {
        match gyre_loop::read_project(&self.project) {
            Ok((project, _)) => Ok(project),
            Err(DeskError::Project(wrong)) => Err(Failure::Input(wrong)),
            Err(other) => Err(other.into()),
        }
    }

    /// The project, which need not have a file: what is deployed and registered needs none.
    pub(super) fn read_if_any(&self) -> Result<Project, Failure> {
        // Where there is neither a file nor a state there is no project, and the remedy is told.
        if !self.project.join(STATE_DIR).exists() {
            return self.read();
        }
        match gyre_loop::project_in(&self.project) {
            Ok((project, _)) => Ok(project),
            Err(DeskError::Project(wrong)) => Err(Failure::Input(wrong)),
            Err(other) => Err(other.into()),
        }
    }

    /// The store, for reading; none when the project has never been up.
    pub(super) fn store_if_any(&self) -> Result<Option<Store>, Failure> {
        let state = self.project.join(STATE_DIR);
        let opened = match &self.store.url {
            Some(url) => Store::open_postgres_read_only(&state, url),
            None => Store::open_read_only(&state),
        };
        match opened {
            Ok(store) => Ok(Some(store)),
            Err(StoreError::Absent(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The store, for reading.
    pub(super) fn store(&self) -> Result<Store, Failure> {
        let never = || Failure::because("this project has no journal yet: start it with `gyre up`");
        self.store_if_any()?.ok_or_else(never)
    }

    /// The server, to be told to do something.
    pub(super) fn server(&self) -> Result<Server, ClientError> {
        Server::expected(&self.project)
    }

    /// The model of that name, or what the names are.
    pub(super) fn model<'a>(&self, project: &'a Project, name: &ModelName) -> Result<&'a Model, Failure> {
        project.models.get(name).ok_or_else(|| {
            let names: Vec<&str> = project.models.keys().map(ModelName::as_str).collect();
            let file = self.project.join(spec::FILE).display().to_string();
            let wrong = Diagnostic::new(file, format!("there is no model `{name}`"));
            let wrong = match names.as_slice() {
                [] => wrong.help("declare it under `models:`"),
                names => wrong
                    .expected(format!("one of {}", names.join(", ")))
                    .nearest(name.as_str(), names.iter().copied()),
            };
            Failure::Input(vec![wrong])
        })
    }
}
