//! Which tokens are believed.

use std::time::{Duration, Instant};

use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use super::{
    Guarded,
    issuer::{base64, message, now},
};

/// Good claims but for one.
fn but(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_is_believed() {
    let guarded = Guarded::new().await;
    let issuer = &guarded.issuer;
    let (key, rsa) = (issuer.key(), issuer.rsa_key());
    issuer.publish(&[&key, &rsa]);
    let good = issuer.claims(&["bosun-view"]);
    for token in [
        key.sign(&good),
        rsa.sign(&good),
        key.sign(&but(&good, "aud", json!(["someone", "bosun"]))),
        key.sign(&but(&good, "nbf", json!(now()))),
        // The issuer's clock may be a little off.
        key.sign(&but(&good, "exp", json!(now() - 5))),
        key.sign(&but(&good, "nbf", json!(now() + 5))),
    ] {
        assert_eq!(guarded.looks(&token).await, 200, "{token}");
    }
    for (claim, value, says) in [
        ("exp", json!(now() - 120), "it has expired"),
        ("exp", Value::Null, "no claim 'exp'"),
        ("exp", json!("soon"), "claim 'exp'"),
        ("nbf", json!(now() + 120), "not valid yet"),
        ("nbf", json!("never"), "claim 'nbf'"),
        ("iss", json!("https://elsewhere"), "another issuer"),
        ("iss", Value::Null, "no claim 'iss'"),
        ("aud", json!("someone"), "another audience"),
        ("aud", json!([]), "another audience"),
        ("aud", Value::Null, "no claim 'aud'"),
        ("sub", Value::Null, "no claim 'sub'"),
        ("tenant", json!(["blue"]), "claims cannot be read"),
    ] {
        let token = key.sign(&but(&good, claim, value.clone()));
        let said = guarded.refused(&format!("Bearer {token}")).await;
        assert!(said.contains(says), "{claim} {value}: {said}");
    }

    // Whoever knows the published key must not be able to sign with it.
    let headers = |algorithm: &str| json!({"alg": algorithm, "kid": key.name, "typ": "JWT"});
    let by_hmac = |secret: &[u8]| {
        let message = message(&headers("HS256"), &good);
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message.as_bytes());
        format!("{message}.{}", base64(tag.as_ref()))
    };
    let stranger = issuer.key();
    let signed = key.sign(&good);
    let (body, signature) = signed.rsplit_once('.').unwrap();
    let other = but(&good, "sub", json!("admin"));
    let mut with_key = headers("ES256");
    with_key["jwk"] = stranger.published();
    let mut critical = headers("ES256");
    critical["crit"] = json!(["exp"]);
    for token in [
        by_hmac(&key.public()),
        by_hmac(key.published().to_string().as_bytes()),
        by_hmac(b""),
        format!("{}.", message(&headers("none"), &good)),
        format!("{}.", message(&headers("None"), &good)),
        format!("{}.{signature}", message(&headers("none"), &good)),
        // Unsigned, signed for other claims, by another key, by the right key under another's name.
        format!("{body}."),
        format!("{}.{signature}", message(&headers("ES256"), &other)),
        stranger.sign_as(&headers("ES256"), &good),
        key.sign_as(&json!({"alg": "ES256", "kid": "rsa"}), &good),
        key.sign_as(&json!({"alg": "RS256", "kid": key.name}), &good),
        rsa.sign_as(&json!({"alg": "PS256", "kid": "rsa"}), &good),
        // A key that the token brings is no key.
        stranger.sign_as(&with_key, &good),
        key.sign_as(&critical, &good),
        key.sign_as(&json!({"alg": "ES256", "kid": ""}), &good),
        "..".to_owned(),
        "a.b.c".to_owned(),
        "x".to_owned(),
        "x".repeat(20_000),
    ] {
        guarded.refused(&format!("Bearer {token}")).await;
    }
    for odd in
        ["", "Bearer", "Bearer ", "Basic YTpi", &format!("Bearer {signed} x"), &format!("Token {signed}")]
    {
        guarded.refused(odd).await;
    }
    assert_eq!(guarded.looks(&signed).await, 200);
    // What tells whether all is well is open, and so is the document.
    for path in [
        "/",
        "/v2",
        "/v2/version",
        "/v2/healthz",
        "/apis/bos/v2/healthz",
        "/bosun/v1/healthz",
        "/openapi.json",
        "/openapi/",
        "/apis/bos/ui/",
    ] {
        for token in ["", "Bearer nonsense"] {
            assert!(guarded.send(token, Method::GET, path, None).await.status().is_success(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_change_and_are_not_asked_for_without_end() {
    let guarded = Guarded::new().await;
    let issuer = &guarded.issuer;
    // The issuer is down from the beginning: nobody can tell.
    issuer.set_down(true);
    let (first, token) = issuer.token(&["bosun-view"]);
    let (status, problem) = guarded.ask(&token, Method::GET, "/v2/sessions", None).await;
    assert_eq!((status, &problem["title"]), (503, &json!("Service Unavailable")));
    issuer.set_down(false);
    until(&guarded, &token, 200).await;
    let asked = issuer.asked();
    for _ in 0..50 {
        assert_eq!(guarded.looks(&token).await, 200);
    }
    assert_eq!(issuer.asked(), asked, "known keys are not fetched again");
    // Known keys stay good while the issuer is down; of others nobody can tell.
    issuer.set_down(true);
    let second = issuer.key();
    let rotated = second.sign(&issuer.claims(&["bosun-view"]));
    until(&guarded, &rotated, 503).await;
    assert_eq!(guarded.looks(&token).await, 200);
    issuer.set_down(false);
    // A new key is fetched when a token names it, and the old one is gone then.
    issuer.publish(&[&second]);
    until(&guarded, &rotated, 200).await;
    assert_eq!(guarded.looks(&token).await, 401);
    // Names that nobody knows do not make us ask for each.
    let (asked, begun) = (issuer.asked(), Instant::now());
    for number in 0..100 {
        let header = json!({"alg": "ES256", "kid": format!("made-up-{number}")});
        assert_eq!(guarded.looks(&first.sign_as(&header, &issuer.claims(&["bosun-view"]))).await, 401);
    }
    let most = 1 + usize::try_from(begun.elapsed().as_secs() / 2).unwrap();
    assert!(issuer.asked() - asked <= most, "{} times in {:?}", issuer.asked() - asked, begun.elapsed());
    assert_eq!(guarded.looks(&rotated).await, 200);
}

async fn until(guarded: &Guarded, token: &str, wanted: u16) {
    let start = Instant::now();
    loop {
        let status = guarded.looks(token).await;
        if status == wanted {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "it stays {status}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
