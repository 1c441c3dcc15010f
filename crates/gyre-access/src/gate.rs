//! The gate: whose credentials these are.
//!
//! Tokens, sessions and passwords that were verified lately are looked up in memory. A password that was not costs
//! [`password::verify`]: tens of milliseconds and 19 MiB, so the caller runs [`Gate::log_in`] aside, a few at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use gyre_core::fact::{AccessChange, Role, UserKind};
use gyre_core::{Fact, Span, Timestamp};
use gyre_store::{Store, StoreError, Tx, journal};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::policy::{Grant, Scope, role_in, within};
use crate::throttle::Throttle;
use crate::token::{Secret, Token};
use crate::{By, Directory, password};

/// How long a password that was verified is taken without hashing it again.
const REMEMBERED: Span = Span::from_millis(10 * 60 * 1_000);
/// How long uses of tokens are gathered before they are written.
const GATHERED: Span = Span::from_millis(60_000);

/// What a request comes with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// An API token.
    Token(Token),
    /// An API token in the place of a user's password.
    TokenOf {
        /// Whose it should be, in any spelling.
        user: String,
        /// The token.
        token: Token,
    },
    /// The id of a browser's session.
    Session(Secret),
    /// A user's name and password.
    Password {
        /// The name, in any spelling.
        user: String,
        /// The password.
        password: Password,
    },
    /// Something that is none of these.
    Malformed,
}

/// A password on its way in. It shows itself in no debugging output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Somebody whose credentials were good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user: String,
    /// The id of the token that they used.
    pub token: Option<String>,
    grants: Arc<[Grant]>,
    scope: Option<Arc<Scope>>,
}

impl Identity {
    /// What they may do in `project`.
    pub fn role(&self, project: &str) -> Option<Role> {
        let own = role_in(&self.grants, project);
        match &self.scope {
            Some(scope) => within(scope, own, project),
            None => own,
        }
    }

    /// As the journal names them.
    pub fn actor(&self) -> String {
        match &self.token {
            Some(id) => format!("token:{id}(user:{})", self.user),
            None => format!("user:{}", self.user),
        }
    }
}

/// Why somebody was not let in. The words do not tell whether a user exists.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token of that form.
    #[error(
        "the credentials cannot be read: expected a token `gyre_…` (Bearer), or a user with password or token (Basic)"
    )]
    Malformed,
    /// No such token.
    #[error("the token is unknown, or was revoked: ask an administrator for a new one")]
    UnknownToken,
    /// Its time is over.
    #[error("the token expired on {0}: ask an administrator for a new one")]
    ExpiredToken(String),
    /// No such session.
    #[error("the session has ended: log in again")]
    NoSession,
    /// User and password do not belong together.
    #[error("the user or the password is wrong")]
    WrongPassword,
    /// Too many failures.
    #[error("too many logins failed: the next try is taken from {0} on")]
    TooMany(Timestamp),
    /// The work could not be done.
    #[error("the login could not be checked: {0}")]
    Broken(String),
}

/// Who may come in, kept up to date.
pub struct Gate {
    store: Arc<Store>,
    directory: RwLock<Arc<Directory>>,
    reloading: Mutex<()>,
    throttle: Mutex<Throttle>,
    verified: Mutex<HashMap<String, Verified>>,
    uses: Mutex<Uses>,
    /// Verified against when there is no such user, so that the answer takes as long.
    decoy: OnceLock<String>,
    /// Keys the memory of verified passwords; without randomness nothing is remembered.
    key: Option<Secret>,
}

/// A password that was verified: a keyed hash of it, and the stored hash that it was held against.
struct Verified {
    seen: [u8; 32],
    stored: Arc<str>,
    until: Timestamp,
}

#[derive(Default)]
struct Uses {
    since: Option<Timestamp>,
    last: HashMap<String, Timestamp>,
}

impl Gate {
    /// A gate that lets nobody in until [`Gate::reload`].
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            directory: RwLock::default(),
            reloading: Mutex::default(),
            throttle: Mutex::default(),
            verified: Mutex::default(),
            uses: Mutex::default(),
            decoy: OnceLock::new(),
            key: Secret::random().ok(),
        }
    }

    /// Reads the directory anew.
    ///
    /// # Errors
    /// What the store said; the old directory stays.
    pub fn reload(&self) -> Result<(), StoreError> {
        // One at a time, so that an older picture never replaces a newer one.
        let _turn = held(&self.reloading);
        let directory = Arc::new(self.store.read(Directory::load)?);
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = directory;
        Ok(())
    }

    /// Reads the directory anew if an entry of the journal after `seen` is about access: what another process that shares
    /// the database wrote is in force here, too. Returns up to where the journal was read.
    ///
    /// # Errors
    /// What the store said; the old directory stays, and the entries are still to be read.
    pub fn catch_up(&self, mut seen: u64) -> Result<u64, StoreError> {
        const BATCH: u64 = 500;
        let mut concerned = false;
        loop {
            let entries = self.store.read(|tx| journal::entries(tx, seen, BATCH))?;
            concerned |= entries.iter().any(|entry| matches!(entry.fact, Fact::Access(_)));
            match entries.last() {
                Some(last) => seen = last.seq,
                None => break,
            }
        }
        if concerned {
            self.reload()?;
        }
        Ok(seen)
    }

    /// Changes who may do what, and has the change in force when it returns.
    ///
    /// # Errors
    /// What `job` or the store said.
    pub fn change<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let outcome = self.store.write(job)?;
        self.reload()?;
        Ok(outcome)
    }

    /// The directory as it is now.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says whose credentials these are, as far as memory tells; none when a password has to be verified by
    /// [`Gate::log_in`].
    pub fn identify(&self, credentials: &Credentials, now: Timestamp) -> Option<Result<Identity, Denied>> {
        let directory = self.directory();
        match credentials {
            Credentials::Malformed => Some(Err(Denied::Malformed)),
            Credentials::Token(token) => Some(self.by_token(&directory, token, now)),
            Credentials::TokenOf { user, token } => {
                let named = |identity: &Identity| identity.user.eq_ignore_ascii_case(user);
                let identity = self.by_token(&directory, token, now);
                Some(
                    identity
                        .and_then(|known| if named(&known) { Ok(known) } else { Err(Denied::UnknownToken) }),
                )
            }
            Credentials::Session(id) => Some(by_session(&directory, id, now)),
            Credentials::Password { user, password } => {
                let name = user.to_ascii_lowercase();
                let stored = directory.user(&name)?.password.clone()?;
                let verified = held(&self.verified);
                let known =
                    verified.get(&name).filter(|known| known.until > now && known.stored == stored)?;
                let same: bool = known.seen.ct_eq(&self.keyed(&password.0)?).into();
                same.then(|| identity(&directory, &name, None, None).ok_or(Denied::WrongPassword))
            }
        }
    }

    fn by_token(&self, directory: &Directory, token: &Token, now: Timestamp) -> Result<Identity, Denied> {
        let known = directory.token(&token.id).filter(|known| known.hash == token.secret.hash());
        let known = known.ok_or(Denied::UnknownToken)?;
        if known.expires <= now {
            return Err(Denied::ExpiredToken(known.expires.date()));
        }
        let (id, scope) = (Some(token.id.clone()), Some(Arc::clone(&known.scope)));
        let identity = identity(directory, &known.user, id, scope).ok_or(Denied::UnknownToken)?;
        self.note_use(&token.id, now);
        Ok(identity)
    }

    /// Verifies a user's password, within what the throttle allows. Blocks for tens of milliseconds; to be called a few
    /// at a time.
    ///
    /// # Errors
    /// [`Denied`].
    pub fn log_in(
        &self,
        user: &str,
        password: &str,
        address: Option<IpAddr>,
        origin: Option<String>,
        now: Timestamp,
    ) -> Result<Identity, Denied> {
        let name: String = user.to_ascii_lowercase().chars().take(100).collect();
        if let Some(until) = held(&self.throttle).wait(&name, address, now) {
            return Err(Denied::TooMany(until));
        }
        let directory = self.directory();
        let known = directory.user(&name).filter(|known| known.kind == UserKind::Person);
        let stored = known.and_then(|known| known.password.clone());
        let good = match &stored {
            Some(stored) => password::verify(stored, password),
            None => {
                let decoy = self.decoy.get_or_init(|| password::hash_unchecked("decoy").unwrap_or_default());
                let _ = password::verify(decoy, password);
                false
            }
        };
        if let (true, Some(stored)) = (good, stored) {
            held(&self.throttle).succeeded(&name);
            if let Some(seen) = self.keyed(password) {
                let entry = Verified { seen, stored, until: now + REMEMBERED };
                held(&self.verified).insert(name.clone(), entry);
            }
            return identity(&directory, &name, None, None).ok_or(Denied::WrongPassword);
        }
        let failed = held(&self.throttle).failed(&name, address, now);
        if failed.locked && known.is_some() {
            let by = By { at: now, actor: "gyre".to_owned(), origin };
            let change =
                AccessChange::LoginLocked { user: name, failures: failed.failures, until: failed.until };
            let told = self.store.write(move |tx| by.append(tx, change));
            told.map_err(|error| Denied::Broken(error.to_string()))?;
        }
        Err(Denied::WrongPassword)
    }

    /// Whoever `user` is, without credentials: for one whom an identity provider vouches for.
    pub fn vouched(&self, user: &str) -> Option<Identity> {
        identity(&self.directory(), user, None, None)
    }

    /// HMAC-SHA-256 of a password.
    fn keyed(&self, password: &str) -> Option<[u8; 32]> {
        let key = self.key.as_ref()?.hash();
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).ok()?;
        mac.update(password.as_bytes());
        Some(mac.finalize().into_bytes().into())
    }

    /// Remembers that a token was used, and now and then writes it down, without waiting and without a fact.
    fn note_use(&self, id: &str, now: Timestamp) {
        let gathered = {
            let mut uses = held(&self.uses);
            match uses.last.get_mut(id) {
                Some(last) => *last = now,
                None => drop(uses.last.insert(id.to_owned(), now)),
            }
            let since = *uses.since.get_or_insert(now);
            if now.since(since) < GATHERED {
                return;
            }
            uses.since = None;
            std::mem::take(&mut uses.last)
        };
        // What is lost when the store is busy is only when a token was last used.
        let _ = self.store.submit(move |tx| write_uses(tx, &gathered), drop);
    }

    /// Writes down what is still remembered of the uses of tokens.
    ///
    /// # Errors
    /// What the store said.
    pub fn settle(&self) -> Result<(), StoreError> {
        let gathered = std::mem::take(&mut *held(&self.uses)).last;
        if gathered.is_empty() {
            return Ok(());
        }
        self.store.write(move |tx| write_uses(tx, &gathered))
    }
}

fn write_uses(tx: &mut Tx<'_>, uses: &HashMap<String, Timestamp>) -> Result<(), StoreError> {
    let sql = "INSERT INTO access_token_use (id, used) VALUES (?1, ?2)
        ON CONFLICT (id) DO UPDATE SET used = excluded.used";
    for (id, used) in uses {
        tx.execute(sql, &[id.as_str().into(), used.as_millis().into()])?;
    }
    Ok(())
}

fn by_session(directory: &Directory, id: &Secret, now: Timestamp) -> Result<Identity, Denied> {
    let session = directory.session(&id.hash()).filter(|session| session.expires > now);
    let session = session.ok_or(Denied::NoSession)?;
    identity(directory, &session.user, None, None).ok_or(Denied::NoSession)
}

fn identity(
    directory: &Directory,
    user: &str,
    token: Option<String>,
    scope: Option<Arc<Scope>>,
) -> Option<Identity> {
    let known = directory.user(user)?;
    Some(Identity { user: user.to_owned(), token, grants: Arc::clone(&known.grants), scope })
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
