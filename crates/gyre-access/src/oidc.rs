//! Login of people by an OpenID Connect provider: authorization code with PKCE, state and nonce (OpenID Connect Core 1.0,
//! RFC 6749, RFC 7636, discovery).
//!
//! [`Oidc::begin`] gives the address to send a browser to, and a ticket that the browser keeps in a cookie: state, nonce
//! and PKCE verifier of this one login. So the server remembers nothing of logins that never end, and a login ends only in
//! the browser in which it began. [`Oidc::finish`] exchanges the code, verifies the ID token (signature, issuer,
//! audience, time, nonce), and tells who it is. [`admit`] turns that person into a user.
//!
//! All requests go through [`crate::egress`]; the provider's own host is listed there, since an administrator named it.

mod admit;
mod ticket;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gyre_core::fact::Role;
use gyre_core::{Span, Timestamp};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreIdToken, CoreIdTokenClaims, CoreProviderMetadata,
};
use openidconnect::{
    AccessTokenHash, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet, EndpointNotSet,
    EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse,
};

use crate::egress::{Egress, EgressError, Rule};
use crate::token::SecretHash;

pub use admit::admit;
use ticket::Ticket;

/// How long a login may take.
pub const TICKET_LIFE: Span = Span::from_millis(10 * 60 * 1_000);
/// How long what the provider says of itself is taken for true.
const FRESH: Span = Span::hours(1);
/// How long the provider may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What an administrator says of the provider.
#[derive(Clone)]
pub struct Settings {
    /// The provider's issuer URL.
    pub issuer: String,
    /// This server's client id there.
    pub client: String,
    /// Its secret, when it has one.
    pub secret: Option<String>,
    /// The claim of the ID token that lists a person's groups.
    pub groups_claim: String,
    /// Roles by group. When there are any, the provider decides on the role of those who come by it.
    pub roles: Vec<(String, Role)>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.secret.as_ref().map(|_| "…");
        let mut shown = f.debug_struct("Settings");
        shown.field("issuer", &self.issuer).field("client", &self.client).field("secret", &secret);
        shown.field("groups_claim", &self.groups_claim).field("roles", &self.roles).finish()
    }
}

/// Why somebody did not come in by the provider.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The settings are wrong.
    #[error("the OpenID Connect settings are wrong: {0}")]
    Settings(String),
    /// The provider cannot be asked.
    #[error("the identity provider {issuer} gives no answer that can be used: {reason}")]
    Provider {
        /// Which.
        issuer: String,
        /// What it was.
        reason: String,
    },
    /// The login did not begin in this browser, or too long ago.
    #[error("this login did not begin in this browser, or it took too long: begin again at /login")]
    Stray,
    /// The provider refused.
    #[error("the identity provider refused the login: {0}")]
    Refused(String),
    /// The ID token cannot be trusted.
    #[error("the identity provider's statement cannot be trusted: {0}")]
    Untrusted(String),
    /// The person may not come in.
    #[error("{0}")]
    Unwelcome(String),
}

/// A login that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What it keeps, in a cookie that no script reads.
    pub ticket: String,
}

/// A person whom the provider vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The provider.
    pub issuer: String,
    /// The person's identifier there, which never changes.
    pub subject: String,
    /// Their e-mail address, if the provider has verified it.
    pub email: Option<String>,
    /// Their role by their groups; none when no group has one.
    pub role: Option<Role>,
    /// Whether groups decide on roles.
    pub governed: bool,
}

/// An OpenID Connect provider.
#[derive(Debug)]
pub struct Oidc {
    settings: Settings,
    issuer: IssuerUrl,
    egress: Egress,
    known: Mutex<Option<(Timestamp, Arc<CoreProviderMetadata>)>>,
}

impl Oidc {
    /// The provider of `settings`; `allow` lists what else it may have us ask, such as a token endpoint on another host.
    ///
    /// # Errors
    /// [`OidcError::Settings`].
    pub fn new(settings: Settings, mut allow: Vec<Rule>) -> Result<Self, OidcError> {
        let wrong = |told: String| OidcError::Settings(told);
        let issuer = IssuerUrl::new(settings.issuer.clone())
            .map_err(|error| wrong(format!("the issuer `{}` is not a URL: {error}", settings.issuer)))?;
        let host = issuer.url().host_str().unwrap_or_default().to_owned();
        let rule = host.parse::<Rule>().map_err(|error| wrong(format!("the issuer's host: {error}")))?;
        let here = host == "localhost"
            || matches!(&rule, Rule::Net(net) if net.addr().is_loopback() && net.prefix_len() >= 32);
        if issuer.url().scheme() != "https" && !here {
            return Err(wrong(format!("the issuer `{}` must be https", settings.issuer)));
        }
        if settings.client.is_empty() {
            return Err(wrong("the client id is empty".to_owned()));
        }
        allow.push(rule);
        Ok(Self { settings, issuer, egress: Egress::new(allow), known: Mutex::default() })
    }

    /// The provider's host, for people.
    pub fn host(&self) -> &str {
        self.issuer.url().host_str().unwrap_or(&self.settings.issuer)
    }

    /// Begins a login that comes back to `redirect` and then goes on to `next`. Blocks while the provider is asked.
    ///
    /// # Errors
    /// [`OidcError::Provider`].
    pub fn begin(&self, redirect: &str, next: &str, now: Timestamp) -> Result<Begun, OidcError> {
        let client = self.client(redirect, &*self.metadata(now, FRESH)?)?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (url, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scope(Scope::new("email".to_owned()))
            .add_scope(Scope::new("profile".to_owned()))
            .set_pkce_challenge(challenge)
            .url();
        let ticket = Ticket {
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
            next: next.to_owned(),
            until: (now + TICKET_LIFE).as_millis(),
        };
        Ok(Begun { url: url.into(), ticket: ticket.write() })
    }

    /// Ends a login: the browser came back with `state` and `code`, and kept `ticket`. Tells who it is, and where they
    /// wanted to go. Blocks while the provider is asked.
    ///
    /// # Errors
    /// [`OidcError`].
    pub fn finish(
        &self,
        redirect: &str,
        ticket: &str,
        state: &str,
        code: &str,
        now: Timestamp,
    ) -> Result<(Person, String), OidcError> {
        let ticket = Ticket::read(ticket).ok_or(OidcError::Stray)?;
        // Compared as hashes, so that the time tells nothing.
        if !SecretHash::of(state).eq(&SecretHash::of(&ticket.state)) || ticket.until <= now.as_millis() {
            return Err(OidcError::Stray);
        }
        let metadata = self.metadata(now, FRESH)?;
        let client = self.client(redirect, &metadata)?;
        let ask = |request| self.ask(request);
        let answer = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| self.useless(&error))?
            .set_pkce_verifier(PkceCodeVerifier::new(ticket.verifier))
            .request(&ask)
            .map_err(|error| match error {
                openidconnect::RequestTokenError::ServerResponse(told) => {
                    OidcError::Refused(told.error().to_string())
                }
                other => self.useless(&other),
            })?;
        let token =
            answer.id_token().ok_or_else(|| OidcError::Untrusted("there is no ID token".to_owned()))?;
        let nonce = Nonce::new(ticket.nonce);
        let person = match self.verify(&client, token, &nonce, answer.access_token()) {
            Err(OidcError::Untrusted(_)) => {
                // The provider may have changed its keys since it was asked for them.
                let client = self.client(redirect, &*self.metadata(now, Span::from_millis(0))?)?;
                self.verify(&client, token, &nonce, answer.access_token())?
            }
            other => other?,
        };
        Ok((person, ticket.next))
    }

    fn verify(
        &self,
        client: &Client,
        token: &CoreIdToken,
        nonce: &Nonce,
        access: &openidconnect::AccessToken,
    ) -> Result<Person, OidcError> {
        let untrusted = |error: &dyn std::fmt::Display| OidcError::Untrusted(error.to_string());
        let verifier = client.id_token_verifier();
        let claims: &CoreIdTokenClaims = token.claims(&verifier, nonce).map_err(|error| untrusted(&error))?;
        if let Some(expected) = claims.access_token_hash() {
            let algorithm = token.signing_alg().map_err(|error| untrusted(&error))?;
            let key = token.signing_key(&verifier).map_err(|error| untrusted(&error))?;
            let actual =
                AccessTokenHash::from_token(access, algorithm, key).map_err(|error| untrusted(&error))?;
            if actual != *expected {
                return Err(untrusted(&"the access token is another's"));
            }
        }
        let email = claims.email().filter(|_| claims.email_verified() == Some(true));
        let groups = ticket::groups(&token.to_string(), &self.settings.groups_claim);
        let roles = self.settings.roles.iter().filter(|(group, _)| groups.contains(group));
        Ok(Person {
            issuer: self.settings.issuer.clone(),
            subject: claims.subject().to_string(),
            email: email.map(|email| email.to_string()),
            role: roles.map(|(_, role)| *role).max(),
            governed: !self.settings.roles.is_empty(),
        })
    }

    fn client(&self, redirect: &str, metadata: &CoreProviderMetadata) -> Result<Client, OidcError> {
        let redirect =
            RedirectUrl::new(redirect.to_owned()).map_err(|error| OidcError::Settings(error.to_string()))?;
        let secret = self.settings.secret.clone().map(ClientSecret::new);
        let client = ClientId::new(self.settings.client.clone());
        Ok(CoreClient::from_provider_metadata(metadata.clone(), client, secret).set_redirect_uri(redirect))
    }

    /// What the provider says of itself, not older than `age`.
    fn metadata(&self, now: Timestamp, age: Span) -> Result<Arc<CoreProviderMetadata>, OidcError> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, metadata)) = known.filter(|(at, _)| now.since(*at) < age) {
            return Ok(metadata);
        }
        let ask = |request| self.ask(request);
        let found =
            CoreProviderMetadata::discover(&self.issuer, &ask).map_err(|error| self.useless(&error))?;
        let found = Arc::new(found);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&found)));
        Ok(found)
    }

    fn ask(&self, request: HttpRequest) -> Result<HttpResponse, EgressError> {
        self.egress.fetch(request, PATIENCE)
    }

    fn useless(&self, error: &dyn std::error::Error) -> OidcError {
        // The cause says more than "request failed".
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        OidcError::Provider { issuer: self.settings.issuer.clone(), reason: format!("{error}{cause}") }
    }
}
