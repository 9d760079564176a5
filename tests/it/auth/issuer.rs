//! An issuer of tokens, with keys that change and an address that may be down.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use ring::{
    rand::SystemRandom,
    rsa::KeyPair,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaPublicKeyComponents,
    },
};
use serde_json::{Value, json};

use super::AUDIENCE;

const RSA_KEY: &[u8] = include_bytes!("rsa.key.der");

pub struct Issuer {
    pub url: String,
    published: Arc<Published>,
    /// Goes on from key to key.
    keys: AtomicUsize,
}

#[derive(Default)]
struct Published {
    keys: Mutex<Vec<Value>>,
    down: AtomicBool,
    asked: AtomicUsize,
}

/// A key of the issuer's.
pub struct Key {
    pub name: String,
    pair: Pair,
}

enum Pair {
    Elliptic(EcdsaKeyPair),
    Rsa(KeyPair),
}

impl Issuer {
    pub async fn start() -> Self {
        let published = Arc::new(Published::default());
        let router = Router::new().route("/keys", get(keys)).with_state(published.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, published, keys: AtomicUsize::new(0) }
    }

    pub fn jwks_url(&self) -> String {
        format!("{}/keys", self.url)
    }

    /// A new key, not published yet.
    pub fn key(&self) -> Key {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        let name = format!("key-{}", self.keys.fetch_add(1, Ordering::Relaxed));
        Key { name, pair: Pair::Elliptic(pair) }
    }

    pub fn rsa_key(&self) -> Key {
        Key { name: "rsa".to_owned(), pair: Pair::Rsa(KeyPair::from_pkcs8(RSA_KEY).unwrap()) }
    }

    /// Publishes exactly these keys.
    pub fn publish(&self, keys: &[&Key]) {
        *self.published.keys.lock().unwrap() = keys.iter().map(|key| key.published()).collect();
    }

    pub fn set_down(&self, down: bool) {
        self.published.down.store(down, Ordering::Relaxed);
    }

    /// How often the keys were fetched.
    pub fn asked(&self) -> usize {
        self.published.asked.load(Ordering::Relaxed)
    }

    /// Good claims with these roles.
    pub fn claims(&self, roles: &[&str]) -> Value {
        json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "ann", "exp": now() + 300, "iat": now(),
            "realm_access": {"roles": roles},
        })
    }

    /// A new key, published alone, and a token by it.
    pub fn token(&self, roles: &[&str]) -> (Key, String) {
        let key = self.key();
        self.publish(&[&key]);
        let token = key.sign(&self.claims(roles));
        (key, token)
    }
}

pub fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

async fn keys(State(published): State<Arc<Published>>) -> Result<Json<Value>, StatusCode> {
    published.asked.fetch_add(1, Ordering::Relaxed);
    if published.down.load(Ordering::Relaxed) {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    }
    // What is no key of ours is passed over.
    let mut keys = vec![json!({"kty": "odd", "kid": "odd"}), json!(7)];
    keys.extend(published.keys.lock().unwrap().iter().cloned());
    Ok(Json(json!({ "keys": keys })))
}

impl Key {
    pub fn algorithm(&self) -> &'static str {
        match &self.pair {
            Pair::Elliptic(_) => "ES256",
            Pair::Rsa(_) => "RS256",
        }
    }

    /// As it is published.
    pub fn published(&self) -> Value {
        let own = match &self.pair {
            Pair::Elliptic(pair) => {
                let point = pair.public_key().as_ref();
                json!({"kty": "EC", "crv": "P-256", "x": base64(&point[1..33]), "y": base64(&point[33..])})
            }
            Pair::Rsa(pair) => {
                let RsaPublicKeyComponents::<Vec<u8>> { n, e } = pair.public().into();
                json!({"kty": "RSA", "n": base64(&n), "e": base64(&e)})
            }
        };
        let mut key = json!({"kid": self.name, "use": "sig", "alg": self.algorithm()});
        key.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        key
    }

    /// The public key's bytes.
    pub fn public(&self) -> Vec<u8> {
        match &self.pair {
            Pair::Elliptic(pair) => pair.public_key().as_ref().to_vec(),
            Pair::Rsa(pair) => pair.public().as_ref().to_vec(),
        }
    }

    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(&json!({"alg": self.algorithm(), "kid": self.name, "typ": "JWT"}), claims)
    }

    /// A token with any header, signed by this key.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let random = SystemRandom::new();
        let signature = match &self.pair {
            Pair::Elliptic(pair) => pair.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", base64(&signature))
    }
}

/// What is signed of a token.
pub fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", base64(header.to_string().as_bytes()), base64(claims.to_string().as_bytes()))
}

/// Base64url without padding.
pub fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for letter in 0..=chunk.len() {
            text.push(char::from(LETTERS[(bits >> (18 - 6 * letter) & 63) as usize]));
        }
    }
    text
}
