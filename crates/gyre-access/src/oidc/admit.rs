//! From a person whom a provider vouches for to a user here.
//!
//! A person is known by issuer and subject, which never change; names and addresses do. Who comes for the first time
//! becomes a user only when somebody meant them to: a group of theirs has a role, or an administrator made a user of their
//! verified e-mail address, without a password. A user who has a password is never taken over by a name that fits.

use gyre_core::fact::{Role, UserKind};
use gyre_store::{StoreError, Tx};

use super::{OidcError, Person};
use crate::name::UserName;
use crate::{By, grants, users};

/// The user that `person` is in `project`, made and given their role where need be. What is not done is in the inner
/// error.
///
/// # Errors
/// What the store said.
pub fn admit(
    tx: &mut Tx<'_>,
    by: &By,
    person: &Person,
    project: &str,
) -> Result<Result<String, OidcError>, StoreError> {
    let user = match users::of_identity(tx, &person.issuer, &person.subject)? {
        Some(user) => user,
        None => match first_time(tx, by, person)? {
            Ok(user) => user,
            Err(unwelcome) => return Ok(Err(unwelcome)),
        },
    };
    if person.governed {
        govern(tx, by, &user, project, person.role)?;
    }
    Ok(Ok(user))
}

fn first_time(tx: &mut Tx<'_>, by: &By, person: &Person) -> Result<Result<String, OidcError>, StoreError> {
    let unwelcome = |told: String| Ok(Err(OidcError::Unwelcome(told)));
    let Some(email) = &person.email else {
        return unwelcome(
            "the identity provider tells no verified e-mail address of yours, by which you would be known here".to_owned(),
        );
    };
    let name: UserName = match email.parse() {
        Ok(name) => name,
        Err(error) => return unwelcome(format!("your e-mail address cannot be a user here: {error}")),
    };
    match users::is_vacant(tx, name.as_str())? {
        Some(true) => {}
        Some(false) => {
            return unwelcome(format!(
                "there is a user `{name}` who logs in another way: ask an administrator to make one without a password"
            ));
        }
        None if person.role.is_none() => {
            return unwelcome(format!(
                "nobody has let you in yet: ask an administrator for `gyre access user add {name} --no-password --role …`"
            ));
        }
        None => users::create(tx, by, &name, UserKind::Person, None)?,
    }
    users::link(tx, by, &name, &person.issuer, &person.subject)?;
    Ok(Ok(name.to_string()))
}

/// Brings the user's role in `project` to what their groups say.
fn govern(tx: &mut Tx<'_>, by: &By, user: &str, project: &str, role: Option<Role>) -> Result<(), StoreError> {
    match role {
        Some(role) => grants::grant(tx, by, user, project, role),
        None if grants::role_of(tx, user, project)?.is_some() => grants::revoke(tx, by, user, project),
        None => Ok(()),
    }
}
