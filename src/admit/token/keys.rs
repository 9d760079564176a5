//! The issuer's keys, as they were last fetched.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{TokenError, signature};
use crate::clients::jwks::Jwks;

/// The least time between two fetches.
const REFETCH_INTERVAL: Duration = Duration::from_secs(2);
/// The same while the issuer does not answer, and the key that is asked for is known.
const RETRY_INTERVAL: Duration = Duration::from_secs(30);
/// After so long keys are fetched again, so that one that was withdrawn is not believed for ever.
const FRESH_TIME: Duration = Duration::from_secs(5 * 60);
/// Most keys of an issuer.
const KEYS_MAX: usize = 100;

/// What is known.
#[derive(Debug, Default)]
struct Known {
    keys: Vec<Jwk>,
    fetched_at: Option<Instant>,
    tried_at: Option<Instant>,
    error: Option<String>,
}

/// The keys. Whoever names one that is known and fresh waits for nobody.
#[derive(Debug)]
pub struct Keys {
    jwks: Jwks,
    known: RwLock<Arc<Known>>,
    /// Held by whoever fetches.
    fetching: Mutex<()>,
}

impl Keys {
    pub fn new(jwks: Jwks) -> Self {
        Self { jwks, known: RwLock::default(), fetching: Mutex::default() }
    }

    fn known(&self) -> Arc<Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key of this name (without a name: the only one there is) for this algorithm.
    pub async fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, TokenError> {
        let known = self.known();
        match known.choose(name, algorithm) {
            Some(key) if known.is_fresh() => return Ok(key),
            Some(key) => {
                let Ok(turn) = self.fetching.try_lock() else { return Ok(key) };
                self.fetch(RETRY_INTERVAL).await;
                drop(turn);
            }
            None => {
                let _turn = self.fetching.lock().await;
                if self.known().choose(name, algorithm).is_none() {
                    self.fetch(REFETCH_INTERVAL).await;
                }
            }
        }
        let known = self.known();
        match (known.choose(name, algorithm), &known.error) {
            (Some(key), _) => Ok(key),
            // Whether the key is one that we would know if we could ask is not known.
            (None, Some(error)) => Err(TokenError::Unavailable(error.clone())),
            (None, None) => Err(TokenError::Refused("its key is not one of the issuer's".to_owned())),
        }
    }

    /// Fetches them, unless that was tried just now. What was known stays known when it fails.
    async fn fetch(&self, interval: Duration) {
        let known = self.known();
        if known.tried_at.is_some_and(|at| at.elapsed() < interval) {
            return;
        }
        let fetched = match self.jwks.keys().await {
            Ok(document) => read(document).ok_or_else(|| "the issuer's keys cannot be read".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let tried_at = Some(Instant::now());
        let next = match fetched {
            Ok(keys) => Known { keys, fetched_at: tried_at, tried_at, error: None },
            Err(error) => {
                Known { keys: known.keys.clone(), fetched_at: known.fetched_at, tried_at, error: Some(error) }
            }
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
    }
}

/// The keys of a document; kinds that we do not know are passed over.
fn read(document: Value) -> Option<Vec<Jwk>> {
    let keys = document.get("keys")?.as_array()?;
    Some(keys.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key.clone()).ok()).collect())
}

impl Known {
    fn is_fresh(&self) -> bool {
        self.fetched_at.is_some_and(|at| at.elapsed() < FRESH_TIME)
    }

    fn choose(&self, name: Option<&str>, algorithm: Algorithm) -> Option<DecodingKey> {
        let fits = |key: &&Jwk| {
            let common = &key.common;
            matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
                && common.key_algorithm.is_none_or(|own| own.to_string() == format!("{algorithm:?}"))
                && signature::fits(key, algorithm)
        };
        let mut fitting = self.keys.iter().filter(fits);
        let key = match name {
            Some(name) => fitting.find(|key| key.common.key_id.as_deref() == Some(name)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        DecodingKey::from_jwk(key?).ok()
    }
}
