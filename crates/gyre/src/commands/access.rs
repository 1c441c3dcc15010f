//! `gyre access`: users, API tokens and roles.
//!
//! While no server runs the commands change the store directly: whoever may write the project's folder may do so. While
//! one runs they ask it, and where it wants to know who asks, the token in GYRE_TOKEN says so.

mod office;
mod secret;

use clap::{Args, Subcommand};
use gyre_access::name::UserName;
use gyre_access::{Role, UserKind};
use serde_json::Value;

use crate::cli::{OutputArgs, ProjectArgs};
use crate::failure::Failure;
use crate::show;
use office::{NewUser, Office};

#[derive(Debug, Subcommand)]
pub(crate) enum AccessCommand {
    /// People and services that may log in.
    #[command(subcommand)]
    User(UserCommand),
    /// API tokens: for programs, scripts and MLflow's clients.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Give a user a role in a project, in place of the one before.
    Grant(GrantArgs),
    /// Take a user's role in a project away.
    Revoke(RevokeArgs),
    /// Show who has which role where.
    List(ListArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Make a user.
    Add(AddArgs),
    /// Show all users.
    List(ListArgs),
    /// Remove a user, their roles, tokens and sessions.
    Delete(OneUserArgs),
    /// Give a person another password; their sessions end.
    Passwd(PasswdArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Issue a token and show it, this once.
    Create(CreateArgs),
    /// Show all tokens, never their secrets.
    List(TokensArgs),
    /// End a token at once.
    Revoke(OneTokenArgs),
}

#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// The name: letters, digits and . _ - + @
    user: UserName,
    /// The role, in this project unless --in says otherwise. Without one the user may do nothing.
    #[arg(long)]
    role: Option<Role>,
    /// The project of the role, or * for all.
    #[arg(long = "in", value_name = "PROJECT")]
    place: Option<String>,
    /// It is a service: it has tokens and no password.
    #[arg(long)]
    service: bool,
    /// Set no password: for a person who comes by an identity provider.
    #[arg(long)]
    no_password: bool,
    #[command(flatten)]
    given: PasswordArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
struct PasswordArgs {
    /// Read the password from standard input instead of asking for it.
    #[arg(long)]
    password_stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PasswdArgs {
    /// The user.
    user: UserName,
    #[command(flatten)]
    given: PasswordArgs,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OneUserArgs {
    /// The user.
    user: UserName,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Whose rights it bears, within its role and projects.
    user: UserName,
    /// What it is for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    label: String,
    /// The most that it may be used for.
    #[arg(long, default_value = "contributor")]
    role: Role,
    /// A project that it may be used for; may be given several times; none means all.
    #[arg(long = "in", value_name = "PROJECT")]
    places: Vec<String>,
    /// How many days it lives.
    #[arg(long, default_value_t = 90)]
    days: i64,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OneTokenArgs {
    /// The token's id: the 16 digits between the underscores.
    id: String,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    /// Only those of this user.
    #[arg(long)]
    user: Option<UserName>,
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The user.
    user: UserName,
    /// The role: viewer, contributor, approver or admin.
    role: Role,
    /// The project, or * for all; this one when not given.
    #[arg(long = "in", value_name = "PROJECT")]
    place: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The user.
    user: UserName,
    /// The project, or * for all; this one when not given.
    #[arg(long = "in", value_name = "PROJECT")]
    place: Option<String>,
    #[command(flatten)]
    project: ProjectArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    project: ProjectArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(command: &AccessCommand) -> Result<(), Failure> {
    match command {
        AccessCommand::User(UserCommand::Add(args)) => add(args),
        AccessCommand::User(UserCommand::List(args)) => {
            let columns =
                [("USER", "name"), ("KIND", "kind"), ("PASSWORD", "password"), ("CREATED", "created")];
            list(&args.output, Office::of(&args.project)?.users()?, "users", &columns)
        }
        AccessCommand::User(UserCommand::Delete(args)) => {
            Office::of(&args.project)?.delete_user(&args.user)?;
            show::say(format!("`{}` is gone, with roles, tokens and sessions", args.user))
        }
        AccessCommand::User(UserCommand::Passwd(args)) => {
            let password = secret::password(&args.user, args.given.password_stdin)?;
            Office::of(&args.project)?.set_password(&args.user, &password)?;
            show::say(format!("`{}` has a new password; sessions have ended", args.user))
        }
        AccessCommand::Token(TokenCommand::Create(args)) => create(args),
        AccessCommand::Token(TokenCommand::List(args)) => {
            let columns = [
                ("TOKEN", "id"),
                ("USER", "user"),
                ("LABEL", "label"),
                ("ROLE", "role"),
                ("PROJECTS", "projects"),
                ("EXPIRES", "expires"),
                ("LAST USED", "used"),
                ("REVOKED", "revoked"),
            ];
            list(&args.output, Office::of(&args.project)?.tokens(args.user.as_ref())?, "tokens", &columns)
        }
        AccessCommand::Token(TokenCommand::Revoke(args)) => {
            Office::of(&args.project)?.revoke_token(&args.id)?;
            show::say(format!("token {} is revoked", args.id))
        }
        AccessCommand::Grant(args) => {
            let place = Office::of(&args.project)?.grant(&args.user, args.place.as_deref(), args.role)?;
            show::say(format!("`{}` is {} in {place}", args.user, args.role))
        }
        AccessCommand::Revoke(args) => {
            let place = Office::of(&args.project)?.revoke_grant(&args.user, args.place.as_deref())?;
            show::say(format!("`{}` has no role in {place} any more", args.user))
        }
        AccessCommand::List(args) => {
            let columns = [("USER", "user"), ("PROJECT", "project"), ("ROLE", "role"), ("SINCE", "granted")];
            list(&args.output, Office::of(&args.project)?.grants()?, "grants", &columns)
        }
    }
}

fn add(args: &AddArgs) -> Result<(), Failure> {
    let kind = if args.service { UserKind::Service } else { UserKind::Person };
    let password = match (args.service, args.no_password) {
        (false, false) => Some(secret::password(&args.user, args.given.password_stdin)?),
        _ => None,
    };
    let (user, role, place) = (&args.user, args.role, args.place.as_deref());
    let new = NewUser { user, kind, password: password.as_deref(), role, place };
    Office::of(&args.project)?.create_user(&new)?;
    let may = match args.role {
        Some(role) => format!("as {role}"),
        None => format!("and may do nothing yet: `gyre access grant {user} ROLE`"),
    };
    show::say(format!("{} `{user}` is there, {may}", kind.name()))
}

fn create(args: &CreateArgs) -> Result<(), Failure> {
    let made = Office::of(&args.project)?.create_token(
        &args.user,
        &args.label,
        args.role,
        &args.places,
        args.days,
    )?;
    if args.output.json {
        return show::json(&made);
    }
    let until = made["issued"]["expires"].as_str().unwrap_or_default();
    anstream::eprintln!(
        "A token of `{}`, as {} at most, until {until}. It is shown this once:",
        args.user,
        args.role
    );
    show::say(made["token"].as_str().unwrap_or_default())
}

/// A list as JSON under `name`, or as a table.
fn list(output: &OutputArgs, rows: Vec<Value>, name: &str, columns: &[(&str, &str)]) -> Result<(), Failure> {
    if output.json {
        return show::json(&serde_json::json!({ name: rows }));
    }
    if rows.is_empty() {
        return show::say(format!("no {name} yet"));
    }
    let header: Vec<&str> = columns.iter().map(|(header, _)| *header).collect();
    let row = |row: &Value| columns.iter().map(|(_, field)| cell(&row[*field])).collect();
    show::say(show::table(&header, &[], rows.iter().map(row).collect()))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(list) if list.is_empty() => "all".to_owned(),
        Value::Array(list) => list.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
