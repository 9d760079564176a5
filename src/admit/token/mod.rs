//! Bearer tokens (JWT, RFC 7519): whose they are, what their bearer may do, and for which tenant.
//!
//! A token is believed if it names one of our algorithms, is signed by a key that the issuer publishes (JWKS), comes from
//! our issuer, is for us, and is neither too old nor too young. Which key is only ever looked for among those published:
//! keys and addresses that a token itself brings are not looked at. Keys are remembered; a token that names another one
//! has them fetched again, but not more often than every two seconds, so that nobody can make us ask without end. While
//! the issuer does not answer, the keys that are known stay good.

mod claims;
mod keys;
mod signature;

use std::path::PathBuf;

use jsonwebtoken::{Algorithm, Validation, decode, decode_header, errors::ErrorKind};
use serde_json::Value;

use crate::clients::{ClientError, jwks::Jwks};

pub use claims::{Caller, ClaimNames};
use keys::Keys;

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far the issuer's clock may be from ours.
const LEEWAY_SECONDS: u64 = 30;

/// Which tokens are believed.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// Where the issuer publishes its keys.
    pub jwks_url: String,
    /// The issuer.
    pub issuer: String,
    /// Whom a token has to be for: one of these.
    pub audience: Vec<String>,
    /// By which algorithms it may be signed, by their names in RFC 7518; only those with public keys.
    pub algorithms: Vec<String>,
    /// What its claims mean.
    pub claims: ClaimNames,
    /// Certificates to be trusted beside the system's, when keys are fetched.
    pub ca_file: Option<PathBuf>,
}

/// Why a token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The settings cannot be used.
    #[error("{0}")]
    Configuration(String),
    /// It is not to be believed.
    #[error("the token is not accepted: {0}")]
    Refused(String),
    /// Nobody can tell: the keys cannot be had.
    #[error("tokens cannot be checked now: {0}")]
    Unavailable(String),
}

/// Checks tokens.
#[derive(Debug)]
pub struct Tokens {
    keys: Keys,
    algorithms: Vec<Algorithm>,
    issuer: String,
    audience: Vec<String>,
    claims: ClaimNames,
}

impl Tokens {
    /// Prepares to check tokens; asks nobody yet.
    ///
    /// # Errors
    /// `Configuration`.
    pub fn new(settings: TokenSettings) -> Result<Self, TokenError> {
        let wrong = |what: &str| Err(TokenError::Configuration(what.to_owned()));
        if settings.issuer.is_empty() || settings.audience.iter().all(String::is_empty) {
            return wrong("authentication by tokens needs an issuer and an audience");
        }
        let mut algorithms = Vec::new();
        for name in &settings.algorithms {
            match name.parse() {
                Ok(algorithm) if signature::is_public(algorithm) => algorithms.push(algorithm),
                _ => return wrong(&format!("'{name}' is no algorithm with a public key, as RS256 or ES256")),
            }
        }
        if algorithms.is_empty() {
            return wrong("authentication by tokens needs an algorithm");
        }
        signature::install();
        let jwks = Jwks::new(&settings.jwks_url, settings.ca_file)
            .map_err(|error| TokenError::Configuration(error.to_string()))?;
        Ok(Self {
            keys: Keys::new(jwks),
            algorithms,
            issuer: settings.issuer,
            audience: settings.audience,
            claims: settings.claims,
        })
    }

    /// Whose a token is, if it is to be believed.
    ///
    /// # Errors
    /// `Refused`, or `Unavailable` while no keys are known.
    pub async fn check(&self, token: &str) -> Result<Caller, TokenError> {
        let refused = |why: &str| TokenError::Refused(why.to_owned());
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refused("it is too long"));
        }
        let header = decode_header(token).map_err(|_| refused("it is no signed JWT"))?;
        if !self.algorithms.contains(&header.alg) {
            return Err(refused("its algorithm is not one of ours"));
        }
        if header.crit.is_some() || header.enc.is_some() {
            return Err(refused("it asks for what we do not know"));
        }
        let key = self.keys.find(header.kid.as_deref(), header.alg).await?;
        let mut validation = Validation::new(header.alg);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audience);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let claims =
            decode::<Value>(token, &key, &validation).map_err(|error| refused(&words(error.kind())))?.claims;
        self.claims.caller(&claims).ok_or_else(|| refused("its claims cannot be read"))
    }
}

fn words(error: &ErrorKind) -> String {
    match error {
        ErrorKind::ExpiredSignature => "it has expired".to_owned(),
        ErrorKind::ImmatureSignature => "it is not valid yet".to_owned(),
        ErrorKind::InvalidIssuer => "it has another issuer".to_owned(),
        ErrorKind::InvalidAudience => "it is for another audience".to_owned(),
        ErrorKind::InvalidSignature => "its signature is wrong".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("it has no claim '{claim}'"),
        ErrorKind::InvalidClaimFormat(claim) => format!("its claim '{claim}' cannot be read"),
        _ => "it cannot be read".to_owned(),
    }
}

impl From<ClientError> for TokenError {
    fn from(error: ClientError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
